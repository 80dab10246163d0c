"""Digests: short names for everything that a result depends on."""

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(content: Any) -> str:
    """Return twelve hexadecimal digits of the SHA-256 of ``content`` as JSON with sorted keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code(*places: Path) -> str:
    """Return twelve hexadecimal digits of the SHA-256 of the names and contents of files.

    ``places``: files, and folders with everything below them except compiled Python.
    """
    found = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(place.parent).as_posix()
                found.update(name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


def stable_hash(text: str) -> int:
    """Return a 64-bit hash of ``text`` that is the same in every process and on every machine.

    Python's own `hash` is not.
    """
    data = text.encode("utf-8", "surrogateescape")  # a file's name may be no UTF-8
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
