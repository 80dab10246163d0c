"""Other libraries, called as a user would for the surface metrics of one object."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def surface_distance(
    tolerance_mm: float, reference: Mask, prediction: Mask, spacing: Spacing
) -> dict[str, float]:
    """Return NSD, HD95, HD and ASD."""
    import surface_distance as sd

    distances = sd.compute_surface_distances(reference, prediction, spacing)
    return {
        "nsd": sd.compute_surface_dice_at_tolerance(distances, tolerance_mm),
        "hd95": sd.compute_robust_hausdorff(distances, 95),
        "hd": sd.compute_robust_hausdorff(distances, 100),
        "asd": float(np.mean(sd.compute_average_surface_distance(distances))),
    }


def monai(tolerance_mm: float, reference: Mask, prediction: Mask, spacing: Spacing) -> None:
    """Compute NSD, HD95 and ASD between boundary voxels."""
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice
    from monai.metrics.surface_distance import compute_average_surface_distance

    torch.set_num_threads(1)
    y, y_pred = (torch.from_numpy(mask)[None, None].float() for mask in (reference, prediction))
    every: dict[str, Any] = {"include_background": True, "spacing": spacing}
    compute_surface_dice(y_pred, y, [tolerance_mm], **every)
    compute_hausdorff_distance(y_pred, y, percentile=95, **every)
    compute_average_surface_distance(y_pred, y, symmetric=True, **every)


def medpy(reference: Mask, prediction: Mask, spacing: Spacing) -> None:
    """Compute HD95 and ASSD between boundary voxels."""
    from medpy.metric import binary

    binary.hd95(prediction, reference, voxelspacing=spacing)
    binary.assd(prediction, reference, voxelspacing=spacing)


def simpleitk(reference: Mask, prediction: Mask, spacing: Spacing) -> None:
    """Compute HD95, mean and maximum distance of the contours, as in SimpleITK's notebook 34."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    distances, contours = [], []
    for mask in (reference, prediction):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
        distances.append(sitk.Abs(distance))  # an array view does not keep it alive
        contours.append(sitk.GetArrayFromImage(sitk.LabelContour(image)) > 0)
    maps = [sitk.GetArrayViewFromImage(distance) for distance in distances]
    pooled = np.concatenate([maps[0][contours[1]], maps[1][contours[0]]])
    if len(pooled):
        np.percentile(pooled, 95), pooled.mean(), pooled.max()
