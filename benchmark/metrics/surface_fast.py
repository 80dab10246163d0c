"""The numba engine: surface distances on packed bits, 64 corners per machine word.

With voxels packed along x, a dozen bit operations find the surface at 64 corners, and counting
zeros finds the nearest corner in a row. Corners close to the other surface are solved by trying the
shortest offsets for 64 corners at a time. For the others, rows are searched in order of their
distance in the (z, y) plane until this distance exceeds the best one found. What is farther away,
or would take longer than that, is left to a distance transform, or to a comparison with all corners
if these are few. The choice depends on counts only, so it is reproducible. Distances are computed
in float64 from integer offsets.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Box, Boxed, size
from benchmark.masks.labelmap import Label
from benchmark.metrics import nearest_kernels, surface
from benchmark.metrics import surface_kernels as kernels
from benchmark.metrics.compiled import Words
from benchmark.metrics.surface import Directed, Spacing
from benchmark.metrics.surface_kernels import Shift
from benchmark.metrics.surface_numpy import Counts, corner_areas, nearest_distances, nearly_beyond

_STEPS = 200  # steps tried with all corners of a word at once
_OFFSETS = 2048  # approximate number of rows searched for a corner
_PAIR, _STEP, _ROW = 1, 4, 16  # about ns: compare two corners, one step of the transform, one row
_FEW_PAIRS = 200_000  # up to so many pairs of corners, comparing all of them is fastest


class Bits(NamedTuple):
    """A packed mask: bit x of a row of ``words`` is voxel x of its box.

    There is an empty row on each side along z and y.
    """

    words: Words  # (nz + 2, ny + 2, nx // 64 + 1)
    box: Box


class Surface(NamedTuple):
    """A surface on the corners of the box of its mask, with a margin of `kernels.MARGIN`."""

    rows: Words  # (nz, ny, words): bit x of a row says whether corner (z, y, x) is on the surface
    ends: NDArray[np.int32]  # (nz, ny, 2): first and last corner of a row; first > last if empty
    corners: NDArray[np.int32]  # (n, 3), raster order
    areas: NDArray[np.float64]  # (n,), mm^2
    box: Box  # of the mask


def of_mask(mask: Boxed) -> Bits:
    """Pack a mask into bits; a `Label` is packed from its runs, without reading its voxels."""
    nz, ny, nx = size(mask.box)
    words = np.zeros((nz + 2, ny + 2, nx // 64 + 1), np.uint64)
    if isinstance(mask, Label):
        kernels.fill(mask.starts, mask.stops, mask.labels.shape, mask.box, words)
    else:
        bits = np.packbits(mask.crop, axis=2, bitorder="little")
        words.view(np.uint8)[1:-1, 1:-1, : bits.shape[2]] = bits
    return Bits(words, mask.box)


def counts(reference: Bits, prediction: Bits) -> Counts:
    """Count the voxels of the intersection, of the reference and of the prediction."""
    shift = _apart(reference.box, prediction.box)
    return (
        kernels.shared(reference.words, prediction.words, shift),
        kernels.ones(reference.words),
        kernels.ones(prediction.words),
    )


def surface_metrics(
    reference: Bits, prediction: Bits, spacing: Spacing, tolerance_mm: float
) -> dict[str, float]:
    """Compute the surface metrics of two masks, neither empty; distances in mm."""
    here, there = _surface(reference, spacing), _surface(prediction, spacing)
    return surface.metrics(
        _directed(here, there, spacing, tolerance_mm),
        _directed(there, here, spacing, tolerance_mm),
    )


def _apart(one: Box, other: Box) -> Shift:
    """Return the offset from positions relative to the first box to those relative to the other."""
    return one[0] - other[0], one[2] - other[2], one[4] - other[4]


def _surface(mask: Bits, spacing: Spacing) -> Surface:
    rows, ends, count = kernels.surface_rows(mask.words)
    return Surface(
        rows, ends, *kernels.corners(mask.words, rows, count, corner_areas(spacing)), mask.box
    )


def _directed(here: Surface, there: Surface, spacing: Spacing, tolerance_mm: float) -> Directed:
    squared = np.empty(len(here.corners))
    shift = _apart(here.box, there.box)
    steps, lengths = _steps(spacing, _STEPS)
    left = nearest_kernels.by_steps(
        here.rows, here.ends, there.rows, shift, steps, lengths, squared
    )
    if len(left):
        queries = here.corners[left] + np.array(shift, np.int32)
        squared[left] = _far(queries, there, spacing, tolerance_mm)
    area, within, moment, farthest = kernels.summed_up(squared, here.areas, tolerance_mm)
    distances = squared  # `summed_up` took the roots in place
    limit = kernels.percentile(distances, here.areas, surface.SHARE, area)
    if limit < 0:
        limit = surface.percentile(distances, here.areas, surface.SHARE)
    return Directed(area, within, moment, farthest, limit)


def _far(
    queries: NDArray[np.int32], there: Surface, spacing: Spacing, tolerance_mm: float
) -> NDArray[np.float64]:
    """Return the squared distance in mm^2 of each query to the surface ``there``, (n,).

    ``queries``, (n, 3) in raster order, are positions relative to the box of that surface.
    """
    squared = np.empty(len(queries))
    if len(queries) * len(there.corners) <= _FEW_PAIRS:
        nearest_kernels.all_pairs(queries, there.corners, spacing, squared)
        return squared
    # The rows may take as long as the transform would, so both together are at most twice as long
    # as the better one.
    most_rows = _cost_of_planes(queries, there) // _ROW
    offsets, in_plane = _offsets(spacing[0], spacing[1], _OFFSETS)
    solved = nearest_kernels.by_rows(
        queries, there.rows, there.ends, offsets, in_plane, spacing, most_rows, squared
    )
    left = np.flatnonzero(~solved)
    if len(left):
        squared[left] = _farther(queries[left], there, spacing, tolerance_mm)
    return squared


def _farther(
    queries: NDArray[np.int32], there: Surface, spacing: Spacing, tolerance_mm: float
) -> NDArray[np.float64]:
    """Do as `_far`, in a time that does not depend on the distances."""
    squared = np.empty(len(queries))
    if len(queries) * len(there.corners) * _PAIR <= _cost_of_planes(queries, there):
        nearest_kernels.all_pairs(queries, there.corners, spacing, squared)
        return squared
    order = np.argsort(queries[:, 2], kind="stable")
    nearest_kernels.by_planes(queries, order, there.rows, there.ends, spacing, squared)
    doubtful = np.flatnonzero(nearly_beyond(np.sqrt(squared), tolerance_mm))
    if len(doubtful):
        exact = queries[doubtful].astype(np.int64), there.corners.astype(np.int64)
        squared[doubtful] = nearest_distances(*exact, spacing, tolerance_mm) ** 2
    return squared


def _cost_of_planes(queries: NDArray[np.int32], there: Surface) -> int:
    """Return the time of `nearest_kernels.by_planes`, in the unit of `_STEP`."""
    nz, ny, _ = there.rows.shape
    z, _, x = (np.ptp(queries, axis=0) + 1).tolist()
    return int(x * 2 * (nz + z) * ny * _STEP)


@lru_cache(maxsize=64)
def _steps(spacing: Spacing, number: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the shortest offsets on the grid, (n, 3), and their squared lengths in mm^2, (n,).

    There are at most ``number``, ascending by length.
    """
    z, y, x = np.mgrid[
        -kernels.REACH : kernels.REACH + 1,
        -kernels.REACH : kernels.REACH + 1,
        -kernels.REACH : kernels.REACH + 1,
    ]
    squared = (z * spacing[0]) ** 2 + (y * spacing[1]) ** 2 + (x * spacing[2]) ** 2
    # Longer steps are incomplete: the cube lacks those that go farther along the finest axis.
    whole = squared < (min(spacing) * (kernels.REACH + 1)) ** 2
    order = np.argsort(squared[whole], kind="stable")[:number]
    steps = np.stack([axis[whole][order] for axis in (z, y, x)], axis=1).astype(np.int32)
    return steps, squared[whole][order]


@lru_cache(maxsize=64)
def _offsets(
    z_step: float, y_step: float, number: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the shortest offsets between rows, (n, 2), and their squared lengths in mm^2, (n,).

    There are about ``number``, ascending by length.
    """
    radius = float(np.sqrt(number * z_step * y_step / np.pi))
    radius = max(radius, 3 * z_step, 3 * y_step)
    most_z, most_y = int(radius / z_step), int(radius / y_step)
    z, y = np.mgrid[-most_z : most_z + 1, -most_y : most_y + 1]
    squared = (z * z_step) ** 2 + (y * y_step) ** 2
    z, y, squared = (grid[squared <= radius**2] for grid in (z, y, squared))
    order = np.argsort(squared, kind="stable")
    offsets = np.stack([z[order], y[order]], axis=1).astype(np.int32)
    return offsets, np.ascontiguousarray(squared[order])
