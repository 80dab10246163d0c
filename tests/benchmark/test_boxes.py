"""Boxes are taken apart and put together by axis."""

import numpy as np
import pytest

from benchmark import boxes

BOX = (1, 4, 10, 30, 5, 6)


def test_start_and_size_are_those_of_the_index() -> None:
    array = np.zeros((40, 40, 40), dtype=bool)
    array[boxes.slices(BOX)] = True
    assert boxes.start(BOX) == tuple(np.argwhere(array)[0])
    assert boxes.size(BOX) == array[boxes.slices(BOX)].shape


@pytest.mark.parametrize(
    ("axis", "along", "across"),
    [
        (0, (1, 4), ((10, 30), (5, 6))),
        (1, (10, 30), ((1, 4), (5, 6))),
        (2, (5, 6), ((1, 4), (10, 30))),
    ],
)
def test_extents_along_an_axis_and_across_it(
    axis: int, along: tuple[int, int], across: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert boxes.extent(BOX, axis) == along
    assert boxes.in_plane(BOX, axis) == across
    corner = [first for first, _ in across]
    assert boxes.insert_axis(corner, axis, along[0]) == boxes.start(BOX)


def test_a_box_is_moved_and_told_relative_to_another() -> None:
    assert boxes.moved(BOX, (3, -2, 1)) == (4, 7, 8, 28, 6, 7)
    assert boxes.relative(boxes.moved(BOX, (3, -2, 1)), BOX) == (3, 6, -2, 18, 1, 2)
    assert boxes.overlap(boxes.of_shape((2, 20, 9)), BOX) == (1, 2, 10, 20, 5, 6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_boxes_that_only_touch_do_not_overlap(axis: int) -> None:
    offset = [0, 0, 0]
    offset[axis] = boxes.size(BOX)[axis]
    assert boxes.overlap(BOX, boxes.moved(BOX, offset)) == boxes.EMPTY
