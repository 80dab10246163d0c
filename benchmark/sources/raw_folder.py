"""Folders of a fetch, and the limit on concurrent downloads per host.

``data/downloads/`` holds each download once, for all datasets that share it. The folder ``files``
of a dataset holds links to it, beside files placed by hand.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.sources import folder
from benchmark.sources.archives import marker
from benchmark.sources.files import File, is_archive
from benchmark.sources.patience import Patience
from benchmark.sources.tree import linked
from benchmark.storage.digest import digest

_AT_A_HOST = 2


class ManualStepError(Exception):
    """A person has to do something; the message lists the steps."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        """Take the steps; ``again`` if their completion cannot be detected, so each run retries."""
        super().__init__(message)
        self.again = again


@dataclass(frozen=True)
class RawFolder:
    """The raw folder of a dataset (or of weights), and the paths related to it."""

    raw: Path
    patience: Patience = field(default_factory=Patience)

    @property
    def files(self) -> Path:
        """Root of the patterns of the layout."""
        return self.raw / "files"

    @property
    def unpacked(self) -> Path:
        """Where archives placed by hand are unpacked."""
        return self.raw / "unpacked"

    @property
    def links(self) -> Path:
        """Record of the links in ``files``; everything else there was placed by hand."""
        return self.raw / "links.json"

    @property
    def user_files(self) -> list[Path]:
        """Files placed by hand in ``files``, sorted."""
        return folder.listing(self.files, without=linked(self.links))

    @property
    def user_files_fingerprint(self) -> str:
        """Fingerprint of the files placed by hand in ``files``."""
        return folder.fingerprint(self.files, without=linked(self.links))

    @property
    def links_are_intact(self) -> bool:
        """Whether the target of every recorded link still exists."""
        return all((self.files / name).exists() for name in linked(self.links))

    @property
    def downloads(self) -> Path:
        """Folder of downloads, shared by all datasets."""
        return self.raw.absolute().parents[1] / "downloads"

    @contextmanager
    def host_slot(self, host: str) -> Iterator[None]:
        """Wait for one of the two download slots of a host, and hold it.

        The slots are shared by all jobs with the same downloads folder.
        """
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
class FetchedFile:
    """An available file or folder: its ``path``, its ``name`` in the source, and its ``entry``.

    ``unpacked`` is where it is unpacked to, by default beside it. ``verified`` tells that it was
    checked by a published hash, of its host or of the entry.
    """

    path: Path
    name: str
    entry: File
    unpacked: Path | None = None
    verified: bool = False


def is_unpacked(got: FetchedFile) -> bool:
    """Return whether it is an archive to be unpacked."""
    return is_archive(got.name) if got.entry.unpack is None else got.entry.unpack


def unpacked_to(got: FetchedFile) -> Path:
    """Return the folder an archive is unpacked to; each selection of members has its own."""
    chosen = f"-{digest(list(got.entry.members))[:6]}" if got.entry.members else ""
    return got.unpacked or got.path.parent / f"{got.path.name}.unpacked{chosen}"


def already_unpacked(got: FetchedFile) -> bool:
    """Return whether a missing archive was unpacked before, so that no download is needed."""
    made = marker(unpacked_to(got)) if is_unpacked(got) and not got.path.exists() else None
    return made is not None and got.entry.sha256 in (None, made["sha256"])
