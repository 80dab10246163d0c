"""PropMask: propagate the mask of a guiding slice to adjacent slices (paper, Methods)."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from pam.config import PropMaskConfig
from pam.network.blocks import CrossAttention, Decoder, Encoder, Moments, Prior, check_size

Guide = tuple[Tensor, ...]
"""Encoded guiding slices: keys and values [B, 1, h*w, C] of each attended stage; then the parts of
the `Prior` of each stage [B, 1, C, h, w], if the network has any; then the `Moments` [B, 1, K], if
slices are normalised by those of their guide.
"""


class PropMask(nn.Module):
    """A U-Net whose coarser features attend to the guiding slice.

    Queries come from an adjacent slice, keys from the guiding slice, values from its mask. The
    coarsest stage attends too, so that the decoder's input itself is guided.
    """

    kind = "propmask"
    Config = PropMaskConfig

    def __init__(self, config: PropMaskConfig | None = None) -> None:
        """Create the network with random weights, by default of the paper's size."""
        super().__init__()
        self.config = config or PropMaskConfig()
        widths = self.config.widths
        self.encoder = Encoder(widths, self.config.inputs)
        self.mask_encoder = Encoder(widths) if self.config.mask_encoder == "separate" else None
        self.attentions = nn.ModuleList(CrossAttention(w) for w in self.config.attended_widths)
        self.priors = nn.ModuleList(Prior(w) for w in widths if self.config.prior)
        self.decoder = Decoder(widths)

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        """Encode guiding slices once for all their adjacent slices.

        ``image``: float [B, C, H, W] in -1..1, of ``config.inputs`` channels. ``mask``: [B, 1, H,
        W], 0 or 1, not rescaled. Raises ValueError for shapes that differ or are not multiples of
        ``config.multiple``.
        """
        fit = (len(mask), self.config.inputs, *mask.shape[2:])
        if image.shape != fit or mask.shape[1] != 1:
            raise ValueError(
                f"image {tuple(image.shape)} and mask {tuple(mask.shape)} differ from {fit} and "
                f"{(fit[0], 1, *fit[2:])}"
            )
        check_size(image, self.config.multiple)
        of_mask = self.encoder if self.mask_encoder is None else self.mask_encoder
        moments = Moments() if self.config.statistics == "guide" else None
        of_image = self.encoder(image, moments)
        features = list(zip(of_image, of_mask(mask.to(image.dtype)), strict=True))
        attended = features[self.config.stages - self.config.attended :]
        layers = cast(Iterable[CrossAttention], self.attentions)
        pairs = zip(layers, attended, strict=True)
        looked_up = (part for layer, pair in pairs for part in layer.guide(*pair))
        priors = zip(cast(Iterable[Prior], self.priors), features, strict=False)
        seen = (layer.guide(*pair) for layer, pair in priors)
        return (*looked_up, *seen, *([] if moments is None else [moments.noted]))

    def remember(self, guide: Guide, earlier: Guide) -> Guide:
        """Let slices adjacent to ``guide`` also attend to the same objects' ``earlier`` guides.

        Keys and values of both are concatenated; priors and moments are those of ``guide``, the
        nearer one. Not in the paper; the idea is from Oh et al., Video object segmentation using
        space-time memory networks, ICCV 2019.
        """
        attended = 2 * self.config.attended
        pairs = zip(guide[:attended], earlier[:attended], strict=True)
        return (*(torch.cat(pair, dim=2) for pair in pairs), *guide[attended:])

    def decode(
        self,
        adjacent: Tensor,
        guide: Guide,
        chunk: int | None = None,
        distance: Tensor | None = None,
    ) -> list[Tensor]:
        """Segment N slices adjacent to each of the B guiding slices.

        ``adjacent``: float [B, N, C, H, W] in -1..1. ``chunk``: slices per guide computed at a
        time, by default all; it bounds the memory and changes the result by rounding only.
        ``distance``: of each slice from its guide in mm over the side of the crop in mm, float [B,
        N]; only needed by a network with ``config.prior``. Returns logits (background, foreground)
        [B, N, 2, H / 2^i, W / 2^i], finest first. Raises ValueError for a shape that does not fit
        the guide or the network.
        """
        guides = {len(part) for part in guide} or {len(adjacent)}
        channels = self.config.inputs
        fit = adjacent.ndim == 5 and guides == {len(adjacent)} and adjacent.shape[2] == channels
        if not fit or not adjacent.shape[1]:
            raise ValueError(
                f"adjacent slices {tuple(adjacent.shape)}; expected [{max(guides)}, N, {channels}, "
                "H, W]"
            )
        check_size(adjacent, self.config.multiple)
        if distance is None and not self.config.prior:
            distance = adjacent.new_zeros(adjacent.shape[:2])
        if distance is None or distance.shape != adjacent.shape[:2]:
            raise ValueError(f"a prior needs the distance of each slice, {adjacent.shape[:2]}")
        number = adjacent.shape[1] if chunk is None else chunk
        chunks = zip(*(torch.split(x, number, dim=1) for x in (adjacent, distance)), strict=True)
        parts = [self._decode(part, guide, apart) for part, apart in chunks]
        return [torch.cat(scale, dim=1) for scale in zip(*parts, strict=True)]

    def _decode(self, adjacent: Tensor, guide: Guide, distance: Tensor) -> list[Tensor]:
        moments = Moments(guide[-1]) if self.config.statistics == "guide" else None
        features = self.encoder(adjacent.flatten(0, 1), moments)
        first = self.config.stages - self.config.attended
        attended = 2 * self.config.attended
        looked_up, priors = guide[:attended], guide[attended : attended + len(self.priors)]
        stages = zip(self.attentions, looked_up[::2], looked_up[1::2], strict=True)
        for i, (attention, keys, values) in enumerate(stages, first):
            features[i] = attention(features[i], keys, values)
        for i, (prior, seen) in enumerate(zip(self.priors, priors, strict=True)):
            features[i] = prior(features[i], seen, distance)
        return [x.unflatten(0, adjacent.shape[:2]) for x in self.decoder(features)]

    def forward(
        self,
        image: Tensor,
        mask: Tensor,
        adjacent: Tensor,
        chunk: int | None = None,
        distance: Tensor | None = None,
        memory: tuple[Tensor, Tensor] | None = None,
    ) -> list[Tensor]:
        """Encode the guiding slices and segment the adjacent slices, in one call.

        ``memory``: images and masks of other slices of the same objects, to attend to as well. The
        other arguments and the result are those of `encode_guide` and `decode`.
        """
        guide = self.encode_guide(image, mask)
        if memory is not None:
            guide = self.remember(guide, self.encode_guide(*memory))
        return self.decode(adjacent, guide, chunk, distance)
