"""On which scan a process has died, noted beside the output of its job for the process after it.

A segmentation fault, a kill for want of memory or a failed assertion on the GPU leave no other
trace, and would end every further attempt at the same scan, and with it the report of the study.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmark.files import read_json, write_json
from benchmark.machine.trouble import KernelError

ENOUGH = 2
"""Deaths after which a step is not begun again."""
_ENDED_BY_OTHERS = (signal.SIGTERM, signal.SIGHUP)
"""Signals by which a user, Snakemake or a cluster ends a job; SIGINT raises by itself."""


class Attempts:
    """How often a process has died in each step of a job; ``path``: the note, None for none."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the note; a step that it has under way ended with the process that began it."""
        self._path = path
        known = path is not None and path.is_file()
        told = read_json(path) if path is not None and known else {"at": None, "deaths": {}}
        self._deaths: dict[str, int] = told["deaths"]
        if told["at"] is not None:
            self._deaths[told["at"]] = self._deaths.get(told["at"], 0) + 1
        if known:
            self._write(None)

    def given_up(self, step: str) -> bool:
        """Whether `ENOUGH` processes have died in ``step``."""
        return self._deaths.get(step, 0) >= ENOUGH

    @contextmanager
    def at(self, step: str) -> Iterator[None]:
        """Note that ``step`` is under way in the block.

        The note stays where the process dies in it, or has to end for a `KernelError`. All else
        that ends it, such as other trouble of the machine or an interruption, is not the step's.
        """
        self._write(step)
        try:
            yield
        except KernelError:
            raise
        except BaseException:
            self._write(None)
            raise
        self._write(None)

    def interrupted(self) -> None:
        """Note that what ends this process now is no step's fault."""
        self._write(None)

    def forget(self) -> None:
        """Delete the note: the job is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, step: str | None) -> None:
        if self._path is None:
            return
        if step is None and not self._deaths:
            self.forget()
        else:
            write_json(self._path, {"at": step, "deaths": self._deaths})


@contextmanager
def attempts(output: Path) -> Iterator[Attempts]:
    """Give the attempts at a job that makes ``output``; forgotten when the block ends well.

    In the block, a signal that ends the process from outside is noted as such before it does.
    """
    tried = Attempts(output.with_suffix(".attempts"))

    def end(number: int, _: FrameType | None) -> None:
        tried.interrupted()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # One that is ignored, as under nohup, stays so.
    taken = [n for n in _ENDED_BY_OTHERS if signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield tried
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
    tried.forget()
