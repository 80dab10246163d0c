"""The released flow of PAM's propagation without any optimisation, the yardstick of `bench_pam`.

Follows the released code (github.com/czifan/PAM, ``infer/infer.py``), with the weights of our
network in torch's plain layers: keys and values are repeated for each slice, attention matrices are
materialised, all neighbours of a round go through one call, the five upsampled maps are averaged
and compared class by class, and everything else is done one object and one slice at a time.
"""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from pam.network import PropMask
from pam.network.blocks import Block, CrossAttention, Decoder, Encoder
from pam.resize import resize_linear, resize_nearest

SIZE, RATIO, LEAST, THICKNESS, MOST = 224, 1.25, 16, 20.0, 10


def attend(layer: CrossAttention, x: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Apply cross-attention of ``x`` to its guides, all [N, C, h, w]; returns the new ``x``."""
    queries, keys, values = (part.flatten(2).mT for part in (x, image, mask))
    queries, keys, values = layer.query(queries), layer.key(keys), layer.value(values)
    energy = torch.einsum("nqc,nkc->nqk", queries, keys)
    weights = torch.softmax(energy / x.shape[1] ** 0.5, dim=2)
    taken = layer.out(torch.einsum("nqk,nkc->nqc", weights, values))
    return torch.add(x, taken.mT.reshape(x.shape))


def blocks(stage: nn.Module, x: Tensor) -> Tensor:
    """Apply convolution, instance norm and leaky ReLU of each block of a stage."""
    for block in cast(Iterable[Block], stage):
        x = F.leaky_relu(nn.InstanceNorm2d.forward(block.norm, block.conv(x)), 0.01, inplace=True)
    return x


def encode(encoder: Encoder, x: Tensor) -> list[Tensor]:
    """Return the features at each resolution, finest first."""
    features = []
    for stage in encoder.stages:
        x = blocks(stage, x)
        features.append(x)
    return features


def decode(decoder: Decoder, features: list[Tensor]) -> list[Tensor]:
    """Return the logits at each resolution except the coarsest, finest first."""
    *skips, x = features
    logits = []
    layers = zip(decoder.ups, decoder.stages, decoder.heads, reversed(skips), strict=True)
    for up, stage, head, skip in layers:
        x = nn.ConvTranspose2d.forward(cast(nn.ConvTranspose2d, up), x)
        x = blocks(stage, torch.cat((x, skip), dim=1))
        logits.append(head(x))
    return logits[::-1]


def forward(network: PropMask, image: Tensor, mask: Tensor, adjacent: Tensor) -> list[Tensor]:
    """Return the logits of B * N slices; guides [B, 1, H, W], ``adjacent`` [B, N, 1, H, W]."""
    assert network.mask_encoder is not None
    number = adjacent.shape[1]
    features = encode(network.encoder, adjacent.flatten(0, 1))
    of_image, of_mask = encode(network.encoder, image), encode(network.mask_encoder, mask)
    first = network.config.stages - network.config.attended
    for i, layer in enumerate(network.attentions, first):
        guides = (part[i].repeat_interleave(number, dim=0) for part in (of_image, of_mask))
        features[i] = attend(cast(CrossAttention, layer), features[i], *guides)
    return decode(network.decoder, features)


def vote(logits: list[Tensor]) -> NDArray[np.int64]:
    """Return the class with the largest mean over all scales, [B * N, SIZE, SIZE]."""
    scales = [
        F.interpolate(scale, (SIZE, SIZE), mode="bilinear", align_corners=True) for scale in logits
    ]
    voted: NDArray[np.int64] = torch.stack(scales).mean(dim=0).argmax(dim=1).cpu().numpy()
    return voted


class Object:
    """State of the propagation of one object: votes and counts over the whole volume."""

    def __init__(
        self, volume: NDArray[np.int16], index: int, prompt: NDArray[np.bool_], spacing: float
    ) -> None:
        self.volume, self.index, self.prompt = volume, index, prompt
        self.reach = min(int(THICKNESS / spacing), MOST)
        self.votes = np.zeros(volume.shape)
        self.votes[index] = prompt
        self.counts = np.zeros(len(volume), np.int64)
        self.counts[index] = 1
        low, high = np.percentile(volume[index][prompt], (0.5, 99.5))
        centre, width = int((low + high) / 2), int(high - low)
        self.window = centre - width // 2, centre + width // 2

    def grey(self, z: int) -> NDArray[np.uint8]:
        """Return a windowed slice, stretched to its own extremes, as uint8."""
        clipped = np.clip(self.volume[z], *self.window)
        spread = int(clipped.max()) - int(clipped.min())
        if not spread:
            return np.zeros(clipped.shape, np.uint8)
        return np.asarray((clipped - clipped.min()) / spread * 255).astype(np.uint8)

    def crop(self, z: int) -> tuple[int, int, int]:
        """Return first row, first column and side of the square around a guiding mask."""
        rows, columns = np.nonzero(self.votes[z] > 0)
        y0, y1, x0, x1 = rows.min(), rows.max(), columns.min(), columns.max()
        side = max(int(RATIO * max(y1 - y0, x1 - x0)), LEAST)
        corner = ((a + b) // 2 - side // 2 for a, b in ((y0, y1), (x0, x1)))
        y, x = (max(int(first), 0) for first in corner)
        return y, x, side

    def cut(self, image: NDArray[Any], square: tuple[int, int, int]) -> NDArray[Any]:
        """Crop a square from an image, padded with zeros."""
        y, x, side = square
        part = image[y : y + side, x : x + side]
        return np.pad(part, [(0, side - length) for length in part.shape])

    def image(self, z: int, square: tuple[int, int, int]) -> Tensor:
        """Return the network's input image, [1, SIZE, SIZE]."""
        scaled = resize_linear(torch.from_numpy(self.cut(self.grey(z), square))[None], SIZE)
        return (scaled.float() - 127.5) * torch.tensor(1 / 127.5)

    def mask(self, z: int, square: tuple[int, int, int]) -> Tensor:
        """Return the guiding mask, [1, SIZE, SIZE]."""
        likely = self.cut(self.votes[z] / self.counts[z], square)
        return (resize_nearest(torch.from_numpy(likely)[None], SIZE) > 0.5).float()

    def guides(self, started: bool) -> list[int]:
        """Return the guiding slices of the next round."""
        if not started:
            return [self.index]
        seen = self.counts.nonzero()[0]
        ends = (int(seen[0]), int(seen[-1]))
        return [z for z in ends if 0 < z < len(self.volume) - 1 and self.votes[z].sum() > 0]

    def neighbours(self, guide: int) -> list[int]:
        """Return the slices within reach of a guide."""
        around = range(max(guide - self.reach, 0), min(guide + self.reach + 1, len(self.volume)))
        return [z for z in around if z != guide]

    def round(self, network: PropMask, guides: list[int]) -> None:
        """Predict all neighbours of the guides in one call; short lists repeat their last slice."""
        squares = [self.crop(guide) for guide in guides]
        lists = [self.neighbours(guide) for guide in guides]
        longest = max(map(len, lists))
        lists = [z + z[-1:] * (longest - len(z)) for z in lists]
        pairs = list(zip(guides, squares, strict=True))
        images = torch.stack([self.image(*pair) for pair in pairs])
        masks = torch.stack([self.mask(*pair) for pair in pairs])
        rows = zip(squares, lists, strict=True)
        adjacent = torch.stack([torch.stack([self.image(z, s) for z in near]) for s, near in rows])
        device = next(network.parameters()).device
        shown = (part.to(device) for part in (images, masks, adjacent))
        found = vote(forward(network, *shown))
        for row, (y, x, side) in enumerate(squares):
            for column, z in enumerate(lists[row]):
                image = torch.from_numpy(found[row * longest + column])
                part = resize_nearest(image, side).numpy()
                height, width = self.votes[z, y : y + side, x : x + side].shape
                self.votes[z, y : y + side, x : x + side] += part[:height, :width]
                self.counts[z] += 1

    def result(self) -> NDArray[np.bool_]:
        """Return the union of all predictions, without components that do not touch the prompt."""
        union = self.votes > 0
        labels, number = ndimage.label(union)
        for label in range(1, number + 1):
            component = labels == label
            if not component[self.index][self.prompt].any():
                union[component] = False
        return union


@torch.inference_mode()
def propagate(
    network: PropMask,
    volume: NDArray[np.int16],
    index: int,
    prompt: NDArray[np.bool_],
    spacing: float,
) -> NDArray[np.bool_]:
    """Segment one object of a CT; bool [z, y, x]."""
    item, started = Object(volume, index, prompt, spacing), False
    while guides := item.guides(started):
        item.round(network, guides)
        started = True
    return item.result()
