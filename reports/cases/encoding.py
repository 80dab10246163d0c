"""Compact encoding of a case in a few hundred kB: 8-bit grey values and packed masks."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark import windows

MOST_VOXELS = 750_000
"""Larger crops are reduced."""

_CT = ((-1024.0, -200.0, 300.0, 2000.0), (0, 40, 220, 255))
"""Hounsfield units and their codes, with the finest steps (2.8 HU) for soft tissue."""

CLINICAL = {name.replace("-", " "): ends for name, ends in windows.CLINICAL.items()} | {
    "liver": (-45.0, 105.0)
}
"""CT windows of the viewer as (low, high) in Hounsfield units; the liver's has the same source."""

Step = tuple[int, int, int]


@dataclass(frozen=True)
class Channel:
    """Grey values of a channel as 8-bit codes.

    Attributes:
        codes: (z, y, x).
        values: grey values at which the piecewise linear mapping bends, ascending.
        marks: codes of ``values``.
        windows: (low, high) grey values by name of the window; the first is the default.
    """

    codes: NDArray[np.uint8]
    values: tuple[float, ...]
    marks: tuple[int, ...]
    windows: Mapping[str, tuple[float, float]]


def encode(image: NDArray[np.float32], modality: str) -> Channel:
    """Encode grey values (z, y, x) with 8 bits; values outside the coded range are clipped.

    CT (in Hounsfield units) has a fixed mapping and clinical windows. For other modalities, the
    range is from the 0.1th to the 99.9th percentile, from which the windows are also derived.
    """
    low, inner_low, inner_high, high = np.percentile(image, [0.1, 1, 99, 99.9]).tolist()
    high = max(high, low + 1e-6)
    values, marks = _CT if modality == "CT" else ((low, high), (0, 255))
    fitted = {
        "fitted to the crop": (inner_low, max(inner_high, inner_low + 1e-6)),
        "all grey values": (low, high),
        "dark half": (low, low + (high - low) / 2),
        "bright half": (low + (high - low) / 2, high),
    }
    windows = {**CLINICAL, "fitted to the crop": fitted["fitted to the crop"]}
    codes = np.rint(np.interp(image, values, marks)).astype(np.uint8)
    return Channel(codes, values, marks, windows if modality == "CT" else fitted)


def step(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> Step:
    """Return the reduction factor of each axis that brings a crop to at most `MOST_VOXELS`.

    ``shape`` and ``spacing`` (mm) are (z, y, x). The axis with the finest spacing is reduced first.
    """
    steps = [1, 1, 1]
    while np.prod([-(-n // s) for n, s in zip(shape, steps, strict=True)]) > MOST_VOXELS:
        fine = min(range(3), key=lambda axis: (spacing[axis] * steps[axis], axis))
        steps[fine] += 1
    return steps[0], steps[1], steps[2]


def reduce(array: NDArray[np.float32] | NDArray[np.bool_], steps: Step) -> NDArray[np.float64]:
    """Average an array (z, y, x) over blocks of ``steps`` voxels; end blocks may be smaller."""
    found = array.astype(np.float64)
    for axis, size in enumerate(steps):
        if size > 1:
            starts = np.arange(0, found.shape[axis], size)
            counts = np.diff([*starts, found.shape[axis]])
            shape = [-1 if a == axis else 1 for a in range(3)]
            found = np.add.reduceat(found, starts, axis=axis) / counts.reshape(shape)
    return found


def pack(channels: list[NDArray[np.uint8]], masks: list[NDArray[np.bool_]]) -> bytes:
    """Concatenate codes (a byte per voxel) and masks (a bit per voxel), compressed with gzip.

    Arrays are (z, y, x) in C order. Each mask is padded to whole bytes, with its first voxel in the
    highest bit. Equal input gives equal bytes.
    """
    parts = [codes.tobytes() for codes in channels]
    parts += [np.packbits(mask).tobytes() for mask in masks]
    return gzip.compress(b"".join(parts), compresslevel=9, mtime=0)
