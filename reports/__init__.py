"""What a reader sees: figures, tables and the report, made from a study's results."""

from pathlib import Path


def code(folder: Path = Path(__file__).parent) -> str:
    """Digest of all files of this package that shape a page: who changes one draws anew."""
    from hashlib import sha256

    found = sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]
