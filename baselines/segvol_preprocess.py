"""SegVol's preprocessing: normalise intensities to 0..1 and crop the background.

Source: data_process/demo_data_process.py of BAAI-DCAI/SegVol. Two steps follow the intent of the
released script: the volume is reoriented to RAS, and no padding is added that cropping the
background removes again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import EMPTY, Box, Crop, moved, slices
from benchmark.errors import UserError

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Scan:
    """A scan as SegVol sees it.

    ``image``: float32 [z, y, x] in 0..1, in RAS orientation, cropped to the voxels above the
        minimum.
    ``box``: that crop, half-open, on the RAS grid.
    ``grid``: the scan's shape (z, y, x).
    """

    image: NDArray[np.float32]
    box: Box
    grid: Triple

    def inside(self, box: Box) -> Box:
        """Convert a box of the scan (LPS) to the image, clipped to it.

        A box that lies entirely in the cropped background becomes the nearest slice of the image.
        """
        spans: list[int] = []
        turned = _turned(box, self.grid)
        for axis, length in enumerate(self.image.shape):
            start = min(max(turned[2 * axis] - self.box[2 * axis], 0), length - 1)
            stop = max(min(turned[2 * axis + 1] - self.box[2 * axis], length), start + 1)
            spans += [start, stop]
        return spans[0], spans[1], spans[2], spans[3], spans[4], spans[5]

    def outside(self, box: Box) -> Box:
        """Convert a box of the image to the scan (LPS)."""
        return _turned(moved(box, self.box[::2]), self.grid)


def prepare(grey: NDArray[np.generic]) -> Scan:
    """Prepare a volume [z, y, x] in LPS; raises `UserError` if it is constant."""
    ras = np.flip(grey, (1, 2)).transpose(2, 1, 0)  # sum in the order of the stored file
    values = normalised(np.ascontiguousarray(ras, dtype=np.float32)).transpose(2, 1, 0)
    box = Crop.of(values > 0).box
    if box == EMPTY:
        raise UserError("the image is constant, so SegVol finds no foreground in it")
    z, y, x = grey.shape
    return Scan(np.ascontiguousarray(values[slices(box)]), box, (z, y, x))


def normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip and standardise by the voxels above the mean, then scale to 0..1; any shape."""
    above = values[values > values.mean()]
    if not above.size:
        return np.zeros_like(values)
    low, high = np.percentile(above, 0.05), np.percentile(above, 99.95)
    mean, spread = above.mean(), max(above.std(), 1e-8)
    scaled = (np.clip(values, low, high) - mean) / spread
    scaled -= scaled.min()
    result: NDArray[np.float32] = (scaled / max(scaled.max(), 1e-8)).astype(np.float32)
    return result


def _turned(box: Box, grid: Triple) -> Box:
    """Convert a box between LPS and RAS on the same grid (z, y, x)."""
    _, y, x = grid
    return box[0], box[1], y - box[3], y - box[2], x - box[5], x - box[4]
