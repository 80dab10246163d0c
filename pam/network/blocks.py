"""The U-Net that both networks are built from, and the cross-attention of PropMask.

The layout is nnU-Net's plain 2D network (Isensee et al., Nature Methods 2021): two blocks per
stage, strided convolutions instead of pooling, a segmentation head at each resolution of the
decoder.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 2  # background, foreground


class Block(nn.Module):
    """3x3 convolution, instance norm (affine, no running statistics), leaky ReLU of slope 0.01."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Create the layers; ``inputs`` and ``outputs`` are channels."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor, moments: "Moments | None" = None) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        x = self.conv(x)
        x = _normalised(x, self.norm) if moments is None else moments.normalise(x, self.norm)
        return F.leaky_relu(x, 0.01, inplace=True)


def _normalised(x: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
    """Apply instance norm; on a CPU as group norm of one channel per group, which is faster.

    On a GPU group norm would widen to float32 in mixed precision.
    """
    if x.is_cuda:
        return cast(Tensor, norm(x))
    return F.group_norm(x, x.shape[1], norm.weight, norm.bias, norm.eps)


class Moments:
    """Mean and standard deviation of the channels of guiding slices, layer by layer.

    Instance norm gives every slice the same mean and contrast, even one that the object has left.
    Normalised by the moments of their guiding slice, slices keep such differences. Not in the
    paper.
    """

    def __init__(self, known: Tensor | None = None) -> None:
        """Record moments; or, given what was ``noted``, normalise by them."""
        self._known = known
        self._noted: list[Tensor] = []
        self._next = 0

    @property
    def noted(self) -> Tensor:
        """The moments recorded so far, [B, 1, twice the channels of all layers]."""
        return torch.cat(self._noted, dim=1)[:, None]

    def normalise(self, x: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
        """Normalise [B * N, C, h, w], N slices per guide, with the scale and shift of ``norm``."""
        if self._known is None:
            batch, width, height, breadth = x.shape
            x, mean, inverse = torch.native_group_norm(
                x.float(), norm.weight, norm.bias, batch, width, height * breadth, width, norm.eps
            )
            self._noted += [mean, 1 / inverse]
            return x
        first, self._next = self._next, self._next + 2 * x.shape[1]
        mean, deviation = self._known[:, 0, first : self._next].chunk(2, dim=1)
        scale = norm.weight / deviation
        shift = norm.bias - mean * scale
        slices = len(x) // len(mean)
        scale, shift = (
            part.repeat_interleave(slices, dim=0)[..., None, None].to(x.dtype)
            for part in (scale, shift)
        )
        return torch.addcmul(shift, x, scale)


def _stage(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs))


class Encoder(nn.Module):
    """Map an image to features at each resolution, finest first."""

    def __init__(self, widths: Sequence[int], inputs: int = 1) -> None:
        """Create the layers; ``widths``: channels of each stage, finest first."""
        super().__init__()
        first = _stage(inputs, widths[0])
        self.stages = nn.ModuleList([first, *(_stage(a, b, stride=2) for a, b in pairwise(widths))])

    def forward(self, x: Tensor, moments: Moments | None = None) -> list[Tensor]:
        """Map [B, inputs, H, W] to [B, widths[i], H / 2^i, W / 2^i] for each stage i."""
        features = []
        for stage in self.stages:
            for block in cast(nn.Sequential, stage):
                x = block(x, moments)
            features.append(x)
        return features


class Up(nn.ConvTranspose2d):
    """2x2 transposed convolution of stride 2.

    As its outputs do not overlap, it equals a 1x1 convolution to four times the channels followed
    by a pixel shuffle, which is faster.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Create the layer; ``inputs`` and ``outputs`` are channels."""
        super().__init__(inputs, outputs, 2, 2)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Map [B, inputs, h, w] to [B, outputs, 2 h, 2 w]."""
        return F.pixel_shuffle(self._quarters(x), 2)

    def beside(self, x: Tensor, skip: Tensor) -> Tensor:
        """Upsample and concatenate ``skip`` [B, C, 2 h, 2 w]; returns [B, outputs + C, 2 h, 2 w].

        On a CPU without gradients, pixels are written to their place directly, which takes half the
        time and less memory.
        """
        if x.is_cuda or torch.is_grad_enabled():
            return torch.cat((self(x), skip), dim=1)
        quarters, width = self._quarters(x), self.out_channels
        together = x.new_empty(len(x), width + skip.shape[1], *skip.shape[2:], dtype=skip.dtype)
        for k, (i, j) in enumerate(product(range(2), repeat=2)):
            together[:, :width, i::2, j::2] = quarters[:, k::4]
        together[:, width:] = skip
        return together

    def _quarters(self, x: Tensor) -> Tensor:
        """Return the four pixels that each pixel becomes, as channels [B, 4 outputs, h, w]."""
        assert self.bias is not None
        kernel = self.weight.flatten(1).mT[..., None, None]
        return F.conv2d(x, kernel, self.bias.repeat_interleave(4))


class Decoder(nn.Module):
    """Map features of all resolutions to logits of all but the coarsest (deep supervision)."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Create the layers; ``widths``: channels of each stage of the encoder, finest first."""
        super().__init__()
        steps = list(pairwise(reversed(widths)))
        self.ups = nn.ModuleList(Up(a, b) for a, b in steps)
        self.stages = nn.ModuleList(_stage(2 * b, b) for _, b in steps)
        self.heads = nn.ModuleList(nn.Conv2d(b, CLASSES, 1) for _, b in steps)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map the encoder's features to logits [B, 2, H / 2^i, W / 2^i], finest first.

        Empties the list ``features``, so that each tensor is freed after its last use.
        """
        x = features.pop()
        logits = []
        for up, stage, head in zip(self.ups, self.stages, self.heads, strict=True):
            x = stage(cast(Up, up).beside(x, features.pop()))
            logits.append(head(x))
        return logits[::-1]


class CrossAttention(nn.Module):
    """Attention of an adjacent slice to its guiding slice; keys are the image, values the mask.

    One head, no positional encoding; scores are divided by the square root of the channels.
    """

    def __init__(self, width: int) -> None:
        """Create the layers for features of ``width`` channels."""
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def guide(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [B, 1, h*w, C] of the guide; ``image``, ``mask``: [B, C, h, w]."""
        return self.key(_tokens(image, 1)), self.value(_tokens(mask, 1))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Add the attended values to the features [B*N, C, h, w] of N adjacent slices per guide.

        The slices of a guide are concatenated to one sequence of queries. The softmax is computed
        per query, so all of them can share one set of keys and values without copies.
        """
        rows, width, height, breadth = x.shape
        queries = self.query(_tokens(x, rows // keys.shape[0]))
        taken: Tensor = self.out(F.scaled_dot_product_attention(queries, keys, values))
        return x + taken.reshape(rows, height * breadth, width).mT.reshape(x.shape)


class Prior(nn.Module):
    """What a slice takes from the same position of its guiding slice, depending on the distance.

    A pixelwise network of one hidden layer reads the features of both images, of the mask, and the
    distance as a share of the side of the image. Not in the paper.
    """

    def __init__(self, width: int) -> None:
        """Create the layers for features of ``width`` channels."""
        super().__init__()
        self.adjacent = nn.Conv2d(width, width, 1)
        self.guiding = nn.Conv2d(2 * width, width, 1, bias=False)
        self.distance = nn.Linear(3, width, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def guide(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the guide's part of the hidden layer, [B, 1, C, h, w], from [B, C, h, w] each."""
        shared: Tensor = self.guiding(torch.cat((image, mask), dim=1))
        return shared[:, None]

    def forward(self, x: Tensor, guide: Tensor, distance: Tensor) -> Tensor:
        """Add the prior to the features [B*N, C, h, w]; ``distance``: [B, N]."""
        steps = torch.stack((distance, distance.sqrt(), 1 / (1 + 20 * distance)), dim=-1)
        hidden = self.adjacent(x).unflatten(0, distance.shape) + guide
        hidden = hidden + self.distance(steps)[..., None, None]
        taken: Tensor = self.out(F.leaky_relu(hidden, 0.01).flatten(0, 1))
        return x + taken


def _tokens(x: Tensor, slices: int) -> Tensor:
    """Reshape [B*slices, C, h, w] to [B, 1 (head), slices*h*w, C]."""
    return x.flatten(2).mT.reshape(x.shape[0] // slices, 1, -1, x.shape[1])


def check_size(x: Tensor, multiple: int) -> None:
    """Raise ValueError unless the last two axes are multiples of ``multiple`` from twice it on."""
    if any(size % multiple or size < 2 * multiple for size in x.shape[-2:]):
        raise ValueError(
            f"an image of {x.shape[-2]} x {x.shape[-1]} pixels; height and width have to be "
            f"multiples of {multiple}, and at least {2 * multiple}"
        )
