"""Sources of the files of a dataset, one module per kind.

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
    """Interface of every kind of source."""

    def files_in(self, raw: Path) -> Path:
        """Return the folder that holds the files, or will hold them."""

    def fingerprint(self, raw: Path) -> str:
        """Return a short fingerprint of what is available now, so that later additions are noticed.

        Has to be cheap: it is called for every dataset each time the workflow is read.
        """

    def fetch(self, raw: Path) -> Status:
        """Put the files under ``raw`` (or find them elsewhere) and return how that went.

        A missing file is no exception but a `Status` with the state ``manual`` or ``failed``, the
        reason and the next step.
        """


AnySource = Annotated[
    Part | CombinedSource | LocalSource | PackagedSource | PhantomSource,
    Field(discriminator="kind"),
]

__all__ = ["AnySource", "Source", "Status"]
