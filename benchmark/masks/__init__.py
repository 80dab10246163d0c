"""Compact masks: a bounding box and packed bits, a few KB per lesion; masks may overlap."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from benchmark.boxes import (
    EMPTY,
    Box,
    Crop,
    bounding_box,
    dense_in,
    moved,
    of_shape,
    overlap,
    relative,
    size,
    slices,
    start,
    voxel_count,
)

Shape = tuple[int, int, int]
BOX_FIELDS = ("z0", "z1", "y0", "y1", "x0", "x1")
COLUMNS = [*((name, pa.int32()) for name in BOX_FIELDS), ("bits", pa.binary())]
"""Columns that hold a mask in a table; see `Mask.to_row`."""


def box_of(row: Mapping[str, Any]) -> Box:
    """Return the box of a row with the columns `BOX_FIELDS`."""
    z0, z1, y0, y1, x0, x1 = (int(row[name]) for name in BOX_FIELDS)
    return z0, z1, y0, y1, x0, x1


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask on a (z, y, x) grid of ``shape``, stored as the crop inside its tight ``box``.

    ``crop`` is read-only, because masks may be shared and the hash of a prompt must stay valid.
    """

    shape: Shape
    box: Box
    crop: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Make the crop read-only."""
        self.crop.flags.writeable = False

    @classmethod
    def of(cls, array: ArrayLike, *, offset: Shape = (0, 0, 0), shape: Shape | None = None) -> Self:
        """Make a mask from an array (z, y, x); with ``offset`` (z, y, x) it is a part of ``shape``.

        The voxels are copied. Raises ValueError if the array is not 3D or leaves the grid.
        """
        dense = np.asarray(array).astype(bool, copy=False)
        grid = shape or (dense.shape[0], dense.shape[1], dense.shape[2])
        if dense.ndim != 3 or any(
            o < 0 or o + n > g for o, n, g in zip(offset, dense.shape, grid, strict=True)
        ):
            raise ValueError(f"a part of shape {dense.shape} at {offset} leaves the grid {grid}")
        crop, box = Crop.of(dense)
        if box != EMPTY:
            box = moved(box, offset)
        return cls(grid, box, crop.copy())

    @classmethod
    def union(cls, masks: Sequence["Mask"], shape: Shape) -> Self:
        """Return the union of ``masks``; the empty mask on ``shape`` if there are none."""
        return cls._union([mask.box for mask in masks], masks, shape)

    @classmethod
    def union_of_rows(cls, rows: Sequence[Mapping[str, Any]], shape: Shape) -> Self:
        """Return the union of the masks that `to_row` made ``rows`` from, on a grid of ``shape``.

        One mask at a time is decoded, since each may be as large as the scan.
        """
        decoded = (cls.from_row(row, shape) for row in rows)
        return cls._union([box_of(row) for row in rows], decoded, shape)

    @classmethod
    def _union(cls, boxes: Sequence[Box], masks: Iterable["Mask"], shape: Shape) -> Self:
        box = bounding_box(boxes)
        crop = np.zeros(size(box), dtype=bool)
        for mask in masks:
            if mask.voxels:
                crop[slices(relative(mask.box, box))] |= mask.crop
        return cls(shape, box, crop)

    def without(self, other: "Mask") -> Self:
        """Return the voxels that are not in ``other``, a mask on the same grid."""
        shared = overlap(self.box, other.box)
        if shared == EMPTY:
            return self
        crop = self.crop.copy()
        left_out = other.crop[slices(relative(shared, other.box))]
        crop[slices(relative(shared, self.box))] &= ~left_out
        return self.of(crop, offset=start(self.box), shape=self.shape)

    @property
    def voxels(self) -> int:
        """Number of voxels in the mask."""
        return int(np.count_nonzero(self.crop))

    def dense(self) -> NDArray[np.bool_]:
        """Return the mask as a dense array over the whole grid."""
        return dense_in(self, of_shape(self.shape))

    def to_row(self) -> dict[str, int | bytes]:
        """Return the values of `COLUMNS`: the box, and the packed bits of the crop (zstd)."""
        bits = pa.compress(np.packbits(self.crop).tobytes(), codec="zstd", asbytes=True)
        return {**dict(zip(BOX_FIELDS, self.box, strict=True)), "bits": bits}

    @classmethod
    def from_row(cls, row: Mapping[str, Any], shape: Shape) -> Self:
        """Return the mask that `to_row` made this ``row`` from, on a grid of ``shape``."""
        box = box_of(row)
        count = voxel_count(box)
        packed = pa.decompress(row["bits"], (count + 7) // 8, codec="zstd", asbytes=True)
        flat = np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
        return cls(shape, box, flat.astype(bool).reshape(size(box)))
