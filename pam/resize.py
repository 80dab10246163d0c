"""Resizing with the integer arithmetic of OpenCV, which the released code resizes with.

The images are the same to the bit, and one library is needed less.
"""

import numpy as np
import torch
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
    position = ((np.arange(size) + 0.5) * (1.0 / (size / length)) - 0.5).astype(np.float32)
    first = np.floor(position)
    part = position - first
    index = first.astype(np.int64)
    taps: list[NDArray[np.integer]] = [index.clip(0, length - 1), (index + 1).clip(0, length - 1)]
    taps += [np.rint(w * np.float32(2048)).astype(np.int32) for w in (1 - part, part)]
    left, right, a, b = (torch.from_numpy(tap).to(device) for tap in taps)
    return left, right, a, b


def resize_nearest(image: Tensor, size: int) -> Tensor:
    """Resize [..., h, w] to [..., size, size] as ``cv2.resize`` with INTER_NEAREST, exactly.

    Torch computes the index in float32, which for some sizes misses by a column.
    """
    rows, columns = (_nearest(length, size, image.device) for length in image.shape[-2:])
    return image[..., rows, :][..., columns]


def _nearest(length: int, size: int, device: torch.device) -> Tensor:
    index = np.floor(np.arange(size) * (1.0 / (size / length))).astype(np.int64)
    return torch.from_numpy(index.clip(max=length - 1)).to(device)
