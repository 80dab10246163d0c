"""Errors meant for the user, and suggestions for misspelt names."""

import re
import traceback
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

_LONGEST = 2000


class UserError(Exception):
    """An error that the user can correct; the command line prints it without a traceback.

    The message says what happened, what was expected, what was found, and what to do next.
    """


class MachineError(UserError):
    """A fault of the machine, such as a full disk, not of a scan, a method or a dataset.

    It ends the job, where other errors become a reason in a table: once the fault is repaired, the
    next run must do the work again.
    """


def reason_of(error: Exception | str) -> str:
    """Return the text to store for an error or a reason: printable, and at most 2,000 characters.

    The type is named unless it is a `UserError`. Characters that are not UTF-8, as in the name of
    an old file, are written as escapes, since no table can hold them.
    """
    plain = isinstance(error, UserError | str)
    text = str(error) if plain else f"{type(error).__name__}: {error}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def place(error: BaseException) -> str:
    """Return the line that raised ``error``: the innermost one outside installed libraries."""
    if isinstance(error, SyntaxError):
        return f"in line {error.lineno} of {error.filename}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in Path(frame.filename).parts]
    frame = (own or frames)[-1]
    return f"in line {frame.lineno} of {frame.filename}, in {frame.name}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown ``name``: the nearest and all of the ``known`` names."""
    names = sorted(known)
    spelt = {known_name.lower(): known_name for known_name in names}
    near = [known_name for known_name in names if _unpadded(known_name) == _unpadded(name)]
    near = near or [spelt[n] for n in get_close_matches(name.lower(), spelt, n=3, cutoff=0.5)]
    hint = f" Did you mean: {', '.join(near)}?" if near else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}."


def require_known(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise ValueError, with the message of `unknown_name`, for the first name not in ``known``."""
    for name in names:
        if name not in known:
            raise ValueError(unknown_name(kind, name, known))


def _unpadded(name: str) -> str:
    """Return a name without case and without zeros before numbers: d1 for D01."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.lower())
