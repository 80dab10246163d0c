"""What an empty mask means for a mean over objects: the study's decision, not an accident."""

from collections.abc import Mapping
from math import isnan, nan
from typing import Literal

from benchmark.metrics.definitions import METRICS
from benchmark.settings import Settings


class EmptyPolicy(Settings):
    """How `fill_empty` fills metrics that an empty mask leaves undefined.

    ``distance``, where exactly one mask is empty: "diagonal" takes the diagonal of the scan for
    the distances, "leave-out" leaves them NaN. Where both are empty nothing was to be found.
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
    """Apply ``policy`` to ``values`` of `benchmark.metrics.score`; those defined stay as they are.

    Ratios without a denominator (precision of an empty prediction, sensitivity and volume ratio
    of an empty reference) stay NaN: no policy gives them a meaning. ``diagonal_mm`` is the
    diagonal of the whole scan.
    """
    one_empty = reference_empty != prediction_empty
    distance = diagonal_mm if one_empty and policy.distance == "diagonal" else nan
    return {
        name: distance if isnan(value) and METRICS[name].unit == "mm" else value
        for name, value in values.items()
    }
