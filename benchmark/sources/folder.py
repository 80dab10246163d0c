"""List a folder and detect whether it has changed."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmark.storage.walk import walk

ABSENT = "absent"
"""The fingerprint of no files."""


def listing(folder: Path, without: Collection[str] = ()) -> list[Path]:
    """Return all files below ``folder``, also through links, sorted; empty if there is no folder.

    Hidden names are skipped, since file managers leave such files. ``without`` names files and
    folders to skip, relative to ``folder`` (with ``/``).
    """
    return sorted(path for path in _walk(folder, set(without)) if path.is_file())


def named(folder: Path, names: Collection[str]) -> list[Path]:
    """Return those files of ``names`` that exist below ``folder``, sorted."""
    return sorted(path for name in names if (path := folder / name).is_file())


def _walk(folder: Path, without: Collection[str]) -> Iterator[Path]:
    for place, folders, names in walk(folder):
        below = place.relative_to(folder)
        folders[:] = _counting(folders, below, without)
        yield from (place / name for name in _counting(names, below, without))


def _counting(names: list[str], below: Path, without: Collection[str]) -> list[str]:
    plain = (name for name in names if not name.startswith("."))
    return [name for name in plain if (below / name).as_posix() not in without]


def is_empty(folder: Path) -> bool:
    """Return whether there is no file below ``folder``, or no such folder."""
    return not any(path.is_file() for path in _walk(folder, ()))


def fingerprint(
    folder: Path, without: Collection[str] = (), only: Collection[str] | None = None
) -> str:
    """Return the fingerprint of the files below ``folder``, as `fingerprint_of` does.

    ``without`` is as in `listing`; ``only`` restricts the digest to files of these names.
    """
    return fingerprint_of(listing(folder, without) if only is None else named(folder, only), folder)


def fingerprint_of(files: Collection[Path], folder: Path) -> str:
    """Return a digest of name below ``folder``, size and time of ``files``; `ABSENT` if none."""
    if not files:
        return ABSENT
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        state = f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
        digest.update(state.encode("utf-8", "surrogateescape"))  # a name may be no UTF-8
    return digest.hexdigest()[:16]
