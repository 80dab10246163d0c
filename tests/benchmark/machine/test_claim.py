"""Two processes that would make the same output at once."""

import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.machine.claim import claim

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


def test_an_output_that_stands_there_is_made_anew_when_asked(tmp_path: Path) -> None:
    output = tmp_path / "0.parquet"
    output.write_text("old")
    with claim(output) as wanted:
        assert wanted
