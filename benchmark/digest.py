"""Short names for content: what a stage depends on, and nothing else, is its digest."""

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(content: Any) -> str:
    """Twelve hexadecimal digits that depend on the JSON form of ``content`` (keys sorted) alone."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code(*places: Path) -> str:
    """Twelve hexadecimal digits that depend on names and content of files alone.

    ``places``: files, and folders with all below them but what Python has compiled.
    """
    found = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(place.parent).as_posix()
                found.update(name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


def stable_hash(text: str) -> int:
    """Hash of ``text`` that is the same in every process, on every machine (Python's is not)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
