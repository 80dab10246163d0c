"""All metrics of a reference mask and a predicted mask."""

from math import nan, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import EMPTY, Box, Boxed, Crop, clip
from benchmark.metrics import engines, surface_numpy
from benchmark.metrics.definitions import METRICS, PROMPT_REGION_METRICS
from benchmark.metrics.engines import Engine, EngineModule
from benchmark.metrics.overlap import confusion, overlap_metrics
from benchmark.metrics.surface import Spacing

_IN_MM = tuple(name for name, metric in METRICS.items() if metric.unit == "mm")
"""Distances, which an empty mask leaves undefined."""


def score(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Spacing,
    *,
    grid_voxels: int,
    tolerance_mm: float,
    engine: Engine = "auto",
) -> dict[str, float]:
    """Compute all `METRICS` of one object.

    Args:
        reference: bool (z, y, x), a crop of the scan that contains both masks completely. Outside
            of the crop is background, even beyond the border of the scan, so surfaces are closed
            there and the values do not depend on the crop.
        prediction: bool (z, y, x), the same crop of the prediction.
        spacing: (z, y, x) in mm.
        grid_voxels: number of voxels of the whole scan, for the true negatives of specificity.
        tolerance_mm: distance up to which NSD counts surfaces as equal.
        engine: code that computes surface distances: the library that defines them
            ("reference"), a faster implementation with the same values ("numpy" or "numba"), or
            whichever of the latter takes less time ("auto").

    Returns:
        Value by metric, in the order of `METRICS`; NaN where undefined. `Metric.if_empty` gives the
        values for empty masks, `fill_empty` applies the policy of the study. Specificity is NaN if
        the reference fills the whole scan.

    Raises:
        ValueError: the masks are not bool, not 3D, of different shapes or larger than
            ``grid_voxels``; the spacing or tolerance is out of range; or the engine is unknown.
    """
    _check_masks(reference, prediction)
    return score_masks(
        Crop.of(reference),
        Crop.of(prediction),
        spacing,
        grid_voxels=grid_voxels,
        tolerance_mm=tolerance_mm,
        engine=engine,
    )


def score_masks(
    reference: Boxed,
    prediction: Boxed,
    spacing: Spacing,
    *,
    grid_voxels: int,
    tolerance_mm: float,
    engine: Engine = "auto",
) -> dict[str, float]:
    """Compute the same as `score` for masks that are cropped, such as `benchmark.masks.Mask`.

    Time and memory depend on the size of the two boxes, not on the distance between them.
    """
    check_numbers(spacing, tolerance_mm)

    def work(module: EngineModule) -> dict[str, float]:
        pair = module.of_mask(reference), module.of_mask(prediction)
        return compute_metrics(module, *pair, spacing, grid_voxels, tolerance_mm)

    return engines.run(engine, engines.cost(reference.box, prediction.box), work)


def surface_metrics(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Spacing,
    tolerance_mm: float,
    *,
    engine: Engine = "auto",
) -> dict[str, float]:
    """Compute only the surface metrics; arguments, values and errors are those of `score`.

    The surface of a mask is the set of voxel corners that touch both foreground and background,
    weighted by the marching-cubes area of their 2 x 2 x 2 voxels. Distances run from each corner to
    the nearest surface corner of the other mask. The corners of an oblique surface form a layer
    about one voxel thick, so distances between smooth surfaces are underestimated by up to half a
    voxel. Definitions and values are those of google-deepmind/surface-distance, including the
    comparison with the tolerance: ``distance <= tolerance_mm`` in float64, without slack.

    NSD is over both surfaces, as introduced by Nikolov et al. 2021; the text of the paper mentions
    only the predicted one.
    """
    _check_masks(reference, prediction)
    check_numbers(spacing, tolerance_mm)
    crops = Crop.of(reference), Crop.of(prediction)

    def work(module: EngineModule) -> dict[str, float]:
        pair = module.of_mask(crops[0]), module.of_mask(crops[1])
        return _surface(module, *pair, spacing, tolerance_mm)

    return engines.run(engine, engines.cost(crops[0].box, crops[1].box), work)


def metrics_in_region(
    reference: Boxed, prediction: Boxed, region: Box, evaluated: int
) -> dict[str, float]:
    """Compute the metrics in `PROMPT_REGION_METRICS`, restricted to the voxels in ``region``.

    ``evaluated``: how many of these are evaluated. The metrics are NaN where undefined, as in
    `score`.
    """
    counts = surface_numpy.counts(clip(reference, region), clip(prediction, region))
    values = overlap_metrics(confusion(*counts, evaluated))
    return {name: values[name.removesuffix("_in_prompt")] for name in PROMPT_REGION_METRICS}


def compute_metrics(
    module: EngineModule,
    reference: Any,
    prediction: Any,
    spacing: Spacing,
    grid_voxels: int,
    tolerance_mm: float,
) -> dict[str, float]:
    """Compute all `METRICS` of two masks that ``module.of_mask`` converted; see `score`."""
    both, in_reference, in_prediction = module.counts(reference, prediction)
    values = overlap_metrics(confusion(both, in_reference, in_prediction, grid_voxels))
    values["volume_difference"] = (in_prediction - in_reference) * prod(spacing) / 1000
    values |= _surface(module, reference, prediction, spacing, tolerance_mm)
    return {name: values[name] for name in METRICS}


def check_numbers(spacing: Spacing, tolerance_mm: float) -> None:
    """Raise a ValueError if the spacing or the tolerance is out of range."""
    if len(spacing) != 3 or not all(0 < step < np.inf for step in spacing):
        raise ValueError(f"The spacing must be three positive numbers (mm), got {spacing}.")
    if not 0 <= tolerance_mm < np.inf:
        raise ValueError(f"The tolerance must be a number of mm from 0 up, got {tolerance_mm}.")


def _surface(
    module: EngineModule, reference: Any, prediction: Any, spacing: Spacing, tolerance_mm: float
) -> dict[str, float]:
    if EMPTY in (reference.box, prediction.box):
        nsd = 0.0 if reference.box != prediction.box else nan
        return {"nsd": nsd, **dict.fromkeys(_IN_MM, nan)}
    return module.surface_metrics(reference, prediction, spacing, tolerance_mm)


def _check_masks(reference: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> None:
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
