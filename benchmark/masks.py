"""The compact mask: a bounding box and packed bits; safe for overlaps, a few KB a lesion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

Shape = tuple[int, int, int]
Box = tuple[int, int, int, int, int, int]
"""Half-open: (z0, z1, y0, y1, x0, x1) in voxels of the canonical grid."""

BOX_FIELDS = ("z0", "z1", "y0", "y1", "x0", "x1")
COLUMNS = [*((name, pa.int32()) for name in BOX_FIELDS), ("bits", pa.binary())]
"""Columns that hold a mask in a table; see `Mask.to_row`."""

_EMPTY: Box = (0, 0, 0, 0, 0, 0)


def slices(box: Box) -> tuple[slice, slice, slice]:
    """Index of ``box`` into a (z, y, x) array."""
    z0, z1, y0, y1, x0, x1 = box
    return slice(z0, z1), slice(y0, y1), slice(x0, x1)


def hull(boxes: Sequence[Box]) -> Box:
    """Smallest box around all ``boxes`` that are not empty; (0, 0, 0, 0, 0, 0) if none is."""
    solid = np.array([box for box in boxes if box != _EMPTY])
    if not len(solid):
        return _EMPTY
    low, high = solid[:, ::2].min(axis=0).tolist(), solid[:, 1::2].max(axis=0).tolist()
    return low[0], high[0], low[1], high[1], low[2], high[2]


def bounding_box(array: NDArray[np.bool_]) -> Box:
    """Tight half-open box around the true voxels of a (z, y, x) array; zeros if there is none."""
    spans: list[int] = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(array.any(axis=others))
        if not len(filled):
            return _EMPTY
        spans += [int(filled[0]), int(filled[-1]) + 1]
    return spans[0], spans[1], spans[2], spans[3], spans[4], spans[5]


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask on a (z, y, x) grid of ``shape``, kept as the crop inside its tight ``box``.

    ``crop`` is read only: a mask may be shared, and its prompt's hash must stay true.
    """

    shape: Shape
    box: Box
    crop: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Lock the voxels."""
        self.crop.flags.writeable = False

    @classmethod
    def of(cls, array: ArrayLike, *, offset: Shape = (0, 0, 0), shape: Shape | None = None) -> Self:
        """Take the mask from a (z, y, x) array; with ``offset`` the array is a part of ``shape``.

        The voxels are copied. Raises ValueError where the part does not lie inside the grid.
        """
        dense = np.asarray(array).astype(bool, copy=False)
        grid = shape or (dense.shape[0], dense.shape[1], dense.shape[2])
        if dense.ndim != 3 or any(
            o < 0 or o + n > g for o, n, g in zip(offset, dense.shape, grid, strict=True)
        ):
            raise ValueError(f"a part of shape {dense.shape} at {offset} leaves the grid {grid}")
        tight = bounding_box(dense)
        crop = dense[slices(tight)].copy()
        if tight == _EMPTY:
            return cls(grid, _EMPTY, crop)
        z, y, x = offset
        z0, z1, y0, y1, x0, x1 = tight
        return cls(grid, (z0 + z, z1 + z, y0 + y, y1 + y, x0 + x, x1 + x), crop)

    @classmethod
    def union(cls, masks: Sequence["Mask"], shape: Shape) -> Self:
        """Voxels of any of ``masks``; the empty mask on ``shape`` if there is none."""
        box = hull([mask.box for mask in masks])
        crop = np.zeros(tuple(s.stop - s.start for s in slices(box)), dtype=bool)
        for mask in masks:
            if mask.voxels:
                crop[slices(_relative(mask.box, box))] |= mask.crop
        return cls(shape, box, crop)

    @property
    def voxels(self) -> int:
        """Number of voxels in the mask."""
        return int(np.count_nonzero(self.crop))

    def inside(self, box: Box) -> NDArray[np.bool_]:
        """Return the mask as a dense array over ``box``, which must contain the mask's own box."""
        dense = np.zeros(tuple(s.stop - s.start for s in slices(box)), dtype=bool)
        if self.voxels:
            dense[slices(_relative(self.box, box))] = self.crop
        return dense

    def dense(self) -> NDArray[np.bool_]:
        """Return the mask as a dense array over the whole grid."""
        z, y, x = self.shape
        return self.inside((0, z, 0, y, 0, x))

    def to_row(self) -> dict[str, int | bytes]:
        """Give the values of `COLUMNS`: the box, and the packed bits of the crop (zstd)."""
        bits = pa.compress(np.packbits(self.crop).tobytes(), codec="zstd", asbytes=True)
        return {**dict(zip(BOX_FIELDS, self.box, strict=True)), "bits": bits}

    @classmethod
    def from_row(cls, row: Mapping[str, Any], shape: Shape) -> Self:
        """Read back what `to_row` gave, for a grid of ``shape``."""
        z0, z1, y0, y1, x0, x1 = (int(row[name]) for name in BOX_FIELDS)
        extent = (z1 - z0, y1 - y0, x1 - x0)
        count = extent[0] * extent[1] * extent[2]
        packed = pa.decompress(row["bits"], (count + 7) // 8, codec="zstd", asbytes=True)
        flat = np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
        return cls(shape, (z0, z1, y0, y1, x0, x1), flat.astype(bool).reshape(extent))


def _relative(box: Box, origin: Box) -> Box:
    z, y, x = origin[::2]
    z0, z1, y0, y1, x0, x1 = box
    return z0 - z, z1 - z, y0 - y, y1 - y, x0 - x, x1 - x
