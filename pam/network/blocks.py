"""The U-Net that both networks are made of, and the cross-attention of PropMask.

Layout of nnU-Net's plain 2-D network (Isensee et al., Nature Methods 2021): two blocks a stage, a
strided convolution instead of pooling, a segmentation head at each resolution of the decoder.
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
        """Make the layers; ``inputs`` and ``outputs`` are channels."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor, moments: "Moments | None" = None) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        x = self.conv(x)
        x = _normalised(x, self.norm) if moments is None else moments.normalise(x, self.norm)
        return F.leaky_relu(x, 0.01, inplace=True)


def _normalised(x: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
    """Instance norm; on a CPU as groups of one channel each, for which torch has a faster kernel.

    On a GPU, mixed precision would widen those to float32.
    """
    if x.is_cuda:
        return cast(Tensor, norm(x))
    return F.group_norm(x, x.shape[1], norm.weight, norm.bias, norm.eps)


class Moments:
    """Mean and deviation of the channels of guiding slices, layer by layer.

    Instance norm gives every slice the same brightness and contrast, one that the object has left
    no less. Normalised as their guiding slice, slices keep what they have less of. Not in the
    paper.
    """

    def __init__(self, known: Tensor | None = None) -> None:
        """Note those of the slices that come; or, with what was ``noted``, normalise by them."""
        self._known = known
        self._noted: list[Tensor] = []
        self._next = 0

    @property
    def noted(self) -> Tensor:
        """Those of all layers so far, [B, 1, twice the channels of all layers]."""
        return torch.cat(self._noted, dim=1)[:, None]

    def normalise(self, x: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
        """Normalise [B * N, C, h, w], N slices a guide, with the scale and shift of ``norm``."""
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
    """One channel to features at each resolution, the finest first."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Make the layers; ``widths``: channels of each stage of the encoder, the finest first."""
        super().__init__()
        first = _stage(1, widths[0])
        self.stages = nn.ModuleList([first, *(_stage(a, b, stride=2) for a, b in pairwise(widths))])

    def forward(self, x: Tensor, moments: Moments | None = None) -> list[Tensor]:
        """Map [B, 1, H, W] to [B, widths[i], H / 2^i, W / 2^i] for each stage i."""
        features = []
        for stage in self.stages:
            for block in cast(nn.Sequential, stage):
                x = block(x, moments)
            features.append(x)
        return features


class Up(nn.ConvTranspose2d):
    """Transposed convolution of 2x2 pixels, stride 2.

    Each pixel becomes four, none of which another adds to: that is a 1x1 convolution to four times
    the channels, laid out in space, which is faster.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make the layer; ``inputs`` and ``outputs`` are channels."""
        super().__init__(inputs, outputs, 2, 2)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Map [B, inputs, h, w] to [B, outputs, 2 h, 2 w]."""
        return F.pixel_shuffle(self._quarters(x), 2)

    def beside(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map [B, inputs, h, w] and ``skip`` [B, C, 2 h, 2 w] to [B, outputs + C, 2 h, 2 w].

        Where a CPU needs no gradient each pixel is laid out where it belongs at once, which takes
        half the time and less memory.
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
        """The four pixels that each becomes, as channels [B, 4 outputs, h, w]."""
        assert self.bias is not None
        kernel = self.weight.flatten(1).mT[..., None, None]
        return F.conv2d(x, kernel, self.bias.repeat_interleave(4))


class Decoder(nn.Module):
    """Features of all resolutions to logits of all but the coarsest (deep supervision)."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Make the layers; ``widths``: channels of each stage of the encoder, the finest first."""
        super().__init__()
        steps = list(pairwise(reversed(widths)))
        self.ups = nn.ModuleList(Up(a, b) for a, b in steps)
        self.stages = nn.ModuleList(_stage(2 * b, b) for _, b in steps)
        self.heads = nn.ModuleList(nn.Conv2d(b, CLASSES, 1) for _, b in steps)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map the encoder's features to logits [B, 2, H / 2^i, W / 2^i], the finest first.

        Empties ``features``, so that each is freed after its last use.
        """
        x = features.pop()
        logits = []
        for up, stage, head in zip(self.ups, self.stages, self.heads, strict=True):
            x = stage(cast(Up, up).beside(x, features.pop()))
            logits.append(head(x))
        return logits[::-1]


class CrossAttention(nn.Module):
    """What an adjacent slice takes from the mask of its guiding slice, by likeness of the images.

    One head, no positional encoding; scores are divided by the root of the channels.
    """

    def __init__(self, width: int) -> None:
        """Make the layers for features of ``width`` channels."""
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def guide(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, 1, h*w, C] from features [B, C, h, w] of guiding image and mask."""
        return self.key(_tokens(image, 1)), self.value(_tokens(mask, 1))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Features [B*N, C, h, w] of N adjacent slices a guide, with what they take added.

        The slices of a guide form one long row of queries: the softmax is taken query by query,
        so all of them attend to the one set of keys and values, and nothing is repeated.
        """
        rows, width, height, breadth = x.shape
        queries = self.query(_tokens(x, rows // keys.shape[0]))
        taken: Tensor = self.out(F.scaled_dot_product_attention(queries, keys, values))
        return x + taken.reshape(rows, height * breadth, width).mT.reshape(x.shape)


class Prior(nn.Module):
    """What a slice takes from the same place of its guiding slice, by how far apart they are.

    One hidden layer, pixel by pixel, from the features of both images, of the mask, and of the
    distance d, a share of the side of the image.
    """

    def __init__(self, width: int) -> None:
        """Make the layers for features of ``width`` channels."""
        super().__init__()
        self.adjacent = nn.Conv2d(width, width, 1)
        self.guiding = nn.Conv2d(2 * width, width, 1, bias=False)
        self.distance = nn.Linear(3, width, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def guide(self, image: Tensor, mask: Tensor) -> Tensor:
        """Share of the guiding slice [B, 1, C, h, w] from features [B, C, h, w] of both."""
        shared: Tensor = self.guiding(torch.cat((image, mask), dim=1))
        return shared[:, None]

    def forward(self, x: Tensor, guide: Tensor, distance: Tensor) -> Tensor:
        """Features [B*N, C, h, w] with what they take added; ``distance``: [B, N]."""
        steps = torch.stack((distance, distance.sqrt(), 1 / (1 + 20 * distance)), dim=-1)
        hidden = self.adjacent(x).unflatten(0, distance.shape) + guide
        hidden = hidden + self.distance(steps)[..., None, None]
        taken: Tensor = self.out(F.leaky_relu(hidden, 0.01).flatten(0, 1))
        return x + taken


def _tokens(x: Tensor, slices: int) -> Tensor:
    """Lay [B*slices, C, h, w] out as [B, 1 (head), slices*h*w, C]."""
    return x.flatten(2).mT.reshape(x.shape[0] // slices, 1, -1, x.shape[1])


def check_size(x: Tensor, multiple: int) -> None:
    """Raise ValueError unless the last two axes suit a U-Net that halves them to size/multiple."""
    if any(size % multiple or size < 2 * multiple for size in x.shape[-2:]):
        raise ValueError(
            f"an image of {x.shape[-2]} x {x.shape[-1]} pixels; height and width have to be "
            f"multiples of {multiple}, and at least {2 * multiple}"
        )
