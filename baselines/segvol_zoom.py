"""SegVol's zoom-out-zoom-in: the whole scan at once, then full-size windows where that found it.

Source: inference_demo.py and utils/monai_inferers_utils.py of BAAI-DCAI/SegVol (5768c97). The
results are the same, but less is computed: the zoomed-out scan is embedded once for all objects,
and so is a window that several objects share; windows of several objects are batched.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.segvol_encoder import Triple
from baselines.segvol_windows import (
    NOWHERE,
    Bools,
    Corners,
    Floats,
    Zoomed,
    around,
    nearest,
    positive,
    window_boxes,
)
from benchmark.boxes import EMPTY, Box, Crop, extent, moved, slices
from benchmark.machine.batch import Batch

_KEPT = 64  # number of cached window embeddings, of 6 MB each


class Network(Protocol):
    """What `ZoomOutZoomIn` needs of a network; see `baselines.segvol_network.SegVolNet`."""

    def embed(self, windows: Tensor) -> Tensor:
        """Map windows [n, 1, z, y, x] to embeddings."""

    def decode(self, embeddings: Tensor, boxes: Tensor) -> Tensor:
        """Map embeddings (n, or 1 for all) and boxes [n, 6] to logits [n, z, y, x]."""


@dataclass(frozen=True)
class _Look:
    """A window to segment for an object: the part of the scan in it, and its box."""

    zoomed: Zoomed
    start: Triple
    part: Box
    at: Triple
    box: Corners


class ZoomOutZoomIn:
    """Segments all objects of a scan in turn, computing what they share once."""

    def __init__(
        self,
        network: Network,
        image: Floats,
        window: Triple,
        *,
        device: str = "cpu",
        batch: int | Batch = 1,
        corrected: bool = False,
    ) -> None:
        """Store the cropped ``image``, [z, y, x] in 0..1; ``batch``: windows per forward pass."""
        self.network, self.image, self.window = network, image, window
        self.device, self.batch, self.corrected = device, Batch.of(batch), corrected
        self.shape: Triple = image.shape
        self.cache: OrderedDict[tuple[Box, Triple], Tensor] = OrderedDict()

    def logits(self, boxes: Sequence[Box]) -> Iterator[tuple[Box, Floats] | None]:
        """Yield crop and logits of each box (half-open in the image), or None if it is empty."""
        waiting: deque[Zoomed | None] = deque()

        def segment(looks: list[_Look]) -> Floats:
            return self._decode(self._embeddings(looks), [look.box for look in looks])

        for looks, answers in self.batch.over(self._looks(boxes, waiting), segment):
            for look, answer in zip(looks, answers, strict=True):
                look.zoomed.add(look.start, answer)
            yield from _done(waiting)
        yield from _done(waiting)

    def zoom_out(self, boxes: Sequence[Box]) -> Iterator[tuple[Corners, Floats]]:
        """Yield each box and its logits [z, y, x] in the zoomed-out image."""
        maps = [
            nearest(n, w, "nearest-exact") for n, w in zip(self.shape, self.window, strict=True)
        ]
        whole = self.image[np.ix_(*maps)]
        embedding = self.network.embed(torch.from_numpy(whole)[None, None].to(self.device))
        given = [_zoomed_corners(box, maps, self.shape) for box in boxes]
        for some, answers in self.batch.over(given, lambda part: self._decode(embedding, part)):
            yield from zip(some, answers, strict=True)

    def _decode(self, embeddings: Tensor, boxes: Sequence[Corners]) -> Floats:
        """Return logits [n, z, y, x] of ``boxes``; ``embeddings``: one each, or one for all."""
        rows = torch.tensor(boxes, dtype=torch.float32).to(self.device)
        found: Floats = self.network.decode(embeddings, rows).float().cpu().numpy()
        return found

    def _looks(self, boxes: Sequence[Box], waiting: deque[Zoomed | None]) -> Iterator[_Look]:
        """Zoom out and yield the windows of each object; append the objects to ``waiting``."""
        maps = [nearest(w, n) for n, w in zip(self.shape, self.window, strict=True)]
        for corners, answer in self.zoom_out(boxes):
            found = positive(answer)
            seen = _at_full_size(found, maps)
            if seen == EMPTY:
                waiting.append(None)
                continue
            crop = around(seen, self.shape, self.window)
            zoomed = Zoomed.at(crop, self.window)
            ranges = [places[s] for places, s in zip(maps, slices(crop), strict=True)]
            cube = _rescaled(_half_open(corners), ranges)
            at_full_size: Bools = np.asarray(found[np.ix_(*ranges)])
            given = window_boxes(zoomed.tiling, at_full_size, cube, corrected=self.corrected)
            looks = []
            for start, box in zip(zoomed.tiling.starts, given, strict=True):
                if box == NOWHERE and self.corrected:
                    continue
                part, at = zoomed.tiling.inside(start)
                looks.append(_Look(zoomed, start, moved(part, crop[::2]), at, box))
            zoomed.left = len(looks)
            waiting.append(zoomed)
            yield from looks

    def _embeddings(self, looks: Sequence[_Look]) -> Tensor:
        """Embed windows, cached by the part of the scan that they contain."""
        keys = [(look.part, look.at) for look in looks]
        new = [key for key in dict.fromkeys(keys) if key not in self.cache]
        if new:
            windows = torch.from_numpy(np.stack([self._cut(*key) for key in new])[:, None])
            self.cache.update(zip(new, self.network.embed(windows.to(self.device)), strict=True))
        for key in keys:
            self.cache.move_to_end(key)
        embeddings = torch.stack([self.cache[key] for key in keys])
        while len(self.cache) > _KEPT:
            self.cache.popitem(last=False)
        return embeddings

    def _cut(self, part: Box, at: Triple) -> Floats:
        window = np.zeros(self.window, np.float32)
        content = self.image[slices(part)]
        target = tuple(slice(a, a + n) for a, n in zip(at, content.shape, strict=True))
        window[target] = content
        return window


def _done(waiting: deque[Zoomed | None]) -> Iterator[tuple[Box, Floats] | None]:
    while waiting and (waiting[0] is None or not waiting[0].left):
        zoomed = waiting.popleft()
        yield None if zoomed is None else (zoomed.crop, zoomed.logits)


def _zoomed_corners(box: Box, maps: Sequence[NDArray[np.int64]], shape: Triple) -> Corners:
    """Return the box of ``box`` rasterised in the zoomed-out image, at least its nearest voxel."""
    low, high = [], []
    for axis, places in enumerate(maps):
        start, stop = extent(box, axis)
        hit = np.flatnonzero((places >= start) & (places < stop))
        middle = (start + stop) / 2 * len(places) / shape[axis]
        nearest_one = min(int(middle), len(places) - 1)
        low.append(int(hit[0]) if len(hit) else nearest_one)
        high.append(int(hit[-1]) if len(hit) else nearest_one)
    return low[0], low[1], low[2], high[0], high[1], high[2]


def _rescaled(box: Box, maps: Sequence[NDArray[np.int64]]) -> Box:
    """Return the box of the voxels that ``maps`` (source index per axis) take from ``box``.

    It is all zeros if there are none.
    """
    spans: list[int] = []
    for axis, places in enumerate(maps):
        start, stop = extent(box, axis)
        hit = np.flatnonzero((places >= start) & (places < stop))
        if not len(hit):
            return EMPTY
        spans += [int(hit[0]), int(hit[-1]) + 1]
    return spans[0], spans[1], spans[2], spans[3], spans[4], spans[5]


def _at_full_size(found: Bools, maps: Sequence[NDArray[np.int64]]) -> Box:
    """Return the box of what was found at the scan's size; a smaller scan may lose it."""
    rough = _rescaled(Crop.of(found).box, maps)
    ranges = [places[s] for places, s in zip(maps, slices(rough), strict=True)]
    box = Crop.of(np.asarray(found[np.ix_(*ranges)])).box
    return EMPTY if box == EMPTY else moved(box, rough[::2])


def _half_open(corners: Corners) -> Box:
    z0, y0, x0, z1, y1, x1 = corners
    return z0, z1 + 1, y0, y1 + 1, x0, x1 + 1
