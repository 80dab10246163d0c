"""Values of metrics that an empty mask leaves undefined, by the policy of the study."""

from collections.abc import Mapping
from math import isnan, nan
from typing import Literal

from benchmark.metrics.definitions import METRICS
from benchmark.settings import Settings


class EmptyPolicy(Settings):
    """How `fill_empty` treats metrics that an empty mask leaves undefined.

    If exactly one mask is empty, a ``distance`` of "diagonal" replaces distances by the diagonal of
    the scan, and "leave-out" leaves them NaN. If both are empty, they stay NaN in either case.
    """

    distance: Literal["diagonal", "leave-out"] = "diagonal"


def fill_empty(
    values: Mapping[str, float],
    *,
    reference_empty: bool,
    prediction_empty: bool,
    diagonal_mm: float,
    policy: EmptyPolicy,
) -> dict[str, float]:
    """Replace undefined distances in the result of `benchmark.metrics.score` by ``policy``.

    Defined values do not change. Ratios with a denominator of zero (precision of an empty
    prediction, sensitivity and volume ratio of an empty reference) stay NaN.

    Args:
        values: value of each metric, NaN where undefined.
        reference_empty: whether the reference mask is empty.
        prediction_empty: whether the predicted mask is empty.
        diagonal_mm: diagonal of the whole scan in mm.
        policy: what to do with distances.
    """
    one_empty = reference_empty != prediction_empty
    distance = diagonal_mm if one_empty and policy.distance == "diagonal" else nan
    return {
        name: distance if isnan(value) and METRICS[name].unit == "mm" else value
        for name, value in values.items()
    }
