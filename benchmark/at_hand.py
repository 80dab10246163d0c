"""What a method finds outside the study: an environment, a program, predictions made elsewhere.

It is in no digest; where it comes or changes, what was made without it or before is made anew. That
it is lost is no news: what was made with it stays, as a note beside each output tells.
"""

from pathlib import Path

from benchmark.adapter import find
from benchmark.files import atomic
from benchmark.specs import Fit, Run


def noted(output: Path) -> str | None:
    """Tell what was there when ``output`` was made; None if it was made without, or not at all."""
    note = _note(output)
    return note.read_text(encoding="utf-8") if note.is_file() else None


def note(of: Run | Fit, output: Path) -> None:
    """Note beside ``output`` what is there for the method; nothing, if that is lost."""
    adapter = find(of.adapter)(of.options | of.speed)
    if adapter.missing() is not None:
        _note(output).unlink(missing_ok=True)
        return
    with atomic(_note(output)) as temporary:
        temporary.write_text(adapter.at_hand(), encoding="utf-8")


def _note(output: Path) -> Path:
    return output.with_suffix(".at-hand")
