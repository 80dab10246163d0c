"""The state of what a method needs from outside the study: environment, program, predictions.

No digest covers this state. When it appears or changes, results that were made without it, or with
its earlier state, are made again. When it disappears, existing results are kept. A note beside each
output records the state that the output was made with.
"""

from pathlib import Path

from benchmark.files import atomic
from benchmark.method_registry import find
from benchmark.specs import Fit, Run


def noted(output: Path) -> str | None:
    """Return the state noted beside ``output``; None if there is no note."""
    note = _note(output)
    return note.read_text(encoding="utf-8") if note.is_file() else None


def note(of: Run | Fit, output: Path) -> None:
    """Note the current state beside ``output``; delete the note if something is missing."""
    adapter = find(of.adapter)(of.options | of.speed)
    if adapter.missing_requirement() is not None:
        _note(output).unlink(missing_ok=True)
        return
    with atomic(_note(output)) as temporary:
        temporary.write_text(adapter.external_state(), encoding="utf-8")


def _note(output: Path) -> Path:
    return output.with_suffix(".at-hand")
