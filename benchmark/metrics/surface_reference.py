"""Surface distances by the library that defines them, google-deepmind/surface-distance."""

import warnings

import numpy as np
from numpy.typing import NDArray


def surface_metrics(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    tolerance_mm: float,
) -> dict[str, float]:
    """NSD, HD95, HD and ASD of two bool masks (z, y, x), neither empty."""
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
