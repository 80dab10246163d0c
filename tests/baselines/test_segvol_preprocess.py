"""SegVol's preprocessing against recorded outputs, and its mapping between scan and image."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from baselines.segvol_preprocess import normalised, prepare
from baselines.segvol_windows import nearest
from baselines.segvol_zoom import ZoomOutZoomIn
from benchmark.boxes import slices
from benchmark.errors import UserError

WINDOW = (16, 64, 64)


def like_ct(seed: int, shape: tuple[int, ...], noise: Callable[..., Any]) -> NDArray[np.float32]:
    """The recorded volume (x, y, z) of a NIfTI file whose axes run RAS."""
    volume: NDArray[np.float32] = (noise(seed, shape) * 1400 - 1000).astype(np.float32)
    volume[:6] = volume[:, -5:] = -1024
    return volume


@pytest.mark.parametrize("case", ["big", "thin"])
def test_image_and_zoomed_image(
    case: str, golden: Callable[[str], Mapping[str, Any]], noise: Callable[..., Any]
) -> None:
    recorded = {
        k.partition("/")[2]: v for k, v in golden("segvol_preprocess.npz").items() if case in k
    }
    stored = like_ct(int(recorded["seed"]), tuple(recorded["shape"]), noise)
    scan = prepare(np.flip(stored, (0, 1)).transpose(2, 1, 0))
    padding = np.maximum(np.subtract(WINDOW, scan.grid), 0) // 2
    np.testing.assert_array_equal(scan.box[::2] + padding, recorded["start"])
    np.testing.assert_array_equal(scan.box[1::2] + padding, recorded["end"])
    np.testing.assert_allclose(scan.image[::4, ::6, ::6], recorded["image_part"], atol=1e-6)
    assert scan.image.sum(dtype=float) == pytest.approx(float(recorded["image_sum"]), rel=1e-6)
    maps = [nearest(n, w, "nearest-exact") for n, w in zip(scan.image.shape, WINDOW, strict=True)]
    zoomed = scan.image[np.ix_(*maps)]
    np.testing.assert_allclose(zoomed[::4, ::8, ::8], recorded["zoom_part"], atol=1e-6)
    # the label of the recorded run: a block in (x, y, z) of the file, here a box of the LPS scan
    x, y, _ = stored.shape
    box = scan.inside((3, 8, y - 50, y - 25, x - 45, x - 20))
    corners = next(iter(ZoomOutZoomIn(Blank(), scan.image, WINDOW).zoom_out([box])))[0]
    np.testing.assert_array_equal(corners, recorded["zoom_box"])


class Blank:
    """A network that finds nothing."""

    def embed(self, windows: Any) -> Any:
        return windows

    def decode(self, embeddings: Any, boxes: Any) -> Any:
        return embeddings[:, 0] - 10


def test_a_constant_image_is_refused() -> None:
    with pytest.raises(UserError, match="constant"):
        prepare(np.full((4, 5, 6), 7, np.int16))


@given(st.integers(0, 2**32), st.floats(0.1, 100), st.floats(-1000, 1000))
def test_brightness_and_contrast_of_the_scan_do_not_matter(
    seed: int, factor: float, shift: float
) -> None:
    values = np.random.default_rng(seed).normal(size=400).astype(np.float32)
    same = normalised((values * np.float32(factor) + np.float32(shift)).astype(np.float32))
    np.testing.assert_allclose(normalised(values), same, atol=0.02)
    assert same.min() == 0
    assert same.max() == 1


def test_boxes_go_to_the_image_and_back() -> None:
    array = np.zeros((9, 20, 30), np.int16)
    array[2:8, 3:17, 5:28] = np.random.default_rng(1).integers(50, 90, (6, 14, 23))
    scan = prepare(array)
    assert scan.outside(scan.inside((3, 6, 4, 9, 10, 20))) == (3, 6, 4, 9, 10, 20)
    part = array[slices((3, 6, 4, 9, 10, 20))]
    seen = scan.image[slices(scan.inside((3, 6, 4, 9, 10, 20)))]
    order = np.argsort(np.flip(part, (1, 2)).ravel(), kind="stable")
    assert (np.diff(seen.ravel()[order]) >= 0).all()
    assert scan.outside(scan.inside((0, 1, 0, 2, 0, 1))) == (2, 3, 3, 4, 5, 6)
