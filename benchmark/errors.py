"""Errors that are meant for the user, and suggestions for misspelt names."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake that the user can mend; the command line prints it without a traceback.

    The message says what happened, what was expected, what was got, and the next step.
    """


class MachineError(UserError):
    """Trouble of the machine, such as a full disk: no fault of a scan, a method or a dataset.

    It ends the job, whatever else would become a reason in a table: a run after it is mended has to
    do the work again.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Message for an unknown ``name`` of a ``kind``: suggests the nearest, lists all ``known``."""
    names = sorted(known)
    spelt = {known_name.lower(): known_name for known_name in names}
    near = [spelt[n] for n in get_close_matches(name.lower(), spelt, n=3, cutoff=0.5)]
    hint = f" Did you mean: {', '.join(near)}?" if near else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}."
