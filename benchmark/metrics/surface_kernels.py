"""The loops of `benchmark.metrics.surface_fast`, compiled by numba."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.core import config as numba_config
from numba.extending import intrinsic
from numpy.typing import NDArray

from benchmark.boxes import Box
from benchmark.metrics.surface import Spacing

Words = NDArray[np.uint64]
Shift = tuple[int, ...]
REACH = 4  # voxels a step of `by_steps` goes along an axis at most
MARGIN = 2 * REACH  # empty rows around a surface; along x a word before and two after it
F = TypeVar("F", bound=Callable[..., Any])

config: Any = numba_config  # its settings are made at run time


def _compiled(function: F) -> F:
    """Compile on first use and keep the result on disk, in a folder of the user.

    A folder of the user, as the package may lie where nothing can be written; ``NUMBA_CACHE_DIR``
    names another. numba writes a file aside and renames it, so that parallel jobs may share it.
    Where no folder can be written each process compiles for itself.
    """
    named = config.CACHE_DIR
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    config.CACHE_DIR = named or str(Path(caches).expanduser() / "pambench" / "numba")
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except (RuntimeError, OSError):
        return cast(F, njit(nogil=True)(function))
    finally:
        config.CACHE_DIR = named


def _bits(instruction: str) -> Any:
    """Count bits of a word by an ``instruction`` of LLVM; zeros only of a word that is not 0."""

    @intrinsic
    def count(_: Any, word: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            not_zero = [context.get_constant(types.boolean, 1)] if instruction != "ctpop" else []
            return getattr(builder, instruction)(arguments[0], *not_zero)

        return types.int64(types.uint64), emit

    return count


_trailing_zeros, _leading_zeros, _population = map(_bits, ("cttz", "ctlz", "ctpop"))


@_compiled
def _from(row: Words, start: int) -> np.uint64:
    """64 bits of a row from bit ``start`` on, which may lie outside of it."""
    w, shift = start >> 6, np.uint64(start & 63)
    word = np.uint64(0)
    if 0 <= w < len(row):
        word = row[w] >> shift
    if shift and 0 <= w + 1 < len(row):
        word |= row[w + 1] << (np.uint64(64) - shift)
    return word


@_compiled
def fill(
    starts: NDArray[np.int64], stops: NDArray[np.int64], shape: Shift, box: Box, words: Words
) -> None:
    """Set the bits of runs of voxels; places in a flat array of ``shape``, ``words`` of ``box``."""
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


@_compiled
def ones(words: Words) -> int:
    """Count the bits that are set."""
    count = 0
    for word in words.ravel():
        count += _population(word)
    return count


@_compiled
def shared(words: Words, others: Words, shift: Shift) -> int:
    """Count the bits set in both; ``shift`` leads from a place in one to that in the other."""
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
                    count += _population(word & _from(others[other_z, other_y], 64 * w + shift[2]))
    return count


@_compiled
def surface_rows(words: Words) -> tuple[Words, NDArray[np.int32], int]:
    """Rows of surface corners in their `MARGIN`, their ends and the number of corners.

    ``words`` are the voxels, (nz + 2, ny + 2, words), with an empty row on each side.
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
                        first_corner = 64 * (w + 1) + _trailing_zeros(word)
                    last_corner = 64 * (w + 1) + 63 - _leading_zeros(word)
                    count += _population(word)
            ends[z + MARGIN, y + MARGIN, 0] = first_corner
            ends[z + MARGIN, y + MARGIN, 1] = last_corner
    return rows, ends, count


@_compiled
def corners(words: Words, rows: Words, count: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Corners of the surface and codes of their 2 x 2 x 2 voxels, the first voxel in bit 7."""
    corners = np.empty((count, 3), dtype=np.int32)
    codes = np.empty(count, dtype=np.uint8)
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
                    bit = np.uint64(_trailing_zeros(word))
                    word &= word - one
                    code = np.uint64(0)
                    for voxel in range(8):
                        code = code << one | ((around[voxel] >> bit) & one)
                    corners[found, 0], corners[found, 1] = z + MARGIN, y + MARGIN
                    corners[found, 2] = 64 * (w + 1) + np.int64(bit)
                    codes[found] = code
                    found += 1
    return corners, codes


@_compiled
def by_steps(
    rows: Words,
    ends: NDArray[np.int32],
    others: Words,
    shift: Shift,
    steps: NDArray[np.int32],
    lengths: NDArray[np.float64],
    squared: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Try all corners of a word at once with one step after the other, the shortest first.

    Fill ``squared`` with the squared distance in mm^2 of the corners of ``rows`` that meet one of
    the ``others``; return the numbers of the corners left. ``shift`` leads from a place in
    ``rows`` to that in ``others``, whose margin spares the steps a look where they end.
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
                            squared[first + _population(word & (bit - one))] = lengths[step]
                        if not unsolved:
                            break
                while unsolved:
                    bit = unsolved & (~unsolved + one)
                    unsolved ^= bit
                    left[count] = first + _population(word & (bit - one))
                    count += 1
                first += _population(word)
    return left[:count].copy()


@_compiled
def _in_row(rows: Words, z: int, y: int, x: int, most: int) -> int:
    """Place of the corner nearest to ``x`` in row (z, y), -1 if it is more than ``most`` off."""
    nw = rows.shape[2]
    best, found = most + 1, -1
    w = max(0, x >> 6)
    if w < nw:  # upwards, x itself included
        word, base = rows[z, y, w], 64 * w
        if x > base:
            word, base = word >> np.uint64(x - base), x
        while True:
            if word:
                place = base + _trailing_zeros(word)
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
                place = base - _leading_zeros(word)
                if x - place < best:
                    found = place
                break
            w -= 1
            base = 64 * w + 63
            if w < 0 or x - base >= best:
                break
            word = rows[z, y, w]
    return found


@_compiled
def by_rows(
    queries: NDArray[np.int32],
    rows: Words,
    ends: NDArray[np.int32],
    offsets: NDArray[np.int32],
    in_plane: NDArray[np.float64],
    spacing: Spacing,
    squared: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Fill ``squared`` with the squared distance in mm^2; tell where that is surely the least."""
    nz, ny, nw = rows.shape
    step_z, step_y, step_x = spacing
    solved = np.zeros(len(queries), dtype=np.bool_)
    near_z = near_y = near_x = -1
    for query in range(len(queries)):
        z, y, x = np.int64(queries[query, 0]), np.int64(queries[query, 1]), queries[query, 2]
        best = np.inf
        most = 64 * nw + abs(x)  # steps along x that could still be of use
        if near_z >= 0:  # the corner nearest to the query before is not far from this one either
            dz, dy, dx = (near_z - z) * step_z, (near_y - y) * step_y, (near_x - x) * step_x
            best = dz * dz + dy * dy + dx * dx
            most = np.int64(np.sqrt(best) / step_x) + 1
        gap_z = max(0, -z, z - nz + 1) * step_z
        gap_y = max(0, -y, y - ny + 1) * step_y
        gap = gap_z * gap_z + gap_y * gap_y
        start = 0
        if gap > 0:  # the rows before are all outside of the box
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
                # Most rows have no corner within reach: one word tells.
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


@_compiled
def all_pairs(
    queries: NDArray[np.int32],
    corners: NDArray[np.int32],
    spacing: Spacing,
    squared: NDArray[np.float64],
) -> None:
    """Fill ``squared`` with the squared distance in mm^2 to the nearest of all ``corners``."""
    for query in range(len(queries)):
        best = np.inf
        for corner in range(len(corners)):
            dz = (queries[query, 0] - corners[corner, 0]) * spacing[0]
            dy = (queries[query, 1] - corners[corner, 1]) * spacing[1]
            dx = (queries[query, 2] - corners[corner, 2]) * spacing[2]
            best = min(best, dz * dz + dy * dy + dx * dx)
        squared[query] = best
