"""SAM 2.1 (Hiera tiny) and MedSAM2: transformers' `Sam2VideoModel` with the published weights.

MedSAM2 is SAM 2.1 tiny fine-tuned at 512 pixels a side (github.com/bowang-lab/MedSAM2,
sam2.1_hiera_tiny512_FLARE_RECIST.yaml), so both files have the same names and shapes; whatever
depends on the image size is computed. Source of the names: github.com/facebookresearch/sam2,
sam2/modeling.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import interpolate
from transformers import Sam2VideoConfig, Sam2VideoModel

from benchmark.settings import Settings
from benchmark.weights import tensors

KIND = "sam2"


class Sam2Size(Settings):
    """Configuration of the network; the default is SAM 2.1 tiny (38,962,754 values).

    ``image``: pixels a side. Lists have an item per stage of the image encoder.
    """

    image: int = 1024
    widths: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[int, ...] = (1, 2, 7, 2)
    heads: tuple[int, ...] = (1, 2, 4, 8)
    windows: tuple[int, ...] = (8, 4, 14, 7)
    attends_all: tuple[int, ...] = (5, 7, 9)
    background: tuple[int, int] = (7, 7)
    channels: int = 256
    mlp: int = 2048


# Rules from the published names to those of transformers, applied in this order.
_RENAMED = (
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"^image_encoder\.trunk\.patch_embed\.proj\.", "image_encoder.trunk.patch_embed.projection."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"\.out_proj\.", ".o_proj."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"\.gamma$", ".scale"),
    (r"\.mask_downsampler\.encoder\.12\.", ".mask_downsampler.final_conv."),
    (r"\.norm(\d?)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    # Of heads (three layers) and blocks (two), the first and the last layer have special names.
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(mlps\.\d+|_head|^obj_ptr_proj)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d+|_head|^obj_ptr_proj)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d+|_head|^obj_ptr_proj)\.layers\.2\.", r"\1.proj_out."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
)
_by_rules = tensors.by_rules(_RENAMED)
_DOWNSAMPLER = re.compile(r"\.mask_downsampler\.encoder\.(\d+)\.")
_POINTS = [f"prompt_encoder.point_embeddings.{i}.weight" for i in range(4)]
_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"


def renamed(key: str) -> str:
    """Map a published tensor name to that in transformers.

    The four point embeddings keep their names; `load` concatenates them.
    """
    key = _by_rules(key)
    if found := _DOWNSAMPLER.search(key):  # four times convolution, norm, activation
        layer, part = divmod(int(found[1]), 3)
        place = f".mask_downsampler.layers.{layer}.{('conv', 'layer_norm')[part]}."
        key = key.replace(found[0], place)
    return key


class Sam2Network(Sam2VideoModel):  # type: ignore[no-untyped-call]
    """transformers' network, which remembers a mask prompt as the released code does.

    There the object pointer comes from the token of a single mask (sam2/modeling/sam2_base.py,
    `_use_mask_as_output`), in transformers from the best of three; and the memory holds the mask at
    the resolution of the logits (sam2/sam2_video_predictor.py, `propagate_in_video_preflight`), in
    transformers at that of the image.
    """

    def _single_frame_forward(self, *args: Any, **more: Any) -> Any:
        return super()._single_frame_forward(*args, **{"multimask_output": False, **more})

    def _use_mask_as_output(self, *args: Any, **more: Any) -> Any:
        found: Any = super()._use_mask_as_output(*args, **more)
        size = found.high_res_masks.shape[-2:]
        found.high_res_masks = interpolate(found.pred_masks.float(), size, mode="bilinear")
        return found


def build(size: Sam2Size) -> Any:
    """Build the network on the CPU, with random weights."""
    grids = [size.image // 4, size.image // 8, size.image // 16]
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": size.widths[0],
        "embed_dim_per_stage": list(size.widths),
        "blocks_per_stage": list(size.blocks),
        "num_attention_heads": size.heads[0],
        "num_attention_heads_per_stage": list(size.heads),
        "window_size_per_stage": list(size.windows),
        "global_attention_blocks": list(size.attends_all),
        "window_positional_embedding_background_size": list(size.background),
        "image_size": [size.image, size.image],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": list(size.widths[::-1]),
        "backbone_feature_sizes": [[n, n] for n in grids],
        "fpn_hidden_size": size.channels,
    }
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": size.channels, "image_size": size.image},
        mask_decoder_config={
            "hidden_size": size.channels,
            "mlp_dim": size.mlp,
            "iou_head_hidden_dim": size.channels,
        },
        image_size=size.image,
        memory_attention_hidden_size=size.channels,
        memory_attention_feed_forward_hidden_size=size.mlp,
        memory_attention_rope_feat_sizes=[grids[-1], grids[-1]],
        memory_encoder_hidden_size=size.channels,
        mask_downsampler_embed_dim=size.channels,
        memory_fuser_embed_dim=size.channels,
        memory_fuser_intermediate_dim=4 * size.channels,
    )
    return Sam2Network(config)


def load(path: Path, image: int, size: Sam2Size | None = None) -> Any:
    """Read a published ``.pt`` file, or the result of `convert`, for images of ``image`` pixels.

    ``image`` overrides the size in the file, since no tensor depends on it. ``size``: configuration
    of a file that is not converted. Returns the network in float32, on the CPU. Raises `UserError`
    for tensors that do not fit.
    """

    def build_for_image(size: Sam2Size) -> Any:
        return build(size.model_copy(update={"image": image}))

    return tensors.load_network(path, KIND, Sam2Size, build_for_image, _read_published, size)


def _read_published(path: Path) -> tensors.Tensors:
    content = tensors.renamed(tensors.read_pickle(path, "model"), renamed, path)
    if all(name in content for name in _POINTS):
        together = torch.cat([content.pop(name) for name in _POINTS])
        content["prompt_encoder.point_embed.weight"] = together
    if _POSITIONS in content:  # transformers has a second copy, for the image
        content["shared_image_embedding.positional_embedding"] = content[_POSITIONS].clone()
    return content


def save(network: Any, size: Sam2Size, path: Path) -> None:
    """Write the network as safetensors, with its configuration in the header."""
    tensors.save_network(network, KIND, size, path)


def convert(source: Path, target: Path, *, image: int) -> None:
    """Convert a published file to safetensors."""
    save(load(source, image), Sam2Size(image=image), target)
