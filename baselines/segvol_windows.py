"""Windows over a crop of a scan, their boxes, and the average of their logits.

As in SegVol's released code (BAAI-DCAI/SegVol at 5768c97, utils/monai_inferers_utils.py), which is
MONAI's sliding window with an overlap of one half and equal weights.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from baselines.segvol_encoder import Triple
from benchmark.boxes import Box, Crop, slices

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Corners = tuple[int, int, int, int, int, int]
"""Inclusive (z0, y0, x0, z1, y1, x1), as the network takes a box."""

NOWHERE: Corners = (-1, -1, -1, -1, -1, -1)


def nearest(length: int, wanted: int, mode: str = "nearest") -> NDArray[np.int64]:
    """Return the source index of each of ``wanted`` voxels in ``length``, as torch interpolates."""
    places = torch.arange(length, dtype=torch.float32)[None, None]
    found: NDArray[np.int64] = F.interpolate(places, wanted, mode=mode)[0, 0].long().numpy()
    return found


@dataclass(frozen=True)
class Tiling:
    """Windows over a crop, half a window apart, the last one flush with the end (as in MONAI).

    A crop smaller than the window is centred in it, ``low`` voxels from its start.
    """

    shape: Triple
    window: Triple

    @property
    def low(self) -> Triple:
        """Padding before the crop, per axis."""
        z, y, x = (max(w - n, 0) // 2 for n, w in zip(self.shape, self.window, strict=True))
        return z, y, x

    @property
    def starts(self) -> list[Triple]:
        """First voxel of each window in the crop; negative where there is padding."""
        axes = []
        for length, size, low in zip(self.shape, self.window, self.low, strict=True):
            room = max(length, size)
            step = size if room == size else size // 2
            count = 1 + -(-(room - size) // step)
            axes.append([min(number * step, room - size) - low for number in range(count)])
        return [(z, y, x) for z, y, x in product(*axes)]

    def inside(self, start: Triple) -> tuple[Box, Triple]:
        """Return the half-open part of the crop in a window, and its first voxel in the window."""
        edges = [
            (max(s, 0), min(s + w, n))
            for s, w, n in zip(start, self.window, self.shape, strict=True)
        ]
        (z0, z1), (y0, y1), (x0, x1) = edges
        z, y, x = (max(-s, 0) for s in start)
        return (z0, z1, y0, y1, x0, x1), (z, y, x)


def window_boxes(tiling: Tiling, found: Bools, cube: Box, *, corrected: bool) -> list[Corners]:
    """Return the box of each window: the given one for a single window, else that of ``found``.

    ``found``: zoomed-out prediction on the crop. ``cube``: the given box in the crop. In the
    released code, the box in a single window that is larger than the crop ignores the padding and
    so is off by it; ``corrected`` adds it.
    """
    if len(tiling.starts) == 1:
        low = tiling.low if corrected else (0, 0, 0)
        return [_corners(cube, low)]
    boxes = []
    for start in tiling.starts:
        part, at = tiling.inside(start)
        boxes.append(_corners(Crop.of(found[slices(part)]).box, at))
    return boxes


def around(found: Box, shape: Triple, window: Triple) -> Box:
    """Return a crop around ``found``, about the size of a window or larger, within the scan."""
    spans: list[int] = []
    for axis, (length, size) in enumerate(zip(shape, window, strict=True)):
        start, stop = found[2 * axis], found[2 * axis + 1]
        pad = max(size - (stop - start), 0) // 2
        spans += [max(start - pad, 0), min(stop + pad, length)]
    return spans[0], spans[1], spans[2], spans[3], spans[4], spans[5]


@dataclass
class Zoomed:
    """An object between zoom-out and zoom-in.

    ``crop``: where it is segmented again, half-open in the scan.
    ``total``: sum of its windows' logits there.
    ``seen``: number of windows that covered each voxel.
    ``left``: number of windows still to come.
    """

    crop: Box
    tiling: Tiling
    total: Floats
    seen: Floats
    left: int

    @classmethod
    def at(cls, crop: Box, window: Triple) -> "Zoomed":
        """Create an object for a crop of the scan."""
        shape = (crop[1] - crop[0], crop[3] - crop[2], crop[5] - crop[4])
        total, seen = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        return cls(crop, Tiling(shape, window), total, seen, left=0)

    def add(self, start: Triple, logits: Floats) -> None:
        """Add the logits [z, y, x] of the window at ``start``."""
        (z0, z1, y0, y1, x0, x1), (z, y, x) = self.tiling.inside(start)
        part = logits[z : z + z1 - z0, y : y + y1 - y0, x : x + x1 - x0]
        self.total[z0:z1, y0:y1, x0:x1] += part
        self.seen[z0:z1, y0:y1, x0:x1] += 1
        self.left -= 1

    @property
    def logits(self) -> Floats:
        """Mean over the windows; -100 where there was none."""
        mean = self.total / np.maximum(self.seen, 1)
        result: Floats = np.where(self.seen > 0, mean, np.float32(-100))
        return result


def positive(logits: Floats) -> Bools:
    """Return where the probability exceeds one half (float32, as released)."""
    above: Bools = (torch.from_numpy(logits).sigmoid() > 0.5).numpy()
    return above


def _corners(box: Box, shift: Triple) -> Corners:
    if box[1] <= box[0]:
        return NOWHERE
    z, y, x = shift
    z0, z1, y0, y1, x0, x1 = box
    return z0 + z, y0 + y, x0 + x, z1 + z - 1, y1 + y - 1, x1 + x - 1
