"""Resizing with OpenCV's integer arithmetic, as in the released code.

The results are bit-identical without the dependency. `resize_smooth` is antialiased and is not
OpenCV's.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def resize_linear(image: Tensor, size: int) -> Tensor:
    """Resize uint8 [..., h, w] to [..., size, size], exactly as ``cv2.resize`` with INTER_LINEAR.

    OpenCV interpolates along x, then along y, with weights in multiples of 1/2048, and drops low
    bits in between.
    """
    if image.shape[-2:] == (size, size):
        return image
    taps = (linear_taps(length, size) for length in image.shape[-2:])
    down, across = (tuple(torch.from_numpy(x).to(image.device) for x in part) for part in taps)
    return blended(image, down, across)


def linear_taps(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return source indices and weights (in 1/2048) of each target pixel; [2, size] each."""
    index, part = _positions(length, size)
    weights = np.rint(np.stack((1 - part, part)) * np.float32(2048)).astype(np.int32)
    return np.stack((index, index + 1)).clip(0, length - 1), weights


def blended(image: Tensor, down: Sequence[Tensor], across: Sequence[Tensor]) -> Tensor:
    """Resize uint8 [..., h, w] by the taps and weights of `linear_taps` along y and x.

    These are [..., 2, size] each; their leading axes broadcast with those of the image.
    """
    x = image.to(torch.int32)
    taps, weights = across
    index = taps.flatten(-2)[..., None, :].expand(*x.shape[:-1], -1)
    left, right = (x.gather(-1, index) * weights.flatten(-2)[..., None, :]).chunk(2, dim=-1)
    x = (left + right) >> 4
    taps, weights = down
    index = taps.flatten(-2)[..., None].expand(*x.shape[:-2], -1, x.shape[-1])
    above, below = (x.gather(-2, index) * weights.flatten(-2)[..., None] >> 16).chunk(2, dim=-2)
    return ((above + below + 2) >> 2).to(torch.uint8)


def _positions(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the source index of each target pixel, rounded down, and the fractional part."""
    position = ((np.arange(size) + 0.5) * (1.0 / (size / length)) - 0.5).astype(np.float32)
    first = np.floor(position)
    return first.astype(np.int64), position - first


def resize_nearest(image: Tensor, size: int) -> Tensor:
    """Resize [..., h, w] to [..., size, size], exactly as ``cv2.resize`` with INTER_NEAREST.

    Torch computes indices in float32, which is off by one for some sizes.
    """
    rows, columns = (
        torch.from_numpy(nearest_taps(length, size)).to(image.device) for length in image.shape[-2:]
    )
    return image[..., rows, :][..., columns]


def nearest_taps(length: int, size: int) -> NDArray[np.int64]:
    """Return the source index of each target pixel, int64 [size]."""
    index: NDArray[np.int64] = np.floor(np.arange(size) * (1.0 / (size / length))).astype(np.int64)
    return index.clip(max=length - 1)


def resize_smooth(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize float [N, h, w] to [N, *size]: bilinear, aligned by pixel centres, antialiased."""
    if size[1] == 1 < size[0]:  # torch 2.13 would repeat the first row of a single column
        return resize_smooth(image.mT, (1, size[0])).mT
    resized: Tensor = F.interpolate(
        image[:, None], size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized[:, 0]


def smooth_weights(length: int, sizes: Tensor, most: int) -> Tensor:
    """Return `resize_smooth` along an axis as a matrix per size, float32 [B, most, length].

    ``sizes``: [B], at most ``most``; rows beyond a size are meaningless. The weights of a target
    pixel are a triangle around its centre, which widens as the image shrinks.
    """
    scale = (length / sizes.double())[:, None, None]
    centre = (torch.arange(most, device=sizes.device)[:, None] + 0.5) * scale
    apart = (torch.arange(length, device=sizes.device) + 0.5 - centre).abs()
    weights = (1 - apart / scale.clamp(min=1)).clamp(min=0)
    return (weights / weights.sum(dim=2, keepdim=True)).float()


def resize_int16(image: Tensor, size: int) -> Tensor:
    """Resize int16 [h, w] to [size, size] as ``cv2.resize`` with INTER_LINEAR.

    Interpolates in float32 along x, then along y, and rounds half to even; halving is a mean of
    four, rounded half up. This is OpenCV's own code: its x86 builds use Intel IPP for this type,
    which differs by one where a value is almost exactly halfway.
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
    """Return both source indices of each target pixel, and the second one's weight in float32.

    ``edges``: give the outermost pixels a single source, as OpenCV does along x.
    """
    index, part = _positions(length, size)
    if edges:
        part[(index < 0) | (index >= length - 1)] = 0
    taps = index.clip(0, length - 1), (index + 1).clip(0, length - 1), part
    left, right, weight = (torch.from_numpy(tap) for tap in taps)
    return left, right, weight
