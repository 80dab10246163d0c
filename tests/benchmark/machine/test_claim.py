"""Two processes that try to make the same output at once."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmark import catalogue, stages
from benchmark.commands.stages import (
    derive_prompts,
    plan_training,
    prepare_shard,
    score_shard,
    split_dataset,
    train_model,
)
from benchmark.errors import UserError
from benchmark.machine.claim import claim
from benchmark.sources import Status
from benchmark.storage.files import write_json

MAKE = """
import sys
from pathlib import Path
from benchmark.machine.claim import claim
output, *inputs = (Path(each) if "/" in each else each for each in sys.argv[1:])
with claim(output, inputs):
    print("claimed", flush=True)
    if sys.stdin.readline():
        output.write_text("done")
"""


@contextmanager
def making(output: Path, *inputs: Path | str) -> "Iterator[subprocess.Popen[str]]":
    """A process that has claimed ``output`` and waits for a line before it makes it."""
    command = [sys.executable, "-c", MAKE, *map(str, (output, *inputs))]
    streams: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        yield process


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file from which the output is made."""
    path = tmp_path / "images.parquet" / "0.parquet"
    path.parent.mkdir()
    path.write_text("images")
    return path


@pytest.fixture
def holder(tmp_path: Path, source: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that makes the output from ``source``."""
    with making(tmp_path / "shard" / "0.parquet", source) as process:
        yield process


def when_blocked(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Call ``then`` at the moment at which this process is about to wait for the lock."""
    flock = fcntl.flock

    def played(lock: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            then()
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", played)


def test_what_is_made_meanwhile_is_not_made_again(
    tmp_path: Path,
    source: Path,
    holder: "subprocess.Popen[str]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "shard" / "0.parquet"
    when_blocked(monkeypatch, lambda: holder.communicate("go on\n"))
    with claim(output, [source, None]) as wanted:
        assert not wanted
        assert output.read_text() == "done"
    assert [path.name for path in output.parent.iterdir()] == ["0.parquet"]  # no lock is left


@pytest.mark.parametrize("folder", [True, False])
def test_what_is_made_meanwhile_from_other_inputs_is_made_again(
    folder: bool, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "0.parquet"
    named = source.parent if folder else source
    with making(output, named) as orphan:
        when_blocked(monkeypatch, lambda: orphan.communicate("go on\n"))
        source.write_text("mended")  # of the same size
        os.utime(source, (0, 0))
        with claim(output, [named]) as wanted:
            assert output.read_text() == "done"
            assert wanted


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_worked_on_and_told_of(
    number: int,
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(lock: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    with claim(tmp_path / "out" / "0.parquet", [source]) as wanted:
        assert wanted
    assert f"{tmp_path / 'out'} has no locks" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_holder_leaves_the_output_to_the_next(
    tmp_path: Path,
    source: Path,
    holder: "subprocess.Popen[str]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    when_blocked(monkeypatch, holder.kill)
    with claim(tmp_path / "shard" / "0.parquet", [source]) as wanted:
        assert wanted


def test_a_child_that_outlives_a_killed_holder_does_not_hold_its_lock(tmp_path: Path) -> None:
    """As a worker of a process pool does, for which nothing tells that its parent was killed."""
    output = tmp_path / "out" / "0.parquet"
    script = """
import os, signal, sys, time
from pathlib import Path
from benchmark.machine.claim import claim
with claim(Path(sys.argv[1]), []):
    if child := os.fork():
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
"""
    command = [sys.executable, "-c", script, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        child = int(killed.stdout.readline())
    try:
        with claim(output, [], wait=False) as wanted:
            assert wanted
        os.kill(child, 0)  # it still runs
    finally:
        os.kill(child, signal.SIGKILL)


def test_who_cannot_wait_is_told(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    output = tmp_path / "shard" / "0.parquet"
    with (
        pytest.raises(UserError, match="Another job is already making"),
        claim(output, [], wait=False),
    ):
        pass
    holder.communicate("go on\n")
    with claim(output, [], wait=False) as wanted:
        assert wanted


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_a_training_on_several_gpus_the_first_process_claims(
    rank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, planned, output = (tmp_path / name for name in ("settings", "planned", "model"))
    learnt = {"adapter": "nnunet", "version": 1, "weights": None, "weights_sha256": None}
    write_json(settings, {**learnt, "options": {}, "seed": 0})
    status = Status(state="manual", root="x", fingerprint="x", reason="no environment")
    write_json(planned, status.model_dump())
    waits = "a training that cannot begin waits for a GPU"
    monkeypatch.setattr("benchmark.machine.device.device", lambda *_: pytest.fail(waits))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with claim(output, []):
        refused: Any = (
            pytest.raises(UserError, match="Another job") if rank == "0" else nullcontext()
        )
        with refused:
            train_model(settings, planned, output)
    train_model(settings, planned, output)
    assert output.exists() == (rank == "0")


def test_an_output_that_stands_there_is_made_anew_when_asked(tmp_path: Path) -> None:
    output = tmp_path / "0.parquet"
    output.write_text("old")
    with claim(output, []) as wanted:
        assert wanted


def prepare_it(status: Path, output: Path) -> None:
    prepare_shard("P01", 0, output, output, output, output, status=status)


ENTRY = catalogue.load("P01").digest("prepare")
COMMANDS: list[tuple[Callable[..., None], int, list[str], str]] = [
    (prepare_it, 1, [ENTRY], "benchmark.prepare.prepare"),
    (derive_prompts, 4, [], "benchmark.prompts.shard_rows"),
    (
        partial(split_dataset, seed=0),
        1,
        [f"split {stages.SPLIT}"],
        "benchmark.learning.splits.split",
    ),
    (score_shard, 7, ["{}"], "benchmark.scoring.score"),
]


@pytest.mark.parametrize(("make", "count", "more", "work"), COMMANDS)
def test_a_shard_that_is_made_meanwhile_is_not_made_again(
    make: Callable[..., None],
    count: int,
    more: list[str],
    work: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs, output = [tmp_path / f"input{n}" for n in range(count)], tmp_path / "0.parquet"
    for path in inputs:
        path.write_text("{}")
    status = Status(state="manual", root="x", fingerprint="x", reason="not here")
    write_json(inputs[0], status.model_dump())
    monkeypatch.setattr(work, lambda *_: pytest.fail("made again"))
    with making(output, *inputs, *more) as orphan:
        when_blocked(monkeypatch, lambda: orphan.communicate("go on\n"))
        make(*inputs, output=output)
    assert output.read_text() == "done"


def test_a_shard_that_is_prepared_meanwhile_by_another_entry_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, output = tmp_path / "status.json", tmp_path / "0.parquet"
    write_json(status, Status(state="failed", root="x", fingerprint="x").model_dump())
    with making(output, status, "digest-before") as orphan:
        when_blocked(monkeypatch, lambda: orphan.communicate("go on\n"))
        prepare_it(status, output)
    assert output.read_bytes().startswith(b"PAR1")


def test_a_plan_that_is_made_meanwhile_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, output = tmp_path / "settings.json", tmp_path / "model" / "plan.json"
    learnt = {"adapter": "nnunet", "version": 1, "weights": None, "weights_sha256": None}
    write_json(settings, {**learnt, "options": {}, "seed": 0})
    monkeypatch.setattr("benchmark.learning.fitting.plan", lambda *_: pytest.fail("planned again"))
    with making(output, settings) as orphan:
        when_blocked(monkeypatch, lambda: orphan.communicate("go on\n"))
        plan_training(settings, [], [], output)
    assert output.read_text() == "done"
