"""Fine-tuning on a user's own data, up to a study that names the weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from benchmark import catalogue, volume
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.learning.splits import Split
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.storage.files import read_json
from benchmark.study import Study
from benchmark.weights import registry, store
from pam import adapt, checkpoints
from pam.cli import app
from pam.learning import Pam2DMaskTrained
from pam.network import Box2Mask, PropMask
from pam.training import recipe as recipes
from pam.training.loop import train
from pam.weight_files import read_network


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Callable[..., Dataset]) -> Path:
    """A working directory with a dataset of three scans, and weights of both networks."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        label = np.zeros((8, 40, 40), np.uint8)
        label[1:7, 8:28, 10 : 26 + number] = 1
        for kind, array in (("images", 100 * label.astype(np.int16)), ("labels", label)):
            path = tmp_path / "scans" / kind / f"s{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            volume.write(array, (3.0, 1.0, 1.0), path)
    content = entry(tmp_path / "scans").model_dump(mode="json", exclude_unset=True)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    tiny = recipes.load("tiny").model_dump(mode="json", exclude_unset=True)
    train(recipes.read(tiny, "t"), tmp_path / "general", device="cpu", workers=0, stop=1)
    box = {**tiny, "kind": "box2mask", "network": {"channels": 4, "stages": 3}}
    box |= {"tasks": {"size": 32}}
    train(recipes.read(box, "t"), tmp_path / "box", device="cpu", workers=0, stop=1)
    (tmp_path / "box" / "box2mask.safetensors").rename(
        tmp_path / "general" / "box2mask.safetensors"
    )
    return tmp_path


def finetune(*more: str) -> Any:
    command = ["train", "finetune", "--dataset", "mine.yaml", "--output", "tuned", "--steps", "2"]
    command += ["--from", "general/propmask.safetensors", "--device", "cpu", "--workers", "0"]
    return CliRunner().invoke(app, [*command, *more], catch_exceptions=False)


def test_it_ends_in_weights_that_a_study_can_name(place: Path) -> None:
    run = finetune()
    assert run.exit_code == 0
    assert run.stdout.split()[-1] == "tuned/weights.yaml"
    entry = registry.load("tuned/weights.yaml")
    status = store.fetch(entry, paths.weights_folder(entry.id), "tuned/weights.yaml")
    assert status.state == "ready", status.reason
    weights = store.path_for_adapter(status, paths.weights_folder(entry.id), "tuned/weights.yaml")
    assert weights is not None
    ours = read_network(weights, PropMask)
    before = checkpoints.load(Path("general/propmask.safetensors"))
    assert ours.config == before.config
    changed = [n for n, x in before.state_dict().items() if not ours.state_dict()[n].equal(x)]
    assert changed
    assert read_network(weights, Box2Mask).config.channels == 4

    split = read_json(place / "tuned" / "split.json")
    assert (len(split["train"]), len(split["test"])) == (2, 1)
    method = {"adapter": "pam-2dbox", "prompt": "box2d", "weights": "tuned/weights.yaml"}
    for dataset in ("mine.yaml", "P01"):
        content = {"study": "s", "datasets": [dataset], "methods": {"m": method}}
        found = Study.read(content, "study.yaml").runs["m"]
        assert isinstance(found, Run)
        assert found.weights_sha256
        (dataset_entry,) = Study.read(content, "study.yaml").entries.values()
        assert entry.contaminates(dataset_entry) == (dataset == "mine.yaml")

    assert finetune("--output", "deeper/once more").exit_code == 0
    both = {"m": method, "n": {**method, "weights": "deeper/once more/weights.yaml"}}
    study = Study.read({"study": "s", "datasets": ["mine.yaml"], "methods": both}, "study.yaml")
    ids = [registry.load(str(run.weights)).id for run in study.runs.values()]
    assert ids == ["pam-T1-tuned", "pam-T1-once-more"]

    with pytest.raises(UserError, match="--resume"):
        finetune()
    longer = finetune("--resume", "--steps", "4", "--output", str(place / "tuned"))
    assert longer.exit_code == 0
    assert read_json(place / "tuned" / "record.json")["step"] == 4


def test_the_weights_tell_what_their_dataset_is_related_to(
    place: Path, entry: Callable[..., Dataset]
) -> None:
    told = yaml.safe_load((place / "mine.yaml").read_text())
    told |= {"collection": "hospital", "overlaps": ["P01"]}
    (place / "mine.yaml").write_text(yaml.safe_dump(told))
    assert finetune().exit_code == 0
    trained = registry.load("tuned/weights.yaml")
    assert trained.trained_on is not None
    assert trained.trained_on.local == ("T1", "hospital", "P01")
    # Without the entry of T1, as in a study that tests on other data.
    assert trained.contaminates(entry(id="T2", collection="hospital"))
    assert trained.contaminates(catalogue.load("P01"))
    assert not trained.contaminates(entry(id="T2"))
    assert finetune("--from", "tuned/weights.yaml", "--output", "again").exit_code == 0
    again = registry.load("again/weights.yaml").trained_on
    assert again is not None
    assert again.local == trained.trained_on.local


def test_all_cases_can_be_learnt_from(place: Path) -> None:
    assert finetune("--all").exit_code == 0
    assert read_json(place / "tuned" / "split.json")["test"] == []


def test_a_single_patient_is_held_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_back = Split(seed=0, share=0.8, train=(), test=("a",))
    monkeypatch.setattr(adapt, "split", lambda images, seed: held_back)
    with pytest.raises(UserError, match=r"not held back for testing; got none of .* --all"):
        finetune()


def test_a_folder_goes_on_with_what_it_was_begun_with(place: Path) -> None:
    assert finetune().exit_code == 0
    with pytest.raises(UserError, match="learns from the training cases of T1"):
        finetune("--resume", "--all")
    other = (place / "mine.yaml").read_text().replace("id: T1", "id: T2")
    (place / "other.yaml").write_text(other)
    with pytest.raises(UserError, match="learns from the training cases of T1"):
        finetune("--resume", "--dataset", "other.yaml")


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_a_folder_of_other_things_is_left_alone(place: Path, more: tuple[str, ...]) -> None:
    (place / "tuned").mkdir()
    (place / "tuned" / "thesis.txt").write_text("all of it", encoding="utf-8")
    with pytest.raises(UserError, match="no training to go on with"):
        finetune(*more)
    assert [path.name for path in (place / "tuned").iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder_for_the_result(place: Path) -> None:
    with pytest.raises(UserError, match="Nothing can be written to"):
        finetune("--output", "mine.yaml")


def test_what_ends_before_the_training_leaves_no_folder_in_use(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: dict[str, Any] = {"recipe": "finetun"}
    with pytest.raises(UserError, match="Did you mean: finetune"):
        adapt.adapt_to_dataset("mine.yaml", "general", Path("tuned"), options=wrong, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(Pam2DMaskTrained, "recipe", killed)
        assert finetune().exit_code != 0
    assert finetune().exit_code == 0
    assert not (place / "tuned" / ".planned").exists()


@pytest.mark.parametrize("moved", [0, 1])
def test_a_kill_while_the_plan_moves_to_its_place_is_made_good(
    moved: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, rename = [moved], Path.rename

    def last(path: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", last)
        assert finetune().exit_code != 0
    assert (place / "tuned" / ".planned").exists()
    with pytest.raises(UserError, match="Go on with what is there by --resume"):
        finetune()
    assert finetune("--resume").exit_code == 0
    assert not (place / "tuned" / ".planned").exists()


def killed(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_several_processes_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="by one process"):
        finetune()


def test_what_is_not_here_is_told(place: Path) -> None:
    with pytest.raises(UserError, match="pam-released"):
        finetune("--from", "general")
    (place / "scans").rename(place / "elsewhere")
    with pytest.raises(UserError, match="The files of T1 are not here"):
        finetune()
