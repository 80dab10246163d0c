"""Metrics of the distance between two surfaces, in mm."""

from math import nan
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics import engines
from benchmark.metrics.engines import Engine

__all__ = ["Engine", "percentile", "surface_metrics"]


def surface_metrics(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    tolerance_mm: float,
    *,
    engine: Engine = "auto",
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

    ``engine``: "reference" is that library; "numpy" and "numba" give its values, faster; "auto"
    is whichever of these two is faster here (`benchmark.metrics.engines`).

    With both masks empty all are NaN; with one empty NSD is 0 and the distances are NaN.

    Raises:
        ValueError: an ``engine`` of another name.
        ImportError: engine "numba" where numba is not installed.
    """
    if engine not in get_args(Engine):
        raise ValueError(f"The engine must be one of {', '.join(get_args(Engine))}, got {engine}.")
    filled = [mask.any(axis=(1, 2)) for mask in (reference, prediction)]
    if not all(slices.any() for slices in filled):
        nsd = 0.0 if any(slices.any() for slices in filled) else nan
        return {"nsd": nsd, "hd95": nan, "hd": nan, "asd": nan}
    if engine == "reference":
        from benchmark.metrics import surface_reference

        return surface_reference.surface_metrics(reference, prediction, spacing, tolerance_mm)

    slices = np.flatnonzero(filled[0] | filled[1])
    held = slice(slices[0], slices[-1] + 1)  # spares the engines the rest of a large scan
    directed = engines.surface_distances(
        reference[held], prediction[held], spacing, tolerance_mm, engine
    )
    totals = [float(areas.sum()) for _, areas in directed]
    within = [float(areas[distances <= tolerance_mm].sum()) for distances, areas in directed]
    means = [
        float((distances * areas).sum()) / total
        for (distances, areas), total in zip(directed, totals, strict=True)
    ]
    return {
        "nsd": sum(within) / sum(totals),
        "hd95": max(percentile(distances, areas, 0.95) for distances, areas in directed),
        "hd": max(float(distances.max()) for distances, _ in directed),
        "asd": sum(means) / 2,
    }


_FEW = 4000  # to sort them takes less time than a histogram
_BINS = 4096
_ROUNDING = 1e-9  # of a share of area: sums of areas differ by less, whatever their order


def percentile(distances: NDArray[np.float64], areas: NDArray[np.float64], share: float) -> float:
    """Least of the ``distances`` that, with all below it, hold ``share`` of the ``areas``.

    A histogram finds the few distances that come into question, so that only they are sorted.
    Where the order of summation could decide, all are sorted and summed as the library does.
    """
    if len(distances) > _FEW and (longest := float(distances.max())) > 0:
        bins = (distances * (_BINS / longest)).astype(np.int16)
        cumulated = np.cumsum(np.bincount(bins, weights=areas)) / areas.sum()
        chosen = min(int(np.searchsorted(cumulated, share)), len(cumulated) - 1)
        inside = np.flatnonzero(bins == chosen)
        inside = inside[np.argsort(distances[inside])]
        below = cumulated[chosen - 1] if chosen else 0.0
        shares = below + np.cumsum(areas[inside]) / areas.sum()
        if np.abs(np.append(shares, below) - share).min() > _ROUNDING:
            return float(distances[inside[np.searchsorted(shares, share)]])
    order = np.lexsort((areas, distances))
    areas = areas[order]
    place = int(np.searchsorted(np.cumsum(areas) / areas.sum(), share))
    return float(distances[order[min(place, len(order) - 1)]])
