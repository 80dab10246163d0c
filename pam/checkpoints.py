"""Weights on disk: the released ``.pth`` files are converted once and kept as safetensors.

Nothing in a file is executed: pickles are read with ``weights_only``, and files that need more are
refused. Every tensor of a file must have its place in the network, and every parameter its tensor.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from benchmark.errors import UserError, unknown_name
from benchmark.weights import tensors
from pam.config import UNetConfig
from pam.network import NETWORKS, Box2Mask, Network, PropMask

HEADER = "pam"
_WRAPPER = "model_state_dict"
"""Key under which the authors' files may hold the tensors."""
_PARTS, _HEAD = {"encoder", "decoder", "mask_encoder", "attentions"}, "decoder.heads.0.weight"
"""How the authors' files are recognised: the parts of either network, and a tensor of both."""
N = TypeVar("N", PropMask, Box2Mask)

# Rules from the names of the released files (github.com/czifan/PAM) to ours, applied in this order.
# Modules there hold each other twice, so a tensor may have several names, which map to one here.
_RENAMED = (
    (r"(^|\.)(module\.)+", r"\1"),  # data-parallel training, at any depth
    (r"^proposing_stage\.", ""),
    (r"^decoder\.encoder\.", "encoder."),  # the decoder holds the encoder
    (r"\.all_modules\.0\.", ".conv."),  # a block holds its layers by name and in a list
    (r"\.all_modules\.1\.", ".norm."),
    (r"^((?:mask_)?encoder\.stages\.\d+)\.0\.convs\.", r"\1."),
    (r"^(decoder\.stages\.\d+)\.convs\.", r"\1."),
    (r"^decoder\.transpconvs\.", "decoder.ups."),
    (r"^decoder\.seg_layers\.", "decoder.heads."),
    (r"^cross_attns\.(\d+)\.fc_out\.", r"attentions.\1.out."),
    (r"^cross_attns\.(\d+)\.(key|value)s\.", r"attentions.\1.\2."),
    (r"^cross_attns\.(\d+)\.queries\.", r"attentions.\1.query."),
)


canonical = tensors.by_rules(_RENAMED)
"""Map a tensor name of the released files to ours; names that are ours already stay."""


@overload
def load_released(path: Path, kind: type[N], config: UNetConfig | None = None) -> N: ...
@overload
def load_released(path: Path, kind: str, config: UNetConfig | None = None) -> Network: ...
def load_released(path: Path, kind: type[N] | str, config: UNetConfig | None = None) -> Network:
    """Read a ``.pth`` file of the authors, bare or wrapped as ``model_state_dict``.

    ``kind``: the class or its name, "propmask" or "box2mask". ``config``: needed if the network is
    not of the paper's size. Returns the network in float32, on the CPU, in evaluation mode. Raises
    `UserError` for a file that cannot be read safely, and for tensors that are missing, unexpected,
    of another shape, not finite, or given twice with different values.
    """
    network = _class_of(kind)
    filled: Network = _filled(
        network, config, _merged(tensors.read_pickle(path, _WRAPPER), path), path
    )
    return filled


def kind_of(path: Path) -> str | None:
    """Return which network a file holds, "propmask" or "box2mask", or None for anything else.

    Of safetensors files only the header is read, of others only the names.
    """
    try:
        if path.suffix == ".safetensors":
            found = tensors.read_header(path, HEADER)
            return found[0] if found and found[0] in NETWORKS else None
        names = {canonical(name) for name in tensors.read_pickle(path, _WRAPPER, mapped=True)}
    except UserError:
        return None
    if not _PARTS.issuperset(name.partition(".")[0] for name in names) or _HEAD not in names:
        return None
    return "propmask" if any(name.startswith("attentions.") for name in names) else "box2mask"


def convert(source: Path, target: Path, kind: str, config: UNetConfig | None = None) -> None:
    """Convert a released ``.pth`` file to safetensors; raises as `load_released` does."""
    save(load_released(source, kind, config), target)


def save(network: Network, path: Path) -> None:
    """Write the network as safetensors, with its kind and configuration in the header."""
    config = network.config.model_dump()
    tensors.write_safetensors(path, network.kind, config, network.state_dict(), HEADER)


@overload
def load(path: Path, kind: type[N]) -> N: ...
@overload
def load(path: Path, kind: None = None) -> Network: ...
def load(path: Path, kind: type[N] | None = None) -> Network:
    """Read a file written by `save`; returns its network on the CPU, in evaluation mode.

    ``kind``: the expected class. Raises `UserError` as `load_released` does, and for another kind.
    """
    found = tensors.read_header(path, HEADER)
    if found is None:
        raise UserError(
            f"{path} does not say what network it is for: its header has no valid entry {HEADER!r}."
            " Convert it again from the released file."
        )
    network = _class_of(found[0])
    if kind is not None and network is not kind:
        raise UserError(f"{path} holds a {network.kind}, expected a {kind.kind}.")
    content, values = tensors.read_safetensors(path, network.kind, HEADER)
    filled: Network = _filled(network, network.Config.read(values, str(path)), content, path)
    return filled


def _class_of(kind: type[Network] | str) -> Any:
    if not isinstance(kind, str):
        return kind
    if kind not in NETWORKS:
        raise UserError(unknown_name("network", kind, NETWORKS))
    return NETWORKS[kind]


def _merged(content: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Map all names of a tensor to one; raises `UserError` if their values differ."""
    merged: dict[str, Tensor] = {}
    for key, tensor in content.items():
        known = merged.setdefault(canonical(key), tensor)
        if known is not tensor and not torch.equal(known.float(), tensor.float()):
            raise UserError(
                f"{path}: {key} should be another name of {canonical(key)}, but their values "
                "differ. The file is damaged or of another version of the model."
            )
    return merged


def _filled(kind: type[N], config: Any, content: Mapping[str, Tensor], path: Path) -> N:
    """Build the network from tensors; raises `UserError` unless they match its parameters."""
    with torch.device("meta"):  # no memory, no random numbers: the file provides the values
        network = kind(config)
    tensors.fill(network, content, path)
    return network
