"""Find the file of a network, given that file, one beside it, or their folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from benchmark.errors import UserError
from pam import checkpoints
from pam.network import Box2Mask, PropMask

N = TypeVar("N", PropMask, Box2Mask)
_SUFFIXES = (".safetensors", ".pth")  # the first one wins if a network exists in both formats


def read_network(weights: Path, kind: type[N]) -> N:
    """Read the network of ``kind`` from the file ``weights``, from one beside it, or from a folder.

    Files are safetensors of `pam.checkpoints.save` or the authors' ``.pth``; files of other models
    are ignored. Raises `UserError` if no file or several hold such a network, and as
    `pam.checkpoints.load` does.
    """
    if not weights.exists():
        raise UserError(f"No such file or folder: {weights}.")
    found = list(_holding(weights, kind))
    if len(found) != 1:
        folder = weights if weights.is_dir() else weights.parent
        count = f"{len(found)} files of {folder} hold a {kind.kind}, expected one"
        if found:
            names = ", ".join(path.name for path in found)
            raise UserError(f"{count}: {names}. Keep only one of them.")
        others = [path.name for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES]
        passed = f" Of another model, or damaged: {', '.join(others)}." if others else ""
        raise UserError(f"{count}.{passed} Put its .safetensors or .pth file there.")
    (path,) = found
    if path.suffix == ".safetensors":
        return checkpoints.load(path, kind)
    return checkpoints.load_released(path, kind)


def _holding(weights: Path, kind: type[PropMask] | type[Box2Mask]) -> Iterator[Path]:
    """Yield the files that hold a network of ``kind``; ``weights`` itself takes precedence."""
    if weights.is_file():
        # Reading the named file, even a damaged one, gives the precise error.
        if checkpoints.kind_of(weights) in (kind.kind, None):
            yield weights
            return
        weights = weights.parent
    for suffix in _SUFFIXES:
        found = [
            path
            for path in sorted(weights.glob(f"*{suffix}"))
            if checkpoints.kind_of(path) == kind.kind
        ]
        yield from found
        if found:
            return
