"""Surface metrics as defined by MONAI, MedPy and SimpleITK, for comparison with published values.

These are not the metrics of this project. Published values can only be compared with values of the
same definition. All three libraries measure between boundary voxels, without weighting by area,
instead of between surface corners:

* ``monai``: foreground voxels with a background neighbour among their 6 neighbours, where the
  outside of the scan is background. NSD counts voxels; HD95 is the larger of the two directed
  percentiles; ASD is directed, from the prediction to the reference.
* ``medpy``: the same boundary. HD95 is the percentile of both directions pooled; ASD is directed,
  from the prediction to the reference; there is no NSD.
* ``simpleitk``: the recipe of the SimpleITK notebook 34 (segmentation evaluation). Distances run
  from the boundary by 6 neighbours to the other mask's boundary by 26 neighbours, where the outside
  of the scan is foreground. HD95 and ASSD pool both directions. HD is that of
  ``HausdorffDistanceImageFilter``, over all voxels of the two masks.
"""

from math import nan
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import tight
from benchmark.errors import require_known
from benchmark.metrics.surface import Spacing
from benchmark.metrics.surface_numpy import nearest_distances

Convention = Literal["monai", "medpy", "simpleitk"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
METRICS_OF_CONVENTION: dict[Convention, tuple[str, ...]] = {
    "monai": ("nsd", "hd95", "hd", "asd", "assd"),
    "medpy": ("hd95", "hd", "asd", "assd"),
    "simpleitk": ("hd95", "hd", "assd"),
}
"""The metrics that each library defines."""


def boundary_metrics(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Spacing,
    tolerance_mm: float,
    *,
    convention: Convention,
) -> dict[str, float]:
    """Compute the metrics of one object by the ``convention`` of a library.

    `METRICS_OF_CONVENTION` lists them.

    Args:
        reference: bool (z, y, x), reference mask over the whole scan, whose border matters to
            ``simpleitk``.
        prediction: bool (z, y, x), predicted mask on the same grid.
        spacing: (z, y, x) in mm.
        tolerance_mm: tolerance of NSD.
        convention: library whose definitions are used.

    Returns:
        NSD and distances in mm by name. If one mask is empty, NSD is 0 and distances are NaN; if
        both are, all values are NaN.

    Raises:
        ValueError: the masks differ in shape, or the convention is unknown.
    """
    require_known("convention", [convention], CONVENTIONS)
    if reference.shape != prediction.shape:
        raise ValueError(f"Masks of different shapes: {reference.shape} and {prediction.shape}.")
    names = METRICS_OF_CONVENTION[convention]
    if not (reference.any() and prediction.any()):
        nsd = 0.0 if reference.any() or prediction.any() else nan
        return {name: nsd if name == "nsd" else nan for name in names}
    truth, found = _cut(reference, prediction)
    open_border = convention == "simpleitk"
    contours = [_boundary(mask, 1, open_border) for mask in (truth, found)]
    targets = [_boundary(mask, 3, open_border) for mask in (truth, found)]
    targets = targets if open_border else contours

    def distances(points: NDArray[np.bool_], to: NDArray[np.bool_]) -> NDArray[np.float64]:
        if not to.any():
            return np.zeros(0)  # a mask that fills the scan has no contour in SimpleITK
        return nearest_distances(np.argwhere(points), np.argwhere(to), spacing, tolerance_mm)

    there, back = distances(contours[1], targets[0]), distances(contours[0], targets[1])
    pooled = np.concatenate([there, back])
    values = {
        "nsd": float((pooled <= tolerance_mm).mean()) if len(pooled) else nan,
        "hd": float(pooled.max()) if len(pooled) else nan,
        "asd": float(there.mean()) if len(there) else nan,
        "assd": float(pooled.mean()) if len(pooled) else nan,
        "hd95": float(np.percentile(pooled, 95)) if len(pooled) else nan,
    }
    if convention == "monai":
        values["hd95"] = max(float(np.percentile(way, 95)) for way in (there, back))
    if convention == "simpleitk":
        outside = distances(found & ~truth, truth), distances(truth & ~found, found)
        values["hd"] = max((float(way.max()) for way in outside if len(way)), default=0.0)
    return {name: values[name] for name in names}


def _cut(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Crop both masks to their common box, with a margin of one voxel where the scan has one."""
    box = tight(reference | prediction)
    assert box is not None
    wider = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
    return reference[wider], prediction[wider]


def _boundary(mask: NDArray[np.bool_], connectivity: int, open_border: bool) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_erosion, generate_binary_structure

    neighbours = generate_binary_structure(3, connectivity)
    inner = binary_erosion(mask, neighbours, border_value=int(open_border))
    return np.asarray(mask & ~inner)
