"""Tensor names and shapes of SAM 2.1 tiny and MedSAM2 against an inventory of the model."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from baselines import medsam2_network
from baselines.medsam2_network import Sam2Size, renamed
from baselines.medsam2_video import Features, Prompted, walk
from benchmark.errors import UserError

Shape = tuple[int, ...]
SMALL = Sam2Size(
    image=64,
    widths=(8, 16, 32, 64),
    blocks=(1, 1, 2, 1),
    windows=(4, 2, 4, 2),
    attends_all=(3,),
    background=(4, 4),
    channels=128,
    mlp=64,
)


def layer(name: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    """A weight and its bias, which has the length of the first axis."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield from layer(name, (width,))


def attention(name: str, inner: int, width: int, keys: int) -> Iterator[tuple[str, Shape]]:
    yield from layer(f"{name}.q_proj", (inner, width))
    yield from layer(f"{name}.k_proj", (inner, keys))
    yield from layer(f"{name}.v_proj", (inner, keys))
    yield from layer(f"{name}.out_proj", (width, inner))


def head(name: str, widths: Shape) -> Iterator[tuple[str, Shape]]:
    for i, (given, made) in enumerate(pairwise(widths)):
        yield from layer(f"{name}.layers.{i}", (made, given))


def encoder(s: Sam2Size) -> Iterator[tuple[str, Shape]]:
    first, window = s.widths[0], s.windows[0]
    yield "image_encoder.trunk.pos_embed", (1, first, *s.background)
    yield "image_encoder.trunk.pos_embed_window", (1, first, window, window)
    yield from layer("image_encoder.trunk.patch_embed.proj", (first, 3, 7, 7))
    stages = [(i, width) for i, width in enumerate(s.widths) for _ in range(s.blocks[i])]
    before = first
    for number, (_, width) in enumerate(stages):
        name = f"image_encoder.trunk.blocks.{number}"
        yield from norm(f"{name}.norm1", before)
        yield from layer(f"{name}.attn.qkv", (3 * width, before))
        yield from layer(f"{name}.attn.proj", (width, width))
        yield from norm(f"{name}.norm2", width)
        yield from head(f"{name}.mlp", (width, 4 * width, width))
        if before != width:
            yield from layer(f"{name}.proj", (width, before))
        before = width
    for i, width in enumerate(s.widths[::-1]):
        yield from layer(f"image_encoder.neck.convs.{i}.conv", (s.channels, width, 1, 1))


def decoder(s: Sam2Size) -> Iterator[tuple[str, Shape]]:
    c, name = s.channels, "sam_mask_decoder"
    for i in range(2):
        block = f"{name}.transformer.layers.{i}"
        yield from attention(f"{block}.self_attn", c, c, c)
        yield from attention(f"{block}.cross_attn_token_to_image", c // 2, c, c)
        yield from attention(f"{block}.cross_attn_image_to_token", c // 2, c, c)
        yield from head(f"{block}.mlp", (c, s.mlp, c))
        for k in range(1, 5):
            yield from norm(f"{block}.norm{k}", c)
    yield from attention(f"{name}.transformer.final_attn_token_to_image", c // 2, c, c)
    yield from norm(f"{name}.transformer.norm_final_attn", c)
    yield f"{name}.iou_token.weight", (1, c)
    yield f"{name}.mask_tokens.weight", (4, c)
    yield f"{name}.obj_score_token.weight", (1, c)
    for i, (given, made) in ((0, (c, c // 4)), (3, (c // 4, c // 8))):  # transposed convolutions
        yield f"{name}.output_upscaling.{i}.weight", (given, made, 2, 2)
        yield f"{name}.output_upscaling.{i}.bias", (made,)
    yield from norm(f"{name}.output_upscaling.1", c // 4)
    yield from layer(f"{name}.conv_s0", (c // 8, c, 1, 1))
    yield from layer(f"{name}.conv_s1", (c // 4, c, 1, 1))
    for i in range(4):
        yield from head(f"{name}.output_hypernetworks_mlps.{i}", (c, c, c, c // 8))
    yield from head(f"{name}.iou_prediction_head", (c, c, c, 4))
    yield from head(f"{name}.pred_obj_score_head", (c, c, c, 1))


def memory(s: Sam2Size) -> Iterator[tuple[str, Shape]]:
    c, m = s.channels, 64
    yield "maskmem_tpos_enc", (7, 1, 1, m)
    yield "no_mem_embed", (1, 1, c)
    yield "no_mem_pos_enc", (1, 1, c)
    yield "no_obj_ptr", (1, c)
    yield "no_obj_embed_spatial", (1, m)
    yield from layer("mask_downsample", (1, 1, 4, 4))
    yield from head("obj_ptr_proj", (c, c, c, c))
    yield from layer("obj_ptr_tpos_proj", (m, c))
    for i in range(4):
        name = f"memory_attention.layers.{i}"
        yield from attention(f"{name}.self_attn", c, c, c)
        yield from attention(f"{name}.cross_attn_image", c, c, m)
        yield from layer(f"{name}.linear1", (s.mlp, c))
        yield from layer(f"{name}.linear2", (c, s.mlp))
        for k in range(1, 4):
            yield from norm(f"{name}.norm{k}", c)
    yield from norm("memory_attention.norm", c)
    for i in range(4):
        given, made = 4**i, 4 ** (i + 1)
        yield from layer(f"memory_encoder.mask_downsampler.encoder.{3 * i}", (made, given, 3, 3))
        yield from norm(f"memory_encoder.mask_downsampler.encoder.{3 * i + 1}", made)
    yield from layer("memory_encoder.mask_downsampler.encoder.12", (c, 256, 1, 1))
    yield from layer("memory_encoder.pix_feat_proj", (c, c, 1, 1))
    yield from layer("memory_encoder.out_proj", (m, c, 1, 1))
    for i in range(2):
        name = f"memory_encoder.fuser.layers.{i}"
        yield f"{name}.gamma", (c,)
        yield from layer(f"{name}.dwconv", (c, 1, 7, 7))
        yield from norm(f"{name}.norm", c)
        yield from layer(f"{name}.pwconv1", (4 * c, c))
        yield from layer(f"{name}.pwconv2", (c, 4 * c))


def prompts(s: Sam2Size) -> Iterator[tuple[str, Shape]]:
    c, name = s.channels, "sam_prompt_encoder"
    yield f"{name}.pe_layer.positional_encoding_gaussian_matrix", (2, c // 2)
    for i in range(4):
        yield f"{name}.point_embeddings.{i}.weight", (1, c)
    yield f"{name}.not_a_point_embed.weight", (1, c)
    yield f"{name}.no_mask_embed.weight", (1, c)
    yield from layer(f"{name}.mask_downscaling.0", (4, 1, 2, 2))
    yield from norm(f"{name}.mask_downscaling.1", 4)
    yield from layer(f"{name}.mask_downscaling.3", (16, 4, 2, 2))
    yield from norm(f"{name}.mask_downscaling.4", 16)
    yield from layer(f"{name}.mask_downscaling.6", (c, 16, 1, 1))


def inventory(s: Sam2Size) -> dict[str, Shape]:
    parts = (encoder, decoder, memory, prompts)
    return dict(item for part in parts for item in part(s))


@pytest.fixture(scope="module")
def published(rule: Callable[[str, Shape], torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: rule(name, shape) for name, shape in inventory(SMALL).items()}


def test_the_inventory_has_the_size_that_is_told_of_the_model() -> None:
    """38,962,498 parameters (the matrix of positions is a buffer there)."""
    values = {name: torch.Size(shape).numel() for name, shape in inventory(Sam2Size()).items()}
    assert values["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] == 256
    assert sum(values.values()) - 256 == 38_962_498


def test_every_name_has_its_place() -> None:
    names = inventory(Sam2Size())
    with torch.device("meta"):
        places = {
            k: tuple(x.shape) for k, x in medsam2_network.build(Sam2Size()).state_dict().items()
        }
    points = [name for name in names if ".point_embeddings." in name]
    found = {renamed(name): shape for name, shape in names.items() if name not in points}
    assert len(found) == len(names) - 4
    found["prompt_encoder.point_embed.weight"] = (4, 256)
    found["shared_image_embedding.positional_embedding"] = (2, 128)
    assert found == places


def test_values_arrive(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save({"model": published}, file)
    network = medsam2_network.load(file, SMALL.image, SMALL)
    medsam2_network.save(network, SMALL, tmp_path / "net.safetensors")
    read = medsam2_network.load(tmp_path / "net.safetensors", SMALL.image)
    values: dict[str, Any] = read.state_dict()
    for name, tensor in published.items():
        if ".point_embeddings." not in name:
            assert torch.equal(values[renamed(name)], tensor), name
    points = [published[f"sam_prompt_encoder.point_embeddings.{i}.weight"] for i in range(4)]
    assert torch.equal(values["prompt_encoder.point_embed.weight"], torch.cat(points))


def prompted(kind: str) -> Prompted:
    if kind == "box":
        return Prompted(2, box=torch.tensor([15.0, 20.0, 39.0, 49.0]))
    mask = torch.zeros(64, 64)
    mask[22:47, 18:38] = 1
    return Prompted(2, mask=mask)


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_tracking_equals_the_released_code(
    published: dict[str, torch.Tensor],
    golden: Callable[[str], dict[str, NDArray[Any]]],
    noise: Callable[..., NDArray[np.float32]],
    kind: str,
    tmp_path: Path,
) -> None:
    """Further than the model remembers; memories are bfloat16, where a last bit moves 1e-4."""
    bias = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
    torch.save({**published, bias: published[bias] + 20}, tmp_path / "net.pt")
    network = medsam2_network.load(tmp_path / "net.pt", SMALL.image, SMALL)
    count = 20
    features = Features(network, "cpu", "float32")
    features.embed(range(count), torch.from_numpy(noise(41, (count, 3, 64, 64))) * 4 - 2)
    found = [
        logits[0, 0, ::2, ::2].numpy()
        for step in (1, -1)
        for _, logits in walk(features, prompted(kind), count, count, step)
    ]
    np.testing.assert_allclose(found, golden("sam2_tracking.npz")[kind], rtol=0, atol=1e-3)


def test_the_method_says_the_size_of_the_image(
    published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Whatever a converted file was made for: SAM 2.1's serves MedSAM2, and the other way round."""
    file, converted = tmp_path / "net.pt", tmp_path / "net.safetensors"
    torch.save({"model": published}, file)
    medsam2_network.save(medsam2_network.load(file, 64, SMALL), SMALL, converted)
    for image in (64, 128):
        first = medsam2_network.load(file, image, SMALL)
        second = medsam2_network.load(converted, image)
        assert first.config.image_size == second.config.image_size == image
        assert first.config.to_dict() == second.config.to_dict()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"no_mem_embed": None}, "1 missing: no_memory_embedding"),
        ({"sam_prompt_encoder.point_embeddings.2.weight": None}, r"1 missing: .*point_embed"),
        ({"more": torch.zeros(2)}, "1 unexpected: more"),
        ({"no_memory_embedding": torch.zeros(1, 1, 128)}, "holds no_memory_embedding twice"),
    ],
)
def test_what_does_not_fit_is_told(
    published: dict[str, torch.Tensor], change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    content = {k: x for k, x in {**published, **change}.items() if x is not None}
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(UserError, match=told):
        medsam2_network.load(tmp_path / "net.pt", SMALL.image, SMALL)
