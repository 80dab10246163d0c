"""Check files against published sizes and hashes; a receipt avoids reading a file again."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.storage.files import read_json, write_json

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Expected:
    """Published properties of a file: ``size`` in bytes and hashes by algorithm.

    Algorithms are those of `hashlib`, and ``git`` for the SHA-1 of the file as a git blob.
    """

    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    def differs(self, size: int, hashes: Mapping[str, str]) -> str | None:
        """Return how ``size`` and ``hashes`` differ from the published ones, or None."""
        if self.size is not None and size != self.size:
            return f"it has {size:,} bytes, expected {self.size:,}"
        for name, value in self.hashes.items():
            if hashes[name] != value:
                return f"its {name} is {hashes[name]}, expected {value}"
        return None

    def check(self, path: Path) -> tuple[str | None, dict[str, str]]:
        """Read a file once; return how it differs, or None, and its hashes, always with SHA-256."""
        hashes = hashes_of(path, {"sha256", *self.hashes})
        return self.differs(path.stat().st_size, hashes), hashes


def hashes_of(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the hashes of a file by several algorithms, reading it once."""
    made: dict[str, Any] = {}
    for name in algorithms:
        made[name] = hashlib.sha1() if name == "git" else hashlib.new(name)
        if name == "git":
            made[name].update(f"blob {path.stat().st_size}\0".encode())
    if made:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                for algorithm in made.values():
                    algorithm.update(block)
    return {name: algorithm.hexdigest() for name, algorithm in made.items()}


def _receipt(path: Path) -> Path:
    return path.parent / f".{path.name}.receipt.json"


def give_receipt(path: Path, target: Path, hashes: Mapping[str, str]) -> None:
    """Record the hashes of the file at ``path``, which is about to become ``target``."""
    stat = path.stat()
    content = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "hashes": dict(hashes)}
    write_json(_receipt(target), content)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, from its receipt if that is still valid."""
    known = _known(path)
    return known["sha256"] if "sha256" in known else hashes_of(path, ["sha256"])["sha256"]


def already_there(path: Path, expected: Expected) -> bool:
    """Return whether the published file is there; reads it only if it has no valid receipt."""
    if not path.is_file():
        return False
    known = _known(path)
    if set(expected.hashes) <= set(known):
        return expected.differs(path.stat().st_size, known) is None
    difference, hashes = expected.check(path)
    if difference is None:
        give_receipt(path, path, hashes)
    return difference is None


def _known(path: Path) -> dict[str, str]:
    """Return the hashes of the file's receipt; empty if there is none or the file has changed."""
    receipt, stat = _receipt(path), path.stat()
    if not receipt.exists():
        return {}
    content = read_json(receipt)
    if (content["size"], content["mtime_ns"]) != (stat.st_size, stat.st_mtime_ns):
        return {}
    return dict(content["hashes"])
