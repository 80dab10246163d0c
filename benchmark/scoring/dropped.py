"""Predictions of components that a reference leaves out because they are too small to be objects.

A method that is asked for a structure by name cannot know which components were dropped. What it
finds of them is neither right nor wrong, so it does not count.
"""

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import EMPTY, clip, dense_in, overlap, relative, slices, start
from benchmark.masks import Mask
from benchmark.masks.components import connected


def without_dropped(found: Mask, dropped: Mask, kept: Mask) -> Mask:
    """Return the prediction ``found`` without what it found of the components ``dropped``.

    Left out are the 26-connected components of ``found`` that share voxels with ``dropped`` and
    none with the objects ``kept``, and of all others the voxels in ``dropped``. Time and memory
    depend on the box of ``found``.
    """
    shared = overlap(found.box, dropped.box)
    if shared == EMPTY:
        return found
    numbers = connected(found.crop)
    removed = np.zeros(int(numbers.max()) + 1, dtype=np.bool_)
    removed[_numbers_in(numbers, found, dropped)] = True
    removed[_numbers_in(numbers, found, kept)] = False
    removed[0] = False
    crop = found.crop & ~removed[numbers]
    outside = ~dense_in(clip(dropped, shared), shared) | dense_in(clip(kept, shared), shared)
    crop[slices(relative(shared, found.box))] &= outside
    return Mask.of(crop, offset=start(found.box), shape=found.shape)


def _numbers_in(
    numbers: NDArray[np.unsignedinteger], found: Mask, mask: Mask
) -> NDArray[np.unsignedinteger]:
    """Return the ``numbers`` (an array over the box of ``found``) that occur in ``mask``."""
    inside = clip(mask, found.box)
    if inside.box == EMPTY:
        return numbers[:0, 0, 0]
    return np.unique(numbers[slices(relative(inside.box, found.box))][inside.crop])
