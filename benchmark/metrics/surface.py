"""Metrics of the distance between two surfaces, in mm."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Spacing = tuple[float, float, float]
Distances = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Distance (mm) of each surface corner to the other surface, and its area (mm^2)."""


SHARE = 0.95  # of the area, for HD95


class Directed(NamedTuple):
    """What the metrics need to know of the distances of one surface to the other."""

    area: float  # of the surface, mm^2
    within: float  # area within the tolerance, mm^2
    moment: float  # integral of the distance over the area, mm^3
    farthest: float  # mm
    percentile: float  # distance within which `SHARE` of the area lies, mm


def metrics(one: Directed, other: Directed) -> dict[str, float]:
    """NSD, HD95, HD, ASD and ASSD of the two directions."""
    area = one.area + other.area
    return {
        "nsd": (one.within + other.within) / area,
        "hd95": max(one.percentile, other.percentile),
        "hd": max(one.farthest, other.farthest),
        "asd": (one.moment / one.area + other.moment / other.area) / 2,
        "assd": (one.moment + other.moment) / area,
    }


def directed(of: Distances, tolerance_mm: float) -> Directed:
    """Sum up the distances of one surface; compared with the tolerance in float64, no slack."""
    distances, areas = of
    return Directed(
        area=float(areas.sum()),
        within=float(areas[distances <= tolerance_mm].sum()),
        moment=float((distances * areas).sum()),
        farthest=float(distances.max()),
        percentile=percentile(distances, areas, SHARE),
    )


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
