"""The numpy engine: surface distances with numpy and scipy, and code shared with numba's."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import EMPTY, Boxed, Crop, overlap, relative, slices
from benchmark.metrics.surface import Distances, Spacing, directed, metrics

Counts = tuple[int, int, int]
"""Numbers of voxels of the intersection, of the reference and of the prediction."""

_SLAB = 1 << 20  # corners coded at a time: bounds the memory and fits in the CPU cache
_FAR = 6  # voxels from which on many queries take the tree longer than a distance transform
_VOXELS_A_QUERY = 300  # whose transform takes about as long as a far query of a tree
_MOST_VOXELS = 30_000_000  # of a transform, which takes 13 bytes each
_NEAR_TIE = 1e-9  # relative; far above the rounding of a distance, far below a voxel


def of_mask(mask: Boxed) -> Boxed:
    """Read the crop once, since a mask may compute it on each access."""
    return Crop(mask.crop, mask.box)


def counts(reference: Boxed, prediction: Boxed) -> Counts:
    """Count the voxels of the intersection, of the reference and of the prediction."""
    shared = overlap(reference.box, prediction.box)
    both = 0
    if shared != EMPTY:
        parts = [mask.crop[slices(relative(shared, mask.box))] for mask in (reference, prediction)]
        both = int(np.count_nonzero(parts[0] & parts[1]))
    return both, int(np.count_nonzero(reference.crop)), int(np.count_nonzero(prediction.crop))


def surface_metrics(
    reference: Boxed, prediction: Boxed, spacing: Spacing, tolerance_mm: float
) -> dict[str, float]:
    """Compute the surface metrics of two masks, neither empty; distances in mm."""
    there, back = surface_distances(reference, prediction, spacing, tolerance_mm)
    return metrics(directed(there, tolerance_mm), directed(back, tolerance_mm))


class Surface(NamedTuple):
    """Corners that touch foreground and background, (n, 3) int64 (z, y, x), and areas in mm^2.

    Corner (z, y, x) is between the voxels (z-1, y-1, x-1) and (z, y, x).
    """

    corners: NDArray[np.int64]
    areas: NDArray[np.float64]


def surface_distances(
    reference: Boxed,
    prediction: Boxed,
    spacing: Spacing,
    tolerance_mm: float,
) -> tuple[Distances, Distances]:
    """Compute the distances of the corners of the reference and of the prediction.

    Corners are in raster order; neither mask may be empty. Near ``tolerance_mm``, distances are
    exact to the last bit, because they are compared with it.
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
    """Return the marching-cubes area of a mask in mm^2; outside of its box is background."""
    codes = (part for _, part in _slabs(np.pad(mask.crop, 1).view(np.uint8)))
    occurrences = sum(np.bincount(part, minlength=256) for part in codes)
    return float(occurrences @ corner_areas(spacing))


def _slabs(padded: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield slabs of surface corners, (n, 3), with the codes of their 2 x 2 x 2 voxels, (n,).

    The first voxel is bit 7 of the code. ``padded`` is a mask with a margin of one voxel.
    """
    step = max(1, _SLAB // (padded.shape[1] * padded.shape[2]))
    for start in range(0, len(padded) - 1, step):
        codes: Any = padded[start : start + step + 1]
        codes = codes[..., :-1] << 1 | codes[..., 1:]
        codes = codes[:, :-1] << 2 | codes[:, 1:]
        codes = codes[:-1] << 4 | codes[1:]
        found = np.flatnonzero(codes + np.uint8(1) > 1)  # uint8 wraps: neither 0 nor 255
        corners = np.stack(np.unravel_index(found, codes.shape), axis=1)
        corners[:, 0] += start
        yield corners, codes.ravel()[found]


def _nearest(
    here: Surface, there: Surface, spacing: Spacing, tolerance_mm: float
) -> NDArray[np.float64]:
    """Return the distance of each corner of ``here`` to the nearest of ``there``, in mm."""
    low = np.minimum(here.corners.min(axis=0), there.corners.min(axis=0))
    shape = np.maximum(here.corners.max(axis=0), there.corners.max(axis=0)) - low + 1
    keys, others = (
        np.ravel_multi_index(tuple((side.corners - low).T), tuple(shape)) for side in (here, there)
    )
    place = np.minimum(np.searchsorted(others, keys), len(others) - 1)  # raster order is sorted
    apart = np.flatnonzero(others[place] != keys)
    distances = np.zeros(len(keys))
    distances[apart] = nearest_distances(here.corners[apart], there.corners, spacing, tolerance_mm)
    return distances


def nearest_distances(
    queries: NDArray[np.int64],
    corners: NDArray[np.int64],
    spacing: Spacing,
    tolerance_mm: float,
) -> NDArray[np.float64]:
    """Return the distance in mm of each of ``queries``, (n, 3), to the nearest of ``corners``.

    ``corners`` is (m, 3), in voxels like the queries. A k-d tree finds the nearest corner up to
    rounding, and the distance is recomputed from the integer offset. If corners are equally far up
    to the last bit, the tree may choose one that is not the minimum. This matters only just above
    the tolerance, so the minimum of all candidates is taken there. A query far away from all
    corners takes the tree long, so if there are many of both, a distance transform finds theirs.
    """
    from scipy.spatial import cKDTree

    if not len(queries):
        return np.zeros(0)
    tree = cKDTree(corners * np.array(spacing), balanced_tree=False, compact_nodes=False)
    positions = queries * np.array(spacing)
    _, near = tree.query(positions, distance_upper_bound=_FAR * np.cbrt(np.prod(spacing)))
    far = np.flatnonzero(near == len(corners))
    near[far] = 0
    nearest = corners[near]
    if len(far):
        low = np.minimum(queries[far].min(axis=0), corners.min(axis=0))
        shape = np.maximum(queries[far].max(axis=0), corners.max(axis=0)) - low + 1
        if shape.prod() <= min(_VOXELS_A_QUERY * min(len(far), len(corners)), _MOST_VOXELS):
            nearest[far] = low + _transform(queries[far] - low, corners - low, shape, spacing)
        else:
            nearest[far] = corners[tree.query(positions[far])[1]]
    distances = offset_length(queries - nearest, spacing)
    reach = tolerance_mm * (1 + _NEAR_TIE)
    for doubtful in np.flatnonzero(nearly_beyond(distances, tolerance_mm)):
        ties = corners[tree.query_ball_point(positions[doubtful], reach)]
        distances[doubtful] = offset_length(queries[doubtful] - ties, spacing).min()
    return distances


def _transform(
    queries: NDArray[np.int64],
    corners: NDArray[np.int64],
    shape: NDArray[np.int64],
    spacing: Spacing,
) -> NDArray[np.int64]:
    """Return the nearest of ``corners``, (m, 3), of each query, (n, 3), on a grid of ``shape``."""
    from scipy.ndimage import distance_transform_edt

    free = np.ones(shape, np.bool_)
    free[tuple(corners.T)] = False
    nearest = distance_transform_edt(free, spacing, return_distances=False, return_indices=True)
    return np.asarray(nearest[(slice(None), *queries.T)].T, np.int64)


def nearly_beyond(distances: NDArray[np.float64], tolerance_mm: float) -> NDArray[np.bool_]:
    """Return which distances, (n,) in mm, are beyond the tolerance perhaps by rounding alone."""
    return (distances > tolerance_mm) & (distances <= tolerance_mm * (1 + _NEAR_TIE))


def offset_length(offsets: NDArray[np.int64], spacing: Spacing) -> NDArray[np.float64]:
    """Return the length in mm of ``offsets``, (n, 3), rounded as in scipy's distance transform."""
    z, y, x = ((offsets[:, axis] * spacing[axis]) ** 2 for axis in range(3))
    return np.asarray(np.sqrt(z + y + x), dtype=np.float64)


@lru_cache(maxsize=64)
def corner_areas(spacing: Spacing) -> NDArray[np.float64]:
    """Return the area in mm^2 of the marching-cubes surface by voxel code, (256,), read-only.

    The values are those of ``create_table_neighbour_code_to_surface_area`` in
    google-deepmind/surface-distance, from its table of normals and in its order of operations, but
    vectorised.
    """
    normals = _normals()
    for axis, (one, other) in enumerate(((1, 2), (0, 2), (0, 1))):
        normals[..., axis] = normals[..., axis] * spacing[one] * spacing[other]
    squares = (normals[:, :, None, :] @ normals[:, :, :, None])[..., 0, 0]
    areas = np.cumsum(np.sqrt(squares), axis=1)[:, -1]
    areas.flags.writeable = False
    return areas


def _normals() -> NDArray[np.float64]:
    """Return the normals of the triangles by code, (256, triangles, 3), padded with zeros."""
    from surface_distance import lookup_tables

    table = lookup_tables._NEIGHBOUR_CODE_TO_NORMALS
    normals = np.zeros((256, max(map(len, table)), 3))
    for code, triangles in enumerate(table):
        normals[code, : len(triangles)] = triangles
    return normals
