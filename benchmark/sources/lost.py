"""Fetched files that have become unavailable: an unmounted share or disk, an unset variable.

A loss does not invalidate existing results, as with a method whose program is lost
(`benchmark.external_state`). New work that needs the files is refused until they are back.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.sources import folder
from benchmark.sources.status import Status

if TYPE_CHECKING:
    from benchmark.sources import Source


def fingerprint_or_last(source: "Source", raw: Path) -> str:
    """Return `Source.fingerprint`, or that of the last fetch if its files are lost."""
    with suppress(UserError):  # no status, or a damaged one, which is reported later
        last = Status.load(raw / "status.json")
        if last.is_ready and folder.is_empty(source.files_in(raw)):
            return last.fingerprint
    return source.fingerprint(raw)
