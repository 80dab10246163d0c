"""A study trains models by its rules: killed in a training it ends as if nothing had happened."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmark.analysis import read_statistics
from benchmark.files import read_json
from benchmark.tables import read_table
from pam.training import recipe as recipes
from pam.training.loop import train
from tests.workflow.conftest import Workplace, entry
from tests.workflow.test_kills import kill_when

pytestmark = pytest.mark.xdist_group("training")
STEPS = 40


def study(place: Workplace) -> Path:
    """A study of one dataset with a general PAM of next to no training, which it trains on."""
    for number in range(3, 6):
        place.add_scan("A", f"case{number}", seed=number)
    place.write("A.yaml", entry("A") | {"shards": 1})
    folder = place.folder / "weights"
    train(recipes.load("tiny"), folder, device="cpu", workers=0, stop=1)
    source = {"kind": "local", "path": str(folder)}
    content = {"id": "tiny", "name": "Tiny", "source": source, "files": ["propmask.safetensors"]}
    place.write("tiny.yaml", content)
    options = {"recipe": "tiny", "training": {"steps": STEPS, "block": 1, "checkpoint": 4}}
    return place.study(
        datasets=["A.yaml"],
        methods={"pam": {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "tiny.yaml"}},
        training={
            "models": {
                "tuned": {"kind": "finetuned", "of": "pam", "options": options},
                "scratch": {"kind": "scratch", "of": "pam", "options": options},
            },
            "ablations": {"training": {"general": "pam", "none": "pam"}},
        },
        budgets={"timed_objects": 1},
    )


def trained(place: Workplace) -> dict[str, bytes]:
    """Weights by the name of their run."""
    found = place.folder.glob("results/runs/*/model/A/work/propmask.safetensors")
    return {path.parents[3].name: path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def done(make_workplace: Callable[[], Workplace]) -> Workplace:
    """A study that has trained, scored and analysed."""
    place = make_workplace()
    run = place.run(study(place), "results/small/statistics/recovery.csv")
    assert run.returncode == 0, run.stdout + run.stderr
    return place


def test_its_models_are_scored_on_the_cases_held_back(done: Workplace) -> None:
    folder = done.folder / "results"
    split = read_json(folder / "splits" / "0" / "A.json")
    assert len(split["test"]) == 1
    runs = pd.read_csv(folder / "small" / "runs.csv")
    kinds = runs[runs["metric"] == "dsc"].groupby("kind").size().to_dict()
    assert kinds == {"general": 1, "finetuned": 1, "scratch": 1, "ablation": 2}
    scores = read_table(next(folder.glob("runs/pam-2dmask-[!t]*/scores-*/A")))
    held_back = scores[(scores["level"] == "structure") & scores["scan"].isin(split["test"])]
    general = runs[(runs["kind"] == "general") & (runs["metric"] == "dsc")]
    assert general["value"].tolist() == pytest.approx(held_back["dsc"].tolist())
    recovery = read_statistics(folder / "small" / "statistics" / "recovery.csv")
    assert set(recovery["trained_on"]) == {"A"}
    for model in folder.glob("runs/pam-2dmask-trained-*/model/A"):
        assert read_json(model / "split.json") == {"A": split}
        assert read_json(model / "work" / "record.json")["step"] == STEPS
        assert len((model / "work" / "curve.csv").read_text(encoding="utf-8").splitlines()) > 2


def test_a_training_that_was_killed_ends_as_an_undisturbed_one(
    done: Workplace, make_workplace: Callable[[], Workplace]
) -> None:
    killed = make_workplace()
    again = study(killed)
    pattern = "results/runs/*/model/A/work/checkpoint.pt"
    assert kill_when(killed, again, lambda: any(killed.folder.glob(pattern)))
    reached = [torch.load(p, weights_only=True)["step"] for p in killed.folder.glob(pattern)]
    assert any(0 < step < STEPS for step in reached)
    assert killed.run(again, "--unlock").returncode == 0
    run = killed.run(again, "--until", "train")
    assert run.returncode == 0, run.stdout + run.stderr
    ended = trained(done)
    assert len(ended) == 2
    assert trained(killed) == ended
