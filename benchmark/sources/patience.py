"""Trying again: how often, after which waits, and when to give up."""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from benchmark.errors import UserError

T = TypeVar("T")
_STEP = 1 << 20


class DownloadError(UserError):
    """A file could not be had; the message says why and what to do, without an address's query."""


class InterruptedDownloadError(Exception):
    """The transfer broke off; trying again may help."""

    def __init__(self, message: str, asked: float | None = None) -> None:
        """``asked``: seconds that the server asks to wait."""
        super().__init__(message)
        self.asked = asked


class UnreachableError(InterruptedDownloadError):
    """No connection could be made at all: no network here, or something in between refuses."""


@dataclass
class Patience:
    """How long to try; waits double from ``first`` to ``longest`` seconds, with chance in them.

    ``attempts``: in a row that bring less than a MiB; ``offline``: in a row without a connection,
    as long as none was ever made: then there is most likely no network, and nothing to wait for.
    ``slowest``: bytes a second, over ``window`` seconds, below which a transfer is broken off and
    resumed. ``sleep`` and ``clock`` can be given.
    """

    attempts: int = 8
    offline: int = 2
    first: float = 2.0
    longest: float = 300.0
    slowest: float = 1000.0
    window: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _connected: bool = field(default=False, init=False)

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt after ``attempt`` (from 1) failed."""
        if asked is not None:
            return min(max(asked, 0.0), self.longest)
        return min(self.first * 2.0 ** (attempt - 1), self.longest) * random.uniform(0.75, 1.25)

    def persist(self, what: str, action: Callable[[], T], done: Callable[[], int] = lambda: 0) -> T:
        """Call ``action`` until it is not interrupted any more.

        ``done`` tells how many bytes are there: attempts that bring some do not count as failed.
        Raises `DownloadError` after too many that failed.
        """
        failed, furthest = 0, done()
        while True:
            try:
                result = action()
                self._connected = True
                return result
            except InterruptedDownloadError as error:
                self._connected |= not isinstance(error, UnreachableError)
                failed = 1 if done() >= furthest + _STEP else failed + 1
                furthest = max(furthest, done())
                if not self._connected and failed >= self.offline:
                    raise DownloadError(
                        f"{what}: {error} in {failed} attempts. This machine has no network, a "
                        "firewall or proxy lets nothing through, or the host is down. Run again "
                        "later, or fetch on a machine that reaches it, and copy the files."
                    ) from None
                if failed >= self.attempts:
                    raise DownloadError(
                        f"{what}: {error}; given up after {failed} attempts. What has arrived is "
                        "kept: run again to continue."
                    ) from None
                wait = self.wait(failed, error.asked)
                print(f"{what}: {error}; next attempt in {wait:.0f} s", file=sys.stderr)
                self.sleep(wait)
