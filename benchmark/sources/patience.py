"""Retries: how often, with which delays, and when to give up."""

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
    """A file could not be downloaded; the message says why and what to do, without URL queries."""


class InterruptedDownloadError(Exception):
    """A transfer was interrupted; another attempt may help."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Take the message and ``retry_after_s``, the seconds that the server asks to wait."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreachableError(InterruptedDownloadError):
    """No connection could be made: there is no network, or a firewall or proxy refuses."""


@dataclass
class Patience:
    """Retry policy; delays double from ``first`` to ``longest`` seconds, with jitter.

    Gives up after ``attempts`` consecutive attempts that each bring less than 1 MiB. If no
    connection was ever made, there is most likely no network, and ``offline`` attempts are enough.
    A transfer slower than ``slowest`` bytes per second over ``window`` seconds is interrupted and
    resumed. ``sleep`` and ``clock`` can be replaced, for example in tests.
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

    def wait(self, attempt: int, retry_after_s: float | None) -> float:
        """Return the seconds to wait after ``attempt`` (from 1) has failed.

        ``retry_after_s`` is the delay that the server asks for, if any.
        """
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), self.longest)
        return min(self.first * 2.0 ** (attempt - 1), self.longest) * random.uniform(0.75, 1.25)

    def retry(self, what: str, action: Callable[[], T], done: Callable[[], int] = lambda: 0) -> T:
        """Call ``action`` until it succeeds.

        ``done`` returns the number of bytes received so far: an attempt that brings at least 1 MiB
        restarts the count of failures. Raises `DownloadError` after too many failures.
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
                wait = self.wait(failed, error.retry_after_s)
                print(f"{what}: {error}; next attempt in {wait:.0f} s", file=sys.stderr)
                self.sleep(wait)
