"""MedSAM's network: transformers' `SamModel` with the published weights.

Source of names and sizes: github.com/bowang-lab/MedSAM (segment_anything/build_sam.py, vit_b). The
LayerNorms of the mask decoder's transformer have eps 1e-5 there, but 1e-6 in transformers.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.settings import Settings
from benchmark.weights import tensors

KIND = "medsam"


class SamSize(Settings):
    """Configuration of the network; the default is ViT-B as published (93,735,728 parameters).

    ``image``: pixels a side. ``attends_all``: layers with global attention, without windows.
    """

    image: int = 1024
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    attends_all: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14
    channels: int = 256
    decoder_mlp: int = 2048
    decoder_heads: int = 8
    iou_hidden: int = 256


# Rules from the published names to those of transformers, applied in this order.
_RENAMED = (
    (r"^module\.", ""),  # data-parallel training
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.blocks\.(\d+)\.norm", r"vision_encoder.layers.\1.layer_norm"),
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.", "vision_encoder."),
    (
        r"\.pe_layer\.positional_encoding_gaussian_matrix$",
        ".shared_embedding.positional_embedding",
    ),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"^(mask_decoder\.transformer\.layers\.\d+)\.norm", r"\1.layer_norm"),
    # Of heads with three layers, the first and the last have special names.
    (r"(mlps\.\d+|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d+|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d+|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
)
_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"


renamed = tensors.by_rules(_RENAMED)
"""Map a published tensor name to that in transformers."""


def build(size: SamSize) -> Any:
    """Build the network without values (on the meta device)."""
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": size.width,
            "output_channels": size.channels,
            "num_hidden_layers": size.depth,
            "num_attention_heads": size.heads,
            "image_size": size.image,
            "patch_size": size.patch,
            "global_attn_indexes": list(size.attends_all),
            "window_size": size.window,
            "num_pos_feats": size.channels // 2,
            "mlp_dim": 4 * size.width,
        },
        prompt_encoder_config={
            "hidden_size": size.channels,
            "image_size": size.image,
            "patch_size": size.patch,
        },
        mask_decoder_config={
            "hidden_size": size.channels,
            "mlp_dim": size.decoder_mlp,
            "num_attention_heads": size.decoder_heads,
            "iou_head_hidden_dim": size.iou_hidden,
        },
    )
    with torch.device("meta"):  # no memory, no random numbers: the file provides the values
        network = SamModel(config)
    for module in network.mask_decoder.transformer.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5
    return network


def load(path: Path, size: SamSize | None = None) -> Any:
    """Read ``medsam_vit_b.pth`` as published, or the result of `convert`; float32, on the CPU.

    Checkpoints of MedSAM's training scripts, which also hold the optimiser's state, are read too.
    ``size``: configuration of a file that is not converted. Raises `UserError` for tensors that do
    not fit.
    """
    return tensors.load_network(path, KIND, SamSize, build, _read_published, size)


def _read_published(path: Path) -> tensors.Tensors:
    content = tensors.renamed(tensors.read_pickle(path, "model"), renamed, path)
    if _POSITIONS in content:  # transformers has a second copy, for the image
        content["shared_image_embedding.positional_embedding"] = content[_POSITIONS].clone()
    return content


def save(network: nn.Module, size: SamSize, path: Path) -> None:
    """Write the network as safetensors, with its configuration in the header."""
    tensors.save_network(network, KIND, size, path)


def convert(source: Path, target: Path) -> None:
    """Convert the published file to safetensors."""
    save(load(source), SamSize(), target)
