"""Fetched files that have become unavailable: an unmounted share or disk, an unset variable.

A loss does not invalidate existing results, as with a method whose program is lost
(`benchmark.methods.external_state`). New work that needs the files is refused until they are back.
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
    last = _last_if_lost(source, raw)
    return last.fingerprint if last else source.fingerprint(raw)


def status_or_last(source: "Source", raw: Path) -> Status:
    """Fetch and return the status, or return that of the last fetch if its files are lost."""
    return _last_if_lost(source, raw) or source.fetch(raw)


def _last_if_lost(source: "Source", raw: Path) -> Status | None:
    with suppress(UserError):  # no status, or a damaged one, which is reported later
        last = Status.load(raw / "status.json")
        if last.is_ready and folder.is_empty(source.files_in(raw)):
            return last
    return None
