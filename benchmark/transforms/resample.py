"""Resample pixels to another grid in patient coordinates."""

import numpy as np
import SimpleITK as sitk

from benchmark.geometry import Geometry
from benchmark.transforms.raster import Raster


def onto(raster: Raster, grid: Geometry, *, nearest: bool) -> Raster:
    """Resample every channel to ``grid``, by nearest neighbour (labels) or linearly (images).

    Outside the raster, labels are 0 and images have the minimum of the channel. Interpolated
    integers are rounded, where ITK would truncate them.
    """
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(grid.size)
    resampler.SetOutputSpacing(grid.spacing)
    resampler.SetOutputOrigin(grid.origin)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    parts = []
    for channel in raster.array:
        image = sitk.GetImageFromArray(
            channel.astype(np.uint8) if channel.dtype == bool else channel
        )
        image.SetSpacing(raster.grid.spacing)
        image.SetOrigin(raster.grid.origin)
        image.SetDirection(raster.grid.direction)
        resampler.SetDefaultPixelValue(0.0 if nearest else float(channel.min()))
        resampler.SetOutputPixelType(sitk.sitkUnknown if nearest else sitk.sitkFloat32)
        moved = sitk.GetArrayFromImage(resampler.Execute(image))
        if not nearest and channel.dtype.kind in "iu":
            moved = np.rint(moved).astype(channel.dtype)
        parts.append(moved)
    return Raster(raster.path, np.stack(parts), grid)
