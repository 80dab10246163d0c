"""Objects of a label map against scikit-image's connected components."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage import measure

from benchmark.catalogue import Dataset
from benchmark.metrics.shape import shape_2d, shape_3d
from benchmark.objects import Object, describe, divide, regions

Make = Callable[..., Dataset]
KEEP_ALL = {"components": "keep-all"}


def decompose(labels: NDArray[Any], dataset: Dataset) -> Iterator[Object]:
    z, y, x = labels.shape
    return divide(regions(labels, dataset), dataset, (z, y, x))


def dense(items: list[Object]) -> list[NDArray[np.bool_]]:
    return [item.mask.dense() for item in items]


def kept(items: list[Object]) -> list[Object]:
    return [item for item in items if item.instance > 0]


@pytest.fixture(scope="module")
def lesions() -> Dataset:
    content: dict[str, Any] = {
        "id": "T1",
        "name": "Test",
        "split": "local",
        "modality": "CT",
        "source": {"kind": "local", "path": "nowhere"},
        "layout": {"image": "{scan}.nii.gz", "label": "{scan}_label.nii.gz"},
        "labels": {1: "lesion", 3: {"name": "organ", "instances": False, "nsd_tolerance_mm": 3}},
    }
    return Dataset.read(content, "the test's entry")


def test_voxels_that_touch_at_a_corner_are_one_object(lesions: Dataset) -> None:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[1, 1, 1] = labels[2, 2, 2] = 1
    assert [item.mask.voxels for item in decompose(labels, lesions)] == [2]
    labels[2, 2, 2] = 0
    labels[3, 3, 3] = 1
    assert [item.mask.voxels for item in decompose(labels, lesions)] == [1, 1]


@pytest.mark.parametrize(
    ("largest", "small", "stays"),
    [(10, 1, True), (11, 1, False), (30, 3, True), (31, 3, False), (70, 7, True), (71, 7, False)],
)
def test_kept_from_ten_percent_of_the_largest_on(
    lesions: Dataset, largest: int, small: int, stays: bool
) -> None:
    labels = np.zeros((1, 3, 80), dtype=np.uint8)
    labels[0, 0, :largest] = 1
    labels[0, 2, :small] = 1
    items = list(decompose(labels, lesions))
    assert [item.mask.voxels for item in kept(items)] == ([largest, small] if stays else [largest])
    rest = [item.mask.voxels for item in items if item.instance == 0]
    assert rest == ([] if stays else [small])


@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=8),
        elements=st.sampled_from([0, 0, 0, 1, 3]),
    )
)
def test_components_are_those_of_scikit_image(lesions: Dataset, labels: NDArray[np.uint8]) -> None:
    items = list(decompose(labels, lesions))
    components, count = measure.label(labels == 1, connectivity=3, return_num=True)
    expected = [components == number for number in range(1, count + 1)]
    largest = max((part.sum() for part in expected), default=0)
    expected = [part for part in expected if 10 * int(part.sum()) >= largest]
    expected.sort(key=lambda part: int(np.flatnonzero(part)[0]))  # raster order
    found = kept([item for item in items if item.structure == "lesion"])
    assert [item.instance for item in found] == list(range(1, len(expected) + 1))
    for mask, part in zip(dense(found), expected, strict=True):
        np.testing.assert_array_equal(mask, part)

    for value, name in ((1, "lesion"), (3, "organ")):  # with the rest, nothing is lost
        parts = dense([item for item in items if item.structure == name])
        together = np.sum(parts, axis=0) if parts else np.zeros(labels.shape)
        np.testing.assert_array_equal(together, labels == value)


def test_a_structure_without_instances_is_one_object(lesions: Dataset) -> None:
    labels = np.zeros((3, 9, 9), dtype=np.int64)
    labels[0, 0, 0] = labels[2, 8, 8] = labels[2, 0, 0] = 3
    (item,) = decompose(labels, lesions)
    assert (item.structure, item.instance) == ("organ", 1)
    np.testing.assert_array_equal(item.mask.dense(), labels == 3)


def test_the_example(labels: NDArray[np.uint8], entry: Make) -> None:
    items = list(decompose(labels, entry()))
    assert [(item.structure, item.instance, item.mask.voxels) for item in items] == [
        ("lesion", 1, 180),
        ("lesion", 2, 48),
        ("lesion", 0, 1),
        ("organ", 1, 252),
    ]
    every = list(decompose(labels, entry(**KEEP_ALL)))
    assert [item.mask.voxels for item in every] == [180, 48, 1, 252]
    assert [item.instance for item in every] == [1, 2, 3, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64])
def test_any_integer_type(labels: NDArray[np.uint8], entry: Make, dtype: type) -> None:
    found = list(decompose(labels.astype(dtype), entry()))
    assert [item.mask.voxels for item in found] == [180, 48, 1, 252]


def test_values_beside_the_labels_are_no_objects(lesions: Dataset) -> None:
    labels = np.array([[[-1, 0, 1, 2, 200]]], dtype=np.int16)
    assert [item.structure for item in decompose(labels, lesions)] == ["lesion"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_description(labels: NDArray[np.uint8], entry: Make, axis: int) -> None:
    labels[5, 3:6, 3:6] = 0  # so that slices differ
    labels[1:3, 2, 2] = 0
    item = next(decompose(labels, entry()))
    spacing = (3.0, 1.0, 1.5)
    row = describe(item, spacing, axis)
    mask = item.mask.dense()
    stack = np.moveaxis(mask, axis, 0)
    areas = [int(plane.sum()) for plane in stack]
    largest = max(index for index, area in enumerate(areas) if area == max(areas))
    assert row["axis"] == axis
    assert row["largest_slice"] == largest
    assert row["extent"] == sum(area > 0 for area in areas)
    assert row["voxels"] == mask.sum()
    assert row["volume_mm3"] == pytest.approx(mask.sum() * 4.5)
    assert tuple(row[name] for name in ("z0", "z1", "y0", "y1", "x0", "x1")) == item.mask.box
    pixel = [mm for a, mm in enumerate(spacing) if a != axis]
    flat, solid = shape_2d(stack[largest], (pixel[0], pixel[1])), shape_3d(mask, spacing)
    for name in ("box_ratio", "convex_ratio", "iri", "elongation"):
        assert row[f"{name}_2d"] == pytest.approx(flat[name])
        assert row[f"{name}_3d"] == pytest.approx(solid[name])
