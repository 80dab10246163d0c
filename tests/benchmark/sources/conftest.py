"""What tests of the sources share."""

import pytest

from benchmark.sources.patience import Patience


class Naps(list[float]):
    """The waits that were asked for; none is slept."""

    @property
    def patience(self) -> Patience:
        return Patience(attempts=4, first=1.0, longest=60.0, sleep=self.append)


@pytest.fixture
def naps() -> Naps:
    return Naps()
