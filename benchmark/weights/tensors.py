"""Load published weights into a module: read them safely, rename them, check every tensor.

Nothing from a file is executed: pickles are read with ``weights_only``, and files that need more
are refused. Tensors of the file and of the module have to match one to one.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.settings import Settings
from benchmark.storage.files import atomic

S = TypeVar("S", bound=Settings)
N = TypeVar("N", bound=nn.Module)
Tensors = dict[str, Tensor]
HEADER = "pambench"


def read_pickle(path: Path, wrapper: str | None = None, *, mapped: bool = False) -> Tensors:
    """Read a file of `torch.save`: tensors by name, bare or below the key ``wrapper``.

    ``mapped``: read each tensor only when it is used, if the format of the file allows it. Raises
    `UserError` for a file that is missing, damaged, or holds more than tensors.
    """
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=mapped and is_zipfile(path)
        )
    except FileNotFoundError:
        raise UserError(f"No such file: {path}.") from None
    except UnpicklingError as error:  # torch's own text tells how to run what the file holds
        named = re.search(r"GLOBAL (\S+)", str(error))
        more = f"more than tensors{f' ({named[1]})' if named else ''}"
        raise UserError(
            f"{path} was not read: it holds {more}, which could run code, or it is damaged. Get it "
            "again from its authors."
        ) from None
    except Exception as error:  # a damaged file may raise any exception
        raise UserError(
            f"{path} cannot be read as a file of torch.save ({_first_line(error)}). Get it again."
        ) from None
    if wrapper is not None and isinstance(content, Mapping):
        content = content.get(wrapper, content)
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path} holds no weights: expected names and their tensors.")
    wrong = [repr(k) for k, x in content.items() if not (type(k) is str and _is_plain(x))]
    if wrong:
        raise UserError(f"{path} holds more than names and plain tensors: {_some(wrong)}.")
    return dict(content)


def _is_plain(x: Any) -> bool:
    """Whether ``x`` is a dense tensor with its values in memory, not quantised."""
    dense = isinstance(x, Tensor) and x.layout is torch.strided and not x.is_meta
    return dense and not x.is_quantized


def read_header(path: Path, header: str = HEADER) -> tuple[str, Any] | None:
    """Return kind and configuration in the header of a `write_safetensors` file; None without them.

    Reads no tensors. ``header`` is the name of the metadata entry. Raises `UserError` for a missing
    file and for one that is not safetensors.
    """
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(header, "{}")
    except FileNotFoundError:
        raise UserError(f"No such file: {path}.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a safetensors file ({error}). A file of torch.save must be converted "
            "first; any other is damaged: get it again."
        ) from None
    try:
        content = json.loads(entry)
        return str(content["kind"]), content["config"]
    except (KeyError, TypeError, ValueError):
        return None


def read_safetensors(path: Path, kind: str, header: str = HEADER) -> tuple[Tensors, Any]:
    """Read tensors and configuration from a `write_safetensors` file.

    Raises `UserError` if the file is not of the given ``kind``.
    """
    found, config = read_header(path, header) or (None, None)
    if found != kind:
        raise UserError(
            f"{path} holds no {kind}: its header says {found!r}. Make it with: "
            "pambench weights convert."
        )
    return load_file(path), config


def write_safetensors(
    path: Path, kind: str, config: Any, tensors: Mapping[str, Tensor], header: str = HEADER
) -> None:
    """Write tensors, with kind and configuration in the entry ``header`` of the file's metadata."""
    # A single entry: the order of several would differ from run to run, and so would the hash.
    about = {header: json.dumps({"kind": kind, "config": config})}
    content = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        # Not save_file: its files are readable by their owner only.
        temporary.write_bytes(save(content, about))


def by_rules(rules: Sequence[tuple[str, str]]) -> Callable[[str], str]:
    """Return a function that renames by pairs of `re.sub` patterns, applied one after the other."""

    def name(key: str) -> str:
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        return key

    return name


def renamed(published: Mapping[str, Tensor], name: Callable[[str], str], path: Path) -> Tensors:
    """Rename tensors by ``name``; raise `UserError` where two would get the same name."""
    content: Tensors = {}
    for key, tensor in published.items():
        if content.setdefault(name(key), tensor) is not tensor:
            raise UserError(f"{path} holds {name(key)} twice. It is of another model, or damaged.")
    return content


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load ``tensors`` as float32 into ``module``, which may be on any device, also meta.

    Sets the module to evaluation mode. Raises `UserError` for tensors that are missing, unexpected,
    of another shape or not finite.
    """
    places = module.state_dict()
    both = places.keys() & tensors.keys()
    found = {
        "missing": places.keys() - both,
        "unexpected": tensors.keys() - both,
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} for {tuple(places[key].shape)}"
            for key in both
            if tensors[key].shape != places[key].shape
        ],
        "not finite": [key for key in both if not tensors[key].isfinite().all()],
    }
    if any(found.values()):
        faults = "; ".join(f"{len(x)} {what}: {_some(x)}" for what, x in found.items() if x)
        raise UserError(
            f"{path} does not fit a {type(module).__name__} of {len(places)} tensors. {faults}. "
            "It may be of another model, of another size, or damaged."
        )
    module.load_state_dict({key: x.float() for key, x in tensors.items()}, assign=True)
    module.eval()


def load_network(
    path: Path,
    kind: str,
    size_type: type[S],
    build: Callable[[S], N],
    read_published: Callable[[Path], Tensors],
    size: S | None = None,
) -> N:
    """Read a network from a file of `save_network` or a published one; float32, without gradients.

    ``size_type``: model of its configuration. ``build``: returns the network of a configuration.
    ``read_published``: returns the tensors of a published file under the network's names; ``size``
    is the configuration of such a file, by default that of ``size_type``. Raises `UserError` for
    tensors that do not fit.
    """
    if path.suffix == ".safetensors":
        content, config = read_safetensors(path, kind)
        network = build(size_type.read(config, str(path)))
    else:
        content = read_published(path)
        network = build(size or size_type())
    fill(network, content, path)
    network.requires_grad_(False)
    return network


def save_network(network: nn.Module, kind: str, size: Settings, path: Path) -> None:
    """Write a network as safetensors, with its configuration in the header."""
    write_safetensors(path, kind, size.model_dump(mode="json"), network.state_dict())


def _some(names: Iterable[str], shown: int = 5) -> str:
    names = sorted(names)
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
