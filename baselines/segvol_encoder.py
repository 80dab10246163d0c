"""The image encoder of SegVol: a plain ViT on 3D patches with MONAI's parameter names.

Source: monai.networks.nets.ViT (0.9) with a perceptron as patch embedding and no bias in qkv. It is
reimplemented because MONAI's needs another package at run time.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.settings import Settings

Triple = tuple[int, int, int]


class Size(Settings):
    """Sizes (z, y, x) in voxels, and widths; the default is the published network."""

    window: Triple = (32, 256, 256)
    patch: Triple = (4, 16, 16)
    width: int = 768
    mlp: int = 3072
    depth: int = 12
    heads: int = 12
    decoder_mlp: int = 2048
    decoder_heads: int = 8

    @property
    def grid(self) -> Triple:
        """Number of patches (z, y, x) of a window."""
        z, y, x = (size // patch for size, patch in zip(self.window, self.patch, strict=True))
        return z, y, x


class ImageEncoder(nn.Module):
    """Map windows [n, 1, z, y, x] to tokens [n, positions, c]."""

    def __init__(self, size: Size) -> None:
        """Build the patch embedding, the blocks and the final norm."""
        super().__init__()
        self.patch_embedding = PatchEmbedding(size)
        self.blocks = nn.ModuleList([Block(size) for _ in range(size.depth)])
        self.norm = nn.LayerNorm(size.width)

    def forward(self, windows: Tensor) -> Tensor:
        """Encode windows of the network's size."""
        tokens = self.patch_embedding(windows)
        for block in self.blocks:
            tokens = block(tokens)
        result: Tensor = self.norm(tokens)
        return result


class PatchEmbedding(nn.Module):
    """A linear layer on each patch, plus a learned position."""

    def __init__(self, size: Size) -> None:
        """Build the layer; the 1 in its parameters' names accounts for MONAI's layer before it."""
        super().__init__()
        self.grid, self.patch = size.grid, size.patch
        z, y, x = size.patch
        self.patch_embeddings = nn.ModuleDict({"1": nn.Linear(z * y * x, size.width)})
        places = size.grid[0] * size.grid[1] * size.grid[2]
        self.position_embeddings = nn.Parameter(torch.zeros(1, places, size.width))

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows [n, 1, z, y, x] to tokens [n, positions, c], in the order z, y, x."""
        (a, z), (b, y), (c, x) = zip(self.grid, self.patch, strict=True)
        patches = windows.reshape(-1, a, z, b, y, c, x).permute(0, 1, 3, 5, 2, 4, 6)
        flat = patches.flatten(4).flatten(1, 3)
        result: Tensor = self.patch_embeddings["1"](flat) + self.position_embeddings
        return result


class Block(nn.Module):
    """Self-attention and an MLP, both pre-normalised with residual connections."""

    def __init__(self, size: Size) -> None:
        """Build both."""
        super().__init__()
        width = size.width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = SelfAttention(width, size.heads)
        self.mlp = nn.ModuleDict(
            {"linear1": nn.Linear(width, size.mlp), "linear2": nn.Linear(size.mlp, width)}
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [n, positions, c] to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        hidden: Tensor = self.mlp["linear1"](self.norm2(tokens))
        result: Tensor = tokens + self.mlp["linear2"](F.gelu(hidden))
        return result


class SelfAttention(nn.Module):
    """Multi-head self-attention; queries, keys and values come from one layer without bias."""

    def __init__(self, dim: int, heads: int) -> None:
        """Build the projections."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [n, positions, c] to the same shape."""
        number, places, width = tokens.shape
        joined = self.qkv(tokens).reshape(number, places, 3, self.heads, width // self.heads)
        q, k, v = joined.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        result: Tensor = self.out_proj(mixed)
        return result
