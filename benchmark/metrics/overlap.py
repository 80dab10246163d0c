"""Overlap metrics, computed from the confusion matrix of voxels."""

from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix: numbers of voxels of the whole scan."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def confusion(both: int, in_reference: int, in_prediction: int, grid_voxels: int) -> Confusion:
    """Compute the confusion matrix from the voxel counts of two masks.

    Args:
        both: voxels of the intersection.
        in_reference: voxels of the reference.
        in_prediction: voxels of the prediction.
        grid_voxels: voxels of the whole scan.

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
    """Compute DSC, Jaccard, sensitivity, specificity, precision and volume ratio.

    A ratio with a denominator of zero is NaN: if both masks are empty, only specificity is defined;
    precision needs a prediction, sensitivity and volume ratio need a reference. Formulas and
    sources are in `benchmark.metrics.METRICS`.
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
