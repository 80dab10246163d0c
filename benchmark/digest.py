"""Short names for content: what a stage depends on, and nothing else, is its digest."""

import hashlib
import json
from typing import Any


def digest(content: Any) -> str:
    """Twelve hexadecimal digits that depend on the JSON form of ``content`` (keys sorted) alone."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def stable_hash(text: str) -> int:
    """Hash of ``text`` that is the same in every process, on every machine (Python's is not)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
