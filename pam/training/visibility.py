"""Compute how much of the surface of each label of a generated scene is visible."""

import numpy as np
from numpy.typing import NDArray

LEAST = 1.5
"""Minimum visible step at a surface over the noise of a voxel; noise averages out along it."""


def visible(
    labels: NDArray[np.integer],
    clean: NDArray[np.floating],
    noise: float,
    spacing: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Return the share of each label's surface where the image changes visibly, by label from 0.

    ``labels``: [z, y, x]. ``clean``: the image without texture and noise, on the same grid.
    ``noise``: standard deviation of what is added, in its units. ``spacing``: (z, y, x) in mm. The
    surface consists of the faces between voxels of different labels; a label without any has a
    share of 0.
    """
    count = int(labels.max()) + 1
    whole, seen = np.zeros(count), np.zeros(count)
    for axis in range(3):
        area = float(np.prod(spacing)) / spacing[axis]
        below, above, steps = neighbours(labels, clean, axis)
        faces = below != above
        shown = steps[faces] >= LEAST * noise
        for side in (below[faces], above[faces]):
            whole += area * np.bincount(side, minlength=count)
            seen += area * np.bincount(side[shown], minlength=count)
    return seen / np.maximum(whole, 1e-9)


def neighbours(
    labels: NDArray[np.integer], values: NDArray[np.floating], axis: int
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.floating]]:
    """Return the labels of all voxel pairs along an axis, and their absolute difference of values.

    All three arrays have that axis first, one shorter than in the input.
    """
    below, above = (np.moveaxis(labels, axis, 0)[part] for part in (slice(-1), slice(1, None)))
    return below, above, np.abs(np.diff(np.moveaxis(values, axis, 0), axis=0))
