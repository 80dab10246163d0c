"""The file of a network is found among other files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmark.errors import UserError
from pam import checkpoints
from pam.config import Box2MaskConfig, PropMaskConfig
from pam.network import Box2Mask, PropMask
from pam.weight_files import read_network

UNET: dict[str, Any] = {"channels": 2, "stages": 3}
FOREIGN = ("a.pth", "b.pth", "c.pth", "a.safetensors", "b.safetensors", "c.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights of other models, files that are none, and no network of PAM."""
    torch.save({"encoder.layer.0.weight": torch.ones(2, 2)}, tmp_path / "a.pth")
    torch.save({"state": {"weight": torch.ones(2)}, "epoch": 3}, tmp_path / "b.pth")
    torch.save({"weight": torch.ones(2), "args": Path("x")}, tmp_path / "c.pth")
    save_file({"encoder.weight": torch.ones(2)}, tmp_path / "a.safetensors")
    unknown = {checkpoints.HEADER: '{"kind": "unet", "config": {}}'}
    save_file({"encoder.weight": torch.ones(2)}, tmp_path / "b.safetensors", unknown)
    (tmp_path / "c.safetensors").write_bytes(b"<html>quota exceeded</html>")
    return tmp_path


def test_weights_of_other_models_are_passed_over(folder: Path) -> None:
    prop, box = PropMask(PropMaskConfig(attended=1, **UNET)), Box2Mask(Box2MaskConfig(**UNET))
    for name, network in (("p.safetensors", prop), ("q.safetensors", box)):
        checkpoints.save(network, folder / name)
    for weights in (folder, folder / "p.safetensors", folder / "q.safetensors"):
        assert read_network(weights, PropMask).config == prop.config
        assert read_network(weights, Box2Mask).config == box.config


def test_files_of_the_authors_are_told_from_others(folder: Path) -> None:
    torch.save(PropMask(PropMaskConfig(attended=1, **UNET)).state_dict(), folder / "p.pth")
    box = Box2Mask(Box2MaskConfig(**UNET)).state_dict()
    torch.save({"model_state_dict": box}, folder / "q.pth")
    kinds = {path.name: checkpoints.kind_of(path) for path in folder.iterdir()}
    assert kinds == {**dict.fromkeys(FOREIGN), "p.pth": "propmask", "q.pth": "box2mask"}


def test_the_kind_of_a_file_is_told_without_its_tensors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are some 400 MB in the files of the authors."""
    torch.save(Box2Mask(Box2MaskConfig(**UNET)).state_dict(), folder / "q.pth")
    mapped, read = [], torch.load

    def noted(path: Path, **options: Any) -> Any:
        mapped.append(options["mmap"])
        return read(path, **options)

    monkeypatch.setattr(torch, "load", noted)
    kinds = {path.name: checkpoints.kind_of(path) for path in folder.glob("*.pth")}
    assert kinds == {"a.pth": None, "b.pth": None, "c.pth": None, "q.pth": "box2mask"}
    assert mapped == [True] * 4


def test_files_of_the_older_format_are_recognised(tmp_path: Path) -> None:
    content = Box2Mask(Box2MaskConfig(**UNET)).state_dict()
    torch.save(content, tmp_path / "q.pth", _use_new_zipfile_serialization=False)
    assert checkpoints.kind_of(tmp_path / "q.pth") == "box2mask"


def test_what_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"0 files of .* hold a propmask.* damaged: a\.pth, a\.safe"
    ):
        read_network(folder, PropMask)
    for name in ("p", "q"):
        checkpoints.save(Box2Mask(Box2MaskConfig(**UNET)), folder / f"{name}.safetensors")
    with pytest.raises(UserError, match=r"2 files .*: p\.safetensors, q\.safetensors\. Keep"):
        read_network(folder, Box2Mask)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.pth", "does not fit a PropMask"),
        ("c.pth", "more than tensors"),
        ("a.safetensors", "does not say what network"),
        ("b.safetensors", "Unknown network 'unet'"),
        ("c.safetensors", "not a safetensors file"),
    ],
)
def test_what_is_wrong_with_the_file_that_was_named_is_told(
    folder: Path, name: str, told: str
) -> None:
    checkpoints.save(PropMask(PropMaskConfig(attended=1, **UNET)), folder / "p.safetensors")
    with pytest.raises(UserError, match=told):
        read_network(folder / name, PropMask)
