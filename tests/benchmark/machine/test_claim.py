"""Two processes that try to make the same output at once."""

import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from benchmark.commands.stages import plan_training, train_model
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.machine.claim import claim
from benchmark.sources import Status

MAKE = """
import sys
from pathlib import Path
from benchmark.machine.claim import claim
output = Path(sys.argv[1])
with claim(output):
    print("claimed", flush=True)
    if sys.stdin.readline():
        output.write_text("done")
"""


@pytest.fixture
def holder(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that has claimed the output and waits for a line before it makes it."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKE, str(tmp_path / "shard" / "0.parquet")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
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
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "shard" / "0.parquet"
    when_blocked(monkeypatch, lambda: holder.communicate("go on\n"))
    with claim(output) as wanted:
        assert not wanted
        assert output.read_text() == "done"
    assert [path.name for path in output.parent.iterdir()] == ["0.parquet"]  # no lock is left


def test_a_killed_holder_leaves_the_output_to_the_next(
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    when_blocked(monkeypatch, holder.kill)
    with claim(tmp_path / "shard" / "0.parquet") as wanted:
        assert wanted


def test_who_cannot_wait_is_told(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    output = tmp_path / "shard" / "0.parquet"
    with pytest.raises(UserError, match="Another job is already making"), claim(output, wait=False):
        pass
    holder.communicate("go on\n")
    with claim(output, wait=False) as wanted:
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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with claim(output):
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
    with claim(output) as wanted:
        assert wanted


def test_a_plan_that_is_made_meanwhile_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, output = tmp_path / "settings.json", tmp_path / "model" / "plan.json"
    learnt = {"adapter": "nnunet", "version": 1, "weights": None, "weights_sha256": None}
    write_json(settings, {**learnt, "options": {}, "seed": 0})
    monkeypatch.setattr("benchmark.fitting.plan", lambda *_: pytest.fail("planned again"))
    command = [sys.executable, "-c", MAKE, str(output)]
    streams: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams) as orphan:
        assert orphan.stdout is not None
        assert orphan.stdout.readline() == "claimed\n"
        when_blocked(monkeypatch, lambda: orphan.communicate("go on\n"))
        plan_training(settings, [], [], output)
    assert output.read_text() == "done"
