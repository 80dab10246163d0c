"""A small study trains, scores and draws its own models, and survives a kill in training."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from benchmark.specs import Run
from benchmark.storage.files import read_json
from benchmark.storage.tables import read_table
from reports import supplement_tables
from reports.results import Results
from reports.supplement import SUPPLEMENT
from tests.workflow.conftest import Workplace
from tests.workflow.faults import kill_when

STEPS = 40
COHORT = {
    "id": "C",
    "name": "Generated patients, two scans each",
    "split": "phantom",
    "modality": "CT",
    "source": {"kind": "phantom", "recipe": "cohort-volume", "scans": 3, "seed": 1},
    "layout": {
        "image": "images/{scan}.nii.gz",
        "label": "labels/{scan}.nii.gz",
        "patient": r"(pt\d+)_",
    },
    "labels": {1: "liver_tumour"},
}
FIGURES = [f"results/small/figures/fig6{letter}.pdf" for letter in "abcd"]


def study(place: Workplace) -> Path:
    """A study of the shipped PAM: fine-tuned, from scratch, and with one scale of attention less.

    With a single dataset the model from scratch and the setting R2 are one training.
    """
    place.write("C.yaml", COHORT)
    few = {"steps": 4, "batch": 2, "block": 2, "uses": 2, "precision": "float32"}
    budget = {"steps": STEPS, "block": 2, "checkpoint": 4, "curve": 10}
    plain = {"recipe": "tiny", "training": budget, "workers": 1}
    less = {"recipe": "tiny", "training": {**budget, "network": {"attended": 1}}}
    return place.study(
        datasets=["C.yaml"],
        methods={"pam": {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "pam-small"}},
        training={
            "models": {
                "tuned": {"kind": "finetuned", "method": "pam", "options": {"training": few}},
                "scratch": {"kind": "scratch", "method": "pam", "options": plain},
                "R2": {"kind": "together", "method": "pam", "options": plain},
                "R1": {"kind": "together", "method": "pam", "options": less},
            },
            "ablations": {"scales": {"both": "R2", "one": "R1"}},
        },
        budgets={"timed_objects": 1},
    )


@pytest.fixture(scope="module", autouse=True)
def _on_a_cpu() -> Iterator[None]:
    """A GPU gives other sums."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture(scope="module")
def done(make_workplace: Callable[[], Workplace]) -> Workplace:
    """A study that has trained, scored, analysed and drawn."""
    place = make_workplace()
    run = place.run(study(place), *FIGURES)
    assert run.returncode == 0, run.stdout + run.stderr
    return place


def runs(place: Workplace) -> dict[str, Path]:
    """Folders of the runs, by what their settings say that they are."""
    found = {}
    for path in place.folder.glob("results/runs/*/settings.json"):
        settings = read_json(path)
        training = settings["options"].get("training")
        scratch = "R1" if training and "network" in training else "R2"
        name = "general" if training is None else "tuned" if settings["weights"] else scratch
        assert name not in found
        found[name] = path.parent
    assert found.keys() == {"general", "tuned", "R1", "R2"}
    return found


def model_of(run: Path) -> Path:
    """Folder of the model of a run."""
    fit = Run.read(read_json(run / "settings.json"), "the run").fit
    return run.parents[1] / "models" / fit.id / "C"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(model_of(run) / "work" / "propmask.safetensors")


@pytest.fixture(scope="module")
def split(done: Workplace) -> dict[str, list[str]]:
    """Scans that were learnt from and scans held back."""
    content = read_json(done.folder / "results" / "splits" / "0" / "C.json")
    return {side: content[side] for side in ("train", "test")}


@pytest.fixture(scope="module")
def values(done: Workplace, split: dict[str, list[str]]) -> dict[tuple[str, str], float]:
    """Mean score by run and metric, over the only structure of the scans held back."""
    found = {}
    for name, run in runs(done).items():
        (folder,) = run.glob("scores-*")
        scores = read_table(folder / "C")
        rows = scores[(scores["level"] == "structure") & scores["scan"].isin(split["test"])]
        assert sorted(rows["scan"]) == sorted(split["test"])
        for metric in ("dsc", "nsd"):
            found[name, metric] = sum(rows[metric]) / len(rows)
    return found


def test_no_patient_that_is_held_back_is_learnt_from(
    done: Workplace, split: dict[str, list[str]]
) -> None:
    patients = {side: {scan.split("_")[0] for scan in scans} for side, scans in split.items()}
    assert (len(patients["train"]), len(patients["test"])) == (2, 1)
    assert not patients["train"] & patients["test"]
    told = read_json(done.folder / "results" / "small" / "record.json")["datasets"]["C"]
    assert (told["held_back"], told["patients"]) == (1, 3)
    scans = {f"pt0{number}_{when}" for number in (1, 2, 3) for when in ("pre", "post")}
    assert {*split["train"], *split["test"]} == scans
    for name, run in runs(done).items():
        if name == "general":
            continue
        cases = model_of(run) / "work" / "cases" / "C"
        tables = {path.name: read_table(path) for path in cases.iterdir()}
        assert tables.keys() == {"images.parquet", "objects.parquet", "reference.parquet"}
        for table in tables.values():
            assert set(table["scan"]) == set(split["train"])
        masks = read_table(run / "masks" / "C")
        assert set(masks.loc[masks["status"] == "ok", "scan"]) == set(split["test"])
        assert set(masks.loc[masks["status"] == "skipped", "scan"]) == set(split["train"])


def test_the_table_of_runs_is_of_the_cases_held_back(
    done: Workplace, values: dict[tuple[str, str], float]
) -> None:
    table = pd.read_csv(done.folder / "results" / "small" / "runs.csv").fillna("")
    run_of = {"general": "general", "finetuned": "tuned", "scratch": "R2"}
    run_of |= {"both": "R2", "one": "R1"}
    named = table["setting"].where(table["kind"] == "ablation", table["kind"]).map(run_of)
    assert sorted(named) == sorted(["general", "tuned", "R2", "R2", "R1"] * 2)
    expected = [values[key] for key in zip(named, table["metric"], strict=True)]
    assert table["value"].tolist() == pytest.approx(expected, rel=1e-12)
    sizes = {
        name: sum(tensor.numel() for tensor in weights(run).values())
        for name, run in runs(done).items()
        if name != "general"
    }
    for name, parameters in zip(named, table["parameters"], strict=True):
        assert parameters == sizes["tuned" if name == "general" else name]


def test_the_ablation_differs_in_what_it_says(done: Workplace) -> None:
    places = runs(done)
    settings: dict[str, Any] = {name: read_json(places[name] / "settings.json") for name in places}
    assert settings["R1"]["options"]["training"].pop("network") == {"attended": 1}
    assert settings["R1"] == settings["R2"]
    less, more = (weights(places[name]) for name in ("R1", "R2"))
    # The attention at the finer of the two scales, of 8 channels: four projections and a bias.
    sizes = [sum(tensor.numel() for tensor in each.values()) for each in (more, less)]
    assert sizes[0] - sizes[1] == 4 * 8 * 8 + 8
    assert {name.split(".")[0] for name in more.keys() - less.keys()} == {"attentions"}
    assert not less.keys() - more.keys()


def test_more_workers_train_and_predict_nothing_anew(done: Workplace) -> None:
    content = yaml.safe_load((done.folder / "small.yaml").read_text(encoding="utf-8"))
    for model in content["training"]["models"].values():
        model["options"]["workers"] = 3
    started = done.rerun(done.write("more.yaml", content), *FIGURES)
    assert not started & {"split", "plan", "train", "predict", "score"}


def test_figures_and_tables_show_the_table_of_runs(
    done: Workplace, values: dict[tuple[str, str], float]
) -> None:
    folder = done.folder / "results" / "small"
    dsc = {name: value for (name, metric), value in values.items() if metric == "dsc"}
    captions = {}
    for path in (done.folder / figure for figure in FIGURES):
        assert path.read_bytes().startswith(b"%PDF")
        captions[path.stem] = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert f"scales (pam): both {dsc['R2']:.3f}, one {dsc['R1']:.3f}" in captions["fig6d"]
    recovery = 100 * dsc["R2"] / dsc["general"]
    assert f"pam, own dataset: {recovery:.1f} to {recovery:.1f} %" in captions["fig6b"]
    assert f"mean {dsc['tuned'] - dsc['R2']:+.3f}" in captions["fig6c"]
    printed = {}
    for name in ("finetuning", "ablation_architecture"):
        entry = SUPPLEMENT[name]
        rows = supplement_tables.selected(Results(folder).statistics(entry.source), entry)
        _, printed[name] = supplement_tables.layout(rows, entry)
    ((*_, general, tuned, seeds, gain, _, _, _),) = printed["finetuning"]
    assert seeds == "1"
    assert (general, tuned) == (f"{dsc['general']:.3f}", f"{dsc['tuned']:.3f}")
    assert gain == f"{dsc['tuned'] - dsc['general']:+.3f}"
    assert printed["ablation_architecture"] == [
        ["scales", "both", "pam", "yes", f"{dsc['R2']:.3f}"],
        ["scales", "one", "pam", "no", f"{dsc['R1']:.3f}"],
    ]


def test_a_workflow_killed_in_a_training_ends_with_the_weights_of_an_undisturbed_one(
    done: Workplace, make_workplace: Callable[[], Workplace]
) -> None:
    whole = model_of(runs(done)["R1"])
    killed = make_workplace()
    again = study(killed)
    model = whole.relative_to(done.folder)
    target = str(model / "status.json")
    checkpoint = killed.folder / model / "work" / "checkpoint.pt"
    assert kill_when(killed, again, checkpoint.exists, target)
    reached = torch.load(checkpoint, weights_only=True)["step"]
    assert 0 < reached < STEPS
    assert not (killed.folder / target).exists()
    assert killed.run(again, "--unlock").returncode == 0
    run = killed.run(again, target)
    assert run.returncode == 0, run.stdout + run.stderr
    log = killed.folder / "results" / "logs" / "train" / whole.parent.name / "C.log"
    told = log.read_text(encoding="utf-8").splitlines()
    assert f"{reached}/{STEPS} [" in next(line for line in told if f"/{STEPS} [" in line)
    ended = [
        (place / "work" / "propmask.safetensors").read_bytes()
        for place in (killed.folder / model, whole)
    ]
    assert ended[0] == ended[1]
