"""Compiled loops of `benchmark.metrics.surface_fast` that find the nearest corner."""

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.compiled import Words, compiled, leading_zeros, population, trailing_zeros
from benchmark.metrics.surface import Spacing
from benchmark.metrics.surface_kernels import REACH, Shift


@compiled
def by_steps(
    rows: Words,
    ends: NDArray[np.int32],
    others: Words,
    shift: Shift,
    steps: NDArray[np.int32],
    lengths: NDArray[np.float64],
    squared: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Find the nearest corner for those that are few steps away from one, 64 corners at a time.

    All corners of a word are tried with one step after the other, the shortest first. The margin
    around ``others`` makes bounds checks within a step unnecessary.

    Args:
        rows: (z, y, words), surface whose corners look for the nearest one.
        ends: (z, y, 2), first and last corner of each row.
        others: (z, y, words), the other surface.
        shift: (z, y, x), added to a position in ``rows`` to give that in ``others``.
        steps: (n, 3), offsets in voxels, ascending by length.
        lengths: (n,), their squared lengths in mm^2.
        squared: (corners,), filled with the squared distance in mm^2 where a step succeeds.

    Returns:
        Indices of the remaining corners, in raster order.
    """
    nz, ny, nw = others.shape
    flat = others.ravel()
    one = np.uint64(1)
    words_on = np.empty(len(steps), dtype=np.int64)
    bits_on = np.empty(len(steps), dtype=np.uint64)
    for step in range(len(steps)):
        dz, dy, x = steps[step, 0], steps[step, 1], shift[2] + steps[step, 2]
        words_on[step] = (dz * ny + dy) * nw + (x >> 6)
        bits_on[step] = x & 63
    low, high = (shift[2] - REACH) >> 6, ((shift[2] + REACH) >> 6) + 1
    left = np.empty(len(squared), dtype=np.int64)
    count = first = 0
    for z in range(rows.shape[0]):
        other_z = z + shift[0]
        for y in range(rows.shape[1]):
            if ends[z, y, 1] < 0:
                continue
            other_y = y + shift[1]
            near = REACH <= other_z < nz - REACH and REACH <= other_y < ny - REACH
            for w in range(ends[z, y, 0] >> 6, (ends[z, y, 1] >> 6) + 1):
                word = rows[z, y, w]
                if not word:
                    continue
                unsolved = word
                if near and w + low >= 0 and w + high < nw:
                    start = (other_z * ny + other_y) * nw + w
                    for step in range(len(steps)):
                        place, bits = start + words_on[step], bits_on[step]
                        after = flat[place + 1] << one << (np.uint64(63) - bits)
                        met = unsolved & (flat[place] >> bits | after)
                        if not met:
                            continue
                        unsolved ^= met
                        while met:
                            bit = met & (~met + one)
                            met ^= bit
                            squared[first + population(word & (bit - one))] = lengths[step]
                        if not unsolved:
                            break
                while unsolved:
                    bit = unsolved & (~unsolved + one)
                    unsolved ^= bit
                    left[count] = first + population(word & (bit - one))
                    count += 1
                first += population(word)
    return left[:count].copy()


@compiled
def _in_row(rows: Words, z: int, y: int, x: int, most: int) -> int:
    """Return the nearest corner to ``x`` in row (z, y), or -1 if it is farther than ``most``."""
    nw = rows.shape[2]
    best, found = most + 1, -1
    w = max(0, x >> 6)
    if w < nw:  # upwards, x itself included
        word, base = rows[z, y, w], 64 * w
        if x > base:
            word, base = word >> np.uint64(x - base), x
        while True:
            if word:
                place = base + trailing_zeros(word)
                if place - x < best:
                    best, found = place - x, place
                break
            w += 1
            base = 64 * w
            if w >= nw or base - x >= best:
                break
            word = rows[z, y, w]
    w = min(nw - 1, x >> 6)
    if w >= 0:  # downwards
        word, base = rows[z, y, w], 64 * w + 63
        if x < base:
            word, base = word << np.uint64(base - x), x
        while True:
            if word:
                place = base - leading_zeros(word)
                if x - place < best:
                    found = place
                break
            w -= 1
            base = 64 * w + 63
            if w < 0 or x - base >= best:
                break
            word = rows[z, y, w]
    return found


@compiled
def by_rows(
    queries: NDArray[np.int32],
    rows: Words,
    ends: NDArray[np.int32],
    offsets: NDArray[np.int32],
    in_plane: NDArray[np.float64],
    spacing: Spacing,
    squared: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Find the nearest corner by searching rows in order of their distance in the (z, y) plane.

    Args:
        queries: (n, 3), positions in the box of ``rows``, possibly outside of it.
        rows: (z, y, words), the surface.
        ends: (z, y, 2), first and last corner of each row.
        offsets: (m, 2), offsets (z, y) between rows, ascending by length.
        in_plane: (m,), their squared lengths in mm^2.
        spacing: (z, y, x) in mm.
        squared: (n,), filled with the smallest squared distance found, in mm^2.

    Returns:
        Whether each distance is certain to be the minimum, (n,); if not, ``offsets`` was too short.
    """
    nz, ny, nw = rows.shape
    step_z, step_y, step_x = spacing
    solved = np.zeros(len(queries), dtype=np.bool_)
    near_z = near_y = near_x = -1
    for query in range(len(queries)):
        z, y, x = np.int64(queries[query, 0]), np.int64(queries[query, 1]), queries[query, 2]
        best = np.inf
        most = 64 * nw + abs(x)  # largest offset along x that could still improve
        if near_z >= 0:  # consecutive queries are close, so the last result is a good bound
            dz, dy, dx = (near_z - z) * step_z, (near_y - y) * step_y, (near_x - x) * step_x
            best = dz * dz + dy * dy + dx * dx
            most = np.int64(np.sqrt(best) / step_x) + 1
        gap_z = max(0, -z, z - nz + 1) * step_z
        gap_y = max(0, -y, y - ny + 1) * step_y
        gap = gap_z * gap_z + gap_y * gap_y
        start = 0
        if gap > 0:  # all closer rows are outside of the box
            start = np.searchsorted(in_plane, gap * (1 - 1e-12))
        for place in range(start, len(in_plane)):
            plane = in_plane[place]
            if plane >= best:
                solved[query] = True
                break
            row_z, row_y = z + offsets[place, 0], y + offsets[place, 1]
            if row_z < 0 or row_z >= nz or row_y < 0 or row_y >= ny:
                continue
            low, high = ends[row_z, row_y, 0], ends[row_z, row_y, 1]
            short = max(0, low - x, x - high) * step_x
            if high < 0 or plane + short * short >= best:
                continue
            first = x - most
            if most < 32 and first >= 0 and x + most < 64 * nw:
                # Most rows have no corner within reach, which a single word shows.
                w, shift = first >> 6, np.uint64(first & 63)
                word = rows[row_z, row_y, w] >> shift
                if shift and w + 1 < nw:
                    word |= rows[row_z, row_y, w + 1] << (np.uint64(64) - shift)
                if not word << np.uint64(63 - 2 * most):
                    continue
            found = _in_row(rows, row_z, row_y, x, most)
            if found < 0:
                continue
            dx = (found - x) * step_x
            if plane + dx * dx < best:
                best = plane + dx * dx
                most = abs(found - x)
                near_z, near_y, near_x = row_z, row_y, found
        if best <= in_plane[-1]:
            solved[query] = True
        squared[query] = best
    return solved


@compiled
def all_pairs(
    queries: NDArray[np.int32],
    corners: NDArray[np.int32],
    spacing: Spacing,
    squared: NDArray[np.float64],
) -> None:
    """Fill ``squared``, (n,), with the squared distance in mm^2 to the nearest of ``corners``.

    ``queries`` is (n, 3), ``corners`` (m, 3), both in voxels; ``spacing`` is (z, y, x) in mm.
    """
    for query in range(len(queries)):
        best = np.inf
        for corner in range(len(corners)):
            dz = (queries[query, 0] - corners[corner, 0]) * spacing[0]
            dy = (queries[query, 1] - corners[corner, 1]) * spacing[1]
            dx = (queries[query, 2] - corners[corner, 2]) * spacing[2]
            best = min(best, dz * dz + dy * dy + dx * dx)
        squared[query] = best
