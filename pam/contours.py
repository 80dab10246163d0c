"""Freehand contours: a line drawn on a slice, closed and filled, becomes a mask prompt."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.boxes import insert_axis
from benchmark.errors import UserError
from benchmark.masks import Mask, Shape
from benchmark.prompts import Mask2D


def mask_prompt(points: ArrayLike, shape: Shape, *, axis: int, index: int) -> Mask2D:
    """Return the mask prompt of a contour on slice ``index`` of a volume of ``shape`` (z, y, x).

    ``points``: [n, 2], coordinates along the slice's two axes in their order, (y, x) on an axial
    slice; see `filled`. ``axis``: array axis (0, 1 or 2) that the slice is perpendicular to. Raises
    `UserError` for a slice outside the volume, and as `filled` does.
    """
    if axis not in (0, 1, 2) or not 0 <= index < shape[axis]:
        raise UserError(
            f"The contour lies on slice {index} of axis {axis}, the volume is {shape} (z, y, x). "
            "Check axis and slice."
        )
    rows, columns = (length for a, length in enumerate(shape) if a != axis)
    plane = np.expand_dims(filled(points, (rows, columns)), axis)
    offset = insert_axis((0, 0), axis, index)
    return Mask2D(axis, index, Mask.of(plane, offset=offset, shape=shape))


def filled(points: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Close a contour and fill it; returns bool [y, x] of ``shape``.

    ``points``: [n, 2] as (y, x) in pixels, with pixel centres at integers; in drawing order, open
    or closed, at any distance from each other. The mask contains the drawn pixels and everything
    they enclose, also where the line crosses itself. Source: paper, Methods (the enclosed region is
    filled by morphological operations). Raises `UserError` for fewer than three points, points that
    are not finite, and a line that leaves the slice.
    """
    from scipy.ndimage import binary_fill_holes

    corners = _checked(points, shape)
    outline = np.zeros(shape, np.bool_)
    for start, stop in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        outline[_line(start, stop)] = True
    mask: NDArray[np.bool_] = binary_fill_holes(outline)
    return mask


def _line(start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[Any, ...]:
    from skimage.draw import line

    return tuple(line(*start.tolist(), *stop.tolist()))


def _checked(points: ArrayLike, shape: tuple[int, int]) -> NDArray[np.int64]:
    given = np.asarray(points, np.float64)
    if given.ndim != 2 or given.shape[1] != 2 or len(given) < 3:
        raise UserError(
            f"A contour of shape {given.shape}; expected [n, 2] with three points or more, (y, x) "
            "in pixels. A line of two points encloses nothing."
        )
    if not np.isfinite(given).all():
        raise UserError("The contour has points that are NaN or infinite; leave them out.")
    corners = np.floor(given + 0.5).astype(np.int64)
    corners -= given == np.subtract(shape, 0.5)  # the far edges belong to the slice, as the near do
    if (corners < 0).any() or (corners >= shape).any():
        low, high = given.min(axis=0), given.max(axis=0)
        raise UserError(
            f"The contour spans ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}) and leaves "
            f"the slice of {shape[0]} x {shape[1]} pixels. Points are (y, x), in pixels."
        )
    return corners
