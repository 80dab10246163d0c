"""Safe unpacking of downloaded archives, which are not trusted: bounded, and all or nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.machine.progress import byte_bar
from benchmark.sources.archives.formats import extract_members
from benchmark.sources.archives.guard import (
    ArchiveError,
    DamagedArchiveError,
    Guard,
    Limits,
    PasswordError,
)
from benchmark.storage.files import read_json, write_json

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
    """Unpack a zip, 7z or tar archive into the folder ``target``.

    macOS metadata (``__MACOSX``, ``._*``) is left out. A marker file beside the folder records the
    archive and the members, so that the same request is not repeated; anything else in ``target``
    is replaced. The folder only exists once unpacking is complete.

    Args:
        archive: file to unpack.
        target: folder to create.
        sha256: hash of the archive, for the marker; it is not checked.
        members: patterns of the members to unpack, where ``*`` also matches slashes; all if empty.
        password: password of an encrypted zip or 7z archive.
        limits: bounds on number and size of the members; None for the defaults.

    Returns:
        ``target``.

    Raises:
        DamagedArchiveError: the archive cannot be read.
        PasswordError: the password is missing or wrong.
        ArchiveError: the archive contains a path outside of the folder, a link, a device, a
            duplicate name, more than ``limits`` allow, or none of the ``members``.
    """
    made_of = {"sha256": sha256, "members": list(members)}
    found = marker(target)
    if found is not None and made_of.items() <= found.items():
        return target
    unfinished = target.parent / f".{target.name}.unpacking"
    _marker(target).unlink(missing_ok=True)
    for leftover in (unfinished, target):  # from a killed job, or from another archive
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        with byte_bar(f"unpack {archive.name}", None) as bar:
            guard = Guard(archive, unfinished, tuple(members), limits or Limits(), bar.update)
            extract_members(archive, password, guard)
        if not guard.files:
            wanted = f" like {', '.join(members)}" if members else ""
            raise ArchiveError(f"{archive.name} holds no file{wanted}.")
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    write_json(_marker(target), {**made_of, "files": guard.files, "bytes": guard.bytes})
    return target


def marker(target: Path) -> dict[str, Any] | None:
    """Read the marker of an unpacked folder; None if the folder or its marker is missing.

    Its keys are ``sha256``, ``members``, and the counts ``files`` and ``bytes``.
    """
    if not (target.is_dir() and _marker(target).is_file()):
        return None
    return dict(read_json(_marker(target)))


def _marker(target: Path) -> Path:
    return target.parent / f"{target.name}.json"
