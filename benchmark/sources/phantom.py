"""Generated datasets: written as files, so that the rest sees no difference to real ones."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from benchmark.settings import Settings
from benchmark.sources.status import Status


class PhantomSource(Settings):
    """``recipe``: one of `benchmark.phantoms.RECIPES`; ``scans``: or a cohort's patients."""

    tag: ClassVar = "phantom"
    kind: Literal["phantom"]
    recipe: str
    scans: int = Field(ge=1)
    seed: int

    def files_in(self, raw: Path) -> Path:
        """A folder below ``raw``."""
        return raw / "files"

    def fingerprint(self, raw: Path) -> str:
        """A generator is always at hand; its version is what can change."""
        from benchmark.phantoms import VERSION

        return f"phantoms-{VERSION}"

    def fetch(self, raw: Path) -> Status:
        """Generate the scans under ``raw``."""
        from benchmark.phantoms import write

        root = self.files_in(raw)
        count = write(self.recipe, self.scans, self.seed, root)
        return Status(state="ready", root=str(root), fingerprint=self.fingerprint(raw), files=count)
