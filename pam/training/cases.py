"""A case: one scan with its objects, as the training reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.masks import Mask
from pam.preprocess import Scan

_SMALLEST = 30  # voxels of an object
_LARGEST_SHARE = 0.35  # of a slice; what fills more is background rather than an object


@dataclass(frozen=True, eq=False)
class Case:
    """A scan, its slices along the first axis, and the masks of its objects on the same grid."""

    scan: Scan
    objects: Sequence[Mask]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing (z, y, x) in mm."""
        return self.scan.spacing


def components(labels: NDArray[np.integer]) -> list[Mask]:
    """Return the 26-connected components of the labels of a map [z, y, x]; 0 is background.

    Those of fewer than 30 voxels are left out, and so are those that fill more than 35 % of a
    slice.
    """
    import cc3d

    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    parts, count = cc3d.connected_components(labels.astype(np.uint16), return_N=True)
    statistics = cc3d.statistics(parts)
    found = []
    for number in range(1, count + 1):
        box = statistics["bounding_boxes"][number]
        if statistics["voxel_counts"][number] < _SMALLEST or box is None:
            continue
        part = parts[box] == number
        if part.sum(axis=(1, 2)).max() > _LARGEST_SHARE * shape[1] * shape[2]:
            continue
        offset = (box[0].start, box[1].start, box[2].start)
        found.append(Mask.of(part, offset=offset, shape=shape))
    return found
