"""From a box on a slice to the mask that the propagation starts from (paper, Box2Mask module).

The window of intensities is not known before the object is: the network looks at the crop under
many candidate windows, the pixels that it finds there give the final window, and it looks again.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import UserError
from benchmark.windows import CLINICAL
from pam import preprocess
from pam.box_presets import RIGOROUS, Conversion
from pam.preprocess import Scan
from pam.propagation import Device, lead, probability
from pam.resize import resize_int16, resize_smooth

Rectangle = tuple[int, int, int, int]

_THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.33, 0.67, 0.27, 0.73, 0.18, 0.82, 0.12, 0.88)


class Network(Protocol):
    """What is asked of a network; `pam.network.Box2Mask` is one."""

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        """Logits [B, 2, h, w] at any number of scales, the finest first, for [B, 1, H, W]."""


@torch.no_grad()  # as `pam.propagation.advance`
def guiding_mask(
    network: Network | None,
    scan: Scan,
    index: int,
    box: Rectangle,
    settings: Conversion = RIGOROUS,
    *,
    device: Device = "cpu",
    batch: int = 8,
) -> NDArray[np.bool_]:
    """Find the object in a box; returns its mask on the slice, bool [y, x], never empty.

    ``index``: slice of the scan's first axis. ``box``: half-open (y, y, x, x), in pixels.
    ``network``: on ``device``; None where ``settings.by`` needs none. ``batch``: how many windows
    pass it at a time; it bounds the memory and changes the result by rounding alone. In a box of
    one intensity nothing can be told apart: its mask is the whole box (``halved`` asks the network
    all the same, as the released code does). Raises `UserError` for a box that is empty or leaves
    the image, and for a network of a single scale where the ``estimate`` is a ``pool``.
    """
    if batch < 1:
        raise ValueError(f"batch {batch}; at least one window has to pass the network at a time")
    box = _checked(scan, index, box, settings)
    y0, y1, x0, x1 = box
    inside = scan.volume[index, y0:y1, x0:x1]
    found = np.ones(inside.shape, np.bool_)
    if settings.by == "adaptive":
        found = _adaptive(inside)
    elif settings.by == "box2mask" and (settings.halved or np.ptp(inside)):
        if network is None:
            raise UserError("Box2Mask needs its network; without one say by: full-box or adaptive.")
        seen = _enlarged(box, settings.box_ratio, scan.volume.shape[1:])
        crop = scan.volume[index, seen[0] : seen[1], seen[2] : seen[3]]
        ahead = _Passes(network, crop, settings, device, batch).ahead()
        within = ahead[y0 - seen[0] : y1 - seen[0], x0 - seen[2] : x1 - seen[2]]
        marked = _reaching(probability(within, settings.average)) if settings.tight else within > 0
        found = marked.cpu().numpy() if marked.any() else found
    mask = np.zeros(scan.volume.shape[1:], np.bool_)
    mask[y0:y1, x0:x1] = found
    return mask


class _Passes:
    """The passes of the network over a crop [h, w]."""

    def __init__(
        self,
        network: Network,
        crop: NDArray[np.float32],
        settings: Conversion,
        device: Device,
        batch: int,
    ) -> None:
        self.network, self.settings, self.device, self.batch = network, settings, device, batch
        self.shape: tuple[int, int] = crop.shape
        self.crop = torch.from_numpy(np.ascontiguousarray(crop))
        if settings.halved:
            self.crop = resize_int16(_int16(crop), settings.size // 2)
        self.values: NDArray[Any] = self.crop.numpy()

    def ahead(self) -> Tensor:
        """By how much the foreground leads in the end, float [h, w]."""
        if self.settings.normalisation == "dynamic":
            if self.settings.final == "vote":
                return self._vote(self.shape)
            pixels = self._pool() if self.settings.estimate == "pool" else self._agreed()
            limits = self._final(pixels)
        else:
            limits = CLINICAL[self.settings.normalisation]
        (ahead,) = self._leads([limits], self.shape)
        return ahead

    def _candidates(self) -> list[tuple[float, float]]:
        """Both ends of each candidate window; the upper percentile changes first."""
        lower = np.percentile(self.values, self.settings.lower)
        upper = np.percentile(self.values, self.settings.upper)
        if lower[0] == upper[-1] and not self.settings.halved:
            lower, upper = np.array([self.values.min()]), np.array([self.values.max()])
        return [self._window(*pair) for pair in product(lower, upper)]

    def _window(self, low: float, high: float) -> tuple[float, float]:
        if self.settings.integer_window:
            low, high = preprocess.integer_window(low, high)
        return float(low), float(high)

    def _looks(self, limits: Sequence[tuple[float, float]]) -> Iterator[Sequence[Tensor]]:
        """Logits of the crop under each window, some windows at a time."""
        ends = torch.tensor(limits, dtype=torch.float32)[..., None, None]
        for low, high in (part.unbind(1) for part in torch.split(ends, self.batch)):
            image = self.crop.float().clamp(low, high)
            if self.settings.stretch == "crop":
                low, high = image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True)
            arithmetic = "native" if self.settings.halved else "float32"
            grey = preprocess.grey_levels(image, low, high, arithmetic, self.settings.halved)
            shown = preprocess.network_input(grey.to(self.device), self.settings.size)
            yield self.network(shown)

    def _leads(
        self, limits: Sequence[tuple[float, float]], shape: tuple[int, int]
    ) -> Iterator[Tensor]:
        """Lead of the foreground at the ``shape`` [h, w], window by window."""
        for logits in self._looks(limits):
            scales = [scale[None] for scale in logits]
            if self.settings.resampling == "corners":
                yield from lead(scales, shape, self.settings.average)[0]
            else:
                size = (self.settings.size, self.settings.size)
                ahead = lead(scales, size, self.settings.average)[0]
                # On a GPU torch cannot shrink so many pixels to a few: a row of them is averaged
                # in the memory of one block.
                yield from resize_smooth(ahead.cpu(), shape)

    def _pool(self) -> NDArray[Any]:
        """Values of all pixels that the passes find, as often as they do."""
        times = np.zeros(self.values.shape, np.int64)
        for logits in self._looks(self._candidates()):
            if len(logits) < 2:
                raise UserError(
                    "estimate pool reads the scale of half the size, and this Box2Mask has one "
                    "scale alone: it has two stages. Say estimate: vote, as rigorous does, or take "
                    "weights of three stages or more."
                )
            second = logits[1]  # of half the size, as the crop is
            found = (second[:, 1] > second[:, 0]).cpu().numpy()
            times += found[found.sum(axis=(1, 2)) >= self.settings.least_pixels].sum(axis=0)
        return np.repeat(self.values.ravel(), times.ravel())

    def _agreed(self) -> NDArray[Any]:
        """Values of the pixels that the foreground leads at, in the mean of all passes."""
        return np.asarray(self.values[(self._vote(self.values.shape) > 0).cpu().numpy()])

    def _vote(self, shape: tuple[int, int]) -> Tensor:
        """Mean lead of the foreground over all candidate windows, at the ``shape`` [h, w]."""
        return torch.stack(list(self._leads(self._candidates(), shape))).mean(dim=0)

    def _final(self, pixels: NDArray[Any]) -> tuple[float, float]:
        """Window of the final pass, from the pixels of the estimate."""
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
    """Cut off decimals and wrap what leaves the range, as a cast in numpy does."""
    return torch.from_numpy(crop.astype(np.int64).astype(np.int16))


def _reaching(likely: Tensor) -> Tensor:
    """Threshold probabilities [h, w] as near to one half as lets them reach the sides of the box.

    A box is drawn tight around its object. The mask has to span nearly as much of the box as at the
    best of the thresholds. The idea: Lempitsky et al., Image segmentation with a bounding box
    prior, ICCV 2009.
    """
    masks = [likely > threshold for threshold in _THRESHOLDS]
    spans = [float(m.any(dim=0).sum() * m.any(dim=1).sum()) for m in masks]
    return next(m for m, span in zip(masks, spans, strict=True) if span >= 0.95 * max(spans))


def _adaptive(inside: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Otsu's threshold in the box; the object is the class that its border has less of."""
    from skimage.filters import threshold_otsu

    bright: NDArray[np.bool_] = inside > threshold_otsu(inside)
    border = np.ones(inside.shape, np.bool_)
    border[1:-1, 1:-1] = False
    found = bright if bright[border].mean() <= bright.mean() else ~bright
    return found if found.any() else np.ones_like(found)


def _enlarged(box: Rectangle, ratio: float, shape: tuple[int, ...]) -> Rectangle:
    """Sides times ``ratio`` about the same centre, as far as the image goes."""
    ends = []
    for start, stop, length in ((box[0], box[1], shape[0]), (box[2], box[3], shape[1])):
        margin = round((stop - start) * (ratio - 1) / 2)
        ends += [max(start - margin, 0), min(stop + margin, length)]
    return ends[0], ends[1], ends[2], ends[3]


def _checked(scan: Scan, index: int, box: Rectangle, settings: Conversion) -> Rectangle:
    depth, height, width = scan.volume.shape
    y0, y1, x0, x1 = box
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
                "The box is one pixel high or wide, and the released code takes it short of its "
                "last row and column: nothing is left. Say last_pixel: true, as rigorous does."
            )
    return y0, y1, x0, x1
