"""Compiled loops of `benchmark.metrics.surface_fast` over packed voxels, corners and distances."""

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Box
from benchmark.metrics.compiled import Words, compiled, leading_zeros, population, trailing_zeros

Shift = tuple[int, ...]
REACH = 4  # largest step of `nearest_kernels.by_steps` along an axis, in voxels
BINS = 4096  # of a histogram of distances
ROUNDING = 1e-9  # bounds the effect of the order of summation on a share of the area
MARGIN = 2 * REACH  # empty rows around a surface; along x, one word before and two after it


@compiled
def _from(row: Words, start: int) -> np.uint64:
    """Return the 64 bits of a row from bit ``start`` on; bits outside of the row are 0."""
    w, shift = start >> 6, np.uint64(start & 63)
    word = np.uint64(0)
    if 0 <= w < len(row):
        word = row[w] >> shift
    if shift and 0 <= w + 1 < len(row):
        word |= row[w + 1] << (np.uint64(64) - shift)
    return word


@compiled
def fill(
    starts: NDArray[np.int64], stops: NDArray[np.int64], shape: Shift, box: Box, words: Words
) -> None:
    """Set the bits of runs of voxels in ``words``, (nz + 2, ny + 2, words), the mask of ``box``.

    ``starts`` and ``stops``, (runs,), are half-open flat indices into an array of ``shape``.
    """
    _, ny, nx = shape
    for run in range(len(starts)):
        row = starts[run] // nx
        z, y = row // ny - box[0] + 1, row % ny - box[2] + 1
        first = starts[run] - row * nx - box[4]
        last = stops[run] - row * nx - box[4] - 1
        for w in range(first >> 6, (last >> 6) + 1):
            word = ~np.uint64(0)
            if w == first >> 6:
                word &= ~np.uint64(0) << np.uint64(first & 63)
            if w == last >> 6:
                word &= ~np.uint64(0) >> np.uint64(63 - (last & 63))
            words[z, y, w] |= word


@compiled
def ones(words: Words) -> int:
    """Count the bits that are set."""
    count = 0
    for word in words.ravel():
        count += population(word)
    return count


@compiled
def shared(words: Words, others: Words, shift: Shift) -> int:
    """Count the bits set in both; ``shift`` is added to a position in the first for the other."""
    count = 0
    for z in range(words.shape[0]):
        other_z = z + shift[0]
        if not 0 <= other_z < others.shape[0]:
            continue
        for y in range(words.shape[1]):
            other_y = y + shift[1]
            if not 0 <= other_y < others.shape[1]:
                continue
            for w in range(words.shape[2]):
                word = words[z, y, w]
                if word:
                    count += population(word & _from(others[other_z, other_y], 64 * w + shift[2]))
    return count


@compiled
def surface_rows(words: Words) -> tuple[Words, NDArray[np.int32], int]:
    """Find the surface corners of a packed mask.

    Args:
        words: (nz + 2, ny + 2, words), the voxels, with an empty row on each side.

    Returns:
        The corners as rows of bits with a `MARGIN`, the first and last corner of each row (first >
        last if it has none), and the number of corners.
    """
    nz, ny, nw = words.shape[0] - 1, words.shape[1] - 1, words.shape[2]
    one, last = np.uint64(1), np.uint64(63)
    rows = np.zeros((nz + 2 * MARGIN, ny + 2 * MARGIN, nw + 3), dtype=np.uint64)
    ends = np.empty((nz + 2 * MARGIN, ny + 2 * MARGIN, 2), dtype=np.int32)
    ends[..., 0], ends[..., 1] = 64 * (nw + 3), -1
    count = 0
    for z in range(nz):
        for y in range(ny):
            carried_any = carried_all = np.uint64(0)
            first_corner, last_corner = 64 * (nw + 3), -1
            for w in range(nw):
                a, b = words[z, y, w], words[z, y + 1, w]
                c, d = words[z + 1, y, w], words[z + 1, y + 1, w]
                some, every = a | b | c | d, a & b & c & d
                word = (some | some << one | carried_any) & ~(every & (every << one | carried_all))
                carried_any, carried_all = some >> last, every >> last
                if word:
                    rows[z + MARGIN, y + MARGIN, w + 1] = word
                    if last_corner < 0:
                        first_corner = 64 * (w + 1) + trailing_zeros(word)
                    last_corner = 64 * (w + 1) + 63 - leading_zeros(word)
                    count += population(word)
            ends[z + MARGIN, y + MARGIN, 0] = first_corner
            ends[z + MARGIN, y + MARGIN, 1] = last_corner
    return rows, ends, count


@compiled
def corners(
    words: Words, rows: Words, count: int, area_of: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the corners of the surface, (count, 3) in raster order, and their areas, (count,).

    Args:
        words: (nz + 2, ny + 2, words), the voxels.
        rows: the surface, from `surface_rows`; corners are positions in it.
        count: number of corners.
        area_of: (256,), area by the code of the 2 x 2 x 2 voxels around a corner, of which the
            first is bit 7.
    """
    corners = np.empty((count, 3), dtype=np.int32)
    areas = np.empty(count, dtype=np.float64)
    one, last = np.uint64(1), np.uint64(63)
    around = np.empty(8, dtype=np.uint64)
    found = 0
    for z in range(words.shape[0] - 1):
        for y in range(words.shape[1] - 1):
            for w in range(words.shape[2]):
                word = rows[z + MARGIN, y + MARGIN, w + 1]
                if not word:
                    continue
                for pair in range(4):
                    here = words[z + (pair >> 1), y + (pair & 1)]
                    before = here[w - 1] >> last if w else np.uint64(0)
                    around[2 * pair] = here[w] << one | before
                    around[2 * pair + 1] = here[w]
                while word:
                    bit = np.uint64(trailing_zeros(word))
                    word &= word - one
                    code = np.uint64(0)
                    for voxel in range(8):
                        code = code << one | ((around[voxel] >> bit) & one)
                    corners[found, 0], corners[found, 1] = z + MARGIN, y + MARGIN
                    corners[found, 2] = 64 * (w + 1) + np.int64(bit)
                    areas[found] = area_of[code]
                    found += 1
    return corners, areas


@compiled
def summed_up(
    squared: NDArray[np.float64], areas: NDArray[np.float64], tolerance_mm: float
) -> tuple[float, float, float, float]:
    """Take the square root of ``squared`` in place and summarise the distances.

    Return area, area within the tolerance, moment and farthest, as in `surface.Directed`.
    """
    area = within = moment = farthest = 0.0
    for corner in range(len(squared)):
        distance = np.sqrt(squared[corner])
        squared[corner] = distance
        area += areas[corner]
        moment += distance * areas[corner]
        if distance <= tolerance_mm:
            within += areas[corner]
        farthest = max(farthest, distance)
    return area, within, moment, farthest


@compiled
def percentile(
    distances: NDArray[np.float64], areas: NDArray[np.float64], share: float, area: float
) -> float:
    """Compute `benchmark.metrics.surface.percentile`; -1 if the order of summation could matter.

    Histograms of ever narrower ranges are computed until a bin contains a single value.
    """
    number = min(len(distances), BINS)
    sums = np.empty(number)
    least, most = np.empty(number), np.empty(number)
    low, high, below = distances.min(), distances.max(), 0.0
    while high > low:
        sums[:], least[:], most[:] = 0.0, np.inf, 0.0
        scale = number / (high - low)
        for corner in range(len(distances)):
            distance = distances[corner]
            if low <= distance <= high:
                place = min(number - 1, int((distance - low) * scale))
                sums[place] += areas[corner]
                least[place] = min(least[place], distance)
                most[place] = max(most[place], distance)
        place = 0
        while place < number - 1 and below + sums[place] < share * area:
            below += sums[place]
            place += 1
        over, under = below + sums[place] - share * area, share * area - below
        if min(over, under) <= ROUNDING * area:
            return -1.0
        low, high = least[place], most[place]
    return float(low)
