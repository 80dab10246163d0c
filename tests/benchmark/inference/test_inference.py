"""Every prompt ends in a row with its status, whatever the method does."""

import asyncio
import io
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from benchmark import stages, volume
from benchmark.adapter import Adapter, MethodInfo, Prediction, ReferenceAdapter
from benchmark.commands.stages import predict_shard
from benchmark.errors import MachineError
from benchmark.inference import MASK_SCHEMA, TIME_SCHEMA, Model, ShardPredictions, predict
from benchmark.inference.partial_shard import PartialShard
from benchmark.inference.segmenting import segment_prompts
from benchmark.machine.attempts import Attempts
from benchmark.masks import Mask, box_of
from benchmark.prepare import IMAGE_SCHEMA
from benchmark.prompts import SCHEMA, Box3D, Mask2D, Prompt
from benchmark.sources import Status
from benchmark.specs import Run
from benchmark.storage.files import read_json, write_json
from benchmark.storage.tables import read_record, read_table, records, write_table
from benchmark.volume import Volume

SHAPE = (10, 16, 18)
INFO = MethodInfo(summary="fake", prompts=("box2d", "mask2d", "box3d"))


class Good(Adapter):
    """The guiding mask, or the box filled; `level` thins it out."""

    info = INFO
    loads: ClassVar[list[tuple[Path | None, str]]] = []
    calls: ClassVar[list[int]] = []

    class Options(Adapter.Options):
        level: int = 0

    options: Options

    def load(self, weights: Path | None, device: str) -> None:
        self.loads.append((weights, device))

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        self.calls.append(len(prompts))
        for number, prompt in enumerate(prompts):
            yield self.one(volume, prompt, number)

    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        mask = filled(prompt)
        mask[:, : self.options.level] = False
        return Prediction(mask)


def filled(prompt: Prompt) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    z0, z1, y0, y1, x0, x1 = prompt.box
    mask[z0:z1, y0:y1, x0:x1] = True
    return mask


class Elsewhere(Good):
    info = replace(INFO, out_of_process=True)


class Wanders(Good):
    def load(self, weights: Path | None, device: str) -> None:
        os.chdir("/")

    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        os.chdir("/")
        return super().one(volume, prompt, number)


class RaisesForOrgan(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        if prompt.box[0] >= 3 and prompt.box[4] == 9:  # the organ's
            raise RuntimeError("out of luck")
        return super().one(volume, prompt, number)


class RaisesAlways(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        raise RuntimeError("told in no other test")


class RaisesAtStart(Good):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        raise KeyError("no engine")


class RaisesAtEnd(Good):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from super().segment(volume, prompts)
        raise PermissionError("cannot clean up")


class GpuFullAtLoad(Good):
    def load(self, weights: Path | None, device: str) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


class GpuFullForOrgan(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        if prompt.box[0] >= 3 and prompt.box[4] == 9:  # the organ's
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().one(volume, prompt, number)


class GpuBreaks(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


class GpuBreaksWhenTimed(Good):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        if len(prompts) == 1:
            raise RuntimeError("CUDA error: unspecified launch failure")
        yield from super().segment(volume, prompts)


class Departs(Good):
    """Its weights bring a setting of their own."""

    def load(self, weights: Path | None, device: str) -> None:
        self.size = 96

    @property
    def protocol_overrides(self) -> dict[str, Any]:
        return {"network": {"size": self.size}}


class DepartsBadly(Good):
    protocol_overrides = {"size": np.float32(96)}


class Exits(Good):
    """Research code that ends the whole process when it does not like its input."""

    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        if prompt.box[0] >= 3 and prompt.box[4] == 9:  # the organ's
            sys.exit("no organs")
        return super().one(volume, prompt, number)


class Panics(Good):
    """Raises what is no `Exception`, as a panic in Rust and a cancelled task are none."""

    kind: ClassVar[type[BaseException]]

    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        if prompt.box[0] >= 3 and prompt.box[4] == 9:  # the organ's
            raise self.kind("index out of bounds")
        return super().one(volume, prompt, number)


class PanicsAtLoad(Good):
    def load(self, weights: Path | None, device: str) -> None:
        raise asyncio.CancelledError("too late")


class Interrupted(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        raise KeyboardInterrupt


class Empties(RaisesForOrgan):
    """Takes the prompts off their list, and fails for the organ."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        assert isinstance(prompts, list)
        while prompts:
            yield self.one(volume, prompts.pop(0), 0)


class Silences(Good):
    """Hides what its libraries print, for good."""

    def load(self, weights: Path | None, device: str) -> None:
        sys.stdout = None
        os.umask(0o777)

    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        sys.stderr = io.StringIO()
        return super().one(volume, prompt, number)


class DoesNotLoad(Good):
    def load(self, weights: Path | None, device: str) -> None:
        raise OSError("wrong format")


class Lacking(Good):
    def missing_requirement(self) -> str | None:
        return "no environment"


class LoadsNoTensor(Good):
    def load(self, weights: Path | None, device: str) -> None:
        raise OSError("l\udce4sion" + " missing.key" * 1000)


class WrongShape(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(filled(prompt)[1:])


class Flat(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(filled(prompt)[0, :9, :9], offset=(0, 0, 0))


class Scores(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(filled(prompt) * 0.7)


class Labels(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(filled(prompt).astype(np.uint8) * 255)


class NotANumber(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(np.full(SHAPE, np.nan))


class Bare(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return filled(prompt)  # type: ignore[return-value]


class Nothing(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction()


class Declines(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(failure="too small for me")


class OutsideTheGrid(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(np.ones((2, 2, 2)), offset=(9, 0, 0))


class BetweenVoxels(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        return Prediction(np.ones((2, 2, 2)), offset=(1.5, 0.0, 0.0))  # type: ignore[arg-type]


class Writes(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        volume.array[0] = 0
        return Prediction(filled(prompt))


class WritesPrompt(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        assert isinstance(prompt, Mask2D)
        prompt.mask.crop[:] = True
        return Prediction(filled(prompt))


class Silent(Good):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from ()


class Endless(Good):
    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        while True:
            yield Prediction(filled(prompts[0]))


class SkipsOrgan(Good):
    """Passes over what it cannot do, so that later answers stand in the places of earlier ones."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        for prompt in prompts:
            if not (prompt.box[0] >= 3 and prompt.box[4] == 9):
                yield Prediction(filled(prompt))


class Crops(Good):
    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        z0, z1, y0, y1, x0, x1 = prompt.box
        part = np.ones((z1 - z0, y1 - y0, x1 - x0), dtype=np.uint8)
        return Prediction(part, offset=(z0, y0, x0))


class OneBuffer(Good):
    """Uses one array for all its answers."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        buffer = np.zeros(SHAPE, dtype=bool)
        for prompt in prompts:
            buffer[:] = filled(prompt)
            yield Prediction(buffer)


class Thresholds(Good):
    """Everything above zero: shows which image was read."""

    def one(self, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        assert volume.modality == "CT"
        return Prediction(volume.array > 0)


class Truth(ReferenceAdapter):
    info = MethodInfo(summary="truth", prompts=("box3d",), sees_reference=True)

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        for prompt in prompts:
            yield Prediction(self.reference(prompt).dense())


def run_of(adapter: type[Adapter], **changed: Any) -> Run:
    content: dict[str, Any] = {
        "stage": stages.PREDICT,
        "adapter": f"{__name__}:{adapter.__name__}",
        "version": 1,
        "prompt": "box3d",
        "prompts": "x",
        "weights": None,
        "weights_sha256": None,
        "options": {},
        "variants": {},
        "timed_objects": 0,
        "seed": 0,
    }
    return Run.read({**content, **changed}, "the test's run")


@pytest.fixture
def cells(shard: Any) -> Callable[..., list[dict[str, Any]]]:
    """Run a fake method over the two scans; rows of its masks."""

    def predicted(adapter: type[Adapter], **changed: Any) -> list[dict[str, Any]]:
        return predict(run_of(adapter, **changed), shard.images, shard.prompts).masks

    return predicted


def status(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    """By the object's name within its scan, in which ways its prompts ended."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["object"][2:], set()).add(row["status"])
    return found


def same_masks(rows: list[dict[str, Any]], prompts: pd.DataFrame) -> bool:
    """Whether each mask is the box of the prompt that its row names."""
    boxes = {
        (row["object"], row["deviation"], row["hash"]): [row[n] for n in ("z0", "y1", "x0", "x1")]
        for row in records(prompts)
    }
    return all(
        [row[n] for n in ("z0", "y1", "x0", "x1")]
        == boxes[row["object"], row["deviation"], row["prompt_hash"]]
        for row in rows
    )


Cells = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize("kind", ["box2d", "mask2d", "box3d"])
def test_every_prompt_of_the_kind_has_a_row(cells: Cells, shard: Any, kind: str) -> None:
    rows = cells(Good, prompt=kind)
    expected = shard.prompts[shard.prompts["kind"] == kind]
    assert [(r["object"], r["deviation"], r["prompt_hash"]) for r in rows] == list(
        expected[["object", "deviation", "hash"]].itertuples(index=False, name=None)
    )
    assert status(rows) == {name: {"ok"} for name in ("lesion/1", "lesion/2", "organ/1")}
    assert same_masks(rows, expected)


def test_all_prompts_of_a_scan_come_at_once(cells: Cells) -> None:
    Good.calls.clear()
    cells(Good, prompt="box2d")
    assert Good.calls == [9, 9]  # three objects, three deviations


def test_only_the_prompt_that_raised_has_failed(cells: Cells, shard: Any) -> None:
    rows = cells(RaisesForOrgan)
    assert status(rows) == {"lesion/1": {"ok"}, "lesion/2": {"ok"}, "organ/1": {"failed"}}
    assert {row.get("reason") for row in rows} == {None, "RuntimeError: out of luck"}
    assert same_masks([row for row in rows if row["status"] == "ok"], shard.prompts)


def test_the_log_tells_once_where_a_method_failed(
    cells: Cells, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = cells(RaisesAlways)
    assert len(rows) > 1
    log = capsys.readouterr().err
    assert log.count("Traceback") == 1
    assert re.search(r'test_inference\.py", line \d+, in one\n.*\n.*told in no other test', log)


BAD = [
    (RaisesAtStart, "KeyError: 'no engine'"),
    (WrongShape, "must have the shape (10, 16, 18) of the volume, got (9, 16, 18)"),
    (Flat, "a part of shape (9, 9) at (0, 0, 0) leaves the grid (10, 16, 18)"),
    (Scores, "must be bool or 0 and 1, got float64 from 0.0 to 0.7"),
    (Labels, "must be bool or 0 and 1, got uint8 from 0 to 255"),
    (NotANumber, "must be bool or 0 and 1, got float64 from nan to nan"),
    (Bare, "AttributeError: "),
    (Nothing, "neither a mask nor a reason was given"),
    (Declines, "too small for me"),
    (OutsideTheGrid, "a part of shape (2, 2, 2) at (9, 0, 0) leaves the grid (10, 16, 18)"),
    (BetweenVoxels, "the offset must be three whole numbers (z, y, x), got (1.5, 0.0, 0.0)"),
    (DepartsBadly, "did not load: TypeError: protocol_overrides: "),
    (Writes, "read-only"),
    (Silent, "expected 1 predictions, one per prompt; got 0"),
    (Endless, "expected 1 predictions, one per prompt; got more than 1"),
]


@pytest.mark.parametrize(("adapter", "reason"), BAD, ids=lambda item: getattr(item, "__name__", ""))
def test_what_is_no_answer_is_a_failure_with_its_reason(
    cells: Cells, adapter: type[Adapter], reason: str
) -> None:
    rows = cells(adapter, timed_objects=1)
    assert len(rows) == 6
    for row in rows:
        assert row["status"] == "failed"
        assert reason in row["reason"]
        assert "bits" not in row


class Memory:
    """What a method allocates on a GPU of two places, one a prompt."""

    places = 2
    held: ClassVar[weakref.WeakSet["Memory"]] = weakref.WeakSet()

    def __init__(self, prompts: int) -> None:
        self.prompts = prompts
        self.held.add(self)
        if sum(each.prompts for each in self.held) > self.places:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Hungry(Good):
    """Holds memory for all prompts of a call while it answers them."""

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        memory = Memory(len(prompts))
        yield from super().segment(volume, prompts)
        del memory


def test_out_of_gpu_memory_smaller_batches_succeed(
    cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    Good.calls.clear()
    assert {row["status"] for row in cells(Hungry)} == {"ok"}
    assert max(Good.calls) == Memory.places
    monkeypatch.setattr(Memory, "places", 0)
    told = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    rows = cells(Hungry)
    assert {row["status"] for row in rows} == {"failed"}
    assert all(row["reason"].startswith(f"{told} This prompt was alone") for row in rows)
    assert all("precision: bfloat16" in row["reason"] for row in rows)


def test_the_guiding_mask_cannot_be_written(cells: Cells) -> None:
    rows = cells(WritesPrompt, prompt="mask2d")
    assert {row["status"] for row in rows} == {"failed"}
    assert all("read-only" in row["reason"] for row in rows)


def test_answers_that_cannot_be_paired_are_asked_for_again(cells: Cells, shard: Any) -> None:
    rows = cells(SkipsOrgan)
    assert status(rows) == {"lesion/1": {"ok"}, "lesion/2": {"ok"}, "organ/1": {"failed"}}
    assert same_masks([row for row in rows if row["status"] == "ok"], shard.prompts)


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_raised_after_the_last_answer_costs_none(count: int) -> None:
    scan = Volume(np.zeros(SHAPE, np.int16), (3.0, 1.0, 1.5))
    prompts = [Box3D((1, 5, 2, 6, 3, 9)), Box3D((0, 2, 0, 2, 0, 2))][:count]
    found = segment_prompts(RaisesAtEnd({}), scan, prompts)
    assert [box_of(row) for row in found if isinstance(row, dict)] == [p.box for p in prompts]


@pytest.mark.parametrize("adapter", [Crops, OneBuffer])
def test_parts_of_the_grid_and_reused_arrays(
    cells: Cells, shard: Any, adapter: type[Adapter]
) -> None:
    rows = cells(adapter)
    assert {row["status"] for row in rows} == {"ok"}
    assert same_masks(rows, shard.prompts)
    for row, plain in zip(rows, cells(Good), strict=True):
        mask, expected = Mask.from_row(row, SHAPE), Mask.from_row(plain, SHAPE)
        np.testing.assert_array_equal(mask.dense(), expected.dense())


def test_variants_share_what_was_loaded(shard: Any) -> None:
    Good.loads.clear()
    variants: dict[str, Any] = {"thin": {"level": 3}, "thinner": {"level": 5}}
    run = run_of(Good, variants=variants, options={"level": 1}, timed_objects=1)
    ready = Status(state="ready", root="somewhere", fingerprint="x")
    path = Path("somewhere/net.pt")
    got = predict(run, shard.images, shard.prompts, model=Model(ready, path), device="cuda")
    assert Good.loads == [(Path("somewhere/net.pt"), "cuda")]
    assert {row["variant"] for row in got.masks} == {"", "thin", "thinner"}
    of_lesion = [r for r in got.masks if r["object"] == "a/lesion/1"]
    assert {row["variant"]: row["y0"] for row in of_lesion} == {"": 1, "thin": 3, "thinner": 5}


def test_settings_that_are_not_the_protocols_stand_in_the_record_of_the_masks(
    shard: Any, tmp_path: Path
) -> None:
    write_table(shard.images, IMAGE_SCHEMA, tmp_path / "T1" / "0" / "images.parquet")
    write_table(shard.prompts, SCHEMA, tmp_path / "prompts.parquet")
    for adapter, told in ((Departs, {"network": {"size": 96}}), (Good, {})):
        folder = tmp_path / adapter.__name__
        write_json(folder / "settings.json", run_of(adapter).model_dump())
        predict_shard(
            settings=folder / "settings.json",
            images=tmp_path / "T1" / "0" / "images.parquet",
            prompts=tmp_path / "prompts.parquet",
            masks=folder / "masks.parquet",
            times=folder / "times.parquet",
        )
        assert read_record(folder / "masks.parquet")["departures"] == told


@pytest.mark.parametrize("lacks", ["model", "requirement", "prompts"])
def test_a_shard_with_nothing_to_compute_waits_for_no_gpu(
    lacks: str, shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = "it waits for a GPU"
    monkeypatch.setattr("benchmark.machine.device.device", lambda *_: pytest.fail(waits))
    rows = shard.prompts.iloc[:0] if lacks == "prompts" else shard.prompts
    write_table(shard.images, IMAGE_SCHEMA, tmp_path / "T1" / "0" / "images.parquet")
    write_table(rows, SCHEMA, tmp_path / "prompts.parquet")
    run = run_of(Lacking if lacks == "requirement" else Good)
    write_json(tmp_path / "settings.json", run.model_dump())
    absent = Status(state="manual", root="x", fingerprint="absent", reason="no environment")
    write_json(tmp_path / "model.json", absent.model_dump())
    predict_shard(
        settings=tmp_path / "settings.json",
        images=tmp_path / "T1" / "0" / "images.parquet",
        prompts=tmp_path / "prompts.parquet",
        masks=tmp_path / "masks.parquet",
        times=tmp_path / "times.parquet",
        model_status=tmp_path / "model.json" if lacks == "model" else None,
    )
    asked = 0 if lacks == "prompts" else int((shard.prompts["kind"] == run.prompt).sum())
    assert list(read_table(tmp_path / "masks.parquet")["status"]) == ["skipped"] * asked
    assert "device" not in read_record(tmp_path / "masks.parquet")


def test_variants_get_no_moved_guiding_slice(shard: Any) -> None:
    run = run_of(Good, prompt="mask2d", variants={"thin": {"level": 3}})
    got = pd.DataFrame(predict(run, shard.images, shard.prompts).masks)
    deviations = got.groupby("variant")["deviation"].unique().map(sorted).to_dict()
    assert deviations == {"": [-0.2, 0.0, 0.4], "thin": [0.0]}
    assert (got["status"] == "ok").all()


def test_without_weights_every_cell_is_skipped(shard: Any) -> None:
    Good.loads.clear()
    absent = Status(state="manual", root="x", fingerprint="absent", reason="Sign the form.")
    run = run_of(Good, variants={"thin": {"level": 3}}, prompt="mask2d", timed_objects=2)
    got = predict(run, shard.images, shard.prompts, model=Model(absent))
    assert not Good.loads
    assert not got.times
    assert len(got.masks) == 18 + 6  # the variant at the deviation 0 alone
    assert {(r["status"], r["reason"]) for r in got.masks} == {
        ("skipped", "no weights: Sign the form.")
    }
    assert {r["prompt_hash"] for r in got.masks} == set(
        shard.prompts.loc[shard.prompts["kind"] == "mask2d", "hash"]
    )


def test_a_model_that_does_not_load_fails_every_cell(shard: Any) -> None:
    got = predict(run_of(DoesNotLoad, variants={"thin": {}}), shard.images, shard.prompts)
    assert len(got.masks) == 2 * (shard.prompts["kind"] == "box3d").sum()
    assert {(r["status"], r["reason"]) for r in got.masks} == {
        ("failed", "the model did not load: OSError: wrong format")
    }


def test_the_reason_of_a_model_that_does_not_load_can_be_stored(shard: Any) -> None:
    """Of a network, it may list thousands of tensors; and files may have old names."""
    got = predict(run_of(LoadsNoTensor), shard.images, shard.prompts)
    (reason,) = {r["reason"] for r in got.masks}
    assert reason.startswith("the model did not load: OSError: l\\udce4sion")
    assert len(reason) < 2100


@pytest.mark.parametrize("adapter", [GpuFullAtLoad, GpuBreaks, GpuBreaksWhenTimed])
def test_trouble_of_the_gpu_ends_the_job_and_fails_no_cell(
    adapter: type[Adapter], shard: Any
) -> None:
    with pytest.raises(MachineError, match="run the same command again"):
        predict(run_of(adapter, timed_objects=1), shard.images, shard.prompts)


def test_an_object_that_the_gpu_has_no_room_for_fails_alone(
    cells: Callable[..., list[dict[str, Any]]],
) -> None:
    rows = cells(GpuFullForOrgan)
    assert status(rows) == {"lesion/1": {"ok"}, "lesion/2": {"ok"}, "organ/1": {"failed"}}


def test_a_method_that_changes_the_working_folder_costs_nothing(
    shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paths of a job are relative."""
    monkeypatch.chdir(tmp_path)
    relative = [[os.path.relpath(path) for path in row] for row in shard.images["images"]]
    images = shard.images.assign(images=relative)
    got = predict(run_of(Wanders, timed_objects=2), images, shard.prompts)
    assert {row["status"] for row in got.masks} == {"ok"}
    assert len(got.times) == 2
    assert Path.cwd() == tmp_path


def test_a_method_that_exits_fails_where_it_does(cells: Cells) -> None:
    rows = cells(Exits, timed_objects=9)
    assert status(rows) == {"lesion/1": {"ok"}, "lesion/2": {"ok"}, "organ/1": {"failed"}}
    assert {row.get("reason") for row in rows} == {None, "SystemExit: no organs"}


class PanicException(BaseException):
    """What a library written in Rust raises where its code panics."""


@pytest.mark.parametrize("kind", [PanicException, asyncio.CancelledError, GeneratorExit])
def test_what_is_no_exception_fails_where_it_is_raised_too(
    cells: Cells, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Panics, "kind", kind, raising=False)
    rows = cells(Panics, timed_objects=9)
    assert status(rows) == {"lesion/1": {"ok"}, "lesion/2": {"ok"}, "organ/1": {"failed"}}
    assert {row.get("reason") for row in rows} == {None, f"{kind.__name__}: index out of bounds"}


def test_what_is_no_exception_fails_a_model_that_does_not_load(cells: Cells) -> None:
    reason = "the model did not load: CancelledError: too late"
    assert {row["reason"] for row in cells(PanicsAtLoad)} == {reason}


def test_an_interruption_by_the_user_fails_no_cell(cells: Cells) -> None:
    with pytest.raises(KeyboardInterrupt):
        cells(Interrupted)


def test_a_method_may_empty_its_list_of_prompts(cells: Cells, shard: Any) -> None:
    rows = cells(Empties)
    assert status(rows) == {"lesion/1": {"ok"}, "lesion/2": {"ok"}, "organ/1": {"failed"}}
    assert same_masks([row for row in rows if row["status"] == "ok"], shard.prompts)


def test_streams_and_umask_of_the_job_are_restored(cells: Cells, shard: Any) -> None:
    before, streams = os.umask(0o022), (sys.stdout, sys.stderr)
    try:
        got = predict(run_of(Silences, timed_objects=2), shard.images, shard.prompts)
        assert os.umask(before) == 0o022
        assert (sys.stdout, sys.stderr) == streams
    finally:
        os.umask(before)
        sys.stdout, sys.stderr = streams
    assert {row["status"] for row in got.masks} == {"ok"}


def test_a_method_whose_memory_grows_resumes_where_it_died(
    shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short jobs keep nothing; one that died keeps each scan, so the next begins at the next."""
    note, folder = tmp_path / "0.attempts", tmp_path / "parts"
    write_json(note, {"at": "scan b", "deaths": {}})
    run = run_of(Good)

    def one_scan(method: Good, volume: Volume, prompt: Prompt, number: int) -> Prediction:
        if volume.scan == "b":
            raise KeyboardInterrupt  # in place of the kill
        return Prediction(filled(prompt))

    with monkeypatch.context() as patched:
        patched.setattr(Good, "one", one_scan)
        with pytest.raises(KeyboardInterrupt):
            predict(
                run,
                shard.images,
                shard.prompts,
                attempts=Attempts(note),
                partial=PartialShard(MASK_SCHEMA, folder),
            )
    resumed = PartialShard(MASK_SCHEMA, folder)
    assert resumed.finished("a") is not None
    assert resumed.finished("b") is None


def test_a_scan_on_which_three_processes_died_is_failed_and_the_others_are_not(
    shard: Any, tmp_path: Path
) -> None:
    note = tmp_path / "0.attempts"
    write_json(note, {"at": "scan b", "deaths": {"scan a": 2, "scan b": 2}})
    run = run_of(Good, variants={"thin": {"level": 3}})
    got = predict(run, shard.images, shard.prompts, attempts=Attempts(note))
    ended = {(row["scan"], row["status"], row.get("reason")) for row in got.masks}
    assert ended == {
        ("a", "ok", None),
        ("b", "failed", "the process ended 3 times on this scan"),
    }
    assert len(got.masks) == 2 * (shard.prompts["kind"] == "box3d").sum()


def test_an_assertion_on_the_gpu_is_put_down_to_its_scan(shard: Any, tmp_path: Path) -> None:
    note, run = tmp_path / "0.attempts", run_of(GpuBreaks)
    for scan in "aaabbb":
        with pytest.raises(MachineError):
            predict(run, shard.images, shard.prompts, attempts=Attempts(note))
        assert read_json(note)["at"] == f"scan {scan}"
    got = predict(run, shard.images, shard.prompts, attempts=Attempts(note))
    assert {row["status"] for row in got.masks} == {"failed"}


def test_a_model_on_which_three_processes_died_is_not_loaded_again(
    shard: Any, tmp_path: Path
) -> None:
    write_json(tmp_path / "0.attempts", {"at": None, "deaths": {"loading": 3}})
    Good.loads.clear()
    tried = Attempts(tmp_path / "0.attempts")
    got = predict(run_of(Good), shard.images, shard.prompts, attempts=tried)
    assert not Good.loads
    assert {row["reason"] for row in got.masks} == {
        "the model did not load: the process ended 3 times while it was loaded"
    }


def test_an_image_that_is_gone_fails_no_cell(shard: Any) -> None:
    Path(shard.images["images"][0][0]).unlink()
    with pytest.raises(MachineError, match=r"T1, scan a: .*a\.nii\.gz was there when"):
        predict(run_of(Thresholds, timed_objects=9), shard.images, shard.prompts)


def test_an_image_that_cannot_be_read_fails_its_own_cells(shard: Any) -> None:
    path = Path(shard.images["images"][0][0])
    path.write_bytes(path.read_bytes()[:100])
    run = run_of(Thresholds, variants={"thin": {}}, timed_objects=9)
    got = predict(run, shard.images, shard.prompts)
    for row in got.masks:
        assert row["status"] == ("failed" if row["scan"] == "a" else "ok")
        assert row["scan"] == "b" or "a.nii.gz" in row["reason"]
    assert len(got.masks) == 12
    assert {row["scan"] for row in got.times} == {"b"}


def test_no_label_is_opened(shard: Any, tmp_path: Path) -> None:
    for path in (tmp_path / "raw" / "labels").iterdir():
        path.unlink()
    for name in ("objects", "reference"):
        (tmp_path / "tables" / f"{name}.parquet").unlink()
    got = predict(run_of(Thresholds), shard.images, shard.prompts)
    assert {row["status"] for row in got.masks} == {"ok"}


def test_a_control_sees_the_reference_of_each_prompt(shard: Any) -> None:
    got = predict(run_of(Truth), shard.images, shard.prompts, reference=shard.reference)
    expected = {row["object"]: row["bits"] for row in records(shard.reference)}
    assert [row["bits"] for row in got.masks] == [expected[r["object"]] for r in got.masks]
    blind = predict(run_of(Truth), shard.images, shard.prompts)
    assert {row["status"] for row in blind.masks} == {"failed"}


def timed(shard: Any, **changed: Any) -> ShardPredictions:
    return predict(run_of(Good, prompt="box2d", **changed), shard.images, shard.prompts)


def sample(results: ShardPredictions) -> set[str]:
    return {row["object"] for row in results.times}


def test_the_timed_sample_is_seeded_and_does_not_depend_on_the_order(shard: Any) -> None:
    two = sample(timed(shard, timed_objects=2))
    assert len(two) == 2
    run = run_of(Good, prompt="box2d", timed_objects=2)
    assert sample(predict(run, shard.images[::-1], shard.prompts[::-1])) == two
    assert two < sample(timed(shard, timed_objects=3))  # a larger sample holds the smaller
    samples = {frozenset(sample(timed(shard, timed_objects=2, seed=seed))) for seed in range(8)}
    assert len(samples) > 1
    assert not timed(shard, timed_objects=0).times


@pytest.mark.parametrize(("adapter", "seen"), [(Good, True), (Elsewhere, False)])
def test_the_memory_of_another_process_is_not_told(
    adapter: type[Adapter], seen: bool, shard: Any
) -> None:
    got = predict(run_of(adapter, timed_objects=1), shard.images, shard.prompts)
    assert [row["peak_memory_mb"] is not None for row in got.times] == [seen]


def test_times_are_taken_object_by_object(shard: Any) -> None:
    Good.calls.clear()
    run = run_of(Good, prompt="box2d", timed_objects=99, variants={"thin": {"level": 3}})
    got = predict(run, shard.images, shard.prompts)
    assert Good.calls == ([9, 3] + [1] * 6) * 2  # nine prompts; three objects at the deviation 0
    cells = [(row["object"], row["variant"]) for row in got.times]
    assert len(cells) == len(set(cells)) == 12
    assert {row["device"] for row in got.times} == {"cpu"}


def test_each_phase_of_an_object_has_its_own_time(
    shard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that stands still but while something is read, loaded or segmented."""
    now = [100.0]
    monkeypatch.setattr("benchmark.inference.perf_counter", lambda: now[0])

    def takes(seconds: float, work: Callable[..., Any]) -> Callable[..., Any]:
        def taken(*given: Any, **named: Any) -> Any:
            now[0] += seconds
            return work(*given, **named)

        return taken

    monkeypatch.setattr("benchmark.volume.read", takes(2, volume.read))
    monkeypatch.setattr(Good, "load", takes(7, Good.load))
    monkeypatch.setattr(Good, "one", takes(5, Good.one))
    monkeypatch.setattr(Mask, "to_row", takes(3, Mask.to_row))
    got = predict(run_of(Good, timed_objects=99), shard.images, shard.prompts)
    phases = ("load_s", "read_s", "segment_s", "write_s")
    assert [tuple(row[phase] for phase in phases) for row in got.times] == [(7, 2, 5, 3)] * 6


def test_objects_that_fail_have_no_times(shard: Any) -> None:
    got = predict(run_of(RaisesForOrgan, timed_objects=99), shard.images, shard.prompts)
    assert sample(got) == {"a/lesion/1", "a/lesion/2", "b/lesion/1", "b/lesion/2"}
    got = predict(run_of(Declines, timed_objects=99), shard.images, shard.prompts)
    assert not got.times


def test_the_rows_fit_their_tables(shard: Any, tmp_path: Path) -> None:
    got = predict(run_of(RaisesForOrgan, timed_objects=9), shard.images, shard.prompts)
    write_table(got.masks, MASK_SCHEMA, tmp_path / "masks.parquet")
    write_table(got.times, TIME_SCHEMA, tmp_path / "times.parquet")


def test_a_shard_without_scans(shard: Any) -> None:
    got = predict(run_of(Good, timed_objects=2), shard.images[:0], shard.prompts[:0])
    assert not got.masks
    assert not got.times
