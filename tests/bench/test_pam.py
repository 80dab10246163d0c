"""The preset `released` gives the same masks as the benchmark's yardstick."""

import numpy as np
import pytest
import torch

from pam.config import PropMaskConfig
from pam.network import PropMask
from tests.bench.bench_pam import ours, recorded, yardstick


@pytest.mark.parametrize("seed", [0, 5, 10])
def test_the_mask_of_released_is_the_yardsticks(seed: int) -> None:
    """Three rounds of a small network; for these seeds, no vote is close to a tie."""
    torch.manual_seed(seed)
    network = PropMask(PropMaskConfig(channels=2, stages=5, max_channels=8, attended=2)).eval()
    whole = recorded()
    near = slice(whole.guide - 4, whole.guide + 5)
    case = whole._replace(volume=whole.volume[near], guide=4, spacing=8.0)
    expected = yardstick(network, case)
    assert expected.any(axis=(1, 2)).sum() > 3
    np.testing.assert_array_equal(ours(network, case), expected)
