"""What an empty mask means for a mean over objects: the study's decision, not an accident."""

from collections.abc import Mapping
from math import isnan, nan
from typing import Literal

from benchmark.metrics.definitions import METRICS
from benchmark.settings import Settings


class EmptyPolicy(Settings):
    """How `fill_empty` fills metrics that an empty mask leaves undefined.

    ``distance``, where exactly one mask is empty: "diagonal" takes the diagonal of the scan for
    the distances, "leave-out" leaves them NaN. ``both_empty``: "leave-out" leaves NaN, "perfect"
    scores an absent structure that was predicted as absent as flawless, as the authors' released
    scripts do (czifan/PAM, infer/infer.py).
    """

    distance: Literal["diagonal", "leave-out"] = "diagonal"
    both_empty: Literal["leave-out", "perfect"] = "leave-out"


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
    ratio = distance = nan
    if reference_empty and prediction_empty:
        if policy.both_empty == "perfect":
            ratio, distance = 1.0, 0.0
    elif (reference_empty or prediction_empty) and policy.distance == "diagonal":
        distance = diagonal_mm
    return {
        name: (distance if METRICS[name].unit == "mm" else ratio) if isnan(value) else value
        for name, value in values.items()
    }
