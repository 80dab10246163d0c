"""Files that an installed package contains."""

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from benchmark.settings import Settings
from benchmark.sources import folder
from benchmark.sources.status import Status


class PackagedSource(Settings):
    """The folder ``folder`` inside an importable ``package``."""

    tag: ClassVar = "packaged"
    kind: Literal["packaged"]
    package: str
    folder: str

    @property
    def root(self) -> Path:
        """The folder in the package, found without importing the package."""
        spec = find_spec(self.package)
        places = spec.submodule_search_locations if spec else None
        return Path(next(iter(places or ["."]))) / self.folder

    def files_in(self, raw: Path) -> Path:
        """Return the folder in the package."""
        return self.root

    def fingerprint(self, raw: Path, only: Collection[str] | None = None) -> str:
        """Return names and sizes of the files, which reinstalling the package does not change.

        ``only`` restricts them to files of these names.
        """
        files = folder.listing(self.root) if only is None else folder.named(self.root, only)
        return "; ".join(f"{path.name} {path.stat().st_size}" for path in files) or folder.ABSENT

    def fetch(self, raw: Path) -> Status:
        """Return a status that points at the folder in the package; nothing is copied."""
        files = len(folder.listing(self.root))
        missing = f"The package {self.package} has no file in {self.folder}: reinstall it."
        return Status(
            state="ready" if files else "failed",
            root=str(self.root),
            fingerprint=self.fingerprint(raw),
            files=files,
            reason=None if files else missing,
        )
