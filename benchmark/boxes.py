"""Boxes around masks and labels; light, as the parsing of a study imports it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int, int, int]
"""Half-open: (z0, z1, y0, y1, x0, x1) in voxels."""

EMPTY: Box = (0, 0, 0, 0, 0, 0)


def slices(box: Box) -> tuple[slice, slice, slice]:
    """Index of ``box`` into a (z, y, x) array."""
    z0, z1, y0, y1, x0, x1 = box
    return slice(z0, z1), slice(y0, y1), slice(x0, x1)


def of_slices(box: tuple[slice, ...]) -> Box:
    """Undo `slices`."""
    z, y, x = box
    return int(z.start), int(z.stop), int(y.start), int(y.stop), int(x.start), int(x.stop)


def relative(box: Box, origin: Box) -> Box:
    """Give ``box`` as seen from the first voxel of ``origin``."""
    z, y, x = origin[::2]
    z0, z1, y0, y1, x0, x1 = box
    return z0 - z, z1 - z, y0 - y, y1 - y, x0 - x, x1 - x


def hull(boxes: Sequence[Box]) -> Box:
    """Smallest box around all ``boxes`` that are not empty; `EMPTY` if none is."""
    solid = np.array([box for box in boxes if box != EMPTY])
    if not len(solid):
        return EMPTY
    low, high = solid[:, ::2].min(axis=0).tolist(), solid[:, 1::2].max(axis=0).tolist()
    return low[0], high[0], low[1], high[1], low[2], high[2]


def overlap(one: Box, other: Box) -> Box:
    """Give the box of the voxels in both boxes; `EMPTY` if there are none."""
    low = [max(a, b) for a, b in zip(one[::2], other[::2], strict=True)]
    high = [min(a, b) for a, b in zip(one[1::2], other[1::2], strict=True)]
    if any(start >= stop for start, stop in zip(low, high, strict=True)):
        return EMPTY
    return low[0], high[0], low[1], high[1], low[2], high[2]


def tight(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Index of the tightest box of a bool mask of any dimension; None if the mask is empty.

    Each axis looks only at what the axes before it left, flattened along them.
    """
    others = tuple(range(1, mask.ndim))
    filled = np.logical_or.reduce(mask, axis=others).tobytes()
    span = slice(filled.find(1), filled.rfind(1) + 1)
    if span.stop == 0:
        return None
    rest = tight(np.logical_or.reduce(mask[span], axis=0)) if others else ()
    return (span, *(rest or ()))


class Boxed(Protocol):
    """A mask on a grid, kept as what is inside its tightest box: `benchmark.masks.Mask`, `Crop`."""

    @property
    def crop(self) -> NDArray[np.bool_]:
        """Voxels (z, y, x) in the box."""

    @property
    def box(self) -> Box:
        """Tightest box; `EMPTY` if the mask is."""


class Crop(NamedTuple):
    """The plainest `Boxed`."""

    crop: NDArray[np.bool_]
    box: Box

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Self:
        """Cut a (z, y, x) mask to its tightest box, without a copy."""
        index = tight(mask)
        return cls(mask[:0, :0, :0], EMPTY) if index is None else cls(mask[index], of_slices(index))


def volume(box: Box) -> int:
    """Count the voxels of a box."""
    z0, z1, y0, y1, x0, x1 = box
    return (z1 - z0) * (y1 - y0) * (x1 - x0)


def clip(mask: Boxed, region: Box) -> Crop:
    """Cut off what of the mask is not in ``region``; the box may be wider than the rest is."""
    shared = overlap(mask.box, region)
    return Crop(mask.crop[slices(relative(shared, mask.box) if shared != EMPTY else EMPTY)], shared)


def inside(mask: Boxed, box: Box) -> NDArray[np.bool_]:
    """Give the mask as a dense array over ``box``, which must contain the mask's own box."""
    dense = np.zeros([s.stop - s.start for s in slices(box)], dtype=np.bool_)
    if mask.box != EMPTY:
        dense[slices(relative(mask.box, box))] = mask.crop
    return dense
