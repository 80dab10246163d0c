"""Sliding windows, their boxes and averaging, against runs recorded from the released code."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from baselines.segvol_windows import Tiling, Zoomed, around, window_boxes
from benchmark.boxes import Box, slices

WINDOW = (16, 64, 64)


def half_open(ends: NDArray[np.int64]) -> Box:
    (z0, z1), (y0, y1), (x0, x1) = ends.tolist()
    return z0, z1, y0, y1, x0, x1


def stand_in(window: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network was when the runs were recorded."""
    weighted = np.float32((box * np.arange(1, 7)).sum())
    result: NDArray[np.float32] = 2 * window - np.float32(0.5) + np.float32(1e-3) * weighted
    return result


@pytest.mark.parametrize("case", ["multi", "single", "thin_single", "thin_multi"])
def test_windows_boxes_and_mean(
    case: str, golden: Callable[[str], Mapping[str, Any]], noise: Callable[..., Any]
) -> None:
    recorded = golden("segvol_windows.npz")
    shape = tuple(recorded[f"{case}/shape"].tolist())
    image = noise(61, shape)
    found = np.zeros(shape, bool)
    found[slices(half_open(recorded[f"{case}/obj"]))] = True
    zoomed = Zoomed.at((0, shape[0], 0, shape[1], 0, shape[2]), WINDOW)
    cube = half_open(recorded[f"{case}/cube"])
    boxes = window_boxes(zoomed.tiling, found, cube, corrected=False)
    np.testing.assert_array_equal(boxes, recorded[f"{case}/boxes"])
    for start, box in zip(zoomed.tiling.starts, boxes, strict=True):
        part, (z, y, x) = zoomed.tiling.inside(start)
        window = np.zeros(WINDOW, np.float32)
        content = image[slices(part)]
        dz, dy, dx = content.shape
        window[z : z + dz, y : y + dy, x : x + dx] = content
        zoomed.add(start, stand_in(window, np.array(box, np.float32)))
    logits = zoomed.logits
    np.testing.assert_allclose(logits[::3, ::12, ::12], recorded[f"{case}/out_part"], atol=1e-6)
    assert logits.sum(dtype=float) == pytest.approx(float(recorded[f"{case}/out_sum"]), rel=1e-6)


def test_crops_around_what_was_found(golden: Callable[[str], Mapping[str, Any]]) -> None:
    for row in golden("segvol_windows.npz")["roi_cases"].tolist():
        z, y, x, z0, z1, y0, y1, x0, x1, a, b, c, d, e, f = row
        crop = around((z0, z1, y0, y1, x0, x1), (z, y, x), WINDOW)
        assert crop[::2] == (a, b, c)
        assert crop[1::2] == (min(d + 1, z), min(e + 1, y), min(f + 1, x))


def test_the_correction_moves_the_box_by_the_padding() -> None:
    tiling = Tiling((9, 64, 41), WINDOW)
    cube = (2, 9, 10, 31, 19, 41)
    nothing = np.zeros(tiling.shape, bool)
    (released,) = window_boxes(tiling, nothing, cube, corrected=False)
    (corrected,) = window_boxes(tiling, nothing, cube, corrected=True)
    assert np.subtract(corrected, released).tolist() == [3, 0, 11, 3, 0, 11]
    (start,) = tiling.starts
    assert tiling.inside(start) == ((0, 9, 0, 64, 0, 41), (3, 0, 11))


@settings(max_examples=50)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.integers(2, 20)] * 3))
def test_windows_cover_the_crop_and_stay_inside(
    shape: tuple[int, int, int], window: tuple[int, int, int]
) -> None:
    tiling = Tiling(shape, window)
    covered = np.zeros(shape, bool)
    for start in tiling.starts:
        part, at = tiling.inside(start)
        covered[slices(part)] = True
        lengths = [part[2 * a + 1] - part[2 * a] for a in range(3)]
        assert all(n > 0 for n in lengths)
        assert all(a + n <= w for a, n, w in zip(at, lengths, window, strict=True))
    assert covered.all()
    assert len(set(tiling.starts)) == len(tiling.starts)
