"""What the sources that look at a folder share: listing it and telling whether it changed."""

import hashlib
import os
from pathlib import Path


def listing(folder: Path) -> list[Path]:
    """All files below ``folder``, through links too, sorted; empty where there is none."""
    walked = os.walk(folder, followlinks=True)
    files = (Path(place) / name for place, _, names in walked for name in names)
    return sorted(path for path in files if path.is_file())


def fingerprint(folder: Path) -> str:
    """Digest of the names, sizes and times of the files below ``folder``; ``absent`` if none."""
    files = listing(folder)
    if not files:
        return "absent"
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
