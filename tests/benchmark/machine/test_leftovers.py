"""Threads and processes that a method left behind."""

import subprocess
import sys

import pytest

LEAVES = """
import multiprocessing, sys, threading, time
from benchmark import cli
from benchmark.machine import leftovers
leftovers.WAIT_S = 0.1

def work():
    {left}
    print("done", flush=True)
    sys.exit({code})

if __name__ == "__main__":
    cli.COMMANDS, cli.app = "none", work
    cli.main()
"""


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize(
    ("left", "name"),
    [
        ("threading.Thread(target=time.sleep, args=(600,), name='loader').start()", "loader"),
        ("multiprocessing.Process(target=time.sleep, args=(600,), name='work').start()", "work"),
    ],
)
def test_what_a_method_left_running_does_not_keep_the_process(
    left: str, name: str, code: int
) -> None:
    script = LEAVES.format(left=left, code=code)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == code
    assert ended.stdout == "done\n"
    assert f"still run 0 s later ({name})" in ended.stderr


@pytest.mark.parametrize(("code", "status", "message"), [("0", 0, ""), ("'why'", 1, "why\n")])
def test_a_process_in_which_nothing_runs_ends_at_once_as_python_does(
    code: str, status: int, message: str
) -> None:
    script = LEAVES.format(left="pass", code=code).replace("0.1", "600")
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "done\n", message)
