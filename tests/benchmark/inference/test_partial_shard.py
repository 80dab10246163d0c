"""A job of prediction that is cut off in the middle of its shard, and the one that resumes it."""

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmark import stages
from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.commands.stages import predict_shard
from benchmark.inference import MASK_SCHEMA, TIME_SCHEMA, partial_shard, predict
from benchmark.inference.partial_shard import PartialShard, ScanRows, key_of
from benchmark.machine.attempts import Attempts
from benchmark.prepare import IMAGE_SCHEMA
from benchmark.prompts import SCHEMA, Prompt
from benchmark.specs import Run
from benchmark.storage.files import write_json
from benchmark.storage.record import run_record
from benchmark.storage.tables import read_table, write_table
from benchmark.volume import Volume

ROOT = Path(__file__).parents[3]

KILLED = """
import os, signal, sys
from pathlib import Path
from benchmark.inference import partial_shard
from benchmark.commands.stages import predict_shard
from tests.benchmark.inference.test_partial_shard import Brightest, job

def killed(self, scan):
    if scan == "b":
        os.kill(os.getpid(), signal.SIGKILL)

partial_shard.EVERY_S = 0
Brightest.begin = killed
predict_shard(**job(Path(sys.argv[1]), "killed"))
"""


OWN = """
from benchmark.adapter import Adapter, MethodInfo, Prediction

class Own(Adapter):
    info = MethodInfo(summary="own", prompts=("box3d",))

    def load(self, weights, device):
        import helper_of_resuming

    def segment(self, volume, prompts):
        for _ in prompts:
            yield Prediction(volume.grey > 0)
"""


class Brightest(Adapter):
    """Marks what is bright, but fails for the organ; tells of which scan it is asked."""

    info = MethodInfo(summary="brightest", prompts=("box3d",))
    asked: ClassVar[list[str]] = []
    state: ClassVar[str] = "program 1"

    class Options(Adapter.Options):
        above: int = 0

    options: Options

    def begin(self, scan: str) -> None:
        """Called before each scan; tests end the job here."""

    def external_state(self) -> str:
        return self.state

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        self.begin(volume.scan)
        if len(prompts) > 1:  # else it is timed
            self.asked.append(volume.scan)
        for prompt in prompts:
            if prompt.box[0] >= 3 and prompt.box[4] == 9:
                raise RuntimeError("no organs")
            yield Prediction(volume.grey > self.options.above)


def job(folder: Path, name: str) -> dict[str, Any]:
    """Return the arguments of a job; its output is in a folder ``name``."""
    return {
        "settings": folder / "settings.json",
        "images": folder / "T1" / "images.parquet" / "0.parquet",
        "prompts": folder / "prompts.parquet",
        "masks": folder / name / "masks" / "0.parquet",
        "times": folder / name / "times" / "0.parquet",
    }


@dataclass(frozen=True)
class Place:
    """A folder with the inputs of a job over two scans, a and b."""

    folder: Path
    shard: Any

    def write(self, **options: Any) -> Run:
        run = Run(
            stage=stages.PREDICT,
            adapter=f"{__name__}:Brightest",
            version=1,
            prompt="box3d",
            prompts="x",
            weights=None,
            weights_sha256=None,
            options=options,
            variants={"dark": {"above": -50}},
            timed_objects=9,
            seed=0,
        )
        write_json(self.folder / "settings.json", run.model_dump())
        given = job(self.folder, "")
        write_table(self.shard.images, IMAGE_SCHEMA, given["images"])
        write_table(self.shard.prompts, SCHEMA, given["prompts"])
        return run

    def predict(self, name: str = "killed") -> list[str]:
        """Run the job; returns the scans that the method was asked about, each once."""
        Brightest.asked.clear()
        predict_shard(**job(self.folder, name))
        return list(dict.fromkeys(Brightest.asked))

    def cut_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the job until it works on the second scan."""

        def stop(method: Brightest, scan: str) -> None:
            if scan == "b":
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Brightest, "begin", stop)
            with pytest.raises(KeyboardInterrupt):
                self.predict()
        assert len(self.parts()) == 1

    def parts(self, name: str = "killed") -> list[Path]:
        return list((self.folder / name / "masks" / "0.parts").glob("*"))


@pytest.fixture
def place(shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(partial_shard, "EVERY_S", 0)
    (tmp_path / "job").mkdir()
    made = Place(tmp_path / "job", shard)
    made.write()
    return made


@pytest.fixture
def cut_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return the place of a job that ended while it worked on the second scan."""
    place.cut_off(monkeypatch)
    return place


def test_a_killed_job_goes_on_and_its_masks_are_those_of_an_undisturbed_one(place: Place) -> None:
    command = [sys.executable, "-c", KILLED, str(place.folder)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (part,) = place.parts()
    assert set(read_table(part)["scan"]) == {"a"}

    assert place.predict() == ["b"]
    assert place.predict("undisturbed") == ["a", "b"]
    resumed, whole = (job(place.folder, name) for name in ("killed", "undisturbed"))
    assert resumed["masks"].read_bytes() == whole["masks"].read_bytes()
    assert set(read_table(whole["masks"])["status"]) == {"ok", "failed"}
    assert not place.parts()
    times, others = read_table(resumed["times"]), read_table(whole["times"])
    measured = [name for name in TIME_SCHEMA.names if name.endswith(("_s", "_mb"))]
    assert times.drop(columns=measured).equals(others.drop(columns=measured))
    assert len(times) == 8  # two objects of each scan, plainly and in the variant
    loads = times.groupby("scan")["load_s"].unique()
    assert len(loads["a"]) == len(loads["b"]) == 1
    assert loads["a"][0] != loads["b"][0]  # each as it was measured


def test_a_job_that_ends_by_an_exception_goes_on_as_well(cut_off: Place) -> None:
    assert cut_off.predict() == ["b"]
    assert set(read_table(job(cut_off.folder, "killed")["masks"])["scan"]) == {"a", "b"}
    assert cut_off.predict() == ["a", "b"]  # of a complete shard, nothing is kept


def test_what_is_counted_once_is_counted_once_over_both_jobs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.machine.compute_cost.parameters", lambda method: 7)
    monkeypatch.setattr("benchmark.machine.compute_cost.flops", lambda work: 10**12)
    place.cut_off(monkeypatch)
    assert place.predict() == ["b"]
    times = read_table(job(place.folder, "killed")["times"])
    assert times.groupby("variant")["flops"].count().to_dict() == {"": 1, "dark": 1}


def write_again(path: Path) -> None:
    path.write_bytes(path.read_bytes())


CHANGES: dict[str, Callable[[Place, pytest.MonkeyPatch], object]] = {
    "options": lambda place, _: place.write(above=20),
    "images": lambda place, _: write_again(job(place.folder, "")["images"]),
    "prompts": lambda place, _: write_again(job(place.folder, "")["prompts"]),
    "external state": lambda _, patch: patch.setattr(Brightest, "state", "program 2"),
    "library": lambda _, patch: patch.setattr(
        partial_shard, "run_record", lambda: run_record() | {"libraries": {"numpy": "9"}}
    ),
    "code": lambda _, patch: patch.setattr(partial_shard, "code", lambda path: "edited"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_made_from_other_things_is_not_taken(
    change: str, cut_off: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    CHANGES[change](cut_off, monkeypatch)
    assert cut_off.predict() == ["a", "b"]
    assert not cut_off.parts()


def test_the_key_is_of_inputs_and_device_but_not_of_the_node(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, status = place.write(), tmp_path / "status.json"
    write_json(status, {"state": "ready"})

    def key(inputs: Sequence[Path | None] = (status, None), device: str = "cpu") -> str:
        return key_of(run, inputs, {"device": device})

    before = key()
    other = run_record() | {"processor": "another", "system": "another"}
    monkeypatch.setattr(partial_shard, "run_record", lambda: other)
    assert key() == before
    write_json(status, {"state": "ready", "sha256": {"net.pt": "abc"}})
    assert len({before, key(), key(device="cuda"), key([None])}) == 4


def test_what_a_user_made_before_an_edit_is_not_taken(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a module, too, that the method imports only when it is loaded."""
    helper = tmp_path / "helper_of_resuming.py"
    helper.write_text("")
    (tmp_path / "resuming.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    folder, run = tmp_path / "parts", place.write()
    run = run.model_copy(update={"adapter": "resuming:Own", "options": {}, "variants": {}})

    def finished() -> bool:
        partial = PartialShard(MASK_SCHEMA, folder, adapter=run.adapter)
        return partial.finished("a") is not None

    try:
        predict(
            run,
            place.shard.images,
            place.shard.prompts,
            partial=PartialShard(MASK_SCHEMA, folder, adapter=run.adapter),
        )
        assert finished()
        helper.write_text("# edited")
        assert not finished()
        helper.unlink()
        assert not finished()
        helper.write_text("")
        assert finished()
    finally:
        for name in ("resuming", helper.stem):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("how", ["emptied", "cut", "flipped"])
def test_a_damaged_part_is_made_again(
    how: str, cut_off: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (part,) = cut_off.parts()
    content = bytearray(part.read_bytes())
    if how == "flipped":
        content[100] ^= 1
    part.write_bytes(content[: {"emptied": 0, "cut": 500, "flipped": None}[how]])
    assert cut_off.predict() == ["a", "b"]
    assert f"{part} is damaged; its scans are predicted again" in capsys.readouterr().err
    cut_off.predict("undisturbed")
    resumed, whole = (job(cut_off.folder, name)["masks"] for name in ("killed", "undisturbed"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_scan_that_was_finished_is_kept_whatever_its_attempts(
    place: Place, tmp_path: Path
) -> None:
    """A process may die between the end of a scan and that of its mark."""
    folder, run, note = tmp_path / "parts", place.write(), tmp_path / "0.attempts"
    whole = predict(
        run, place.shard.images, place.shard.prompts, partial=PartialShard(MASK_SCHEMA, folder)
    )
    write_json(note, {"at": None, "deaths": {"scan a": 3}})
    resumed = predict(
        run,
        place.shard.images,
        place.shard.prompts,
        attempts=Attempts(note),
        partial=PartialShard(MASK_SCHEMA, folder),
    )
    assert resumed.times == whole.times
    assert [row["status"] for row in resumed.masks] == [row["status"] for row in whole.masks]


def rows_of(scan: str) -> ScanRows:
    cell = {"dataset": "T1", "scan": scan, "object": f"{scan}/lesion/1", "variant": ""}
    return ScanRows([{**cell, "status": "failed", "reason": "x"}], [{**cell, "load_s": 1 / 3}])


def test_scans_are_written_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(partial_shard, "monotonic", lambda: now[0])
    partial = PartialShard(MASK_SCHEMA, tmp_path / "parts", "key")
    counts = []
    for second in range(0, 300, 20):
        now[0] = float(second)
        partial.add(rows_of(f"case{second}"))
        counts.append(len(list(tmp_path.glob("parts/*"))))
    assert counts == [second // 60 for second in range(0, 300, 20)]
    again = PartialShard(MASK_SCHEMA, tmp_path / "parts", "key")
    found = {s: again.finished(f"case{s}") for s in range(0, 300, 20)}
    assert {s for s, rows in found.items() if rows} == set(range(0, 241, 20))
    for second, rows in found.items():
        if rows is not None:
            plain = {k: v for k, v in rows.masks[0].items() if v is not None}
            assert ScanRows([plain], rows.times) == rows_of(f"case{second}")
    assert PartialShard(MASK_SCHEMA, tmp_path / "parts", "other").finished("case0") is None


def test_a_short_job_writes_no_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_shard, "EVERY_S", math.inf)
    monkeypatch.setattr(
        partial_shard, "write_table", lambda *_, **__: pytest.fail("a part was written")
    )
    assert place.predict() == ["a", "b"]
