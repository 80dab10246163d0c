"""Whether a file is the published one; its receipt saves reading it again."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.files import read_json, write_json

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Expected:
    """What is published of a file: ``size`` in bytes, and hashes by their algorithm.

    Algorithms are those of `hashlib`, and ``git``: the SHA-1 under which git keeps a file.
    """

    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    def differs(self, size: int, hashes: Mapping[str, str]) -> str | None:
        """How a file of ``size`` and ``hashes`` is unlike the published one; null if it is not."""
        if self.size is not None and size != self.size:
            return f"it has {size:,} bytes, expected {self.size:,}"
        for name, value in self.hashes.items():
            if hashes[name] != value:
                return f"its {name} is {hashes[name]}, expected {value}"
        return None

    def check(self, path: Path) -> tuple[str | None, dict[str, str]]:
        """Read a file once: how it differs, and its hashes (always with ``sha256``)."""
        hashes = hashes_of(path, {"sha256", *self.hashes})
        return self.differs(path.stat().st_size, hashes), hashes


def hashes_of(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Hashes of a file by several algorithms, in one reading."""
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
    """Write down the hashes of the file at ``path``, which is about to become ``target``."""
    stat = path.stat()
    content = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "hashes": dict(hashes)}
    write_json(_receipt(target), content)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, from its receipt if that still holds."""
    known = _known(path)
    return known["sha256"] if "sha256" in known else hashes_of(path, ["sha256"])["sha256"]


def already_there(path: Path, expected: Expected) -> bool:
    """Whether the file is there and is the published one; reads it only if it has no receipt."""
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
    """Hashes of the file's receipt; none if there is none or the file was touched since."""
    receipt, stat = _receipt(path), path.stat()
    if not receipt.exists():
        return {}
    content = read_json(receipt)
    if (content["size"], content["mtime_ns"]) != (stat.st_size, stat.st_mtime_ns):
        return {}
    return dict(content["hashes"])
