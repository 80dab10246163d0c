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

_PREFIX = re.compile(r"^(module|model)\.")  # of SegVol_v1.pth, and of Hugging Face's file

_OTHER = re.compile(
    r"text_encoder\..*"  # CLIP and its projection
    r"|mask_decoder\.txt_align_upscaled_embedding\..*"
    r"|mask_decoder\.iou_prediction_head\..*"
    r"|mask_decoder\.output_hypernetworks_mlps\.[123]\..*"  # masks of several answers
    r"|prompt_encoder\.(point_embeddings\.[01]|not_a_point_embed)\.weight"
    r"|prompt_encoder\.mask_downscaling\..*"
)
"""What box prompts do not need: text, points, mask prompts, several answers and their quality."""


class SegVolNet(nn.Module):
    """Windows and boxes -> logits."""

    def __init__(self, size: Size) -> None:
        """Build the network; see `load` for its values."""
        super().__init__()
        self.size = size
        self.image_encoder = ImageEncoder(size)
        self.prompt_encoder = PromptEncoder(size)
        self.mask_decoder = MaskDecoder(size)

    def embed(self, windows: Tensor) -> Tensor:
        """Windows (n, 1, z, y, x), float32 in [0, 1] -> embeddings (n, c, *grid)."""
        tokens: Tensor = self.image_encoder(windows)
        return tokens.transpose(1, 2).reshape(len(windows), -1, *self.size.grid)

    def decode(self, embeddings: Tensor, boxes: Tensor) -> Tensor:
        """Embeddings (n or 1, c, *grid) and boxes (n, 6) -> logits (n, z, y, x) of the window.

        Boxes are inclusive corners (z0, y0, x0, z1, y1, x1) in voxels of the window.
        """
        sparse, dense, pe = self.prompt_encoder(boxes)
        low = self.mask_decoder(embeddings + dense, pe, sparse)
        return F.interpolate(low, self.size.window, mode="trilinear", align_corners=False)[:, 0]


class PromptEncoder(nn.Module):
    """Random Fourier features of the corners of a box, and of the places of the grid."""

    def __init__(self, size: Size) -> None:
        """Build the embeddings; only those of boxes are used, corner 2 and corner 3."""
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
        """Boxes (n, 6) -> sparse (n, 2, c), dense (1, c, 1, 1, 1), places (1, c, *grid).

        Two of the released code's ways are kept, since the weights were trained with them: z is
        divided by the window's size along y and y by that along z, and the places of the grid take
        the axes in the order y, z, x.
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
        """Of the first and the last corner of a box, (2, c)."""
        return torch.cat([p for p in self.point_embeddings.parameters()])

    def _features(self, places: Tensor) -> Tensor:
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        assert isinstance(matrix, Tensor)
        turns = 2 * math.pi * ((2 * places - 1) @ matrix)
        return torch.cat([turns.sin(), turns.cos()], dim=-1)


def build(size: Size) -> SegVolNet:
    """Make the network without values (on the meta device)."""
    with torch.device("meta"):
        return SegVolNet(size)


def load(path: Path, size: Size | None = None) -> SegVolNet:
    """Read ``SegVol_v1.pth``, Hugging Face's ``pytorch_model.bin``, or what `convert` made of them.

    ``size``: of a published file. A `UserError` tells which parameters are missing or unknown.
    """
    if path.suffix == ".safetensors":
        content, told = tensors.read_safetensors(path, KIND)
        network = build(Size.read(told, str(path)))
    else:
        read = tensors.renamed(
            tensors.read_pickle(path, "model"), lambda key: _PREFIX.sub("", key), path
        )
        content = {key: value for key, value in read.items() if not _OTHER.fullmatch(key)}
        network = build(size or Size())
    tensors.fill(network, content, path)
    network.requires_grad_(False)
    return network


def save(network: SegVolNet, path: Path) -> None:
    """Write the network as safetensors, with its size in the header."""
    header = network.size.model_dump(mode="json")
    tensors.write_safetensors(path, KIND, header, network.state_dict())


def convert(source: Path, target: Path) -> None:
    """Write the published file as safetensors, without what box prompts do not need."""
    save(load(source), target)
