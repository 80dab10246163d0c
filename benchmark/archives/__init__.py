"""Unpacking of downloads, which are taken for hostile: safe, bounded, whole or not at all."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.archives.formats import pour
from benchmark.archives.guard import (
    ArchiveError,
    DamagedArchiveError,
    Guard,
    Limits,
    PasswordError,
)
from benchmark.files import read_json, write_json
from benchmark.machine.progress import byte_bar

__all__ = ["ArchiveError", "DamagedArchiveError", "Limits", "PasswordError", "marker", "unpack"]


def unpack(
    archive: Path,
    target: Path,
    *,
    sha256: str,
    members: Sequence[str] = (),
    password: str | None = None,
    limits: Limits | None = None,
) -> Path:
    """Unpack a zip, 7z or tar archive into the new folder ``target``; return ``target``.

    ``sha256`` is that of the archive; ``members`` are patterns (``*`` stands for slashes too) of
    what is unpacked, all where there are none. Side files of macOS are left out. A marker beside
    the folder says of which archive it was made, so nothing is unpacked twice; ``target`` is there
    only when all is done.

    Raises `DamagedArchiveError` for one that cannot be read; `ArchiveError` for one that holds a
    path out of the folder, a link, a device, a name twice, or more than ``limits``; `PasswordError`
    for a password that is missing or wrong. Then there is no ``target``.
    """
    made_of = {"sha256": sha256, "members": list(members)}
    found = marker(target)
    if found is not None and made_of.items() <= found.items():
        return target
    unfinished = target.parent / f".{target.name}.unpacking"
    _marker(target).unlink(missing_ok=True)
    for leftover in (unfinished, target):  # of a job that was killed, or of another archive
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        with byte_bar(f"unpack {archive.name}", None) as bar:
            guard = Guard(archive, unfinished, tuple(members), limits or Limits(), bar.update)
            pour(archive, password, guard)
        if not guard.files:
            wanted = f" like {', '.join(members)}" if members else ""
            raise ArchiveError(f"{archive.name} holds no file{wanted}.")
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    write_json(_marker(target), {**made_of, "files": guard.files, "bytes": guard.bytes})
    return target


def marker(target: Path) -> dict[str, Any] | None:
    """What the marker of an unpacked folder says: ``sha256``, ``members``, ``files``, ``bytes``."""
    if not (target.is_dir() and _marker(target).is_file()):
        return None
    return dict(read_json(_marker(target)))


def _marker(target: Path) -> Path:
    return target.parent / f"{target.name}.json"
