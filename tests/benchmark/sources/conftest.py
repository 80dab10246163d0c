"""Fixtures shared by the tests of sources."""

import pytest

from benchmark.sources.patience import Patience


class Naps(list[float]):
    """Records the requested waits instead of sleeping."""

    @property
    def patience(self) -> Patience:
        return Patience(attempts=4, first=1.0, longest=60.0, sleep=self.append)


@pytest.fixture
def naps() -> Naps:
    return Naps()
