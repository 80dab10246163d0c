"""A workflow killed at any moment and run again ends with the scores of an undisturbed one."""

import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.workflow.conftest import Workplace

SCORES = "results/small/scores.parquet"


def kill_after(place: Workplace, study: Path, outputs: int) -> bool:
    """Start the workflow and kill it with all its jobs once ``outputs`` files are there."""
    results = place.folder / "results"
    return kill_when(
        place, study, lambda: sum(len(files) for _, _, files in os.walk(results)) >= outputs
    )


def kill_when(place: Workplace, study: Path, moment: Callable[[], bool], *targets: str) -> bool:
    """Start the workflow and kill it with all its jobs once ``moment`` has come.

    Tells whether it was still running then. It leaves Snakemake's lock behind.
    """
    log = place.folder / "killed.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            place.command(study, *targets), stdout=file, stderr=file, start_new_session=True
        )
        while process.poll() is None:
            if moment():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
    return False


def test_killed_and_rerun_gives_the_scores_of_an_undisturbed_run(
    make_workplace: Callable[[], Workplace],
) -> None:
    undisturbed, killed = make_workplace(), make_workplace()
    run = undisturbed.run(undisturbed.study(datasets=["A.yaml"]), SCORES)
    assert run.returncode == 0, run.stdout + run.stderr

    study = killed.study(datasets=["A.yaml"])
    moments = sorted(random.Random(7).sample(range(4, 50), 4))
    for moment in moments:
        assert kill_after(killed, study, moment)
        assert killed.run(study, "--unlock").returncode == 0
    run = killed.run(study, SCORES)
    assert run.returncode == 0, run.stdout + run.stderr

    pd.testing.assert_frame_equal(killed.scores(), undisturbed.scores())
