"""The compact mask against dense arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.boxes import Crop, bounding_box, dense_in, slices
from benchmark.masks import COLUMNS, Mask
from benchmark.storage.tables import read_table, records, write_table

Dense = NDArray[np.bool_]
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)
ARRAYS = hnp.arrays(bool, SHAPES)


@st.composite
def on_one_grid(draw: st.DrawFn) -> list[Dense]:
    shape = draw(SHAPES)
    return draw(st.lists(hnp.arrays(bool, shape), min_size=1, max_size=4))


@given(ARRAYS)
def test_round_trip(array: Dense) -> None:
    mask = Mask.of(array)
    back = Mask.from_row(mask.to_row(), mask.shape)
    assert back.shape == array.shape
    assert back.box == mask.box
    np.testing.assert_array_equal(back.dense(), array)
    assert back.voxels == array.sum()


@pytest.mark.parametrize("fill", [False, True])
def test_empty_and_full(fill: bool) -> None:
    array = np.full((3, 4, 5), fill)
    mask = Mask.of(array)
    assert mask.box == ((0, 3, 0, 4, 0, 5) if fill else (0, 0, 0, 0, 0, 0))
    np.testing.assert_array_equal(Mask.from_row(mask.to_row(), (3, 4, 5)).dense(), array)


@given(ARRAYS, st.tuples(*[st.integers(0, 4)] * 3), st.tuples(*[st.integers(0, 4)] * 3))
def test_part_of_a_grid(
    array: Dense, before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    padded = np.pad(array, list(zip(before, after, strict=True)))
    z, y, x = padded.shape
    mask = Mask.of(array, offset=before, shape=(z, y, x))
    np.testing.assert_array_equal(mask.dense(), padded)
    assert mask.box == Mask.of(padded).box


@pytest.mark.parametrize("offset", [(-1, 0, 0), (0, 3, 0), (0, 0, 9)])
def test_a_part_that_leaves_the_grid(offset: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="leaves the grid"):
        Mask.of(np.zeros((2, 2, 2)), offset=offset, shape=(4, 4, 4))


@given(ARRAYS)
def test_the_box_is_tight_and_half_open(array: Dense) -> None:
    found = np.argwhere(array)
    box = Crop.of(array).box
    if len(found):
        np.testing.assert_array_equal(box[::2], found.min(axis=0))
        np.testing.assert_array_equal(box[1::2], found.max(axis=0) + 1)
    else:
        assert box == (0, 0, 0, 0, 0, 0)


@given(on_one_grid())
def test_union_and_hull(arrays: list[Dense]) -> None:
    parts = [Mask.of(array) for array in arrays]
    dense = np.any(arrays, axis=0)
    union = Mask.union(parts, parts[0].shape)
    np.testing.assert_array_equal(union.dense(), dense)
    assert union.box == bounding_box([part.box for part in parts]) == Crop.of(dense).box
    for part, array in zip(parts, arrays, strict=True):
        np.testing.assert_array_equal(dense_in(part, union.box), array[slices(union.box)])


@given(on_one_grid())
def test_voxels_that_are_left_out(arrays: list[Dense]) -> None:
    one, other = Mask.of(arrays[0]), Mask.of(arrays[-1])
    expected = arrays[0] & ~arrays[-1]
    rest = one.without(other)
    np.testing.assert_array_equal(rest.dense(), expected)
    assert rest.box == Crop.of(expected).box
    np.testing.assert_array_equal(one.dense(), arrays[0])


def test_union_of_none() -> None:
    empty = Mask.union([], (3, 4, 5))
    assert not empty.dense().any()
    assert empty.dense().shape == (3, 4, 5)


def test_the_voxels_are_copied_and_locked() -> None:
    buffer = np.ones((2, 3, 4), dtype=bool)
    mask = Mask.of(buffer)
    buffer[:] = False  # a method that uses one buffer for all its answers
    assert mask.voxels == 24
    with pytest.raises(ValueError, match="read-only"):
        mask.crop[0, 0, 0] = False
    row = Mask.from_row(mask.to_row(), (2, 3, 4))
    assert not row.crop.flags.writeable


def test_other_kinds_of_arrays() -> None:
    array = np.zeros((3, 3, 3), dtype=np.uint8)
    array[1, 1, 2] = 1
    for other in (array, array.astype(float), np.asfortranarray(array), array.tolist()):
        assert Mask.of(other).box == (1, 2, 1, 2, 2, 3)
    assert Mask.of(array.transpose(2, 1, 0)).box == (2, 3, 1, 2, 1, 2)


def ball(shape: tuple[int, int, int], radii: tuple[float, float, float]) -> Any:
    axes = (np.arange(n) - (n - 1) / 2 for n in shape)
    return sum((x / r) ** 2 for x, r in zip(np.ix_(*axes), radii, strict=True)) <= 1


def test_a_lesion_takes_less_than_one_kilobyte() -> None:
    lesion = ball((40, 60, 60), (2.5, 2.5, 2.5))  # 5 mm across at voxels of 1 mm
    assert 50 < lesion.sum() < 80
    bits = Mask.of(lesion).to_row()["bits"]
    assert isinstance(bits, bytes)
    assert len(bits) < 1024


def test_a_liver_takes_less_than_a_hundred_kilobytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(63, 50, 38))  # an uneven surface
    waves = ndimage.zoom(ndimage.gaussian_filter(noise, 2), (4, 4, 4), order=1)
    body = ball((252, 200, 152), (110, 85, 60))
    rough = ndimage.gaussian_filter(body.astype(np.float32), 4) + waves * 2 > 0.5
    assert 1_500_000 < rough.sum() < 3_500_000
    mask = Mask.of(rough)
    path = tmp_path / "masks.parquet"
    write_table([mask.to_row()], pa.schema(COLUMNS), path)
    assert path.stat().st_size < 100_000
    back = Mask.from_row(records(read_table(path))[0], mask.shape)
    np.testing.assert_array_equal(back.dense(), rough)
