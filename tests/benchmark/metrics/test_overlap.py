"""Overlap metrics against set operations on voxels, and the table of empty masks."""

from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from benchmark.boxes import Crop
from benchmark.metrics import surface_numpy
from benchmark.metrics.overlap import Confusion, overlap_metrics
from benchmark.metrics.overlap import confusion as complete

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)


def confusion(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], grid_voxels: int
) -> Confusion:
    return complete(*surface_numpy.counts(Crop.of(reference), Crop.of(prediction)), grid_voxels)


def voxels(mask: NDArray[np.bool_]) -> set[int]:
    return {i for i, inside in enumerate(mask.ravel().tolist()) if inside}


@given(pair=pairs, rest=st.integers(0, 50))
def test_metrics_equal_those_of_sets_of_voxels(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], rest: int
) -> None:
    reference, prediction = pair
    grid = set(range(reference.size + rest))
    r, p = voxels(reference), voxels(prediction)
    got = overlap_metrics(confusion(reference, prediction, len(grid)))
    expected = {
        "dsc": (2 * len(r & p), len(r) + len(p)),
        "jaccard": (len(r & p), len(r | p)),
        "sensitivity": (len(r & p), len(r)),
        "specificity": (len(grid - r - p), len(grid - r)),
        "precision": (len(r & p), len(p)),
        "volume_ratio": (len(p), len(r)),
    }
    assert got.keys() == expected.keys()
    for name, (part, whole) in expected.items():
        assert isnan(got[name]) if whole == 0 else got[name] == pytest.approx(part / whole)


@given(pair=pairs)
def test_dsc_and_jaccard_are_symmetric_and_tied(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    a, b = pair
    forth = overlap_metrics(confusion(a, b, 100))
    back = overlap_metrics(confusion(b, a, 100))
    for name in ("dsc", "jaccard"):
        np.testing.assert_equal(forth[name], back[name])
    np.testing.assert_equal(forth["sensitivity"], back["precision"])
    np.testing.assert_allclose(forth["dsc"], 2 * forth["jaccard"] / (1 + forth["jaccard"]))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Confusion(0, 0, 0, 90), (nan, nan, nan, 1, nan, nan)),  # both empty
        (Confusion(0, 0, 10, 80), (0, 0, 0, 1, nan, 0)),  # prediction empty
        (Confusion(0, 10, 0, 80), (0, 0, nan, 80 / 90, 0, nan)),  # reference empty
        (Confusion(90, 0, 0, 0), (1, 1, 1, nan, 1, 1)),  # reference fills the scan
    ],
)
def test_empty_masks(counts: Confusion, expected: tuple[float, ...]) -> None:
    names = ("dsc", "jaccard", "sensitivity", "specificity", "precision", "volume_ratio")
    np.testing.assert_equal(overlap_metrics(counts), dict(zip(names, expected, strict=True)))


def test_scan_smaller_than_masks_is_refused() -> None:
    full = np.ones((2, 2, 2), np.bool_)
    with pytest.raises(ValueError, match="cover 8 voxels, the whole scan has 7"):
        confusion(full, full, 7)
