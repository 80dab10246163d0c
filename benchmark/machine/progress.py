"""Progress bars on standard error: live on a terminal, a line now and then in a log file."""

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
    """Bar that counts bytes up to ``total``, of which ``done`` are there; ``quiet``: not shown."""
    return tqdm(
        desc=what,
        total=total,
        initial=done,
        unit="B",
        unit_scale=True,
        mininterval=0.1 if sys.stderr.isatty() else 30.0,
        disable=quiet,
    )
