"""Surface distances with numpy and scipy alone; the parts that both own engines share."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import EMPTY, Boxed, Crop, overlap, relative, slices
from benchmark.metrics.surface import Distances, Spacing, directed, metrics

Counts = tuple[int, int, int]
"""Voxels of both masks, of the reference, of the prediction."""

_SLAB = 1 << 20  # corners coded at a time: bounds the memory and stays in the processor's cache
_NEAR_TIE = 1e-9  # relative; far above the rounding of a distance, far below a voxel


def of_mask(mask: Boxed) -> Boxed:
    """Cut the voxels out once."""
    return Crop(mask.crop, mask.box)


def counts(reference: Boxed, prediction: Boxed) -> Counts:
    """Count the voxels of both, of the reference and of the prediction."""
    shared = overlap(reference.box, prediction.box)
    both = 0
    if shared != EMPTY:
        parts = [mask.crop[slices(relative(shared, mask.box))] for mask in (reference, prediction)]
        both = int(np.count_nonzero(parts[0] & parts[1]))
    return both, int(np.count_nonzero(reference.crop)), int(np.count_nonzero(prediction.crop))


def surface_metrics(
    reference: Boxed, prediction: Boxed, spacing: Spacing, tolerance_mm: float
) -> dict[str, float]:
    """NSD, HD95, HD, ASD and ASSD."""
    there, back = surface_distances(reference, prediction, spacing, tolerance_mm)
    return metrics(directed(there, tolerance_mm), directed(back, tolerance_mm))


class Surface(NamedTuple):
    """Corners that touch fore- and background, (n, 3) int64 (z, y, x); their areas in mm^2.

    Corner (z, y, x) lies between voxels (z-1, y-1, x-1) and (z, y, x).
    """

    corners: NDArray[np.int64]
    areas: NDArray[np.float64]


def surface_distances(
    reference: Boxed,
    prediction: Boxed,
    spacing: Spacing,
    tolerance_mm: float,
) -> tuple[Distances, Distances]:
    """Distances of the corners of the reference and of the prediction, in raster order.

    The masks are not empty. ``tolerance_mm`` names the distance at which the last
    bit counts, as it is compared with the distances.
    """
    here, there = (_surface(mask, spacing) for mask in (reference, prediction))
    return (
        (_nearest(here, there, spacing, tolerance_mm), here.areas),
        (_nearest(there, here, spacing, tolerance_mm), there.areas),
    )


def _surface(mask: Boxed, spacing: Spacing) -> Surface:
    corners, codes = zip(*_slabs(np.pad(mask.crop, 1).view(np.uint8)), strict=True)
    origin = mask.box[::2]
    return Surface(np.concatenate(corners) + origin, corner_areas(spacing)[np.concatenate(codes)])


def surface_area(mask: Boxed, spacing: Spacing) -> float:
    """Marching-cubes area of a mask that is not empty, in mm^2; beyond its box is background."""
    codes = (part for _, part in _slabs(np.pad(mask.crop, 1).view(np.uint8)))
    occurrences = sum(np.bincount(part, minlength=256) for part in codes)
    return float(occurrences @ corner_areas(spacing))


def _slabs(padded: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Corners of the surface and codes of their 2 x 2 x 2 voxels, the first voxel in bit 7."""
    step = max(1, _SLAB // (padded.shape[1] * padded.shape[2]))
    for start in range(0, len(padded) - 1, step):
        codes: Any = padded[start : start + step + 1]
        codes = codes[..., :-1] << 1 | codes[..., 1:]
        codes = codes[:, :-1] << 2 | codes[:, 1:]
        codes = codes[:-1] << 4 | codes[1:]
        found = np.flatnonzero(codes + np.uint8(1) > 1)  # wraps: neither 0 nor 255
        corners = np.stack(np.unravel_index(found, codes.shape), axis=1)
        corners[:, 0] += start
        yield corners, codes.ravel()[found]


def _nearest(
    here: Surface, there: Surface, spacing: Spacing, tolerance_mm: float
) -> NDArray[np.float64]:
    """Distance of each corner of ``here`` to the nearest of ``there``: 0 for those they share."""
    low = np.minimum(here.corners.min(axis=0), there.corners.min(axis=0))
    shape = np.maximum(here.corners.max(axis=0), there.corners.max(axis=0)) - low + 1
    keys, others = (
        np.ravel_multi_index(tuple((side.corners - low).T), tuple(shape)) for side in (here, there)
    )
    place = np.minimum(np.searchsorted(others, keys), len(others) - 1)  # raster order is sorted
    apart = np.flatnonzero(others[place] != keys)
    distances = np.zeros(len(keys))
    distances[apart] = nearest_by_tree(here.corners[apart], there.corners, spacing, tolerance_mm)
    return distances


def nearest_by_tree(
    queries: NDArray[np.int64],
    corners: NDArray[np.int64],
    spacing: Spacing,
    tolerance_mm: float,
) -> NDArray[np.float64]:
    """Distance in mm of each of ``queries`` (n, 3) to the nearest of ``corners`` (m, 3).

    The tree finds a nearest corner up to rounding; the distance is then computed from the integer
    offset. Among corners equally far but for the last bit the tree may take the larger value.
    That matters only just beyond the tolerance, so there the least of all is taken.
    """
    from scipy.spatial import cKDTree

    if not len(queries):
        return np.zeros(0)
    tree = cKDTree(corners * np.array(spacing), balanced_tree=False, compact_nodes=False)
    positions = queries * np.array(spacing)
    _, nearest = tree.query(positions)
    distances = offset_length(queries - corners[nearest], spacing)
    reach = tolerance_mm * (1 + _NEAR_TIE)
    for doubtful in np.flatnonzero((distances > tolerance_mm) & (distances <= reach)):
        ties = corners[tree.query_ball_point(positions[doubtful], reach)]
        distances[doubtful] = offset_length(queries[doubtful] - ties, spacing).min()
    return distances


def offset_length(offsets: NDArray[np.int64], spacing: Spacing) -> NDArray[np.float64]:
    """Length in mm of offsets (n, 3), rounded as in scipy's distance transform."""
    z, y, x = ((offsets[:, axis] * spacing[axis]) ** 2 for axis in range(3))
    return np.asarray(np.sqrt(z + y + x), dtype=np.float64)


@lru_cache(maxsize=64)
def corner_areas(spacing: Spacing) -> NDArray[np.float64]:
    """Area in mm^2 of the marching-cubes surface by code (256,); read-only.

    The same as ``create_table_neighbour_code_to_surface_area`` of google-deepmind/surface-distance,
    from its table of normals and in its order of operations, without a Python loop a call.
    """
    normals = _normals()
    for axis, (one, other) in enumerate(((1, 2), (0, 2), (0, 1))):
        normals[..., axis] = normals[..., axis] * spacing[one] * spacing[other]
    squares = (normals[:, :, None, :] @ normals[:, :, :, None])[..., 0, 0]
    areas = np.cumsum(np.sqrt(squares), axis=1)[:, -1]
    areas.flags.writeable = False
    return areas


def _normals() -> NDArray[np.float64]:
    """Normals of the triangles by code, (256, most triangles, 3), zero where there are fewer."""
    from surface_distance import lookup_tables

    table = lookup_tables._NEIGHBOUR_CODE_TO_NORMALS
    normals = np.zeros((256, max(map(len, table)), 3))
    for code, triangles in enumerate(table):
        normals[code, : len(triangles)] = triangles
    return normals
