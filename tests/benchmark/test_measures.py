"""Sizes of lesions against closed forms."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from benchmark.measures import diameter


def test_diameter_of_a_rectangle_and_of_a_disc() -> None:
    plane = np.zeros((30, 40), dtype=bool)
    assert diameter(plane, (1.0, 1.0)) == 0
    plane[5:8, 10:14] = True  # 3 x 4 pixels of 2 x 0.5 mm
    assert diameter(plane, (2.0, 0.5)) == pytest.approx((6**2 + 2**2) ** 0.5)
    y, x = np.mgrid[:201, :201]
    disc = (y - 100) ** 2 + (x - 100) ** 2 <= 80**2
    assert diameter(disc, (0.1, 0.1)) == pytest.approx(16, rel=0.02)


def test_diameter_of_any_shape_is_that_of_all_corners() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        plane = rng.random((9, 7)) < 0.3
        places = np.argwhere(plane)
        corners = np.concatenate([places + edge for edge in np.ndindex(2, 2)])
        assert diameter(plane, (1.5, 0.7)) == pytest.approx(pdist(corners * (1.5, 0.7)).max())
