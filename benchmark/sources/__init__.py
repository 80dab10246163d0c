"""Where the files of a dataset come from: one module a kind of source.

Each kind is a `Settings` model with the keys of the YAML entry and the methods of `Source`.
"""

from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from benchmark.sources.combined import CombinedSource, Part
from benchmark.sources.local import LocalSource
from benchmark.sources.packaged import PackagedSource
from benchmark.sources.phantom import PhantomSource
from benchmark.sources.status import Status


class Source(Protocol):
    """What every kind of source does."""

    def files_in(self, raw: Path) -> Path:
        """The folder below which the files lie, or will."""
        ...

    def fingerprint(self, raw: Path) -> str:
        """Tell in few characters what is at hand now, so that what becomes available later is run.

        Cheap: it is called for every dataset each time the workflow is read.
        """
        ...

    def fetch(self, raw: Path) -> Status:
        """Put the files under ``raw`` (or find them elsewhere) and say how that went.

        What cannot be had by itself is a `Status` of state ``manual`` or ``failed`` with the reason
        and the next step, not an exception.
        """
        ...


AnySource = Annotated[
    Part | CombinedSource | LocalSource | PackagedSource | PhantomSource,
    Field(discriminator="kind"),
]

__all__ = ["AnySource", "Source", "Status"]
