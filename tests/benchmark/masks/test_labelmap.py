"""Splitting of label maps against numpy, one label at a time; boxes and their algebra."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.boxes import EMPTY, Crop, bounding_box, dense_in, of_slices, overlap, slices, tight
from benchmark.masks import labelmap
from benchmark.masks.labelmap import LabelMap

MAPS = hnp.arrays(
    st.sampled_from([np.uint8, np.int16, np.uint32, np.int64]),
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
    elements=st.sampled_from([0, 0, 1, 1, 7, 200 % 128]),
)
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))


@given(MAPS, st.sampled_from([1, 20, 1 << 18]))
def test_labels_are_those_of_the_map(array: NDArray[Any], slab: int) -> None:
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(labelmap, "_SLAB", slab)
        found = LabelMap(array)
    assert found.values == sorted(set(np.unique(array).tolist()) - {0})
    for value in (1, 7, 99):
        label = found[value]
        mask = array == value
        assert label.box == Crop.of(mask).box
        assert label.voxels == mask.sum()
        np.testing.assert_array_equal(label.crop, mask[slices(label.box)])
        runs = [np.arange(*run) for run in zip(label.starts, label.stops, strict=True)]
        np.testing.assert_array_equal(np.concatenate([[], *runs]), np.flatnonzero(mask))


def test_layout_of_the_array_does_not_matter() -> None:
    array = np.arange(60).reshape(3, 4, 5) % 3
    wide = np.zeros((6, 4, 10), int)
    wide[::2, :, ::2] = array
    for same in (wide[::2, :, ::2], np.asfortranarray(array)):
        for value in (1, 2):
            np.testing.assert_array_equal(
                LabelMap(same)[value].starts, LabelMap(array)[value].starts
            )


def test_negative_values_are_labels_like_others() -> None:
    array = np.array([[[-1, -1, 0, 2]]])
    assert LabelMap(array).values == [-1, 2]
    assert LabelMap(array)[-1].box == (0, 1, 0, 1, 0, 2)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), int), np.zeros((2, 2, 2)), np.ones((1, 1, 1), bool)]
)
def test_what_is_no_label_map_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"whole numbers, got .* of shape"):
        LabelMap(array)


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 0, 3), (3, 3, 0)])
def test_a_map_without_voxels_has_no_labels(shape: tuple[int, int, int]) -> None:
    assert LabelMap(np.zeros(shape, int)).values == []


@given(MASKS)
def test_the_tightest_box_is_that_of_scipy(mask: NDArray[np.bool_]) -> None:
    expected = ndimage.find_objects(mask.astype(np.uint8))
    assert tight(mask) == (expected[0] if mask.any() else None)
    assert tight(mask[0]) == (ndimage.find_objects(mask[0].astype(int)) or [None])[0]


@given(MASKS.flatmap(lambda mask: st.tuples(st.just(mask), hnp.arrays(bool, mask.shape))))
def test_algebra_of_boxes(pair: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    crops = [Crop.of(mask) for mask in pair]
    fields = [np.zeros(pair[0].shape, bool) for _ in pair]
    for field, crop in zip(fields, crops, strict=True):
        field[slices(crop.box)] = True
    assert overlap(crops[0].box, crops[1].box) == Crop.of(fields[0] & fields[1]).box
    both = bounding_box([crop.box for crop in crops])
    assert both == Crop.of(fields[0] | fields[1]).box
    assert of_slices(slices(both)) == both
    for mask, crop in zip(pair, crops, strict=True):
        np.testing.assert_array_equal(dense_in(crop, both), mask[slices(both)])
        assert (crop.box == EMPTY) == (not mask.any())
