"""Progress bars on standard error: live on a terminal, an occasional line in a log file."""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], what: str, unit: str) -> Iterable[T]:
    """Iterate over ``items`` with a progress bar named ``what``, counted in ``unit``."""
    interval = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(items, desc=what, unit=unit, mininterval=interval, leave=True)


def byte_bar(what: str, total: int | None, done: int = 0, *, quiet: bool = False) -> "tqdm[Any]":
    """Return a bar for ``total`` bytes, of which ``done`` exist; ``quiet`` hides it."""
    return tqdm(
        desc=what,
        total=total,
        initial=done,
        unit="B",
        unit_scale=True,
        mininterval=0.1 if sys.stderr.isatty() else 30.0,
        disable=quiet,
    )
