"""Metrics that follow from the four counts of a confusion matrix."""

from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Confusion:
    """Voxels of a scan by what the reference and the prediction say of them."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def confusion(both: int, in_reference: int, in_prediction: int, grid_voxels: int) -> Confusion:
    """Complete the counts of two masks, parts of a scan of ``grid_voxels`` voxels.

    Raises:
        ValueError: the scan is smaller than the union of the two masks.
    """
    outside = grid_voxels - (in_reference + in_prediction - both)
    if outside < 0:
        raise ValueError(
            f"The masks cover {grid_voxels - outside} voxels, the whole scan has {grid_voxels}: "
            "grid_voxels must be the number of voxels of the whole scan."
        )
    return Confusion(both, in_prediction - both, in_reference - both, outside)


def overlap_metrics(counts: Confusion) -> dict[str, float]:
    """DSC, Jaccard, sensitivity, specificity, precision and volume ratio of ``counts``.

    A ratio whose denominator is zero is NaN. So with both masks empty only specificity is
    defined, precision needs a prediction, sensitivity and volume ratio need a reference.
    Formulas and sources: `benchmark.metrics.METRICS`.
    """
    tp, fp = counts.true_positives, counts.false_positives
    fn, tn = counts.false_negatives, counts.true_negatives
    return {
        "dsc": _ratio(2 * tp, 2 * tp + fp + fn),
        "jaccard": _ratio(tp, tp + fp + fn),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "precision": _ratio(tp, tp + fp),
        "volume_ratio": _ratio(tp + fp, tp + fn),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else nan
