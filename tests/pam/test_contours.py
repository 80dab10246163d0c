"""Contours against closed-form results: Pick's theorem, rectangles, discs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.prompts import Mask2D
from pam.contours import filled, mask_prompt

SHAPE = (40, 50)


def test_a_rectangle_open_closed_or_dense() -> None:
    expected = np.zeros(SHAPE, np.bool_)
    expected[5:21, 7:31] = True
    corners = [(5, 7), (5, 30), (20, 30), (20, 7)]
    dense = [(5, x) for x in range(7, 31)] + [(20, x) for x in range(30, 6, -1)]
    for points in (
        corners,
        [*corners, corners[0]],
        corners[::-1],
        corners[2:] + corners[:2],
        dense,
    ):
        np.testing.assert_array_equal(filled(points, SHAPE), expected)


STEPS = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=4, max_size=4))
def test_picks_theorem(sides: list[int]) -> None:
    """Inner and border points of a lattice polygon: area + border / 2 + 1.

    An octagon with opposite sides alike: its border runs along rows, columns and diagonals, where
    the drawn pixels are just the lattice points of the border.
    """
    lengths = [*(side + 1 for side in sides)] * 2
    walk = np.array([(0, 0)] + [np.multiply(n, s) for n, s in zip(lengths, STEPS, strict=True)])
    corners = np.cumsum(walk, axis=0)[:-1]
    corners = corners - corners.min(axis=0) + 2
    y, x = corners.T
    area = abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) / 2
    assert filled(corners, SHAPE).sum() == area + sum(lengths) / 2 + 1


def test_a_disc() -> None:
    """The area of a circle and the half of its border that the drawn pixels add."""
    turns = np.linspace(0, 2 * np.pi, 400)
    points = np.stack((100 + 60 * np.sin(turns), 90 + 60 * np.cos(turns)), axis=1)
    area = filled(points, (200, 200)).sum()
    assert np.pi * 60**2 < area < np.pi * 61**2


def test_a_line_that_crosses_itself_encloses_both_loops() -> None:
    mask = filled([(2, 2), (12, 12), (2, 12), (12, 2)], SHAPE)
    assert mask[7, [2, 3, 7, 11, 12]].all()
    assert not mask[[4, 10], 7].any()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_contour_may_run_along_an_edge(axis: int) -> None:
    """A slice spans from half a pixel before the first centre to half a pixel after the last."""
    shape = (10, 10)
    near = np.array([(-0.5, 1), (3, 1), (3, 5), (-0.5, 5)])[:, [axis, 1 - axis]]
    far = near.copy()
    far[:, axis] = 9 - near[:, axis]
    assert filled(near, shape).sum() == 4 * 5
    np.testing.assert_array_equal(filled(far, shape), np.flip(filled(near, shape), axis))
    far[:, axis] += 0.01
    with pytest.raises(UserError, match="leaves the slice"):
        filled(far, shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_prompt_on_any_view(axis: int) -> None:
    shape = (30, 32, 34)
    corners = [(4, 6), (4, 9), (8, 9), (8, 6)]
    prompt = mask_prompt(corners, shape, axis=axis, index=11)
    assert isinstance(prompt, Mask2D)
    rows, columns = (length for a, length in enumerate(shape) if a != axis)
    np.testing.assert_array_equal(prompt.plane, filled(corners, (rows, columns)))
    assert prompt.mask.voxels == 20
    assert (prompt.box[2 * axis], prompt.box[2 * axis + 1]) == (11, 12)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(1, 1), (2, 2)], "three points or more"),
        ([1, 2, 3], r"shape \(3,\)"),
        ([(1, 1, 1)] * 3, r"\[n, 2\]"),
        ([(1, 1), (2, np.nan), (3, 3)], "NaN"),
        ([(1, 1), (45, 2), (3, 3)], "leaves the slice of 40 x 50"),
        ([(1, 1), (-1, 2), (3, 3)], "leaves the slice"),
    ],
)
def test_bad_contours(points: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        filled(points, SHAPE)


@pytest.mark.parametrize(("axis", "index"), [(0, 30), (0, -1), (3, 0)])
def test_a_slice_outside_the_volume(axis: int, index: int) -> None:
    triangle: NDArray[np.int64] = np.array([(1, 1), (5, 1), (1, 5)])
    with pytest.raises(UserError, match="Check axis and slice"):
        mask_prompt(triangle, (30, 32, 34), axis=axis, index=index)
