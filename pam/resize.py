"""Resizing with the integer arithmetic of OpenCV, which the released code resizes with.

The images are the same to the bit, and one library is needed less. `resize_smooth` stands apart.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def resize_linear(image: Tensor, size: int) -> Tensor:
    """Resize uint8 [..., h, w] to [..., size, size] as ``cv2.resize`` with INTER_LINEAR, exactly.

    OpenCV weighs by multiples of 1/2048 and drops bits on the way: first along x, then along y.
    Halving is a plain mean of four.
    """
    height, width = image.shape[-2:]
    if (height, width) == (size, size):
        return image
    x = image.to(torch.int32)
    if (height, width) == (2 * size, 2 * size):
        pairs = x[..., ::2] + x[..., 1::2]
        return ((pairs[..., ::2, :] + pairs[..., 1::2, :] + 2) >> 2).to(torch.uint8)
    left, right, a, b = _taps(width, size, image.device)
    x = (x[..., left] * a + x[..., right] * b) >> 4
    above, below, a, b = _taps(height, size, image.device)
    upper = (x[..., above, :] * a[:, None]) >> 16
    lower = (x[..., below, :] * b[:, None]) >> 16
    return ((upper + lower + 2) >> 2).to(torch.uint8)


def _taps(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both source indices of each target pixel and their weights in 1/2048; [size] each."""
    index, part = _positions(length, size)
    taps: list[NDArray[np.integer]] = [index.clip(0, length - 1), (index + 1).clip(0, length - 1)]
    taps += [np.rint(w * np.float32(2048)).astype(np.int32) for w in (1 - part, part)]
    left, right, a, b = (torch.from_numpy(tap).to(device) for tap in taps)
    return left, right, a, b


def _positions(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Source index of each target pixel, rounded down, and what it was rounded by."""
    position = ((np.arange(size) + 0.5) * (1.0 / (size / length)) - 0.5).astype(np.float32)
    first = np.floor(position)
    return first.astype(np.int64), position - first


def resize_nearest(image: Tensor, size: int) -> Tensor:
    """Resize [..., h, w] to [..., size, size] as ``cv2.resize`` with INTER_NEAREST, exactly.

    Torch computes the index in float32, which for some sizes misses by a column.
    """
    rows, columns = (_nearest(length, size, image.device) for length in image.shape[-2:])
    return image[..., rows, :][..., columns]


def _nearest(length: int, size: int, device: torch.device) -> Tensor:
    index = np.floor(np.arange(size) * (1.0 / (size / length))).astype(np.int64)
    return torch.from_numpy(index.clip(max=length - 1)).to(device)


def resize_smooth(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize float [N, h, w] to [N, *size], bilinear by pixel centres, averaging as it shrinks."""
    resized: Tensor = F.interpolate(
        image[:, None], size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized[:, 0]


def resize_int16(image: Tensor, size: int) -> Tensor:
    """Resize int16 [h, w] to [size, size] as ``cv2.resize`` with INTER_LINEAR.

    Single precision, first along x, then along y, rounded half to even; halving is a mean of four,
    rounded half up. That is OpenCV as it is written: its builds for x86 hand this type to Intel
    IPP, whose pixels differ by one where a value is all but halfway.
    """
    height, width = image.shape
    if (height, width) == (size, size):
        return image
    if (height, width) == (2 * size, 2 * size):
        x = image.to(torch.int32)
        pairs = x[:, ::2] + x[:, 1::2]
        return ((pairs[::2] + pairs[1::2] + 2) >> 2).to(torch.int16)
    x = image.to(torch.float32)
    left, right, part = _parts(width, size, edges=True)
    x = x[:, left] * (1 - part) + x[:, right] * part
    above, below, part = _parts(height, size, edges=False)
    x = x[above] * (1 - part)[:, None] + x[below] * part[:, None]
    return x.round().to(torch.int16)


def _parts(length: int, size: int, edges: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Both source indices of each target pixel, and the second one's weight in float32.

    ``edges``: take the first and last pixel as they are (OpenCV does, along x).
    """
    index, part = _positions(length, size)
    if edges:
        part[(index < 0) | (index >= length - 1)] = 0
    taps = index.clip(0, length - 1), (index + 1).clip(0, length - 1), part
    left, right, weight = (torch.from_numpy(tap) for tap in taps)
    return left, right, weight
