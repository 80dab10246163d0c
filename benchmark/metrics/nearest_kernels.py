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
    most_rows: int,
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
        most_rows: number of rows after which no further query is begun.
        squared: (n,), filled with the smallest squared distance found, in mm^2.

    Returns:
        Whether each distance is certain to be the minimum, (n,); if not, ``offsets`` was too short,
        or the query was not begun.
    """
    nz, ny, nw = rows.shape
    step_z, step_y, step_x = spacing
    solved = np.zeros(len(queries), dtype=np.bool_)
    near_z = near_y = near_x = -1
    searched = 0
    for query in range(len(queries)):
        if searched > most_rows:
            break
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
            searched += 1
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
def _envelope(
    heights: NDArray[np.float64],
    step: float,
    sites: NDArray[np.int32],
    starts: NDArray[np.float64],
) -> int:
    """Find the lower envelope of the parabolas ``heights[i] + (step * (t - i)) ** 2`` over t.

    Args:
        heights: (n,), in mm^2; infinite where there is no parabola.
        step: in mm.
        sites: (n,), filled with the i of the parabolas of the envelope, ascending.
        starts: (n,), filled with the t from which on each of them is the lowest, ascending.

    Returns:
        The number of parabolas of the envelope.
    """
    count = 0
    for place in range(len(heights)):
        if heights[place] == np.inf:
            continue
        start = -np.inf
        while count:
            last = sites[count - 1]
            rise = (heights[place] - heights[last]) / (step * step)
            start = 0.5 * (rise / (place - last) + place + last)
            if start > starts[count - 1]:
                break
            count -= 1
            start = -np.inf
        sites[count], starts[count] = place, start
        count += 1
    return count


@compiled
def _lowest(starts: NDArray[np.float64], count: int, at: int, t: int) -> int:
    """Return which parabola of an envelope is the lowest at ``t``, if not one before ``at``."""
    while at + 1 < count and starts[at + 1] < t:
        at += 1
    return at


@compiled
def by_planes(
    queries: NDArray[np.int32],
    order: NDArray[np.int64],
    rows: Words,
    ends: NDArray[np.int32],
    spacing: Spacing,
    squared: NDArray[np.float64],
) -> None:
    """Find the nearest corner by a distance transform, for one (z, y) plane of queries at a time.

    The transform is that of Felzenszwalb and Huttenlocher (2012, doi 10.4086/toc.2012.v008a019)
    along x, z and y, from the rows of the surface to the queries alone. Its time does not depend on
    the distances, and its memory is that of a plane. Of corners that are equally far up to
    rounding, it takes any.

    Args:
        queries: (n, 3), positions in the box of ``rows``, possibly outside of it.
        order: (n,), indices of the queries in order of x, then z, then y.
        rows: (z, y, words), the surface, which is not empty.
        ends: (z, y, 2), first and last corner of each row.
        spacing: (z, y, x) in mm.
        squared: (n,), filled with the squared distance in mm^2.
    """
    nz, ny, nw = rows.shape
    step_z, step_y, step_x = spacing
    base = queries[:, 0].min()
    asked = np.empty(queries[:, 0].max() - base + 1, dtype=np.bool_)  # z with queries in the plane
    near_x = np.empty((ny, nz), dtype=np.int32)  # nearest corner of the row
    along_x = np.empty((ny, nz), dtype=np.float64)  # its squared distance in mm^2
    near_z = np.empty((len(asked), ny), dtype=np.int32)  # nearest corner of all rows with this y
    along_zx = np.empty((len(asked), ny), dtype=np.float64)
    sites = np.empty(max(nz, ny), dtype=np.int32)
    starts = np.empty(max(nz, ny), dtype=np.float64)
    begin = end = 0
    while begin < len(order):
        x = queries[order[begin], 2]
        asked[:] = False
        while end < len(order) and queries[order[end], 2] == x:
            asked[queries[order[end], 0] - base] = True
            end += 1
        for y in range(ny):
            for z in range(nz):
                low, high = ends[z, y, 0], ends[z, y, 1]
                if high < 0:
                    along_x[y, z] = np.inf
                    continue
                found = max(low, min(x, high))
                if low < x < high:
                    found = _in_row(rows, z, y, x, 64 * nw)
                near_x[y, z] = found
                along_x[y, z] = ((found - x) * step_x) ** 2
            count, at = _envelope(along_x[y], step_z, sites, starts), 0
            for place in range(len(asked)):
                if not asked[place]:
                    continue
                along_zx[place, y] = np.inf
                if count:
                    z = base + place
                    at = _lowest(starts, count, at, z)
                    near_z[place, y] = sites[at]
                    along_zx[place, y] = along_x[y, sites[at]] + ((sites[at] - z) * step_z) ** 2
        count = at = 0
        for place in range(begin, end):
            z, y, _ = queries[order[place]]
            if place == begin or z != queries[order[place - 1], 0]:
                count, at = _envelope(along_zx[z - base], step_y, sites, starts), 0
            at = _lowest(starts, count, at, y)
            other_y = sites[at]
            other_z = near_z[z - base, other_y]
            dz, dy = (other_z - z) * step_z, (other_y - y) * step_y
            dx = (near_x[other_y, other_z] - x) * step_x
            squared[order[place]] = dz * dz + dy * dy + dx * dx
        begin = end


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
