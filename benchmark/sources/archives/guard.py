"""Safety checks on archives: which members are written, where, and how much in total."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from benchmark.errors import UserError

_SIDE_FILES = ("__MACOSX/*", "*/__MACOSX/*", "._*", "*/._*")


class ArchiveError(UserError):
    """An archive that cannot be unpacked, or must not be."""


class DamagedArchiveError(ArchiveError):
    """An archive that cannot be read."""


class PasswordError(ArchiveError):
    """An archive whose password is missing or wrong."""


@dataclass(frozen=True)
class Limits:
    """Bounds on the number of ``members`` of an archive, and on their ``bytes`` when unpacked.

    If ``bytes`` is None, the bound is 200 times the size of the archive, but at least 10 GiB.
    """

    members: int = 2_000_000
    bytes: int | None = None


@dataclass
class Guard:
    """Decides what happens to each member of an archive, and counts what is written.

    Attributes:
        archive: file that is unpacked.
        folder: folder that members are written to.
        wanted: patterns of the members to write; all if empty.
        limits: bounds on all members.
        on_bytes: called with the number of bytes of each block that is written.
        files: number of files accepted so far.
        bytes: number of bytes written so far.
        members: number of members seen so far, of any kind.
        names: names of the files seen so far.
    """

    archive: Path
    folder: Path
    wanted: tuple[str, ...]
    limits: Limits
    on_bytes: Callable[[int], object]
    files: int = 0
    bytes: int = 0
    members: int = 0
    names: set[str] = field(default_factory=set)

    def accept(self, name: str, kind: str) -> Path | None:
        """Return where to write a member; None for a folder, and for a member not wanted.

        ``kind`` is "file", "folder", or a description of any other kind. Raise an `ArchiveError`
        for a member that must not be unpacked, whether it is wanted or not.
        """
        self.members += 1
        if self.members > self.limits.members:
            self._refuse(f"more than {self.limits.members:,} members")
        below = self._below(name)
        if kind not in ("file", "folder"):
            self._refuse(f"{kind} ({name!r})")
        if kind == "folder":
            return None
        if below in self.names:
            self._refuse(f"{name!r} twice")
        self.names.add(below)
        if any(fnmatchcase(below, pattern) for pattern in _SIDE_FILES):
            return None
        if self.wanted and not any(fnmatchcase(below, pattern) for pattern in self.wanted):
            return None
        self.files += 1
        return self.folder / below

    def open(self, path: Path) -> "Sink":
        """Open a new file for an accepted member; raise an `ArchiveError` if it exists."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return Sink(path.open("xb"), self)
        except (FileExistsError, NotADirectoryError):
            self._refuse(f"a file where another is, or a folder ({path.name!r})")
            raise

    def count(self, size: int) -> None:
        """Count bytes about to be written; raise an `ArchiveError` if they exceed the limit."""
        self.bytes += size
        bound = self.limits.bytes or max(10 << 30, 200 * self.archive.stat().st_size)
        if self.bytes > bound:
            self._refuse(f"more than {bound:,} bytes, far more than its size")
        self.on_bytes(size)

    def _below(self, name: str) -> str:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", name):
            self._refuse(f"a path out of the folder ({name!r})")
        if "\0" in name:
            self._refuse("a name that no file can have")
        return path.as_posix()

    def _refuse(self, what: str) -> None:
        raise ArchiveError(
            f"{self.archive.name} holds {what}. Such an archive is not unpacked: it is damaged or "
            "not what it is taken for. Check its hash against that of its publisher."
        )


class Sink(RawIOBase):
    """A file whose bytes are counted by a `Guard` before they are written."""

    def __init__(self, file: BinaryIO, guard: Guard) -> None:
        """Wrap ``file``, which is closed with the sink."""
        self._file, self._guard = file, guard

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, block: bytes) -> int:  # type: ignore[override]
        """Count ``block`` and write it; return the number of bytes."""
        self._guard.count(len(block))
        return self._file.write(block)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
