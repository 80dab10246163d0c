"""SegVol's network against recorded outputs of the released code, and its published files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines import segvol_network
from baselines.segvol_encoder import Size
from benchmark.errors import UserError
from tests.baselines import segvol_small
from tests.baselines.segvol_small import SMALL


@pytest.fixture(scope="module")
def network() -> segvol_network.SegVolNet:
    return segvol_small.network()


def test_every_published_name_is_accounted_for() -> None:
    rows = segvol_small.keys()
    places = segvol_network.build(Size()).state_dict()
    needed = {row["name"]: row["shape"] for row in rows if row["use"] == "box"}
    assert {name: " ".join(map(str, x.shape)) for name, x in places.items()} == needed
    others = [row["name"] for row in rows if row["use"] != "box"]
    assert all(segvol_network._OTHER.fullmatch(name) for name in others)
    assert not any(segvol_network._OTHER.fullmatch(name) for name in needed)
    assert len(rows) == 475
    assert round(sum(x.numel() for x in places.values()) / 1e6, 1) == 113.2


def test_embedding_prompts_and_logits(
    network: segvol_network.SegVolNet,
    golden: Callable[[str], Mapping[str, Any]],
    noise: Callable[..., Any],
) -> None:
    recorded = golden("segvol_network.npz")
    with torch.inference_mode():
        embedded = network.embed(torch.from_numpy(noise(31, (1, 1, 16, 64, 64))))
        np.testing.assert_allclose(embedded[0], recorded["embedding"], atol=1e-5)
        for i in range(3):
            box = torch.from_numpy(recorded[f"box{i}"])[None]
            sparse, dense, pe = network.prompt_encoder(box)
            np.testing.assert_allclose(sparse[0], recorded[f"sparse{i}"], atol=2e-5)
            np.testing.assert_allclose(pe[0], recorded["dense_pe"], atol=1e-5)
            low = network.mask_decoder(embedded + dense, pe, sparse)
            np.testing.assert_allclose(low[0, 0], recorded[f"low{i}"], atol=1e-5)
        logits = network.decode(embedded, torch.from_numpy(recorded["box0"])[None])
        np.testing.assert_allclose(logits[0, ::2, ::5, ::5], recorded["logits_part"], atol=1e-5)


def test_windows_and_boxes_go_in_batches(
    network: segvol_network.SegVolNet, noise: Callable[..., Any]
) -> None:
    windows = torch.from_numpy(noise(5, (3, 1, 16, 64, 64)))
    boxes = torch.tensor([[1.0, 2, 3, 9, 40, 50], [0, 0, 0, 3, 9, 9], [-1] * 6])
    with torch.inference_mode():
        together = network.decode(network.embed(windows), boxes)
        for i in range(3):
            alone = network.decode(network.embed(windows[i : i + 1]), boxes[i : i + 1])
            np.testing.assert_allclose(together[i], alone[0], atol=1e-5)


def test_upscaling_is_that_of_the_modules(network: segvol_network.SegVolNet) -> None:
    decoder = network.mask_decoder
    places = SMALL.grid[0] * SMALL.grid[1] * SMALL.grid[2]
    made = torch.Generator().manual_seed(0)
    seen = torch.randn(2, places, SMALL.width, generator=made)
    weights = torch.randn(2, SMALL.width // 8, generator=made)
    with torch.inference_mode():
        by_modules = decoder.output_upscaling(seen.mT.reshape(2, -1, *SMALL.grid))
        expected = torch.einsum("nc,nczyx->nzyx", weights, by_modules)
        got = decoder.upscaled(seen, weights)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_an_embedding_may_serve_several_boxes(
    network: segvol_network.SegVolNet, noise: Callable[..., Any]
) -> None:
    boxes = torch.tensor([[1.0, 2, 3, 9, 40, 50], [0, 0, 0, 3, 9, 9], [-1] * 6])
    with torch.inference_mode():
        embedded = network.embed(torch.from_numpy(noise(5, (1, 1, 16, 64, 64))))
        shared = network.decode(embedded, boxes)
        copies = network.decode(embedded.expand(3, -1, -1, -1, -1), boxes)
    torch.testing.assert_close(shared, copies, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("container", ["module", "model", "plain"])
def test_both_published_containers_are_read(tmp_path: Path, container: str) -> None:
    prefix = "" if container == "plain" else f"{container}."
    content: dict[str, Any] = {
        prefix + name: value for name, value in segvol_small.published().items()
    }
    if container == "module":
        content = {"model": content, "epoch": 3}
    torch.save(content, tmp_path / "net.bin")
    read = segvol_network.load(tmp_path / "net.bin", SMALL).state_dict()
    expected = segvol_small.network().state_dict()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in read)


def test_what_is_converted_is_read_without_being_told_its_size(tmp_path: Path) -> None:
    network = segvol_small.network()
    segvol_network.save(network, tmp_path / "net.safetensors")
    back = segvol_network.load(tmp_path / "net.safetensors")
    assert back.size == SMALL
    assert all(
        torch.equal(value, network.state_dict()[name]) for name, value in back.state_dict().items()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("image_encoder.norm.bias"), "1 missing: image_encoder.norm.bias"),
        (lambda c: c.update({"image_encoder.new": torch.zeros(1)}), "1 unexpected: image_encoder"),
        (lambda c: [c.pop(k) for k in list(c) if "encoder" not in k], "missing: mask_decoder"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    content = segvol_small.published()
    change(content)
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UserError, match=message):
        segvol_network.load(tmp_path / "net.pth", SMALL)
