"""Checkpoints: every tensor of a released file is used, and nothing else is accepted."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmark.errors import UserError
from pam import checkpoints
from pam.config import Box2MaskConfig, PropMaskConfig
from pam.network import NETWORKS, Box2Mask, PropMask

SMALL = PropMaskConfig(channels=4, stages=3, max_channels=8, attended=2)
State = dict[str, torch.Tensor]
Inventory = dict[str, list[Any]]  # a network's entries: key, shape, alias_of
ALIAS = "proposing_stage.decoder.encoder.stages.1.0.convs.0.all_modules.1.bias"


@pytest.fixture
def network() -> PropMask:
    torch.manual_seed(0)
    return PropMask(SMALL).eval()


@pytest.fixture
def released(network: PropMask, inventory: Inventory) -> State:
    """The state of the small network under all the released names that it has tensors for."""
    ours = network.state_dict()
    names = (entry.key for entry in inventory["propmask"])
    return {n: ours[checkpoints.canonical(n)] for n in names if checkpoints.canonical(n) in ours}


@torch.inference_mode()
def outputs(network: PropMask) -> list[torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.rand(1, 1, 16, 16) > 0.5
    return network(torch.randn(1, 1, 16, 16), mask, torch.randn(1, 2, 1, 16, 16))  # type: ignore[no-any-return]


def same(a: PropMask, b: PropMask) -> bool:
    return all(torch.equal(x, y) for x, y in zip(outputs(a), outputs(b), strict=True))


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_released_name_has_its_place(kind: str, inventory: Inventory) -> None:
    with torch.device("meta"):
        places = NETWORKS[kind]().state_dict()
    entries = inventory[kind]
    assert len(entries) == {"propmask": 408, "box2mask": 292}[kind]
    first = [checkpoints.canonical(e.key) for e in entries if not e.alias_of]
    assert sorted(first) == sorted(places)
    for entry in entries:
        assert places[checkpoints.canonical(entry.key)].shape == entry.shape
        if entry.alias_of:
            assert checkpoints.canonical(entry.key) == checkpoints.canonical(entry.alias_of)


def test_our_own_names_stay() -> None:
    with torch.device("meta"):
        names = [name for kind in NETWORKS.values() for name in kind().state_dict()]
    assert [checkpoints.canonical(name) for name in names] == names


WRITTEN: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "wrapped": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}},
    "parallel": lambda state: {f"module.{k}": x for k, x in state.items()},
    "parallel inside": lambda state: {
        k.replace("proposing_stage.", "proposing_stage.module."): x for k, x in state.items()
    },
    "both": lambda state: {"model_state_dict": {f"module.{k}": x for k, x in state.items()}},
    "without aliases": lambda state: {
        k: x for k, x in state.items() if "all_modules" not in k and "decoder.encoder" not in k
    },
}


@pytest.mark.parametrize("written", WRITTEN)
def test_released_files(tmp_path: Path, network: PropMask, released: State, written: str) -> None:
    path = tmp_path / "released.pth"
    torch.save(WRITTEN[written](released), path)
    assert same(checkpoints.load_released(path, PropMask, SMALL), network)


def test_conversion(tmp_path: Path, network: PropMask, released: State) -> None:
    source, target, again = (tmp_path / name for name in ("a.pth", "b.safetensors", "c"))
    torch.save({"model_state_dict": released}, source)
    checkpoints.convert(source, target, "propmask", SMALL)
    checkpoints.convert(source, again, "propmask", SMALL)

    assert target.read_bytes() == again.read_bytes()
    assert target.stat().st_mode == source.stat().st_mode  # as of any file, by the umask
    assert load_file(target).keys() == network.state_dict().keys()
    with safe_open(target, "pt") as file:
        assert json.loads(file.metadata()["pam"]) == {
            "kind": "propmask",
            "config": {
                "channels": 4,
                "stages": 3,
                "max_channels": 8,
                "inference": {},
                "attended": 2,
                "mask_encoder": "separate",
                "inputs": 1,
                "prior": False,
                "statistics": "own",
            },
        }
    loaded = checkpoints.load(target, PropMask)
    assert loaded.config == SMALL
    assert not loaded.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in loaded.parameters())
    assert same(loaded, network)


def test_the_header_says_which_network_it_is(tmp_path: Path, network: PropMask) -> None:
    other, path = Box2Mask(Box2MaskConfig(channels=2, stages=3)), tmp_path / "x"
    checkpoints.save(other, path)
    loaded = checkpoints.load(path)
    assert isinstance(loaded, Box2Mask)
    assert loaded.config == other.config
    with pytest.raises(UserError, match="holds a box2mask, expected a propmask"):
        checkpoints.load(path, PropMask)


def test_weights_kept_in_half_precision_load_as_float32(tmp_path: Path, network: PropMask) -> None:
    checkpoints.save(network.half(), tmp_path / "x")
    loaded = checkpoints.load(tmp_path / "x", PropMask)
    assert same(loaded, network.float())
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, released: State, zipped: bool) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    content = {**released, "epoch": Evil(f"touch {mark}")}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content["epoch"], protocol=2))
    with pytest.raises(UserError, match="could run code") as raised:
        checkpoints.load_released(path, "propmask", SMALL)
    assert not mark.exists()
    assert "weights_only" not in str(raised.value)  # by which torch says how to run it
    assert f"({os.name}.system)" in str(raised.value)


def without(state: State, key: str) -> State:
    """Without a tensor, under all of its names."""
    name = checkpoints.canonical(key)
    return {k: x for k, x in state.items() if checkpoints.canonical(k) != name}


HEAD = "proposing_stage.decoder.seg_layers.0.bias"
FAULTS: dict[str, tuple[Callable[[State], Any], str]] = {
    "missing": (lambda s: without(s, HEAD), r"1 missing: decoder\.heads\.0\.bias\."),
    "missing with its aliases": (
        lambda s: without(s, ALIAS),
        r"1 missing: encoder\.stages\.1\.0\.norm\.bias\.",
    ),
    "extra": (
        lambda s: {**s, "proposing_stage.prior.weight": torch.ones(2)},
        r"1 unexpected: prior\.weight\.",
    ),
    "shape": (
        lambda s: {**s, HEAD: torch.zeros(3)},
        r"1 of another shape: decoder\.heads\.0\.bias \(3,\) for \(2,\)\.",
    ),
    "alias differs": (lambda s: {**s, ALIAS: s[ALIAS] + 1}, "another name of .* differ"),
    "alias of another shape": (lambda s: {**s, ALIAS: s[ALIAS][:1]}, "another name of .* differ"),
    "not finite": (lambda s: {**s, HEAD: torch.full((2,), torch.nan)}, "1 not finite: decoder"),
    "of another size": (lambda s: Box2Mask().state_dict(), "It may be of another model"),
    "no tensor": (lambda s: {**s, "epoch": 3}, "more than names and plain tensors: 'epoch'"),
    "no name": (lambda s: {**s, 3: torch.ones(1)}, "more than names and plain tensors: 3"),
    "sparse": (lambda s: {**s, HEAD: s[HEAD].to_sparse()}, "plain tensors: .*seg_layers.0.bias"),
    "no values": (lambda s: {**s, HEAD: s[HEAD].to("meta")}, "plain tensors: .*seg_layers.0.bias"),
    "empty": (lambda s: {}, "holds no weights"),
    "a list": (lambda s: list(s.values()), "holds no weights"),
    "wrapper of nothing": (lambda s: {"model_state_dict": None}, "holds no weights"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_released_files(tmp_path: Path, released: State, fault: str) -> None:
    path = tmp_path / "released.pth"
    make, message = FAULTS[fault]
    torch.save(make(released), path)
    with pytest.raises(UserError, match=message) as raised:
        checkpoints.load_released(path, PropMask, SMALL)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"<html>quota exceeded</html>", bytes(300), b"PK\x03\x04"]
)
def test_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"Get it again"):
        checkpoints.load_released(path, "box2mask")
    with pytest.raises(UserError, match="not a safetensors file"):
        checkpoints.load(path)


def test_a_cut_file(tmp_path: Path, network: PropMask, released: State) -> None:
    whole, kept = tmp_path / "a.pth", tmp_path / "b"
    torch.save(released, whole)
    checkpoints.save(network, kept)
    for path in (whole, kept):
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="Get it again"):
        checkpoints.load_released(whole, PropMask, SMALL)
    with pytest.raises(UserError, match="not a safetensors file"):
        checkpoints.load(kept)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        checkpoints.load_released(tmp_path / "x.pth", "propmask")
    with pytest.raises(UserError, match="No such file"):
        checkpoints.load(tmp_path / "x")


def test_an_unknown_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean: propmask"):
        checkpoints.load_released(tmp_path / "x", "prop-mask")


HEADERS: dict[str, tuple[dict[str, str] | None, str]] = {
    "none": (None, "does not say what network"),
    "another's": ({"format": "pt"}, "does not say what network"),
    "no JSON": ({"pam": "{"}, "does not say what network"),
    "no mapping": ({"pam": "[]"}, "does not say what network"),
    "unknown network": ({"pam": '{"kind": "unet", "config": {}}'}, "Unknown network 'unet'"),
    "unknown option": (
        {"pam": '{"kind": "propmask", "config": {"chanels": 4}}'},
        "Did you mean: channels",
    ),
    "another size": ({"pam": '{"kind": "propmask", "config": {}}'}, "missing"),
}


@pytest.mark.parametrize("header", HEADERS)
def test_faults_of_the_header(tmp_path: Path, network: PropMask, header: str) -> None:
    metadata, message = HEADERS[header]
    save_file(network.state_dict(), tmp_path / "x", metadata=metadata)
    with pytest.raises(UserError, match=message):
        checkpoints.load(tmp_path / "x")
