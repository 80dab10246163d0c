"""All metrics of an object together, their descriptions, and the policy for empty masks."""

import subprocess
import sys
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.metrics import (
    METRICS,
    PROMPT_REGION_METRICS,
    SHAPE_METRICS,
    EmptyPolicy,
    fill_empty,
    metric_rows,
    score,
    surface_metrics,
)
from benchmark.metrics.shape import shape_3d

Mask = NDArray[np.bool_]

UNIT = (1.0, 1.0, 1.0)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
pairs = shapes.flatmap(lambda s: st.tuples(arrays(np.bool_, s), arrays(np.bool_, s)))
margin = st.tuples(st.integers(0, 3), st.integers(0, 3))


def masks(with_reference: bool, with_prediction: bool) -> tuple[Mask, Mask]:
    reference, prediction = np.zeros((2, 3, 4, 4), np.bool_)
    reference[0, 1, 1:3], prediction[0, 1:3, 1] = with_reference, with_prediction
    return reference, prediction


@settings(deadline=None, max_examples=60)
@given(pair=pairs, margins=st.tuples(margin, margin, margin))
def test_values_depend_on_the_scan_not_on_the_crop(
    pair: tuple[Mask, Mask], margins: tuple[tuple[int, int], ...]
) -> None:
    got = score(*pair, (2.0, 0.7, 1.1), grid_voxels=1000, tolerance_mm=1.0)
    wider = [np.pad(mask, margins) for mask in pair]
    again = score(wider[0], wider[1], (2.0, 0.7, 1.1), grid_voxels=1000, tolerance_mm=1.0)
    assert list(got) == list(METRICS)
    assert again == pytest.approx(got, rel=1e-12, nan_ok=True)
    for name, value in got.items():
        low, high = METRICS[name].range
        assert isnan(value) or low <= value <= high


DIRECTED = ("asd_to_reference", "asd_to_prediction")
DISTANCES = ("hd95", "hd", "asd", "assd", *DIRECTED)


def test_known_object() -> None:
    """A cube of 10 moved by 2 slices of 3 mm."""
    reference = np.zeros((12, 10, 10), np.bool_)
    prediction = reference.copy()
    reference[:10], prediction[2:] = True, True
    got = score(reference, prediction, (3.0, 30.0, 30.0), grid_voxels=10_000, tolerance_mm=6.0)
    means = [got.pop(name) for name in (*DIRECTED, "assd")]
    assert 0 < got.pop("asd") == pytest.approx(means[0])  # two surfaces of one area
    assert means == pytest.approx([means[0]] * 3)
    assert got == pytest.approx(
        {
            "dsc": 0.8,
            "jaccard": 800 / 1200,
            "sensitivity": 0.8,
            "specificity": 8800 / 9000,
            "precision": 0.8,
            "volume_ratio": 1.0,
            "volume_difference": 0.0,
            "nsd": 1.0,
            "hd95": 6.0,
            "hd": 6.0,
        }
    )


NOTHING = dict.fromkeys(METRICS, nan)


@pytest.mark.parametrize(
    ("with_reference", "with_prediction", "defined"),
    [
        (False, False, {"specificity": 1, "volume_difference": 0}),
        (
            True,
            False,
            {
                "dsc": 0,
                "jaccard": 0,
                "sensitivity": 0,
                "volume_ratio": 0,
                "nsd": 0,
                "specificity": 1,
                "volume_difference": -2 / 1000,
            },
        ),
        (
            False,
            True,
            {
                "dsc": 0,
                "jaccard": 0,
                "precision": 0,
                "nsd": 0,
                "specificity": 98 / 100,
                "volume_difference": 2 / 1000,
            },
        ),
    ],
)
def test_empty_masks(
    with_reference: bool, with_prediction: bool, defined: dict[str, float]
) -> None:
    pair = masks(with_reference, with_prediction)
    got = score(*pair, UNIT, grid_voxels=100, tolerance_mm=1.0)
    np.testing.assert_equal(got, NOTHING | defined)
    for name, metric in METRICS.items():  # the record of each metric says so too
        told = metric.if_empty[2 if with_reference == with_prediction else int(with_reference)]
        if told is not None:
            np.testing.assert_equal(got[name], told)


@pytest.mark.parametrize(
    ("with_reference", "with_prediction", "policy", "filled"),
    [
        (True, False, EmptyPolicy(), dict.fromkeys(DISTANCES, 50)),
        (False, True, EmptyPolicy(), dict.fromkeys(DISTANCES, 50)),
        (True, False, EmptyPolicy(distance="leave-out"), {}),
        (False, False, EmptyPolicy(), {}),
        (True, True, EmptyPolicy(), {}),
    ],
)
def test_policy_fills_what_it_names_and_nothing_else(
    with_reference: bool, with_prediction: bool, policy: EmptyPolicy, filled: dict[str, float]
) -> None:
    pair = masks(with_reference, with_prediction)
    raw = score(*pair, UNIT, grid_voxels=100, tolerance_mm=1.0)
    kept = dict(raw)
    got = fill_empty(
        raw,
        reference_empty=not with_reference,
        prediction_empty=not with_prediction,
        diagonal_mm=50.0,
        policy=policy,
    )
    np.testing.assert_equal(got, raw | filled)
    np.testing.assert_equal(raw, kept)


def test_policy_leaves_a_score_that_failed_for_another_reason() -> None:
    got = fill_empty(
        {"hd": nan, "dsc": nan},
        reference_empty=False,
        prediction_empty=False,
        diagonal_mm=50.0,
        policy=EmptyPolicy(),
    )
    assert all(isnan(value) for value in got.values())


def test_policy_of_a_study_file_is_strict() -> None:
    assert EmptyPolicy.read({}, "study").distance == "diagonal"
    for unknown in ("distances", "both_empty"):
        with pytest.raises(UserError, match="distance"):
            EmptyPolicy.read({unknown: "diagonal"}, "study")


def test_descriptions_cover_what_is_computed() -> None:
    assert set(SHAPE_METRICS) == set(shape_3d(np.ones((1, 1, 1), np.bool_), UNIT))
    assert [row["name"] for row in metric_rows()] == [
        *METRICS,
        *PROMPT_REGION_METRICS,
        *SHAPE_METRICS,
    ]
    rows = {row["name"]: row for row in metric_rows()}
    assert rows["hd95"]["label"] == "HD95 (mm)"
    assert (rows["hd95"]["better"], rows["dsc"]["better"]) == ("lower", "higher")
    assert (rows["hd95"]["range"], rows["dsc"]["range"]) == ("0 to inf", "0 to 1")


@pytest.mark.parametrize(
    ("reference", "prediction", "spacing", "tolerance", "message"),
    [
        (np.ones((2, 2, 2), np.uint8), np.ones((2, 2, 2), bool), UNIT, 1.0, "reference.*uint8"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), UNIT, 1.0, r"reference.*\(2, 2\)"),
        (np.ones((2, 2, 2), bool), np.ones((2, 2, 3), bool), UNIT, 1.0, "same crop"),
        (np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1.0, 1.0), 1.0, "spacing"),
        (np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1.0, -1.0, 1.0), 1.0, "spacing"),
        (np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool), UNIT, nan, "tolerance"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    reference: Mask,
    prediction: Mask,
    spacing: tuple[float, float, float],
    tolerance: float,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        score(reference, prediction, spacing, grid_voxels=100, tolerance_mm=tolerance)
    with pytest.raises(ValueError, match=message):
        surface_metrics(reference, prediction, spacing, tolerance)


def test_import_is_light() -> None:
    heavy = "{'scipy', 'pandas', 'skimage', 'torch', 'surface_distance'}"
    code = f"import sys, benchmark.metrics; print(*({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == ""
