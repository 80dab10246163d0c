"""Surface distances compiled by numba: 64 corners a machine word.

Packed voxels give the surface of 64 corners in a dozen bit operations, and the surface as rows of
bits along x gives the nearest corner of a row by counting zeros. A corner is compared with the
rows of the other surface in order of their distance in the (z, y) plane, until that alone is no
less than the best found. What is farther than the table of offsets reaches is left to all pairs,
or to a tree where these are many. Distances are computed from integer offsets in float64.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.surface_kernels import (
    Words,
    all_pairs,
    box,
    by_rows,
    corners,
    surface_rows,
)
from benchmark.metrics.surface_numpy import Distances, Spacing, corner_areas, nearest_by_tree

_OFFSETS = 2048  # rows looked at for a corner before it is left to all pairs or the tree
_PAIRS = 20_000_000  # pairs of corners up to which looking at all beats building a tree


class Surface(NamedTuple):
    """A surface in its own box of corners."""

    rows: Words  # (nz, ny, words): bit x of a row is set where corner (z, y, x) is of the surface
    ends: NDArray[np.int32]  # (nz, ny, 2): first and last corner of a row; first > last if empty
    corners: NDArray[np.int32]  # (n, 3), raster order
    areas: NDArray[np.float64]  # (n,), mm^2
    origin: NDArray[np.int32]  # (3,), of the box in the array


def surface_distances(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Spacing,
    tolerance_mm: float,
) -> tuple[Distances, Distances]:
    """As `benchmark.metrics.surface_numpy.surface_distances`."""
    here, there = (_surface(mask, spacing) for mask in (reference, prediction))
    return (
        (_nearest(here, there, spacing, tolerance_mm), here.areas),
        (_nearest(there, here, spacing, tolerance_mm), there.areas),
    )


def _surface(mask: NDArray[np.bool_], spacing: Spacing) -> Surface:
    voxels = np.ascontiguousarray(mask).view(np.uint8)
    voxels.flags.writeable = False  # one type for the compiler, whatever the caller's array is
    low, high = box(voxels)
    inside = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    nz, ny, nx = (int(size) for size in high - low)
    packed = np.zeros((nz + 2, ny + 2, 8 * (nx // 64 + 1)), np.uint8)
    bits = np.packbits(mask[inside], axis=2, bitorder="little")
    packed[1:-1, 1:-1, : bits.shape[2]] = bits
    words = packed.view("<u8")
    rows, ends, count = surface_rows(words)
    found, codes = corners(words, rows, count)
    return Surface(rows, ends, found, corner_areas(spacing)[codes], low)


def _nearest(
    here: Surface, there: Surface, spacing: Spacing, tolerance_mm: float
) -> NDArray[np.float64]:
    queries = here.corners + (here.origin - there.origin)
    squared = np.empty(len(queries))
    if len(queries) * len(there.corners) <= _PAIRS // 100:
        all_pairs(queries, there.corners, spacing, squared)
        return np.sqrt(squared)
    offsets, in_plane = _offsets(spacing[0], spacing[1], _OFFSETS)
    solved = by_rows(queries, there.rows, there.ends, offsets, in_plane, spacing, squared)
    distances = np.sqrt(squared)
    if not solved.all():
        left = np.flatnonzero(~solved)
        if len(left) * len(there.corners) <= _PAIRS:
            rest = np.empty(len(left))
            all_pairs(queries[left], there.corners, spacing, rest)
            distances[left] = np.sqrt(rest)
        else:
            distances[left] = nearest_by_tree(
                queries[left].astype(np.int64),
                there.corners.astype(np.int64),
                spacing,
                tolerance_mm,
            )
    return distances


@lru_cache(maxsize=64)
def _offsets(
    z_step: float, y_step: float, number: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The nearest ``number`` or so of offsets (n, 2) between rows, and their squares in mm^2."""
    radius = float(np.sqrt(number * z_step * y_step / np.pi))
    radius = max(radius, 3 * z_step, 3 * y_step)
    most_z, most_y = int(radius / z_step), int(radius / y_step)
    z, y = np.mgrid[-most_z : most_z + 1, -most_y : most_y + 1]
    squared = (z * z_step) ** 2 + (y * y_step) ** 2
    z, y, squared = (grid[squared <= radius**2] for grid in (z, y, squared))
    order = np.argsort(squared, kind="stable")
    offsets = np.stack([z[order], y[order]], axis=1).astype(np.int32)
    return offsets, np.ascontiguousarray(squared[order])
