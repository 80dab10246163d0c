"""The state of what a method needs from outside the study: environment, program, predictions.

No digest covers this state. When it appears or changes, results that were made without it, or with
its earlier state, are made again. When it disappears, existing results are kept. A file beside each
output records the state that the output was made with.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.methods.registry import find
from benchmark.storage.files import atomic

if TYPE_CHECKING:
    from benchmark.specs import Fit, Run


def recorded(output: Path) -> str | None:
    """Return the state that ``output`` was made with; None if none is recorded."""
    file = _file(output)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def record(of: "Run | Fit", output: Path) -> None:
    """Record the current state beside ``output``; delete the record if something is missing."""
    adapter = find(of.adapter)(of.options | of.speed)
    if adapter.missing_requirement() is not None:
        _file(output).unlink(missing_ok=True)
        return
    with atomic(_file(output)) as temporary:
        temporary.write_text(adapter.external_state(), encoding="utf-8")


def _file(output: Path) -> Path:
    return output.with_suffix(".at-hand")
