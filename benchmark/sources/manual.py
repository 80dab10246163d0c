"""Data that a person has to get by hand: an account, a form, an agreement."""

from pathlib import Path
from typing import ClassVar, Literal

from benchmark.settings import Settings
from benchmark.sources import folder
from benchmark.sources.files import File
from benchmark.sources.status import Status


class ManualSource(Settings):
    """``page``: where to get it; ``steps``: what to do there, in order.

    ``files``: the names of what a person gets there, with what is known to check them by.
    """

    tag: ClassVar = "manual"
    kind: Literal["manual"]
    page: str | None = None
    steps: tuple[str, ...] = ()
    files: tuple[File, ...] = ()

    def fingerprint(self, raw: Path) -> str:
        """Fingerprint of what a person has put into the raw folder."""
        return folder.fingerprint(raw / "files")

    def fetch(self, raw: Path) -> Status:
        """Ready when files lie in ``<raw>/files``; otherwise the steps are the reason."""
        root = raw / "files"
        files = len(folder.listing(root))
        steps = "; ".join(self.steps) or f"get the data from {self.page or 'its owners'}"
        return Status(
            state="ready" if files else "manual",
            root=str(root),
            fingerprint=self.fingerprint(raw),
            files=files,
            reason=None if files else f"To be done by hand: {steps}; unpack into {root}.",
        )
