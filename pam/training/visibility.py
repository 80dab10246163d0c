"""How much of the surface of each label of a generated scene can be seen at all."""

import numpy as np
from numpy.typing import NDArray

LEAST = 1.5
"""Step at a surface that can be seen, over the noise of a voxel, which averages along it."""


def visible(
    labels: NDArray[np.integer],
    clean: NDArray[np.floating],
    noise: float,
    spacing: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Share of the surface of each label, 0 the first, where the image changes visibly.

    ``labels`` [z, y, x]; ``clean``: the image before texture and noise, on the same grid;
    ``noise``: standard deviation of what is added, in its units; ``spacing`` (z, y, x) in mm. The
    surface is that of faces between voxels of unlike labels; a label without any has a share of 0.
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
    """Labels of all pairs of voxels next to each other along an axis, and how far values differ.

    That axis stands first in what is returned, and is one shorter.
    """
    below, above = (np.moveaxis(labels, axis, 0)[part] for part in (slice(-1), slice(1, None)))
    return below, above, np.abs(np.diff(np.moveaxis(values, axis, 0), axis=0))
