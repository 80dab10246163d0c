"""Surface metrics, from the distances between two surfaces in mm."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Spacing = tuple[float, float, float]
Distances = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Distances (mm) of the corners of a surface to the other one, and their areas (mm^2); (n,)."""


SHARE = 0.95  # of the area, for HD95


class Directed(NamedTuple):
    """Summary of the distances from one surface to the other."""

    area: float  # of the surface, mm^2
    within: float  # area within the tolerance, mm^2
    moment: float  # integral of the distance over the area, mm^3
    farthest: float  # mm
    percentile: float  # distance within which `SHARE` of the area lies, mm


def metrics(reference: Directed, prediction: Directed) -> dict[str, float]:
    """Compute the surface metrics from the summaries of the two directions.

    ``reference`` are the distances of the reference's surface to the predicted one, ``prediction``
    those back.
    """
    area = reference.area + prediction.area
    to_prediction = reference.moment / reference.area
    to_reference = prediction.moment / prediction.area
    return {
        "nsd": (reference.within + prediction.within) / area,
        "hd95": max(reference.percentile, prediction.percentile),
        "hd": max(reference.farthest, prediction.farthest),
        "asd": (to_prediction + to_reference) / 2,
        "assd": (reference.moment + prediction.moment) / area,
        "asd_to_reference": to_reference,
        "asd_to_prediction": to_prediction,
    }


def directed(of: Distances, tolerance_mm: float) -> Directed:
    """Summarise the distances of one surface; the tolerance is compared in float64, no slack."""
    distances, areas = of
    return Directed(
        area=float(areas.sum()),
        within=float(areas[distances <= tolerance_mm].sum()),
        moment=float((distances * areas).sum()),
        farthest=float(distances.max()),
        percentile=percentile(distances, areas, SHARE),
    )


_FEW = 4000  # up to so many, sorting is faster than a histogram
_BINS = 4096
_ROUNDING = 1e-9  # bounds the effect of the order of summation on a share of the area


def percentile(distances: NDArray[np.float64], areas: NDArray[np.float64], share: float) -> float:
    """Return the area-weighted percentile of ``distances``, (n,), at ``share``.

    This is the smallest distance up to which corners make up at least ``share`` of the ``areas``,
    as in google-deepmind/surface-distance. A histogram selects the few distances that have to be
    sorted. If the result might depend on the order of summation, all of them are sorted and summed
    as in that library.
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
