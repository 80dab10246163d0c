"""Metrics of the distance between two surfaces, in mm."""

import warnings
from math import nan

import numpy as np
from numpy.typing import NDArray


def surface_metrics(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    tolerance_mm: float,
) -> dict[str, float]:
    """NSD, HD95, HD and ASD of two bool masks (z, y, x) of one shape; ``spacing`` in mm.

    The surface of a mask is the set of voxel corners that touch both foreground and background;
    each weighs as much as the marching-cubes area of its 2 x 2 x 2 voxels. Beyond the border of
    the array is background. A distance runs from a corner to the nearest surface corner of the
    other mask; corners of a slanted surface form a layer about a voxel thick, which takes up to
    half a voxel off the distance between smooth surfaces. Semantics and values are those of
    google-deepmind/surface-distance, and so is the comparison with the tolerance:
    ``distance <= tolerance_mm`` in float64, without slack.

    NSD counts both surfaces, as it was introduced; the paper's text names the predicted one only.

    With both masks empty all are NaN; with one empty NSD is 0 and the distances are NaN.
    """
    has_reference, has_prediction = bool(reference.any()), bool(prediction.any())
    if not (has_reference and has_prediction):
        nsd = 0.0 if has_reference or has_prediction else nan
        return {"nsd": nsd, "hd95": nan, "hd": nan, "asd": nan}

    import surface_distance as sd

    with warnings.catch_warnings():
        # The released package reaches scipy through names that scipy has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = sd.compute_surface_distances(reference, prediction, spacing)
    return {
        "nsd": float(sd.compute_surface_dice_at_tolerance(distances, tolerance_mm)),
        "hd95": float(sd.compute_robust_hausdorff(distances, 95)),
        "hd": float(sd.compute_robust_hausdorff(distances, 100)),
        "asd": float(np.mean(sd.compute_average_surface_distance(distances))),
    }
