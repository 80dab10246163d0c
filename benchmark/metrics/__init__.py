"""Metrics of a predicted mask against a reference mask, and of the shape of an object."""

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.definitions import METRICS, SHAPES, Family, Metric, table
from benchmark.metrics.empty import EmptyPolicy, fill_empty
from benchmark.metrics.engines import Engine
from benchmark.metrics.overlap import confusion, overlap_metrics
from benchmark.metrics.surface import surface_metrics

__all__ = [
    "METRICS",
    "SHAPES",
    "EmptyPolicy",
    "Engine",
    "Family",
    "Metric",
    "fill_empty",
    "score",
    "table",
]


def score(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    *,
    grid_voxels: int,
    tolerance_mm: float,
    engine: Engine = "auto",
) -> dict[str, float]:
    """Every metric of `METRICS`, in its order, for one object.

    Args:
        reference: bool (z, y, x), a crop of the scan that holds both masks whole. Beyond its
            border is background, also where that is the border of the scan: surfaces are closed
            there. So no value depends on the crop.
        prediction: bool (z, y, x), the same crop of the prediction.
        spacing: (z, y, x) in mm.
        grid_voxels: voxels of the whole scan; gives specificity its true negatives.
        tolerance_mm: distance up to which NSD counts surfaces as the same.
        engine: code that computes surface distances: the library that defines them
            ("reference"), the same values faster ("numpy", "numba"), or whichever of these two
            takes less time ("auto").

    Returns:
        Raw values, NaN where a metric is undefined (`fill_empty` applies the study's policy):

        ============================  ==================  ==================  ============
        metric                        prediction empty    reference empty     both empty
        ============================  ==================  ==================  ============
        dsc, jaccard, nsd             0                   0                   NaN
        sensitivity                   0                   NaN                 NaN
        volume_ratio                  0                   NaN                 NaN
        precision                     NaN                 0                   NaN
        specificity                   1                   as ever             1
        hd95, hd, asd                 NaN                 NaN                 NaN
        ============================  ==================  ==================  ============

        Specificity is NaN where the reference fills the whole scan.

    Raises:
        ValueError: masks that are not bool, not 3D or of different shapes, a spacing or
            tolerance out of range, or masks larger than ``grid_voxels``.
    """
    _check(reference, prediction, spacing, tolerance_mm)
    values = overlap_metrics(confusion(reference, prediction, grid_voxels))
    values |= surface_metrics(reference, prediction, spacing, tolerance_mm, engine=engine)
    return {name: values[name] for name in METRICS}


def _check(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    tolerance_mm: float,
) -> None:
    for name, mask in (("reference", reference), ("prediction", prediction)):
        if mask.dtype != np.bool_ or mask.ndim != 3:
            raise ValueError(
                f"The {name} must be a bool array (z, y, x), got {mask.dtype} of shape "
                f"{mask.shape}: compare a label map with its label first."
            )
    if reference.shape != prediction.shape:
        raise ValueError(
            f"Reference {reference.shape} and prediction {prediction.shape} must be the same crop "
            "of one grid: resample the prediction to the grid of the scan first."
        )
    if len(spacing) != 3 or not all(0 < step < np.inf for step in spacing):
        raise ValueError(f"The spacing must be three positive numbers (mm), got {spacing}.")
    if not 0 <= tolerance_mm < np.inf:
        raise ValueError(f"The tolerance must be a number of mm from 0 up, got {tolerance_mm}.")
