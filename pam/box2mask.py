"""Convert a box on a slice to the guiding mask of the propagation (paper, Box2Mask module).

A good intensity window depends on the object, which is not known yet. So the network sees the crop
under many candidate windows, the pixels that it finds define the final window, and the network runs
once more.
"""

import operator
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import UserError
from benchmark.machine.batch import Batch
from benchmark.machine.precision import Precision, in_precision
from benchmark.windows import CLINICAL
from pam import preprocess
from pam.box_presets import RIGOROUS, Conversion
from pam.preprocess import Scan
from pam.propagation import Device, foreground_margin, probability
from pam.resize import resize_int16, resize_smooth

Rectangle = tuple[int, int, int, int]

_THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.33, 0.67, 0.27, 0.73, 0.18, 0.82, 0.12, 0.88)


class Network(Protocol):
    """What `guiding_mask` needs of a network; `pam.network.Box2Mask` implements it."""

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        """Map images [B, 1, H, W] to logits [B, 2, h, w] at any number of scales, finest first."""


@torch.no_grad()  # not inference mode, see `pam.propagation.advance`
def guiding_mask(
    network: Network | None,
    scan: Scan,
    index: int,
    box: Rectangle,
    settings: Conversion = RIGOROUS,
    *,
    device: Device = "cpu",
    batch: int | Batch = 8,
    precision: Precision = "float32",
) -> NDArray[np.bool_]:
    """Segment the object in a box; returns its mask on the slice, bool [y, x], never empty.

    ``index``: slice along the scan's first axis. ``box``: half-open (y0, y1, x0, x1), in pixels.
    ``network``: on ``device``; None if ``settings.by`` does not need one. ``batch``: windows per
    forward pass; it bounds the memory, is halved where that does not suffice on a GPU, and changes
    the result by rounding only. ``precision``: as in `pam.propagation.propagate`.

    In a box of constant intensity nothing can be told apart, so the mask is the whole box (with
    ``halved`` the network still runs, as in the released code). Raises `UserError` for a box that
    is empty or leaves the image, and for a network of a single scale with ``estimate`` ``pool``.
    """
    batch = Batch.of(batch)
    box = _checked(scan, index, box, settings)
    y0, y1, x0, x1 = box
    inside = scan.volume[index, y0:y1, x0:x1]
    found = np.ones(inside.shape, np.bool_)
    if settings.by == "adaptive":
        found = _adaptive(inside)
    elif settings.by == "box2mask" and (settings.halved or np.ptp(inside)):
        if network is None:
            raise UserError("Box2Mask needs its network; without one set by: full-box or adaptive.")
        seen = _enlarged(box, settings.box_ratio, scan.volume.shape[1:])
        crop = scan.volume[index, seen[0] : seen[1], seen[2] : seen[3]]
        with in_precision(precision, device):
            margin = _Passes(network, crop, settings, device, batch).margin()
        within = margin[y0 - seen[0] : y1 - seen[0], x0 - seen[2] : x1 - seen[2]]
        marked = _reaching(probability(within, settings.average)) if settings.tight else within > 0
        found = marked.cpu().numpy() if marked.any() else found
    mask = np.zeros(scan.volume.shape[1:], np.bool_)
    mask[y0:y1, x0:x1] = found
    return mask


class _Passes:
    """Forward passes of the network over a crop, float32 [h, w], under different windows."""

    def __init__(
        self,
        network: Network,
        crop: NDArray[np.float32],
        settings: Conversion,
        device: Device,
        batch: Batch,
    ) -> None:
        self.network, self.settings, self.device, self.batch = network, settings, device, batch
        self.shape: tuple[int, int] = crop.shape
        self.crop = torch.from_numpy(np.ascontiguousarray(crop))
        if settings.halved:
            self.crop = resize_int16(_int16(crop), settings.size // 2)
        self.values: NDArray[Any] = self.crop.numpy()

    def margin(self) -> Tensor:
        """Return the final `pam.propagation.foreground_margin`, float [h, w]."""
        if self.settings.normalisation == "dynamic":
            if self.settings.final == "vote":
                return self._vote(self.shape)
            pixels = self._pool() if self.settings.estimate == "pool" else self._agreed()
            limits = self._final(pixels)
        else:
            limits = CLINICAL[self.settings.normalisation]
        (margin,) = self._margins([limits], self.shape)
        return margin

    def _candidates(self) -> list[tuple[float, float]]:
        """Return both ends of each candidate window; the upper percentile varies fastest."""
        lower = np.percentile(self.values, self.settings.lower)
        upper = np.percentile(self.values, self.settings.upper)
        if lower[0] == upper[-1] and not self.settings.halved:
            lower, upper = np.array([self.values.min()]), np.array([self.values.max()])
        return [self._window(*pair) for pair in product(lower, upper)]

    def _window(self, low: float, high: float) -> tuple[float, float]:
        if self.settings.integer_window:
            low, high = preprocess.integer_window(low, high)
        return float(low), float(high)

    def _batches(self, limits: Sequence[tuple[float, float]]) -> Iterator[Sequence[Tensor]]:
        """Yield the logits of the crop under the windows ``limits``, a batch at a time."""
        for _, logits in self.batch.over(limits, self._logits):
            yield logits

    def _logits(self, limits: Sequence[tuple[float, float]]) -> Sequence[Tensor]:
        """Return the logits of the crop under N windows."""
        low, high = torch.tensor(limits, dtype=torch.float32)[..., None, None].unbind(1)
        image = self.crop.float().clamp(low, high)
        if self.settings.stretch == "crop":
            low, high = image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True)
        arithmetic = "native" if self.settings.halved else "float32"
        grey = preprocess.grey_levels(image, low, high, arithmetic, self.settings.halved)
        return self.network(preprocess.network_input(grey.to(self.device), self.settings.size))

    def _margins(
        self, limits: Sequence[tuple[float, float]], shape: tuple[int, int]
    ) -> Iterator[Tensor]:
        """Yield the margin of the foreground under each window, resampled to ``shape`` (h, w)."""
        for logits in self._batches(limits):
            scales = [scale[None] for scale in logits]
            if self.settings.resampling == "corners":
                yield from foreground_margin(scales, shape, self.settings.average)[0]
            else:
                size = (self.settings.size, self.settings.size)
                margin = foreground_margin(scales, size, self.settings.average)[0]
                # CUDA's antialiased kernel fails for large shrink factors: it keeps a row of
                # weights in the shared memory of one block.
                yield from resize_smooth(margin.cpu(), shape)

    def _pool(self) -> NDArray[Any]:
        """Return the values of the pixels found under all candidate windows, with repetitions."""
        times = np.zeros(self.values.shape, np.int64)
        for logits in self._batches(self._candidates()):
            if len(logits) < 2:
                raise UserError(
                    "estimate pool reads the scale of half the size, and this Box2Mask has one "
                    "scale alone: it has two stages. Set estimate: vote, as rigorous does, or take "
                    "weights of three stages or more."
                )
            second = logits[1]  # at half of ``size``, the resolution of the halved crop
            found = (second[:, 1] > second[:, 0]).cpu().numpy()
            times += found[found.sum(axis=(1, 2)) >= self.settings.least_pixels].sum(axis=0)
        return np.repeat(self.values.ravel(), times.ravel())

    def _agreed(self) -> NDArray[Any]:
        """Return the values of the pixels where the foreground leads, averaged over all windows."""
        return np.asarray(self.values[(self._vote(self.values.shape) > 0).cpu().numpy()])

    def _vote(self, shape: tuple[int, int]) -> Tensor:
        """Return the margin of the foreground averaged over all candidate windows, float [h, w]."""
        return torch.stack(list(self._margins(self._candidates(), shape))).mean(dim=0)

    def _final(self, pixels: NDArray[Any]) -> tuple[float, float]:
        """Return the window of the final pass, from the values of the estimated pixels."""
        ends = self.settings.percentiles
        if not pixels.size:
            if self.settings.empty_estimate == "soft-tissue":
                return 50 - 350 // 2, 50 + 350 // 2
            pixels, ends = self.values, (5, 95)
        low, high = np.percentile(pixels, ends)
        if low == high and not self.settings.halved:
            low, high = self.values.min(), self.values.max()
        return self._window(low, high)


def _int16(crop: NDArray[np.float32]) -> Tensor:
    """Truncate decimals and wrap values out of range, as numpy's cast does."""
    return torch.from_numpy(crop.astype(np.int64).astype(np.int16))


def _reaching(likely: Tensor) -> Tensor:
    """Threshold probabilities [h, w] as close to 0.5 as lets the mask span the box.

    A box is drawn tightly around its object, so the mask should reach its sides. Of the thresholds,
    ordered by distance from 0.5, the first one wins whose mask spans 95 % of the extent reached by
    the best of them. The idea is from Lempitsky et al., Image segmentation with a bounding box
    prior, ICCV 2009.
    """
    masks = [likely > threshold for threshold in _THRESHOLDS]
    spans = [float(m.any(dim=0).sum() * m.any(dim=1).sum()) for m in masks]
    return next(m for m, span in zip(masks, spans, strict=True) if span >= 0.95 * max(spans))


def _adaptive(inside: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Apply Otsu's threshold; the object is the class that is rarer on the border of the box."""
    from skimage.filters import threshold_otsu

    bright: NDArray[np.bool_] = inside > threshold_otsu(inside)
    border = np.ones(inside.shape, np.bool_)
    border[1:-1, 1:-1] = False
    found = bright if bright[border].mean() <= bright.mean() else ~bright
    return found if found.any() else np.ones_like(found)


def _enlarged(box: Rectangle, ratio: float, shape: tuple[int, ...]) -> Rectangle:
    """Scale the sides by ``ratio`` about the same centre, clipped to the image ``shape`` (y, x)."""
    ends = []
    for start, stop, length in ((box[0], box[1], shape[0]), (box[2], box[3], shape[1])):
        margin = round((stop - start) * (ratio - 1) / 2)
        ends += [max(start - margin, 0), min(stop + margin, length)]
    return ends[0], ends[1], ends[2], ends[3]


def _checked(scan: Scan, index: int, box: Rectangle, settings: Conversion) -> Rectangle:
    depth, height, width = scan.volume.shape
    y0, y1, x0, x1 = (operator.index(end) for end in box)  # numpy's unsigned ones would wrap
    if not 0 <= index < depth:
        raise UserError(
            f"The box lies on slice {index} of a volume with slices 0 to {depth - 1}. "
            "Check the axis that the slices are counted along, and that box and image match."
        )
    if not (y0 >= 0 and y1 <= height and x0 >= 0 and x1 <= width):
        raise UserError(
            f"The box, rows {y0} to {y1} and columns {x0} to {x1}, leaves a slice of "
            f"{height} x {width} pixels. Check the order of its ends, (y, y, x, x), half-open."
        )
    if y0 >= y1 or x0 >= x1:
        raise UserError(
            f"The box, rows {y0} to {y1} and columns {x0} to {x1}, has no area. Boxes are "
            "half-open: one pixel is 4 to 5."
        )
    if not settings.last_pixel:
        y1, x1 = y1 - 1, x1 - 1
        if y0 == y1 or x0 == x1:
            raise UserError(
                "The box is one pixel high or wide, and the released code leaves out its "
                "last row and column: nothing is left. Set last_pixel: true, as rigorous does."
            )
    return y0, y1, x0, x1
