"""PAM as a method that learns: its cases, its starting weights, and recovery from kills."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark import prepare, stages, volume
from benchmark.catalogue import Dataset
from benchmark.conformance.checks import findings
from benchmark.errors import UserError
from benchmark.learning.fitting import PreparedDataset, fit, plan
from benchmark.learning.splits import split
from benchmark.sources import Status
from benchmark.specs import Fit, Run
from benchmark.storage.files import write_json
from benchmark.storage.tables import read_table
from pam import checkpoints
from pam.adapters import Pam2DMask
from pam.learning import TABLES, WEIGHTS, Pam2DMaskTrained
from pam.training import recipe as recipes
from pam.training.loop import RECORD, train
from pam.training.recipe import PropMaskRecipe

TINY = {"recipe": "tiny", "training": {"steps": 2, "block": 1, "uses": 4}}
SCANS = ("a", "b", "c", "d", "e")


@pytest.fixture
def source(
    tmp_path: Path, entry: Callable[..., Dataset], ready: Callable[[Path], Status]
) -> Callable[..., PreparedDataset]:
    """Give a function that makes a dataset of five scans, some of them of another content."""

    def make(other: tuple[str, ...] = ()) -> PreparedDataset:
        root = tmp_path / "raw" / "-".join(("x", *other))
        for number, scan in enumerate(SCANS):
            rng = np.random.default_rng(number + 100 * (scan in other))
            label = np.zeros((8, 40, 40), np.uint8)
            label[1:7, 8:28, 10 : 26 + number] = 1
            grey = (100.0 * label + rng.normal(0, 10, label.shape)).astype(np.float32)
            for kind, array in (("images", grey), ("labels", label)):
                path = root / kind / f"{scan}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                volume.write(array, (3.0, 1.0, 1.0), path)
        found = prepare.prepare(entry(root), ready(root), 0)
        assert not found.failures
        rows = list(found.images)
        images, objects, reference = _through_files(found, tmp_path / "tables" / root.name)
        return PreparedDataset(images, objects, reference, split(rows, 0))

    return make


def _through_files(found: prepare.Prepared, folder: Path) -> list[Any]:
    from benchmark import objects
    from benchmark.storage.tables import write_table

    tables = []
    for name, rows, schema in (
        ("images", found.images, prepare.IMAGE_SCHEMA),
        ("objects", found.objects, objects.SCHEMA),
        ("reference", found.reference, objects.REFERENCE_SCHEMA),
    ):
        write_table(rows, schema, folder / f"{name}.parquet")
        tables.append(read_table(folder / f"{name}.parquet"))
    return tables


def fitted(
    source: PreparedDataset, workdir: Path, start: Path | None = None, **options: Any
) -> bytes:
    method = Pam2DMaskTrained({**TINY, **options})
    method.plan(source.cases(), ["lesion"], workdir)
    method.fit(workdir, "cpu", start)
    return (workdir / WEIGHTS).read_bytes()


def test_nothing_of_a_held_back_case_reaches_the_weights(
    source: Callable[..., PreparedDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = source()
    train, test = plain.split.train, plain.split.test
    assert (len(train), len(test)) == (4, 1)
    opened: set[str] = set()
    read = volume.read

    def noted(paths: list[Path], **more: Any) -> volume.Volume:
        opened.update(path.name.partition(".")[0] for path in paths)
        return read(paths, **more)

    monkeypatch.setattr(volume, "read", noted)
    # The same place each time: it stands in the recipe.
    first = fitted(plain, tmp_path / "work")
    assert opened
    assert opened <= set(train)
    for name in ("images", "objects", "reference"):
        rows = read_table(tmp_path / "work" / TABLES / "T1" / f"{name}.parquet")
        assert set(rows["scan"]) == set(train)
    assert fitted(source(other=test), tmp_path / "work") == first
    assert fitted(source(other=train), tmp_path / "work") != first


def test_it_goes_on_from_weights_of_another_size(
    source: Callable[..., PreparedDataset], tmp_path: Path
) -> None:
    content = recipes.load("tiny").model_dump(mode="json")
    seen = {"size": 48, "resampling": "smooth", "context": 1.5}
    inference = {**seen, "thickness": 45.0, "max_slices": 12}
    content["network"] |= {"channels": 6, "stages": 3, "inputs": 2, "inference": inference}
    content["tasks"] |= seen
    start = train(
        recipes.read(content, "test"), tmp_path / "start", device="cpu", workers=0, stop=1
    )
    still = {"steps": 2, "block": 1, "optimiser": {"rate": 1e-30, "last_rate": 0}}
    fitted(source(), tmp_path / "work", start, training=still)
    ours, theirs = (checkpoints.load(p) for p in (tmp_path / "work" / WEIGHTS, start))
    assert ours.config == theirs.config
    tasks = json.loads((tmp_path / "work" / RECORD).read_text())["recipe"]["tasks"]
    asked = {**seen, "reach_mm": 45.0, "reach_slices": 12}
    assert {key: tasks[key] for key in asked} == asked
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("started", [False, True])
def test_the_inference_follows_what_a_study_has_learned(tmp_path: Path, started: bool) -> None:
    (tmp_path / TABLES / "D35").mkdir(parents=True)
    seen = {"size": 224, "resampling": "smooth", "crop_ratio": 1.25}
    network = {**recipes.load("scratch").network.model_dump(), "inference": seen}
    training = {"tasks": {"resampling": "nearest", "size": 96}}
    method = Pam2DMaskTrained({"recipe": "scratch", "training": training})
    recipe = method.recipe(tmp_path, network if started else None)
    kept = {"crop_ratio": 1.25} if started else {}
    assert recipe.network.inference == {**training["tasks"], "context": 0, **kept}


@pytest.mark.parametrize(("protocol", "resampling"), [("paper", "nearest"), ("rigorous", "smooth")])
@pytest.mark.parametrize("name", ["scratch", "finetune"])
def test_masks_are_resampled_as_for_the_general_model(
    tmp_path: Path, name: str, protocol: str, resampling: str
) -> None:
    """The weights of the paper bring no switches, so that the protocol says all."""
    (tmp_path / TABLES / "D35").mkdir(parents=True)
    network = recipes.load(name).network.model_dump() | {"inference": {}}
    plain = {"recipe": name, "protocol": protocol}
    general = Pam2DMask({"protocol": protocol}).options.propagation_settings({})
    assert general.resampling == resampling
    for options in (plain, {**plain, "training": {"tasks": {"queries": 2}}}):
        recipe = Pam2DMaskTrained(options).recipe(tmp_path, network if name == "finetune" else None)
        assert isinstance(recipe, PropMaskRecipe)
        assert recipe.tasks.resampling == resampling
        assert recipe.network.inference["resampling"] == resampling


@pytest.mark.parametrize("told", [{"tasks": 3}, {"network": 3}])
def test_keys_that_make_no_recipe_are_told(tmp_path: Path, told: dict[str, Any]) -> None:
    (tmp_path / TABLES / "D35").mkdir(parents=True)
    with pytest.raises(UserError, match="options of pam-2dmask-trained"):
        Pam2DMaskTrained({"training": told}).recipe(tmp_path)


def test_other_weights_to_start_from_start_it_anew(
    source: Callable[..., PreparedDataset], tmp_path: Path
) -> None:
    tiny = recipes.load("tiny")
    one, other = (train(tiny, tmp_path / str(n), device="cpu", workers=0, stop=n) for n in (1, 2))
    short = {"steps": 2, "block": 1}
    old, expected = (fitted(source(), tmp_path / "work", s, training=short) for s in (one, other))
    assert fitted(source(), tmp_path / "work", one, training=short) == old
    method = Pam2DMaskTrained({**TINY, "training": short})
    method.fit(tmp_path / "work", "cpu", one)
    assert (tmp_path / "work" / WEIGHTS).read_bytes() == old
    method.fit(tmp_path / "work", "cpu", other)
    assert (tmp_path / "work" / WEIGHTS).read_bytes() == expected != old


def test_a_training_that_diverges_has_failed(
    source: Callable[..., PreparedDataset], tmp_path: Path
) -> None:
    training = {"steps": 4, "block": 1, "uses": 4, "optimiser": {"rate": 1e30, "clip": None}}
    settings = Fit(
        adapter="pam-2dmask-trained",
        version=1,
        weights=None,
        weights_sha256=None,
        options={"recipe": "tiny", "training": training},
        seed=0,
    )
    planned = plan(settings, [source()], tmp_path)
    trained = fit(settings, planned, tmp_path, "cpu")
    assert trained.state == "failed"
    assert "The training diverged" in str(trained.reason)


def test_the_recipe_is_the_shipped_one_but_for_what_is_told(tmp_path: Path) -> None:
    (tmp_path / TABLES / "D35").mkdir(parents=True)
    options = {"protocol": "paper", "seed": 4, "training": {"network": {"attended": 1}}}
    method = Pam2DMaskTrained({**TINY, **options})
    recipe, shipped = method.recipe(tmp_path), recipes.load("tiny")
    assert recipe.seed == 4
    assert recipe.network == shipped.network.model_copy(update={"attended": 1})
    assert recipe.data.model_dump()["datasets"] == ("D35",)
    for name in ("tasks", "loss", "optimiser", "steps"):
        assert getattr(recipe, name) == getattr(shipped, name)


def test_several_gpus_are_several_processes() -> None:
    method = Pam2DMaskTrained({"gpus": 4, "workers": 3})
    assert method.fit_resources == (4, 16, 4 * (method.info.memory_mb + 3 * 1500))


def test_it_keeps_the_contract_of_a_method(one_thread: None) -> None:
    found = list(findings("pam-2dmask-trained", TINY))
    assert [f"{one.name}: {one.detail}" for one in found if not one.ok] == []
    assert "fit again, when it is done" in [one.name for one in found]


def test_a_recipe_of_the_other_network_is_refused(
    source: Callable[..., PreparedDataset], tmp_path: Path
) -> None:
    method = Pam2DMaskTrained({"recipe": "small-box2mask"})
    with pytest.raises(UserError, match="not propmask"):
        method.plan(source().cases(), ["lesion"], tmp_path / "work")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a job of the workflow; sums of several threads differ from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_job_killed_in_mid_training_ends_as_an_undisturbed_one(
    source: Callable[..., PreparedDataset], tmp_path: Path, one_thread: None
) -> None:
    steps = 60
    training = {"steps": steps, "block": 1, "checkpoint": 2}
    content = {
        "stage": stages.PREDICT,
        "adapter": "pam-2dmask-trained",
        "version": 1,
        "prompt": "mask2d",
        "prompts": "x",
        "weights": None,
        "weights_sha256": None,
        "options": {"recipe": "tiny", "training": training},
        "variants": {},
        "timed_objects": 0,
        "seed": 0,
    }
    run, data = Run.read(content, "the test's run"), [source()]
    write_json(tmp_path / "settings.json", run.fit.model_dump(mode="json"))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    planned = {folder: plan(run.fit, data, folder) for folder in (killed, whole)}
    write_json(killed / "plan.json", planned[killed].model_dump(mode="json"))
    names = {"settings": tmp_path / "settings.json", "planned": killed / "plan.json"}
    names["output"] = killed / "status.json"
    options = [word for name, path in names.items() for word in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "benchmark", "fit", *options]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as job:
        while not (killed / "work" / "checkpoint.pt").exists():
            assert job.poll() is None
        job.kill()
    reached = torch.load(killed / "work" / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < reached < steps
    done, of = Pam2DMaskTrained(run.options).progress(killed / "work") or (0, 0)
    assert 0 <= done - reached <= 2  # the curve is written first, every other step
    assert of == steps
    assert not names["output"].exists()
    assert not (killed / "work" / WEIGHTS).exists()
    for folder in (killed, whole):
        assert fit(run.fit, planned[folder], folder, "cpu").state == "ready"
    ended = [(folder / "work" / WEIGHTS).read_bytes() for folder in (killed, whole)]
    assert ended[0] == ended[1]
