"""A folder of the user, indexed where it lies."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Literal

from benchmark.settings import Settings
from benchmark.sources import folder
from benchmark.sources.status import Status


class LocalSource(Settings):
    """The folder ``path``; ``~`` and environment variables such as ``$SCANS`` are expanded."""

    tag: ClassVar = "local"
    kind: Literal["local"]
    path: str

    @property
    def root(self) -> Path:
        """The folder after expansion."""
        return Path(os.path.expandvars(self.path)).expanduser()

    def files_in(self, raw: Path) -> Path:
        """Return the user's folder."""
        return self.root

    def fingerprint(self, raw: Path, only: Collection[str] | None = None) -> str:
        """Return the fingerprint of the user's folder, or only of its files named in ``only``."""
        return folder.fingerprint(self.root, only=only)

    def fetch(self, raw: Path) -> Status:
        """Return a status that points at the folder; nothing is copied."""
        files = len(folder.listing(self.root))
        missing = (
            f"There is no file below {self.root}. Put the images and labels there, then run again."
        )
        return Status(
            state="ready" if files else "manual",
            root=str(self.root),
            fingerprint=self.fingerprint(raw),
            files=files,
            reason=None if files else missing,
        )
