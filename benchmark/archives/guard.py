"""What an archive is allowed to do: which of its members are written, where, and how much."""

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
    """A password that is missing or wrong."""


@dataclass(frozen=True)
class Limits:
    """Bounds of what an archive may hold: ``members``, and ``bytes`` when unpacked.

    ``bytes`` of null are two hundred times those of the archive, and 10 GiB at least.
    """

    members: int = 2_000_000
    bytes: int | None = None


@dataclass
class Guard:
    """Decides over each member of ``archive``, and counts what is written below ``folder``."""

    archive: Path
    folder: Path
    wanted: tuple[str, ...]
    limits: Limits
    told: Callable[[int], object]
    files: int = 0
    bytes: int = 0
    members: int = 0
    names: set[str] = field(default_factory=set)

    def accept(self, name: str, kind: str = "file") -> Path | None:
        """Where a member is to be written; null for a folder, and for what is not wanted.

        ``kind``: ``file``, ``folder``, or what else it is. Raises `ArchiveError` for what must not
        be unpacked, wanted or not.
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
        """A file to write an accepted member to; it must not be there yet."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return Sink(path.open("xb"), self)
        except (FileExistsError, NotADirectoryError):
            self._refuse(f"a file where another is, or a folder ({path.name!r})")
            raise

    def count(self, size: int) -> None:
        """Take note of bytes that are about to be written."""
        self.bytes += size
        bound = self.limits.bytes or max(10 << 30, 200 * self.archive.stat().st_size)
        if self.bytes > bound:
            self._refuse(f"more than {bound:,} bytes, far more than its size")
        self.told(size)

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
    """A file that counts what is written to it."""

    def __init__(self, file: BinaryIO, guard: Guard) -> None:
        """``file`` is closed with the sink."""
        self._file, self._guard = file, guard

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, block: bytes) -> int:  # type: ignore[override]
        """Write after counting."""
        self._guard.count(len(block))
        return self._file.write(block)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
