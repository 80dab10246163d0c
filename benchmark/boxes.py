"""Boxes around masks and labels.

Parsing a study file imports this module, so it imports nothing heavier than numpy.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int, int, int]
"""Half-open box (z0, z1, y0, y1, x0, x1) in voxels."""

EMPTY: Box = (0, 0, 0, 0, 0, 0)
"""Box of an empty mask."""


def slices(box: Box) -> tuple[slice, slice, slice]:
    """Return the index of ``box`` into a (z, y, x) array."""
    z0, z1, y0, y1, x0, x1 = box
    return slice(z0, z1), slice(y0, y1), slice(x0, x1)


def of_shape(shape: Sequence[int]) -> Box:
    """Return the box of a whole grid of ``shape`` (z, y, x)."""
    z, y, x = shape
    return 0, z, 0, y, 0, x


def of_slices(box: tuple[slice, ...]) -> Box:
    """Return the box of an index made by `slices`."""
    z, y, x = box
    return int(z.start), int(z.stop), int(y.start), int(y.stop), int(x.start), int(x.stop)


def start(box: Box) -> tuple[int, int, int]:
    """Return the first voxel (z, y, x) of ``box``."""
    z, y, x = box[::2]
    return z, y, x


def size(box: Box) -> tuple[int, int, int]:
    """Return the voxels of ``box`` along z, y and x."""
    z0, z1, y0, y1, x0, x1 = box
    return z1 - z0, y1 - y0, x1 - x0


def extent(box: Box, axis: int) -> tuple[int, int]:
    """Return the first index of ``box`` along ``axis``, and the one after its last."""
    return box[2 * axis], box[2 * axis + 1]


def in_plane(box: Box, axis: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the extents of ``box`` along the two axes other than ``axis``, in their order."""
    rows, columns = (extent(box, a) for a in range(3) if a != axis)
    return rows, columns


def insert_axis(pixel: Iterable[int], axis: int, index: int) -> tuple[int, int, int]:
    """Return the voxel (z, y, x) of a ``pixel`` on slice ``index`` perpendicular to ``axis``."""
    voxel = [int(place) for place in pixel]
    voxel.insert(axis, int(index))
    z, y, x = voxel
    return z, y, x


def moved(box: Box, offset: Sequence[int]) -> Box:
    """Return ``box`` moved by ``offset`` (z, y, x)."""
    z, y, x = offset
    z0, z1, y0, y1, x0, x1 = box
    return z0 + z, z1 + z, y0 + y, y1 + y, x0 + x, x1 + x


def relative(box: Box, origin: Box) -> Box:
    """Return ``box`` relative to the first voxel of ``origin``."""
    z, y, x = start(origin)
    return moved(box, (-z, -y, -x))


def bounding_box(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all non-empty ``boxes``; `EMPTY` if there are none."""
    solid = np.array([box for box in boxes if box != EMPTY])
    if not len(solid):
        return EMPTY
    low, high = solid[:, ::2].min(axis=0).tolist(), solid[:, 1::2].max(axis=0).tolist()
    return low[0], high[0], low[1], high[1], low[2], high[2]


def overlap(one: Box, other: Box) -> Box:
    """Return the intersection of two boxes; `EMPTY` if they do not overlap."""
    low = [max(a, b) for a, b in zip(one[::2], other[::2], strict=True)]
    high = [min(a, b) for a, b in zip(one[1::2], other[1::2], strict=True)]
    if any(start >= stop for start, stop in zip(low, high, strict=True)):
        return EMPTY
    return low[0], high[0], low[1], high[1], low[2], high[2]


def tight(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the index of the tight bounding box of a bool mask; None if the mask is empty.

    The mask may have any number of axes. Each axis is searched only within the bounds of the axes
    before it, which are reduced by a logical or.
    """
    others = tuple(range(1, mask.ndim))
    filled = np.logical_or.reduce(mask, axis=others).tobytes()
    span = slice(filled.find(1), filled.rfind(1) + 1)
    if span.stop == 0:
        return None
    rest = tight(np.logical_or.reduce(mask[span], axis=0)) if others else ()
    return (span, *(rest or ()))


class Boxed(Protocol):
    """A mask on a grid, stored as its tight bounding box and the voxels inside it.

    `benchmark.masks.Mask`, `benchmark.masks.labelmap.Label` and `Crop` are of this kind.
    """

    @property
    def crop(self) -> NDArray[np.bool_]:
        """Bool array (z, y, x) of the voxels in the box."""

    @property
    def box(self) -> Box:
        """Tight bounding box; `EMPTY` if the mask is empty."""


class Crop(NamedTuple):
    """The simplest `Boxed`: a crop and its box."""

    crop: NDArray[np.bool_]
    box: Box

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Self:
        """Crop a bool mask (z, y, x) to its tight bounding box, without copying."""
        index = tight(mask)
        return cls(mask[:0, :0, :0], EMPTY) if index is None else cls(mask[index], of_slices(index))


def voxel_count(box: Box) -> int:
    """Return the number of voxels in a box."""
    return prod(size(box))


def clip(mask: Boxed, region: Box) -> Crop:
    """Restrict a mask to ``region``; the resulting box may not be tight."""
    shared = overlap(mask.box, region)
    return Crop(mask.crop[slices(relative(shared, mask.box) if shared != EMPTY else EMPTY)], shared)


def dense_in(mask: Boxed, box: Box) -> NDArray[np.bool_]:
    """Return the mask as a dense bool array over ``box``, which must contain the mask's own box."""
    dense = np.zeros(size(box), dtype=np.bool_)
    if mask.box != EMPTY:
        dense[slices(relative(mask.box, box))] = mask.crop
    return dense
