"""The reference engine: surface metrics by google-deepmind/surface-distance, which defines them."""

import threading
import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Boxed, bounding_box, dense_in
from benchmark.metrics.surface import Spacing
from benchmark.metrics.surface_numpy import counts, of_mask

__all__ = ["counts", "of_mask", "surface_metrics"]

# The filters of `warnings` are global to the process, so threads must not change them at once.
_FILTERS = threading.Lock()


def surface_metrics(
    reference: Boxed, prediction: Boxed, spacing: Spacing, tolerance_mm: float
) -> dict[str, float]:
    """Compute the surface metrics of two masks, neither empty; distances in mm."""
    import surface_distance as sd

    box = bounding_box([reference.box, prediction.box])
    masks = dense_in(reference, box), dense_in(prediction, box)
    with _FILTERS, warnings.catch_warnings():
        # The released package uses names that scipy has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = sd.compute_surface_distances(*masks, spacing)
    to_prediction, to_reference = sd.compute_average_surface_distance(distances)
    return {
        "nsd": float(sd.compute_surface_dice_at_tolerance(distances, tolerance_mm)),
        "hd95": float(sd.compute_robust_hausdorff(distances, 95)),
        "hd": float(sd.compute_robust_hausdorff(distances, 100)),
        "asd": float(np.mean([to_prediction, to_reference])),
        "assd": _pooled_mean(distances),
        "asd_to_reference": float(to_reference),
        "asd_to_prediction": float(to_prediction),
    }


def _pooled_mean(distances: Mapping[str, NDArray[np.float64]]) -> float:
    """Return the area-weighted mean over both directions, which the library does not compute."""
    ways = (("gt_to_pred", "gt"), ("pred_to_gt", "pred"))
    lengths = np.concatenate([distances[f"distances_{way}"] for way, _ in ways])
    areas = np.concatenate([distances[f"surfel_areas_{side}"] for _, side in ways])
    return float(np.average(lengths, weights=areas))
