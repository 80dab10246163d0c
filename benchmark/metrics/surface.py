"""Metrics of the distance between two surfaces, in mm."""

import numpy as np
from numpy.typing import NDArray

Spacing = tuple[float, float, float]
Distances = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Distance (mm) of each surface corner to the other surface, and its area (mm^2)."""


def from_distances(directed: tuple[Distances, Distances], tolerance_mm: float) -> dict[str, float]:
    """NSD, HD95, HD, ASD and ASSD of the distances of both surfaces, none empty.

    A distance is compared with the tolerance in float64, without slack.
    """
    totals = [float(areas.sum()) for _, areas in directed]
    within = [float(areas[distances <= tolerance_mm].sum()) for distances, areas in directed]
    sums = [float((distances * areas).sum()) for distances, areas in directed]
    means = [length / total for length, total in zip(sums, totals, strict=True)]
    return {
        "nsd": sum(within) / sum(totals),
        "hd95": max(percentile(distances, areas, 0.95) for distances, areas in directed),
        "hd": max(float(distances.max()) for distances, _ in directed),
        "asd": sum(means) / 2,
        "assd": sum(sums) / sum(totals),
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
