"""What the network sees of a slice: a square crop, windowed and quantised to 256 grey levels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import UserError
from benchmark.windows import CLINICAL
from pam.presets import Propagation
from pam.resize import (
    blended,
    linear_taps,
    nearest_taps,
    resize_linear,
    resize_nearest,
    resize_smooth,
    smooth_weights,
)

if TYPE_CHECKING:
    from benchmark.volume import Volume


@dataclass(frozen=True, eq=False)
class Scan:
    """A volume as the propagation reads it, for any number of prompts.

    ``volume``: [z, y, x], stored as float32. Prompts lie on slices of the first axis; for another
    view move its axis there first. ``spacing``: (z, y, x) in mm. ``modality``: only "CT" has rules
    of its own. Raises `UserError` for another number of axes, an empty volume, values that are not
    finite, and a spacing that is not positive.
    """

    volume: NDArray[Any]
    spacing: tuple[float, float, float]
    modality: str = ""
    integer: bool = field(init=False)  # the given volume was of an integer type
    _tensors: dict[str, Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the volume once, so that no prompt meets a bad one later."""
        volume = np.asarray(self.volume)
        if volume.ndim != 3 or not volume.size or volume.dtype.kind not in "biuf":
            raise UserError(
                f"A volume of shape {volume.shape} and type {volume.dtype}; expected numbers on "
                "three axes, none of them empty. Give one channel of one time point."
            )
        object.__setattr__(self, "integer", volume.dtype.kind != "f")
        volume = np.ascontiguousarray(volume, np.float32)
        if not np.isfinite(volume).all():
            bad = int(volume.size - np.isfinite(volume).sum())
            raise UserError(
                f"{bad} of {volume.size} voxels are NaN or infinite; expected finite "
                "intensities. Replace them first, for instance by the least finite value."
            )
        if len(self.spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise UserError(
                f"Spacing {self.spacing}; expected three positive numbers (z, y, x), in mm."
            )
        object.__setattr__(self, "volume", volume)

    @classmethod
    def along(cls, volume: "Volume", axis: int) -> Self:
        """Return the first channel of a volume with ``axis`` moved to the front."""
        across = [mm for a, mm in enumerate(volume.spacing) if a != axis]
        spacing = (volume.spacing[axis], across[0], across[1])
        return cls(np.moveaxis(volume.grey, axis, 0), spacing, volume.modality)

    def on(self, device: str | torch.device) -> Tensor:
        """Return the volume on a device, float32 and read only; it is transferred once."""
        key = str(device)
        if key not in self._tensors:
            with warnings.catch_warnings():  # torch warns of read-only arrays; nothing is written
                warnings.simplefilter("ignore", UserWarning)
                self._tensors[key] = torch.from_numpy(self.volume).to(device)
        return self._tensors[key]

    @cached_property
    def extremes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Minimum and maximum intensity of each slice, float32 [z] each."""
        return self.volume.min(axis=(1, 2)), self.volume.max(axis=(1, 2))


@dataclass(frozen=True)
class Square:
    """The square crop of a slice: first row, first column and side, in pixels."""

    y: int
    x: int
    side: int

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the square that lie in an image of this size."""
        rows = slice(self.y, min(self.y + self.side, height))
        return rows, slice(self.x, min(self.x + self.side, width))


def window(
    image: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    modality: str,
    settings: Propagation,
) -> tuple[float, float]:
    """Return the intensity window (low, high) of an object.

    ``image`` and ``mask``: guiding slice and prompt, [y, x]. Source: paper, Dynamic image
    normalization; released code for the integer window of CT. Raises `UserError` for a slice of
    constant intensity, unless ``flat_window`` is ``blank``.
    """
    if settings.normalisation != "dynamic":
        return CLINICAL[settings.normalisation]
    low, high = _ends(image[mask], modality, settings)
    if low == high and settings.flat_window == "slice":
        low, high = _ends(image, modality, settings)
        if low == high:
            low, high = float(image.min()), float(image.max())
        if low == high:
            raise UserError(
                f"Every pixel of the guiding slice is {low:g}: there is nothing to "
                "segment by. Check that the prompt's slice lies inside the imaged region."
            )
    return low, high


def _ends(values: NDArray[Any], modality: str, settings: Propagation) -> tuple[float, float]:
    low, high = np.percentile(values, settings.percentiles)
    if settings.integer_ct_window and modality == "CT":
        low, high = integer_window(low, high)
    return float(low), float(high)


def integer_window(low: float, high: float) -> tuple[float, float]:
    """Round a window as the released code does: an integer centre -+ half an integer width."""
    centre, half = int((low + high) / 2), int(high - low) // 2
    return centre - half, centre + half


def square_around(mask: NDArray[np.bool_], settings: Propagation) -> Square:
    """Return the square crop around a non-empty mask [y, x] (released code, dynamic crop)."""
    starts, stops = [], []
    for axis in (1, 0):
        hits = np.flatnonzero(mask.any(axis=axis))
        starts.append(int(hits[0]))
        stops.append(int(hits[-1]) + settings.last_pixel)
    longest = max(stop - start for start, stop in zip(starts, stops, strict=True))
    side = max(int(settings.crop_ratio * longest), settings.min_crop)
    corner = [
        max((start + stop) // 2 - side // 2, 0) for start, stop in zip(starts, stops, strict=True)
    ]
    if settings.border == "shift":
        corner = [
            min(first, max(length - side, 0))
            for first, length in zip(corner, mask.shape, strict=True)
        ]
    return Square(corner[0], corner[1], side)


@dataclass(frozen=True)
class View:
    """Slices of a scan, with the square crop and the intensity window (low, high) they share."""

    slices: Sequence[int]
    square: Square
    limits: tuple[float, float]

    def widened(self, share: float) -> "View":
        """Return it with a window that is wider by ``share`` of its width at both ends."""
        low, high = self.limits
        more = share * (high - low)
        return replace(self, limits=(low - more, high + more))


def images(
    scan: Scan,
    views: Sequence[View],
    settings: Propagation,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Crop, window and resize views of N slices; returns float32 [B, N, C, size, size] in -1..1.

    C is 1, or 2 with ``context``. All views have the same N. Intensities are quantised to 256 grey
    levels, as in the network's training. Pixels of the square outside the slice are black. The
    number of tensor operations does not depend on the number of views, since many small operations
    would dominate the time on a GPU.
    """
    if settings.context:
        views = [*views, *(view.widened(settings.context) for view in views)]
    chosen = np.array([view.slices for view in views])
    low, high = np.array([view.limits for view in views], np.float32).T[..., None]
    least, greatest = low, high
    if settings.stretch == "slice":
        # Clipping is monotonic, so the extremes of a clipped slice are its clipped extremes.
        least, greatest = (extreme[chosen].clip(low, high) for extreme in scan.extremes)
    ends = np.stack(np.broadcast_arrays(low, high, least, greatest))
    shape = scan.volume.shape[1:]
    # Of a square that is larger than the slice, what lies outside is not gathered.
    most = np.arange(min(max(view.square.side for view in views), max(shape)))
    corners = np.array([(view.square.y, view.square.x) for view in views])[..., None]
    places = (corners + most).clip(max=np.reshape(shape, (2, 1)) - 1)
    parts = [_taps(view.square, shape, settings.size) for view in views]
    taps, weights = (np.stack(part) for part in zip(*parts, strict=True))
    taps = taps.clip(max=len(most) - 1)  # the weights are 0 there

    where, rows_columns, index, weighed, limits = (
        torch.from_numpy(part).to(device) for part in (chosen, places, taps, weights, ends)
    )
    rows, columns = rows_columns.unbind(1)
    raw = scan.on(device)[where[..., None, None], rows[:, None, :, None], columns[:, None, None]]
    low, high, least, greatest = limits[..., None, None]
    grey = grey_levels(raw.clamp(low, high), least, greatest, settings.arithmetic, scan.integer)
    down, across = ((index[:, None], part) for part in weighed[:, None].unbind(2))
    shown = _scaled(blended(grey, down, across))[:, :, None]
    return torch.cat(shown.chunk(2), dim=2) if settings.context else shown


def _taps(
    square: Square, shape: Sequence[int], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return `linear_taps` of a square for rows and columns; weights outside the image are 0."""
    index, weights = linear_taps(square.side, size)
    inside = [
        index < length - start for length, start in zip(shape, (square.y, square.x), strict=True)
    ]
    return index, np.where(inside, weights, 0).astype(np.int32)


def grey_levels(image: Tensor, low: Tensor, high: Tensor, arithmetic: str, integer: bool) -> Tensor:
    """Map float32 images from ``low``..``high`` to 0..255, truncated to uint8.

    ``arithmetic``: as in `Propagation`; ``integer``: whether the volume was of an integer type. An
    image of constant intensity becomes black.
    """
    if arithmetic == "float32":
        return ((image - low) / (high - low + 1e-8) * 255).to(torch.uint8)
    if integer:
        image, low, high = image.double(), low.double(), high.double()
    return ((image - low) / (high - low) * 255).nan_to_num(0).to(torch.uint8)


def network_input(grey: Tensor, size: int) -> Tensor:
    """Resize uint8 [N, h, w] to the network's input, float32 [N, 1, size, size] in -1..1."""
    return _scaled(resize_linear(grey, size))[:, None]


def _scaled(grey: Tensor) -> Tensor:
    return (grey.to(torch.float32) - 127.5) * (1 / 127.5)


def prompt_image(mask: NDArray[np.bool_], square: Square, settings: Propagation) -> Tensor:
    """Crop and resize a mask [y, x] to float32 [1, size, size] with values 0 and 1."""
    inside = mask[square.inside(*mask.shape)]
    canvas = torch.zeros(square.side, square.side)
    canvas[: inside.shape[0], : inside.shape[1]] = torch.from_numpy(inside).to(canvas)
    if settings.resampling == "nearest":
        return resize_nearest(canvas, settings.size)[None]
    return covered(canvas, settings.size)[None]


def covered(mask: Tensor, size: int) -> Tensor:
    """Resize a binary mask [h, w] to [size, size]: the pixels that are at least half covered.

    If the mask is too thin to cover any pixel fully, the threshold is half of the greatest
    coverage.
    """
    share = resize_smooth(mask[None].float(), (size, size))[0]
    least = share.amax().clamp(max=1) / 2
    return ((share >= least) & (share > 0)).to(mask.dtype)


def resize_to_crop(margin: Tensor, sides: Sequence[int], settings: Propagation) -> Tensor:
    """Resize predictions [B, N, size, size] to pixels of the slices, [B, N, most, most].

    ``sides``: of the B squares, in pixels; ``most`` is the longest. Values beyond the side of a
    square are meaningless.
    """
    most, size = max(sides), margin.shape[-1]
    if settings.resampling == "nearest":
        padded = np.zeros((len(sides), most), np.int64)
        for row, side in zip(padded, sides, strict=True):
            row[:side] = nearest_taps(size, side)
        index = torch.from_numpy(padded).to(margin.device)[:, None]
        first, second = (torch.arange(n, device=margin.device) for n in margin.shape[:2])
        rows, columns = index[..., None], index[..., None, :]
        return margin[first[:, None, None, None], second[:, None, None], rows, columns]
    weights = smooth_weights(size, torch.tensor(sides, device=margin.device), most)[:, None]
    with torch.autocast(margin.device.type, enabled=False):  # float32, whatever the network uses
        return weights @ margin @ weights.mT


def distance(
    guide: int, slices: Sequence[int], square: Square, spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Return how far ``slices`` are from their guide, as shares of the crop's side; float32 [N].

    Both are measured in mm. A network with a prior uses this: objects change over distances that
    are proportional to their size.
    """
    side = square.side * (spacing[1] + spacing[2]) / 2
    steps = np.abs(np.asarray(slices, np.int64) - guide)
    return (steps * (spacing[0] / side)).astype(np.float32)
