"""Scoring of all labels of a scan in one pass against `score` label by label."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmark.masks import Mask
from benchmark.metrics import score, score_labels, score_masks
from benchmark.metrics.engines import Engine

LABELS = NDArray[np.integer[Any]]
SPACING = (3.0, 0.7, 0.8)
TOLERANCES = {3: 2.0, 1: 0.7, 9: 1.0}  # not in order; 2 is not asked for, 9 is not there
ENGINES: tuple[Engine, ...] = ("reference", "numpy", "numba")

maps = hnp.arrays(
    st.sampled_from([np.uint8, np.int32]),
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=7),
    elements=st.sampled_from([0, 0, 1, 2, 3]),
)


def one_by_one(reference: LABELS, prediction: LABELS) -> dict[int, dict[str, float]]:
    return {
        label: score(
            reference == label,
            prediction == label,
            SPACING,
            grid_voxels=reference.size,
            tolerance_mm=tolerance,
            engine="reference",
        )
        for label, tolerance in TOLERANCES.items()
    }


def large() -> tuple[LABELS, LABELS]:
    """Words of 64 voxels begin at another place in each map; one label lies far from itself."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 4, (4, 5, 14))
    reference = blocks.repeat(4, 0).repeat(5, 1).repeat(11, 2).astype(np.uint8)
    prediction = np.roll(reference, (1, -1, 3), axis=(0, 1, 2))
    prediction[prediction == 1] = 0
    prediction[-1, -1, -1] = 1
    return reference, prediction


def assert_same(got: dict[int, dict[str, float]], expected: dict[int, dict[str, float]]) -> None:
    assert list(got) == list(TOLERANCES)
    for label, values in expected.items():
        assert got[label] == pytest.approx(values, rel=1e-9, abs=1e-9, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(
    maps.flatmap(
        lambda a: st.tuples(st.just(a), hnp.arrays(a.dtype, a.shape, elements=st.integers(0, 3)))
    )
)
def test_as_label_by_label(pair: tuple[LABELS, LABELS]) -> None:
    expected = one_by_one(*pair)
    for engine in ENGINES:
        assert_same(score_labels(*pair, SPACING, tolerances=TOLERANCES, engine=engine), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("threads", [1, 3])
def test_large_map(engine: Engine, threads: int) -> None:
    pair = large()
    got = score_labels(*pair, SPACING, tolerances=TOLERANCES, engine=engine, threads=threads)
    assert_same(got, one_by_one(*pair))


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_in_their_boxes(engine: Engine) -> None:
    reference, prediction = large()
    for label in (1, 2):
        pair = reference == label, prediction == label
        kept = Mask.of(pair[0]), Mask.of(pair[1])
        got = score_masks(
            *kept, SPACING, grid_voxels=reference.size, tolerance_mm=1.0, engine=engine
        )
        expected = score(*pair, SPACING, grid_voxels=reference.size, tolerance_mm=1.0)
        assert got == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": np.zeros((2, 2, 2))}, "whole numbers, got float64"),
        ({"reference": np.zeros((2, 2, 3), int)}, "must be on one grid"),
        ({"tolerances": {0: 1.0}}, "0 is background"),
        ({"tolerances": {1: -1.0}}, "tolerance must be"),
        ({"spacing": (1.0, 0.0, 1.0)}, "three positive numbers"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Any], message: str) -> None:
    ones = np.ones((2, 2, 2), int)
    arguments: dict[str, Any] = {
        "reference": ones,
        "prediction": ones,
        "spacing": SPACING,
        "tolerances": {1: 1.0},
    }
    with pytest.raises(ValueError, match=message):
        score_labels(**(arguments | change))
