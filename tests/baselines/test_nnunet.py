"""nnU-Net: a clear message where it is not installed, a short training where it is."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from baselines import exchange, process
from baselines.nnunet.adapter import PYTHON, NnUNet
from baselines.nnunet.driver import PLANNERS, is_whole, processes, save_whole, train, variables
from baselines.nnunet.driver import predict as answer
from benchmark import volume
from benchmark.conformance.checks import findings
from benchmark.errors import MachineError, UserError
from benchmark.masks import Mask
from benchmark.prompts import StructureName
from benchmark.volume import Volume

SHAPE = (16, 32, 32)
HERE = pytest.mark.skipif(not PYTHON.is_file(), reason="no environment of nnU-Net: make nnunet")


@dataclass(frozen=True)
class Made:
    """A case with a bright ball."""

    seed: int
    channels: tuple[str, ...] = ()
    modality: str = "CT"
    structures: tuple[str, ...] = ("ball",)
    dataset: str = "D01"
    unsure: bool = False

    @property
    def truth(self) -> NDArray[np.bool_]:
        rng = np.random.default_rng(self.seed)
        z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
        a, b, c = rng.uniform(6, 10), rng.uniform(10, 22), rng.uniform(10, 22)
        return np.asarray((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < 36)

    def volume(self) -> Volume:
        grey = np.random.default_rng(self.seed).normal(0, 10, SHAPE) + 100 * self.truth
        array = np.stack([grey] * len(self.channels)) if self.channels else grey
        return Volume(array.astype(np.float32), (2.0, 1.0, 1.0), self.modality, self.channels)

    def labels(self, structures: Sequence[str]) -> NDArray[np.uint8]:
        return self.truth.astype(np.uint8)

    def not_evaluated(self) -> Mask:
        """The first columns, if there are such voxels."""
        return Mask.of(np.broadcast_to(np.arange(SHAPE[2]) < 4 * self.unsure, SHAPE) & ~self.truth)


def nowhere(tmp_path: Path, said: str = "pass") -> NnUNet:
    """The adapter with a stand-in for its environment's Python."""
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{said}\n", encoding="utf-8")
    fake.chmod(0o755)
    return NnUNet({"python": str(fake), "configuration": "2d", "epochs": 7})


def test_its_environment_is_asked_for(tmp_path: Path) -> None:
    method = NnUNet({"python": str(tmp_path / "python")})
    assert "make it with: make nnunet" in str(method.missing_requirement())
    before = method.external_state()
    (tmp_path / "python").touch()
    assert method.missing_requirement() is None
    assert method.external_state() != before


@pytest.mark.parametrize("channels", [(), ("T1", "T2")])
def test_cases_are_written_as_it_wants_them(tmp_path: Path, channels: tuple[str, ...]) -> None:
    work = tmp_path / "work"
    (work / "results" / "old").mkdir(parents=True)
    cases: Any = [Made(1, channels), Made(2, channels)]
    nowhere(tmp_path, f'echo "$@" > {tmp_path}/told').plan(cases, ["ball", "cube"], work)
    raw = work / "raw" / "Dataset001_cases"
    content = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    assert content["labels"] == {"background": 0, "ball": 1, "cube": 2}
    assert list(content["channel_names"].values()) == list(channels or ("CT",))
    assert content["numTraining"] == 2
    images = sorted(path.name for path in (raw / "imagesTr").iterdir())
    assert images == [
        f"case_0000{n}_000{c}.nii.gz" for n in (0, 1) for c in range(len(channels) or 1)
    ]
    read = volume.read([raw / "imagesTr" / images[0]])
    assert np.array_equal(read.grey, cases[0].volume().grey)
    assert read.spacing == (2.0, 1.0, 1.0)
    labels = volume.read_labels(raw / "labelsTr" / "case_00001.nii.gz")
    assert np.array_equal(labels.array, cases[1].labels([]))
    assert not (work / "results" / "old").exists()
    _, what, folder, device, options = (tmp_path / "told").read_text().split(" ", 4)
    assert (what, folder, device) == ("plan", str(work.resolve()), "cpu")
    assert json.loads(options)["epochs"] == 7


def test_voxels_that_are_not_evaluated_have_the_highest_label(tmp_path: Path) -> None:
    """As nnU-Net's page on the ignore label asks for."""
    work = tmp_path / "work"
    cases: Any = [Made(1), Made(2, unsure=True)]
    nowhere(tmp_path, "exit 0").plan(cases, ["ball", "cube"], work)
    raw = work / "raw" / "Dataset001_cases"
    content = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    assert content["labels"] == {"background": 0, "ball": 1, "cube": 2, "ignore": 3}
    first, second = (
        volume.read_labels(raw / "labelsTr" / f"case_0000{n}.nii.gz").array for n in (0, 1)
    )
    assert np.array_equal(first, cases[0].truth)
    assert np.array_equal(second == 3, cases[1].not_evaluated().dense())
    assert np.array_equal(second == 1, cases[1].truth)


def test_cases_of_two_modalities_are_not_normalised_as_ct(tmp_path: Path) -> None:
    """CT is what nnU-Net knows by its name; the last case does not decide for the others."""
    cases: Any = [Made(1, modality="MR"), Made(2)]
    nowhere(tmp_path, "exit 0").plan(cases, ["ball"], tmp_path / "work")
    content = json.loads(next(tmp_path.rglob("dataset.json")).read_text(encoding="utf-8"))
    assert content["channel_names"] == {"0": "CT/MR"}


def test_cases_of_more_channels_than_others_are_refused(tmp_path: Path) -> None:
    cases: Any = [Made(1, ("T1", "T2")), Made(2, ("T1",))]
    with pytest.raises(UserError, match=r"got T1; T1, T2\."):
        nowhere(tmp_path, "exit 0").plan(cases, ["ball"], tmp_path / "work")


def test_datasets_that_do_not_annotate_the_same_are_refused(tmp_path: Path) -> None:
    """The liver of a dataset of spleens would be learnt as background."""
    both = ("spleen", "liver")
    cases: Any = [
        Made(1, structures=("liver",), dataset="D13"),
        Made(2, structures=both, dataset="D01"),
    ]
    with pytest.raises(UserError, match=r"liver \(as D13\); liver, spleen \(as D01\)\."):
        nowhere(tmp_path, "exit 0").plan(cases, both, tmp_path / "work")
    assert not (tmp_path / "work").exists()
    cases = [Made(1, structures=both), Made(2, structures=both[::-1], dataset="D02")]
    nowhere(tmp_path, "exit 0").plan(cases, both, tmp_path / "work")


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_checkpoint_is_passed_over(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint_latest.pth"
    assert not is_whole(path)
    torch.save({"network_weights": torch.arange(1000.0)}, path)
    assert is_whole(path)
    assert not capsys.readouterr().err
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    assert not is_whole(path)
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_kill_while_a_checkpoint_is_written_spares_the_last(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    class Trainer:
        epoch = 0

        def save_checkpoint(self, filename: str) -> None:
            with Path(filename).open("w", encoding="utf-8") as file:
                file.write(f"epoch {self.epoch}")
                if self.epoch == 2:
                    raise Killed

    trainer, path = Trainer(), tmp_path / "checkpoint_latest.pth"
    save_whole(trainer)
    trainer.epoch = 1
    trainer.save_checkpoint(str(path))
    trainer.epoch = 2
    with pytest.raises(Killed):
        trainer.save_checkpoint(str(path))
    assert path.read_text(encoding="utf-8") == "epoch 1"


@pytest.mark.parametrize(
    ("what", "device", "expected"),
    [("train", "cuda", "t"), ("train", "cpu", "f"), ("serve", "cuda", "f")],
)
def test_only_a_training_on_a_gpu_is_compiled(what: str, device: str, expected: str) -> None:
    options = {"small": False, "threads": 4}
    assert variables(what, device, options)["nnUNet_compile"] == expected


@pytest.mark.parametrize(("device", "expected"), [("cuda", (False, True)), ("cpu", (True, False))])
def test_a_training_on_a_gpu_picks_the_fastest_convolutions(
    device: str, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As nnunetv2.run.run_training does: cudnn.deterministic is off, cudnn.benchmark on."""
    cudnn, seen = torch.backends.cudnn, []
    monkeypatch.setattr(cudnn, "deterministic", True)
    monkeypatch.setattr(cudnn, "benchmark", False)

    class Trainer:
        save_every, output_folder = 50, str(tmp_path)

        def save_checkpoint(self, filename: str) -> None:
            raise AssertionError

        def run_training(self) -> None:
            seen.append((cudnn.deterministic, cudnn.benchmark))

    module = ModuleType("nnunetv2.run.run_training")
    monkeypatch.setattr(module, "get_trainer_from_args", lambda *_, **__: Trainer(), raising=False)
    for name in ("nnunetv2", "nnunetv2.run"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    options = NnUNet({"configuration": "2d"}).options.model_dump()
    train(device, options)
    assert seen == [expected]


def test_each_structure_is_given_the_voxels_of_its_value(tmp_path: Path) -> None:
    """Whatever its place among the prompts; what was not learnt has no mask."""
    labels = np.random.default_rng(3).integers(0, 3, SHAPE)

    class Predictor:
        def predict_single_npy_array(self, *given: Any) -> Any:
            assert given[:2] == ("array", "properties")
            return labels

    class Reader:
        def read_images(self, paths: list[str]) -> tuple[str, str]:
            assert paths == [str(tmp_path / "image_0000.nii.gz")]
            return "array", "properties"

    place = (0, 16, 0, 32, 0, 32)
    asked = [StructureName(name, place) for name in ("cube", "cone", "ball")]
    exchange.write(tmp_path, Made(1).volume(), asked, "cpu")
    answer(Predictor(), Reader(), {"background": 0, "ball": 1, "cube": 2}, tmp_path)
    written = {path.name: volume.read_labels(path) for path in (tmp_path / "masks").iterdir()}
    assert written.keys() == {"0.nii.gz", "2.nii.gz"}
    np.testing.assert_array_equal(written["0.nii.gz"].array, labels == 2)
    np.testing.assert_array_equal(written["2.nii.gz"].array, labels == 1)
    assert written["0.nii.gz"].spacing == (2.0, 1.0, 1.0)
    failures = json.loads((tmp_path / "failures.json").read_text(encoding="utf-8"))
    assert failures == {"1": "no training case had this structure"}


def test_what_fails_there_is_told_here(tmp_path: Path) -> None:
    method = nowhere(tmp_path, "echo 'CUDA out of memory' >&2; exit 3")
    with pytest.raises(RuntimeError, match="exit code 3: CUDA out of memory"):
        method.fit(tmp_path, "cuda", None)


def test_a_gpu_without_room_for_its_model_fails_no_scan(tmp_path: Path) -> None:
    """Neither at the start nor when the model is loaded anew after a failure."""
    full = "echo 'torch.OutOfMemoryError: CUDA out of memory.' >&2; exit 1"
    with pytest.raises(process.ProcessError, match=r"before it was ready: .* out of memory"):
        nowhere(tmp_path, full).load(tmp_path, "cuda")
    once = (
        f"if [ -e {tmp_path}/begun ]; then {full}; fi; touch {tmp_path}/begun; echo ready; read _"
    )
    method = nowhere(tmp_path, once)
    method.load(tmp_path, "cuda")
    scan, asked = Made(1).volume(), [StructureName("ball", (0, 16, 0, 32, 0, 32))]
    (failed,) = method.segment(scan, asked)
    assert "ended without an answer" in str(failed.failure)
    with pytest.raises(MachineError, match="does not fit into GPU memory"):
        list(method.segment(scan, asked))


@pytest.mark.parametrize(
    ("small", "cores", "expected"), [(False, 32, 4), (False, 2, 2), (True, 32, 1)]
)
def test_it_plans_on_the_threads_of_its_job(
    small: bool, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    told = tmp_path / "told"
    python = nowhere(tmp_path, f'printf %s "$5" > {told}').options.python
    cases: Any = [Made(1)]
    NnUNet({"python": python, "small": small}).plan(cases, ["ball"], tmp_path / "work")
    assert processes(json.loads(told.read_text(encoding="utf-8"))) == expected


@pytest.mark.parametrize(
    ("device", "cores", "expected"), [("cuda", 32, "8"), ("cuda", 3, "3"), ("cpu", 32, "0")]
)
def test_a_training_augments_on_the_threads_of_its_job(
    device: str, cores: int, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    told = tmp_path / "told"
    nowhere(tmp_path, f'printf %s "$5" > {told}').fit(tmp_path, device, None)
    options = json.loads(told.read_text(encoding="utf-8"))
    assert variables("train", device, options)["nnUNet_n_proc_DA"] == expected


def test_the_conformance_check_gives_it_cases_to_learn_from(tmp_path: Path) -> None:
    python = str(nowhere(tmp_path, "exit 0").options.python)
    begun = findings("nnunet", {"python": python})
    found = list(takewhile(lambda finding: finding.name != "load", begun))
    assert [finding.name for finding in found if not finding.ok] == []
    assert {"plan", "fit"} <= {finding.name for finding in found}


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


@HERE
def test_presets_are_planners_of_it() -> None:
    """Class and name of the plans, as nnU-Net itself has them."""
    told = (
        "import inspect, json\n"
        "from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner\n"
        "from nnunetv2.experiment_planning.experiment_planners.residual_unets import (\n"
        "    residual_encoder_unet_planners as residual)\n"
        "known = {**vars(residual), **vars(default_experiment_planner)}\n"
        "print(json.dumps({name: inspect.signature(known[name].__init__).parameters['plans_name']\n"
        f"    .default for name in {[name for name, _ in PLANNERS.values()]}}}))\n"
    )
    done = subprocess.run([PYTHON, "-c", told], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == dict(PLANNERS.values())


@HERE
@pytest.mark.parametrize(
    ("configuration", "preset", "network", "unsure"),
    [
        ("2d", "default", "PlainConvUNet", True),
        ("3d_fullres", "resenc-m", "ResidualEncoderUNet", False),
    ],
)
def test_other_configurations_and_presets_learn_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    configuration: str,
    preset: str,
    network: str,
    unsure: bool,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    told = {"small": True, "epochs": 2, "iterations": 8, "validations": 1, "mirroring": False}
    method = NnUNet({**told, "configuration": configuration, "preset": preset})
    cases: Any = [Made(seed, unsure=unsure) for seed in range(4)]
    method.plan(cases, ["ball"], tmp_path)
    plans = json.loads(next(tmp_path.rglob(f"{PLANNERS[preset][1]}.json")).read_text())
    planned = plans["configurations"][configuration]
    assert planned["architecture"]["network_class_name"].endswith(network)
    assert len(planned["patch_size"]) == int(configuration[0])
    method.fit(tmp_path, "cpu", None)
    method.load(tmp_path, "cpu")
    unseen = Made(9)
    z, y, x = SHAPE
    (ball,) = method.segment(unseen.volume(), [StructureName("ball", (0, z, 0, y, 0, x))])
    assert ball.mask is not None
    assert overlap(ball.mask, unseen.truth) > 0.2


@HERE
def test_a_short_training_learns_is_resumed_and_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    told = {"small": True, "iterations": 10, "validations": 1, "mirroring": False}
    work = tmp_path / "work"
    short, full = NnUNet({**told, "epochs": 2}), NnUNet({**told, "epochs": 4})
    cases: Any = [Made(seed) for seed in range(4)]
    full.plan(cases, ["ball"], work)
    fingerprint = json.loads(next(work.rglob("dataset_fingerprint.json")).read_text())
    assert len(fingerprint["spacings"]) == len(cases)
    short.fit(work, "cpu", None)
    final = next(work.rglob("checkpoint_final.pth"))
    whole = final.read_bytes()
    final.with_name("checkpoint_latest.pth").write_bytes(whole)  # as a killed training leaves it
    final.write_bytes(whole[: len(whole) // 2])  # as a full disk left it
    full.fit(work, "cpu", None)
    log = "".join(path.read_text() for path in work.rglob("training_log_*.txt"))
    assert [log.count(f"Epoch {number} ") for number in range(4)] == [1, 1, 1, 1]
    full.load(work, "cpu")
    unseen = Made(9)
    z, y, x = SHAPE
    prompts = [StructureName(name, (0, z, 0, y, 0, x)) for name in ("ball", "cube")]
    ball, cube = full.segment(unseen.volume(), prompts)
    assert ball.mask is not None
    assert overlap(ball.mask, unseen.truth) > 0.7
    assert cube.failure == "no training case had this structure"
