"""Each fault of the soak test once, and repeated kills: reruns end with equal scores."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import Workplace
from tests.workflow.faults import FAULTS, TARGET, kill_when
from tests.workflow.soak import make_place, play, undisturbed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return undisturbed(tmp_path_factory.mktemp("finished"), least=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plain_rerun_after(fault: str, finished: Workplace, tmp_path: Path) -> None:
    told = play(finished, fault, seed=1, folder=tmp_path / "round", tails=1)
    if told.startswith("skipped"):
        pytest.skip(told)
    assert told.endswith("equal scores")


def test_killed_again_and_again_it_gives_the_scores_of_an_undisturbed_run(tmp_path: Path) -> None:
    """Of two methods on two shards, so that a kill may strike several jobs."""
    folder = tmp_path / "killed"
    for each in (tmp_path / "undisturbed", folder):
        each.mkdir()
    place, study = make_place(folder), folder / "small.yaml"
    for count in sorted(random.Random(7).sample(range(4, 50), 4)):
        assert kill_when(place, study, written(folder, count), TARGET)
        assert place.run(study, "--unlock").returncode == 0
    run = place.run(study, TARGET)
    assert run.returncode == 0, run.stdout + run.stderr
    expected = undisturbed(tmp_path / "undisturbed").scores()
    pd.testing.assert_frame_equal(place.scores(), expected)


def written(folder: Path, least: int) -> Callable[[], bool]:
    """Tell at any moment whether the run has written so many files, its logs included."""
    return lambda: sum(len(files) for _, _, files in os.walk(folder / "results")) >= least
