"""Each transform, on a small raster with the quirk that it corrects."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy import ndimage

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.transforms import AnyTransform
from benchmark.transforms.raster import Raster

ARRAY = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
GRID = Geometry((5, 4, 3), (0.5, 0.7, 2.0), (1.0, 2.0, 3.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))


def apply(
    content: Any, array: NDArray[Any] = ARRAY, grid: Geometry = GRID, onto: Geometry | None = None
) -> Raster:
    transform: Any = TypeAdapter(AnyTransform).validate_python(content)
    result: Raster = transform.apply(Raster(Path("file"), array, grid), onto)
    return result


def test_flip_reverses_axes_of_every_channel() -> None:
    got = apply({"name": "flip", "axes": "zx"})
    np.testing.assert_array_equal(got.array, ARRAY[:, ::-1, :, ::-1])
    assert got.grid == GRID


@pytest.mark.parametrize("order", ["xyz", "yzx", "zyx"])
def test_permute_takes_the_spacing_along(order: str) -> None:
    got = apply({"name": "permute", "order": order})
    axes = ["zyx".index(letter) for letter in order]
    np.testing.assert_array_equal(got.array, ARRAY.transpose(0, *(a + 1 for a in axes)))
    assert got.grid.shape == got.array.shape[1:]
    assert got.grid.rounded_spacing == tuple((2.0, 0.7, 0.5)[a] for a in axes)
    assert got.grid.orientation == "LPS"


def test_spacing_is_set_in_array_order() -> None:
    got = apply({"name": "spacing", "mm": [5, 0.9, 0.8]})
    assert got.grid.spacing == (0.8, 0.9, 5)
    assert got.grid.origin == GRID.origin


def test_linear_stays_whole_where_it_can() -> None:
    whole = apply({"name": "linear", "intercept": -1000})
    assert whole.array.dtype.kind == "i"
    np.testing.assert_array_equal(whole.array, ARRAY - 1000)
    eight = np.array([[[[0, 255]]]], dtype=np.uint8)
    grid = Geometry((2, 1, 1), (1.0, 1.0, 1.0))
    scaled = apply({"name": "linear", "slope": 1500 / 255, "intercept": -1250}, eight, grid)
    np.testing.assert_allclose(scaled.array.ravel(), [-1250, 250], rtol=1e-6)
    assert apply("linear", np.array([[[[40000]]]], np.uint16)).array.item() == 40000


def test_binary_takes_whatever_is_not_zero() -> None:
    got = apply({"name": "binary", "value": 2}, np.array([[[[0, 1, 255, -3]]]], dtype=np.int16))
    assert got.array.ravel().tolist() == [0, 2, 2, 2]
    assert apply("binary", np.array([[[[True, False]]]])).array.ravel().tolist() == [1, 0]


def test_grey_values_by_range() -> None:
    ranges = {1: [55, 70], 4: [240, 255]}
    content = {"name": "grey-values", "ranges": ranges}
    got = apply(content, np.array([[[[0, 55, 70, 240, 255]]]], dtype=np.uint8))
    assert got.array.ravel().tolist() == [0, 1, 1, 4, 4]
    with pytest.raises(UserError, match=r"file: grey values that mean nothing.*got \[54, 71\]"):
        apply(content, np.array([[[[54, 71, 60]]]], dtype=np.uint8))


def test_channel_takes_one_volume() -> None:
    got = apply({"name": "channel", "index": 1})
    np.testing.assert_array_equal(got.array, ARRAY[1:])
    with pytest.raises(UserError, match=r"no volume 2 along the fourth axis.*got 2"):
        apply({"name": "channel", "index": 2})


def test_image_grid_trusts_the_voxels_and_not_the_header() -> None:
    onto = Geometry((5, 4, 3), (9.0, 9.0, 9.0))
    assert apply("image-grid", onto=onto).grid == onto
    with pytest.raises(UserError, match="does not have the size of the image"):
        apply("image-grid", onto=Geometry((5, 4, 2), (9.0, 9.0, 9.0)))


def test_onto_image_takes_the_nearest_voxel() -> None:
    """Against scipy, on a finer, shifted and larger grid that is turned by half a turn."""
    labels = np.random.default_rng(0).integers(0, 9, (1, 3, 4, 5)).astype(np.uint8)
    turned = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    image = Geometry((12, 9, 7), (0.31, 0.43, 0.9), (1.6, 2.4, 2.3), turned)
    got = apply("onto-image", labels, onto=image)
    assert got.grid == image
    steps = [np.arange(n) * mm for n, mm in zip(image.size[::-1], image.spacing[::-1], strict=True)]
    z, y, x = np.meshgrid(*steps, indexing="ij")
    places = [(z + 2.3 - 3.0) / 2.0, (y - (2.4 - 2.0)) / 0.7, (x - (1.6 - 1.0)) / 0.5]
    inside = np.all(
        [(p > -0.5) & (p < n - 0.5) for p, n in zip(places, (3, 4, 5), strict=True)], axis=0
    )
    expected = ndimage.map_coordinates(labels[0], places, order=0, mode="nearest")
    np.testing.assert_array_equal(got.array[0], np.where(inside, expected, 0))
    assert apply("onto-image", labels, onto=GRID).array is labels
