"""Records of processes that die in a step of their job."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmark.errors import MachineError
from benchmark.machine.attempts import MAX_DEATHS, WORKFLOW, Attempts, attempts
from benchmark.machine.machine_errors import KernelError

ROOT = Path(__file__).parents[3]

DIES = """
import os, signal, sys
from pathlib import Path
from benchmark.machine.attempts import attempts
# Tests that run in the background or under nohup hand on signals that are ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with attempts(Path(sys.argv[1])) as tried:
    with tried.running("scan a"):
        pass
    with tried.running("scan b"):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""

WRITES = DIES.replace("os.kill(", "with atomic(Path(sys.argv[1])): os.kill(").replace(
    "import attempts", "import attempts\nfrom benchmark.storage.files import atomic"
)


LOST = """
import os, signal, sys
from pathlib import Path
from benchmark.machine.attempts import attempts
class Model:
    def __del__(self):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
with attempts(Path(sys.argv[1])) as tried:
    with tried.running("scan a"):
        model = Model()
        del model
    with tried.running("scan b"):
        sys.exit("began another scan")
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "0.parquet"


def die(output: Path, how: str, script: str = DIES) -> None:
    """Run a process that ends in "scan b" by a signal."""
    command = [sys.executable, "-c", script, str(output), how]
    ended = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    assert ended.returncode == -getattr(signal, how)


def given_up(output: Path) -> set[str]:
    """The steps that a process would not begin now."""
    tried = Attempts(output.with_suffix(".attempts"))
    return {step for step in ("scan a", "scan b") if tried.is_given_up(step)}


@pytest.fixture(autouse=True)
def no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKFLOW, raising=False)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV"])
def test_a_step_in_which_three_processes_died_is_not_begun_again(output: Path, how: str) -> None:
    die(output, how)
    die(output, how)
    assert given_up(output) == set()
    with pytest.raises(KeyboardInterrupt), attempts(output) as tried, tried.running("scan a"):
        raise KeyboardInterrupt
    die(output, how)
    with attempts(output) as tried:
        assert tried.is_given_up("scan b")
        assert not tried.is_given_up("scan a")
    assert list(output.parent.iterdir()) == []  # the job is done, and begins anew if it is forced


def test_what_killed_the_workflow_as_well_blames_no_step(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        monkeypatch.setenv(WORKFLOW, str(number))
        die(output, "SIGKILL")
    for _ in range(2):  # attempts of the last workflow; its first was no death of the others
        assert given_up(output) == set()
        die(output, "SIGKILL")
    assert given_up(output) == {"scan b"}
    monkeypatch.setenv(WORKFLOW, "another")
    assert given_up(output) == {"scan b"}


def test_a_step_is_tried_at_each_memory_and_then_given_up_in_the_same_run() -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "profile.yaml").read_text())
    assert profile["retries"] == MAX_DEATHS


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_who_ends_a_process_from_outside_blames_no_step(output: Path, how: str) -> None:
    for _ in range(3):
        die(output, how)
    assert given_up(output) == set()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP"])
def test_who_ends_a_process_from_outside_leaves_no_temporary_files(output: Path, how: str) -> None:
    die(output, how, WRITES)
    assert list(output.parent.iterdir()) == []


def test_a_signal_whose_exception_is_lost_ends_the_process_at_the_next_step(output: Path) -> None:
    die(output, "SIGTERM", LOST)


def test_a_signal_that_is_ignored_stays_so(output: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with attempts(output):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("error", "blamed"), [(KernelError("assert"), {"scan b"}), (MachineError("full disk"), set())]
)
def test_of_the_troubles_of_the_machine_only_a_kernel_may_be_the_scans_fault(
    output: Path, error: Exception, blamed: set[str]
) -> None:
    for _ in range(3):
        with pytest.raises(MachineError), attempts(output) as tried, tried.running("scan b"):
            raise error
    assert given_up(output) == blamed
