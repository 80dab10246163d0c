"""Files that a fetch had found and that are out of reach now: a share, a disk, a variable unset.

That they are lost is no news: what was made of them stays, as it does where a method's program is
lost (`benchmark.at_hand`). What is new and needs them is refused until they are back.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files import read_json
from benchmark.sources import folder

if TYPE_CHECKING:
    from benchmark.sources import Source


def fingerprint(source: "Source", raw: Path) -> str:
    """Give `Source.fingerprint`, or that of the last fetch if its files are lost."""
    with suppress(UserError):  # no status, or a damaged one: who reads it next says so
        last = read_json(raw / "status.json")
        if last["state"] == "ready" and folder.is_empty(source.files_in(raw)):
            return str(last["fingerprint"])
    return source.fingerprint(raw)
