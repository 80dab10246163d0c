"""The mask decoder of SegVol: SAM's on a 3D grid (BAAI-DCAI/SegVol at 5768c97).

Source: segment_anything_volumetric/modeling/mask_decoder.py and transformer.py.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.segvol_encoder import Size

_AT_ONCE = 512  # grid positions upscaled at once, so that they fit in the CPU cache


class MaskDecoder(nn.Module):
    """SAM's mask decoder on a 3D grid; only the first of its four masks is computed."""

    def __init__(self, size: Size) -> None:
        """Build the decoder; the layer norm of the upscaling fixes its grid."""
        super().__init__()
        dim = size.width
        self.grid = size.grid
        twice = [2 * n for n in size.grid]
        self.transformer = TwoWayTransformer(dim, size.decoder_heads, size.decoder_mlp)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(4, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(dim, dim // 4, 2, stride=2),
            nn.LayerNorm([dim // 4, *twice]),
            nn.GELU(),
            nn.ConvTranspose3d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList([Mlp(dim, dim, dim // 8)])

    def forward(self, image: Tensor, pe: Tensor, sparse: Tensor) -> Tensor:
        """Decode the first mask; returns logits [n, 1, *4 x grid].

        ``image`` and positional encoding ``pe``: [n or 1, c, *grid]. ``sparse``: prompt tokens [n,
        2, c].
        """
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
        updated, seen = self.transformer(
            image.flatten(2).transpose(1, 2), pe.flatten(2).transpose(1, 2), tokens
        )
        weights = self.output_hypernetworks_mlps[0](updated[:, 1])
        return self.upscaled(seen, weights)[:, None]

    def upscaled(self, seen: Tensor, weights: Tensor) -> Tensor:
        """Upscale ``seen`` and weigh its channels; returns [n, 4 z, 4 y, 4 x].

        ``seen``: image features [n, z * y * x, c]. ``weights``: [n, c / 8]. Equals
        `output_upscaling` followed by the product with ``weights``. A transposed convolution whose
        stride equals its kernel maps each position linearly to eight parts, and the layers in
        between treat positions independently. So the parts stay together until a single number is
        left of each, and only then move to their place.
        """
        first, norm, _, second, _ = self.output_upscaling
        assert isinstance(first, nn.ConvTranspose3d)
        assert isinstance(second, nn.ConvTranspose3d)
        assert isinstance(norm, nn.LayerNorm)
        z, y, x = self.grid
        split = (-1, z, 2, y, 2, x, 2)
        scale, shift = (
            p.reshape(split).permute(1, 3, 5, 2, 4, 6, 0).reshape(z * y * x, 8, -1)
            for p in (norm.weight, norm.bias)
        )
        parts = _parts(first, seen)
        parts = F.gelu(F.layer_norm(parts, scale.shape, scale, shift, norm.eps))
        found = [
            (F.gelu(_parts(second, part)) @ weights[:, None, :, None]).squeeze(-1)
            for part in torch.split(parts.flatten(1, 2), _AT_ONCE, dim=1)
        ]
        parts = torch.cat(found, dim=1).reshape(-1, z, y, x, 2, 2, 2, 2, 2, 2)
        return parts.permute(0, 1, 4, 7, 2, 5, 8, 3, 6, 9).reshape(-1, 4 * z, 4 * y, 4 * x)


def _parts(layer: nn.ConvTranspose3d, places: Tensor) -> Tensor:
    """Apply ``layer`` to positions [n, p, c]; returns the eight parts of each, [n, p, 8, c']."""
    matrix = layer.weight.permute(2, 3, 4, 1, 0).reshape(-1, places.shape[-1])
    assert layer.bias is not None
    parts = F.linear(places, matrix, layer.bias.repeat(8))
    return parts.reshape(*places.shape[:-1], 8, -1)


class Mlp(nn.Module):
    """Three linear layers with ReLU in between."""

    def __init__(self, inner: int, hidden: int, out: int) -> None:
        """Build the layers."""
        super().__init__()
        sizes = [(inner, hidden), (hidden, hidden), (hidden, out)]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in sizes])

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers along the last axis."""
        first, second, last = self.layers
        result: Tensor = last(second(first(x).relu()).relu())
        return result


class Attention(nn.Module):
    """Multi-head attention whose inner width is ``dim // shrink``."""

    def __init__(self, dim: int, heads: int, shrink: int = 1) -> None:
        """Build the projections."""
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim // shrink) for _ in range(3))
        self.out_proj = nn.Linear(dim // shrink, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; ``q``: [n or 1, a, c], ``k`` and ``v``: [n or 1, b, c]; returns [n, a, c]."""
        number = max(len(q), len(k))
        q, k, v = (
            x.unflatten(2, (self.heads, -1)).transpose(1, 2).expand(number, -1, -1, -1)
            for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v))
        )
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        result: Tensor = self.out_proj(out)
        return result


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens."""

    def __init__(self, dim: int, heads: int, mlp: int) -> None:
        """Build the three attentions, the MLP and the norms."""
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.cross_attn_token_to_image = Attention(dim, heads, shrink=2)
        self.cross_attn_image_to_token = Attention(dim, heads, shrink=2)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(dim, mlp), "lin2": nn.Linear(mlp, dim)})
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor, *, first: bool
    ) -> tuple[Tensor, Tensor]:
        """Return both, updated; in the ``first`` self-attention without position and residual."""
        if first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        placed, image_placed = tokens + token_pe, image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(placed, image_placed, image))
        hidden: Tensor = self.mlp["lin1"](tokens)
        tokens = self.norm3(tokens + self.mlp["lin2"](hidden.relu()))
        placed = tokens + token_pe
        image = self.norm4(image + self.cross_attn_image_to_token(image_placed, placed, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two blocks and a final attention of the tokens to the image."""

    def __init__(self, dim: int, heads: int, mlp: int) -> None:
        """Build the blocks."""
        super().__init__()
        self.layers = nn.ModuleList([TwoWayBlock(dim, heads, mlp) for _ in range(2)])
        self.final_attn_token_to_image = Attention(dim, heads, shrink=2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return updated tokens [n, t, c] and image [n, p, c].

        ``image``: [n or 1, p, c]. ``pe``: its positional encoding, [1, p, c]. ``tokens``: [n, t,
        c].
        """
        updated = tokens
        for number, layer in enumerate(self.layers):
            updated, image = layer(updated, image, tokens, pe, first=number == 0)
        looked = self.final_attn_token_to_image(updated + tokens, image + pe, image)
        return self.norm_final_attn(updated + looked), image
