"""Each fault of the soak once: what is run again ends with equal scores, or says what to do."""

from pathlib import Path

import pytest

from tests.workflow.conftest import Workplace
from tests.workflow.faults import FAULTS
from tests.workflow.soak import play, undisturbed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return undisturbed(tmp_path_factory.mktemp("finished"), least=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plain_rerun_after(fault: str, finished: Workplace, tmp_path: Path) -> None:
    told = play(finished, fault, seed=1, folder=tmp_path / "round", tails=1)
    if told.startswith("skipped"):
        pytest.skip(told)
    assert told.endswith("equal scores")
