"""MedSAM's network against outputs recorded from the released code."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from baselines import medsam_network
from baselines.medsam_network import SamSize
from benchmark.errors import UserError
from benchmark.weights import tensors

KEYS = Path(__file__).parent / "golden" / "medsam_keys.tsv"
SMALL = SamSize(
    image=128,
    width=32,
    depth=3,
    heads=2,
    attends_all=(1,),
    window=3,
    channels=32,
    decoder_mlp=64,
    decoder_heads=4,
    iou_hidden=16,
)
Rule = Callable[[str, tuple[int, ...]], torch.Tensor]


@pytest.fixture(scope="module")
def keys() -> list[dict[str, str]]:
    with KEYS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def published(keys: list[dict[str, str]], rule: Rule) -> dict[str, torch.Tensor]:
    """State dict of the reduced network under the published names."""
    places = medsam_network.build(SMALL).state_dict()
    return {
        row["published"]: rule(row["published"], tuple(places[row["transformers"]].shape))
        for row in keys
        if row["transformers"] in places
    }


def loaded(content: Any, folder: Path) -> Any:
    """The network of a file of `torch.save`."""
    torch.save(content, folder / "net.pth")
    return medsam_network.load(folder / "net.pth", SMALL)


@pytest.fixture(scope="module")
def network(published: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(published, tmp_path_factory.mktemp("network"))


def test_every_published_name_has_its_place(keys: list[dict[str, str]]) -> None:
    assert [medsam_network.renamed(row["published"]) for row in keys] == [
        row["transformers"] for row in keys
    ]
    places = medsam_network.build(SamSize()).state_dict()
    twice = "shared_image_embedding.positional_embedding"
    assert set(places) - {row["transformers"] for row in keys} == {twice}
    for row in keys:
        shape = tuple(int(n) for n in row["shape"].split())
        assert tuple(places[row["transformers"]].shape) == shape, row["published"]
    assert sum(x.numel() for name, x in places.items() if name != twice) == 93_735_728


def test_embedding_and_logits(
    network: Any, golden: Callable[[str], Mapping[str, Any]], noise: Callable[..., Any]
) -> None:
    recorded = golden("medsam_network.npz")
    with torch.inference_mode():
        embedded = network.get_image_embeddings(torch.from_numpy(noise(11, (1, 3, 128, 128))))
        np.testing.assert_allclose(embedded, recorded["image_embedding"], atol=1e-5)
        for i in range(3):
            low = network(
                image_embeddings=embedded,
                input_boxes=torch.from_numpy(recorded[f"box{i}"])[None, None],
                multimask_output=False,
            ).pred_masks[:, 0]
            np.testing.assert_allclose(low, recorded[f"low{i}"], atol=1e-5)
            soft = torch.nn.functional.interpolate(low.sigmoid(), (100, 90), mode="bilinear")
            np.testing.assert_allclose(soft[..., ::5, ::5], recorded[f"prob{i}_part"], atol=1e-5)


def test_a_published_file_is_read_and_converted(
    tmp_path: Path, published: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(medsam_network, "SamSize", lambda: SMALL)
    torch.save(published, tmp_path / "net.pth")
    medsam_network.convert(tmp_path / "net.pth", tmp_path / "net.safetensors")
    monkeypatch.undo()
    read = medsam_network.load(tmp_path / "net.safetensors").state_dict()
    for name, tensor in published.items():
        assert torch.equal(read[medsam_network.renamed(name)], tensor), name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_the_training_scripts_is_read(
    prefix: str, network: Any, published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Of one GPU and of several: with the optimiser's state, and with a prefix."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(3)
    optimiser.step()
    model = {f"{prefix}{name}": tensor for name, tensor in published.items()}
    content = {"model": model, "optimizer": optimiser.state_dict(), "epoch": 3}
    found = loaded(content, tmp_path).state_dict()
    expected = network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image_encoder.pos_embed": None}, "1 missing: vision_encoder.pos_embed"),
        ({"more": torch.zeros(2)}, "1 unexpected: more"),
        ({"mask_decoder.iou_token.weight": torch.zeros(2, 2)}, r"1 of another shape: mask_dec"),
        ({"image_encoder.neck.1.bias": torch.full((32,), torch.nan)}, "1 not finite: vision_enc"),
    ],
)
def test_what_does_not_fit_is_told(
    published: dict[str, torch.Tensor], change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    content = {k: x for k, x in {**published, **change}.items() if x is not None}
    with pytest.raises(UserError, match=told):
        loaded(content, tmp_path)


def test_files_that_are_not_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with pytest.raises(UserError, match="No such file"):
        medsam_network.load(path)
    path.write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(UserError, match=r"net\.pth (was not read|cannot be read)"):
        medsam_network.load(path)
    torch.save({"code": Path}, path)
    with pytest.raises(UserError, match="holds more than tensors"):
        medsam_network.load(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(UserError, match=r"more than names and plain tensors: 'epoch'"):
        medsam_network.load(path)
    other = tmp_path / "other.safetensors"
    tensors.write_safetensors(other, "another", {}, {"x": torch.zeros(1)})
    assert other.stat().st_mode == path.stat().st_mode  # as of any file, by the umask
    with pytest.raises(UserError, match="holds no medsam: its header says 'another'"):
        medsam_network.load(other)
    for entry in ("[]", "{", '{"kind": "medsam"}'):
        save_file({"x": torch.zeros(1)}, other, {tensors.HEADER: entry})
        with pytest.raises(UserError, match="holds no medsam: its header says None"):
            medsam_network.load(other)
    other.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is not a safetensors file"):
        medsam_network.load(other)
