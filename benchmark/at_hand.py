"""What a method finds outside the study: an environment, a program, predictions made elsewhere.

It is in no digest; where it comes or changes, what was made with it is made anew. That it is lost
is no news: predictions and trainings made with it stay.
"""

from pathlib import Path

from benchmark.adapter import find
from benchmark.files import atomic
from benchmark.specs import Run

_NOTE = "at-hand.txt"


def known(run: Run, folder: Path) -> str:
    """Tell what is there for ``run``, or what was noted in its ``folder`` if that is lost."""
    adapter = find(run.adapter)(run.options)
    noted = folder / _NOTE
    if adapter.missing() and noted.is_file():
        return noted.read_text(encoding="utf-8")
    return adapter.at_hand()


def note(run: Run, folder: Path) -> None:
    """Note what is there for ``run`` in its ``folder``, unless it is lost."""
    adapter = find(run.adapter)(run.options)
    if adapter.missing() is None:
        with atomic(folder / _NOTE) as temporary:
            temporary.write_text(adapter.at_hand(), encoding="utf-8")
