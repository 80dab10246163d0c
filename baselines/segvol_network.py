"""The network of SegVol (Du et al., NeurIPS 2024), as far as box prompts need it.

Parameters are named as published. Text and point prompts, and with them CLIP, are left out. Prompt
encoder and decoder are those of SAM on a 3D grid. Sources in github.com/BAAI-DCAI/SegVol (5768c97):
network/model.py and segment_anything_volumetric/modeling/.
"""

import math
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.segvol_decoder import MaskDecoder
from baselines.segvol_encoder import ImageEncoder, Size
from benchmark.weights import tensors

KIND = "segvol"

_PREFIX = re.compile(r"^(module|model)\.")  # SegVol_v1.pth, Hugging Face's file

_OTHER = re.compile(
    r"text_encoder\..*"  # CLIP and its projection
    r"|mask_decoder\.txt_align_upscaled_embedding\..*"
    r"|mask_decoder\.iou_prediction_head\..*"
    r"|mask_decoder\.output_hypernetworks_mlps\.[123]\..*"  # multiple masks per prompt
    r"|prompt_encoder\.(point_embeddings\.[01]|not_a_point_embed)\.weight"
    r"|prompt_encoder\.mask_downscaling\..*"
)
"""Parameters that box prompts do not need: text, points, mask prompts, multiple masks, quality."""


class SegVolNet(nn.Module):
    """Map windows and boxes to logits."""

    def __init__(self, size: Size) -> None:
        """Build the network with random weights; `load` reads the published ones."""
        super().__init__()
        self.size = size
        self.image_encoder = ImageEncoder(size)
        self.prompt_encoder = PromptEncoder(size)
        self.mask_decoder = MaskDecoder(size)

    def embed(self, windows: Tensor) -> Tensor:
        """Map windows [n, 1, z, y, x], float32 in 0..1, to embeddings [n, c, *grid]."""
        tokens: Tensor = self.image_encoder(windows)
        return tokens.transpose(1, 2).reshape(len(windows), -1, *self.size.grid)

    def decode(self, embeddings: Tensor, boxes: Tensor) -> Tensor:
        """Map embeddings [n or 1, c, *grid] and boxes [n, 6] to logits of the window [n, z, y, x].

        Boxes are inclusive corners (z0, y0, x0, z1, y1, x1) in voxels of the window.
        """
        sparse, dense, pe = self.prompt_encoder(boxes)
        low = self.mask_decoder(embeddings + dense, pe, sparse)
        return F.interpolate(low, self.size.window, mode="trilinear", align_corners=False)[:, 0]


class PromptEncoder(nn.Module):
    """Random Fourier features of the corners of a box and of the positions of the grid."""

    def __init__(self, size: Size) -> None:
        """Build the embeddings; only those of a box's corners, 2 and 3, are used."""
        super().__init__()
        self.size = size
        self.pe_layer = nn.Module()
        matrix = torch.randn(3, size.width // 2)
        self.pe_layer.register_buffer("positional_encoding_gaussian_matrix", matrix)
        self.point_embeddings = nn.ModuleDict(
            {corner: nn.Embedding(1, size.width) for corner in ("2", "3")}
        )
        self.no_mask_embed = nn.Embedding(1, size.width)

    def forward(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode boxes [n, 6]; returns sparse [n, 2, c], dense [1, c, 1, 1, 1], pe [1, c, *grid].

        Two faults of the released code are kept, since the weights were trained with them: z is
        divided by the window's size along y and y by that along z, and grid positions have the axes
        in the order y, z, x.
        """
        z, y, x = self.size.window
        corners = (boxes.reshape(-1, 2, 3) + 0.5) / boxes.new_tensor([y, z, x])
        sparse = self._features(corners) + self.corner_embeddings
        axes = [(torch.arange(n, device=boxes.device) + 0.5) / n for n in self.size.grid]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)[..., [1, 0, 2]]
        pe = self._features(places).permute(3, 0, 1, 2)[None]
        return sparse, self.no_mask_embed.weight.reshape(1, -1, 1, 1, 1), pe

    @property
    def corner_embeddings(self) -> Tensor:
        """Embeddings of the first and the last corner of a box, [2, c]."""
        return torch.cat([p for p in self.point_embeddings.parameters()])

    def _features(self, places: Tensor) -> Tensor:
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        assert isinstance(matrix, Tensor)
        turns = 2 * math.pi * ((2 * places - 1) @ matrix)
        return torch.cat([turns.sin(), turns.cos()], dim=-1)


def build(size: Size) -> SegVolNet:
    """Build the network without values (on the meta device)."""
    with torch.device("meta"):
        return SegVolNet(size)


def load(path: Path, size: Size | None = None) -> SegVolNet:
    """Read ``SegVol_v1.pth``, Hugging Face's ``pytorch_model.bin``, or the result of `convert`.

    ``size``: configuration of a published file. Raises `UserError` for missing or unknown
    parameters.
    """
    return tensors.load_network(path, KIND, Size, build, _read_published, size)


def _read_published(path: Path) -> tensors.Tensors:
    content = tensors.renamed(
        tensors.read_pickle(path, "model"), lambda key: _PREFIX.sub("", key), path
    )
    return {key: value for key, value in content.items() if not _OTHER.fullmatch(key)}


def save(network: SegVolNet, path: Path) -> None:
    """Write the network as safetensors, with its configuration in the header."""
    tensors.save_network(network, KIND, network.size, path)


def convert(source: Path, target: Path) -> None:
    """Convert a published file to safetensors, without what box prompts do not need."""
    save(load(source), target)
