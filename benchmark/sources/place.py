"""Where a fetch puts things, and the turns that jobs take at a host.

``data/downloads/`` holds what was downloaded, once for all datasets that share it; the folder
``files`` of a dataset holds links to it, beside what a person has put there.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.archives import marker
from benchmark.digest import digest
from benchmark.sources import folder
from benchmark.sources.files import File, is_archive
from benchmark.sources.patience import Patience
from benchmark.sources.tree import linked

_AT_A_HOST = 2


class ByHandError(Exception):
    """What is missing has to be done by a person; the message is the steps."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        """``again``: nothing on this machine will tell that it is done, so each run tries again."""
        super().__init__(message)
        self.again = again


@dataclass(frozen=True)
class Place:
    """The raw folder of a dataset (or of weights), and what lies about it."""

    raw: Path
    patience: Patience = field(default_factory=Patience)

    @property
    def files(self) -> Path:
        """Where the patterns of the layout start."""
        return self.raw / "files"

    @property
    def unpacked(self) -> Path:
        """Where a person's archives are unpacked."""
        return self.raw / "unpacked"

    @property
    def links(self) -> Path:
        """Record of the links in ``files``; all else there is a person's own."""
        return self.raw / "links.json"

    @property
    def own_files(self) -> list[Path]:
        """What a person has put into ``files``, sorted."""
        return folder.listing(self.files, without=linked(self.links))

    @property
    def by_hand(self) -> str:
        """Fingerprint of what a person has put into ``files``."""
        return folder.fingerprint(self.files, without=linked(self.links))

    @property
    def whole(self) -> bool:
        """Whether all that was linked is still there."""
        return all((self.files / name).exists() for name in linked(self.links))

    @property
    def downloads(self) -> Path:
        """What was downloaded, for all datasets."""
        return self.raw.absolute().parents[1] / "downloads"

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait for one of the two turns at a host, among all jobs that share the downloads."""
        from filelock import FileLock, Timeout

        turns = self.downloads / ".turns"
        turns.mkdir(parents=True, exist_ok=True)
        locks = [FileLock(turns / f"{host}.{number}") for number in range(_AT_A_HOST)]
        waited = False
        while True:
            for lock in locks:
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                try:
                    yield
                finally:
                    lock.release()
                return
            if not waited:
                print(
                    f"{host}: {_AT_A_HOST} jobs are downloading from it; waiting for a turn",
                    file=sys.stderr,
                )
            waited = True
            self.patience.sleep(1.0)


@dataclass(frozen=True)
class Got:
    """A file or folder that is there: its ``path``, its ``name`` in the source, its ``entry``.

    ``unpacked``: where it goes if it is unpacked; by default beside it. ``verified``: it was
    checked by a hash that is published, by its host or in the entry.
    """

    path: Path
    name: str
    entry: File
    unpacked: Path | None = None
    verified: bool = False


def is_unpacked(got: Got) -> bool:
    """Whether it is an archive that is to be unpacked."""
    return is_archive(got.name) if got.entry.unpack is None else got.entry.unpack


def unpacked_to(got: Got) -> Path:
    """The folder into which an archive is unpacked: one for each choice of its members."""
    chosen = f"-{digest(list(got.entry.members))[:6]}" if got.entry.members else ""
    return got.unpacked or got.path.parent / f"{got.path.name}.unpacked{chosen}"


def spared(got: Got) -> bool:
    """Whether an archive that is not there was unpacked before, and needs no second download."""
    made = marker(unpacked_to(got)) if is_unpacked(got) and not got.path.exists() else None
    return made is not None and got.entry.sha256 in (None, made["sha256"])
