"""What all sources have in common that are fetched over a network."""

from pathlib import Path

from pydantic import Field

from benchmark.settings import Settings
from benchmark.sources.status import Status


class Remote(Settings):
    """``about_gb``: size of the whole in GB (10^9 bytes) where no exact sizes are known."""

    about_gb: float | None = Field(default=None, gt=0)

    def fingerprint(self, raw: Path) -> str:
        """Nothing is at hand before the fetch."""
        return "remote"

    def fetch(self, raw: Path) -> Status:
        """Fetch the files."""
        reason = f"{type(self).__name__} is not fetched by this version: get the files by hand."
        return Status(state="failed", root=str(raw), fingerprint="remote", reason=reason)
