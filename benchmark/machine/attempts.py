"""Record of the scans on which a process died, beside the output of its job, for the next process.

A segmentation fault, a kill for lack of memory or a failed assertion on the GPU leaves no other
trace, and would end every further attempt at the same scan, and with it the report of the study.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmark.machine.machine_errors import EndedError, KernelError
from benchmark.storage import paths
from benchmark.storage.files import read_json, write_json

MAX_DEATHS = 3
"""Number of deaths after which a step is not tried again.

As many as the profiles' retries, so that a step is tried with the most memory that is requested,
and one attempt is left for the other steps.
"""
WORKFLOW = "PAMBENCH_WORKFLOW"
"""Environment variable: id of the workflow that runs the job.

It is not set in pods, nor for a job that is called directly: then each death counts.
"""
_ENDED_BY_OTHERS = (signal.SIGTERM, signal.SIGHUP)
"""Signals by which a user, Snakemake or a cluster ends a job; SIGINT raises an exception anyway."""


class Attempts:
    """How often a process has died in each step of a job.

    ``path``: file of the record; None keeps no record.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read the record; a step that is still marked as running ended with its process.

        That counts as a death only if the same workflow runs the job again. What ended the workflow
        as well, such as a power cut, is not the fault of a step.
        """
        self._path, self._workflow = path, os.environ.get(WORKFLOW)
        self.ended_by: int | None = None
        """The signal by which the process was asked to end."""
        known = path is not None and path.is_file()
        record = read_json(path) if path is not None and known else {"at": None, "deaths": {}}
        self._deaths: dict[str, int] = record["deaths"]
        if record["at"] is not None and record.get("workflow") == self._workflow:
            self._deaths[record["at"]] = self._deaths.get(record["at"], 0) + 1
        if known:
            self._write(None)

    def is_given_up(self, step: str) -> bool:
        """Return whether `MAX_DEATHS` processes have died in ``step``."""
        return self._deaths.get(step, 0) >= MAX_DEATHS

    @property
    def any_death(self) -> bool:
        """Whether a process has died in any step."""
        return bool(self._deaths)

    @contextmanager
    def running(self, step: str) -> Iterator[None]:
        """Mark ``step`` as running in the block.

        The mark stays if the process dies, or ends because of a `KernelError`. Any other exception,
        such as another fault of the machine or an interruption, removes it: the step is not to
        blame.
        """
        if self.ended_by is not None:  # its exception was lost, as all those raised in `__del__`
            raise EndedError(self.ended_by)
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
        """Remove the mark: what ends this process now is not the fault of a step."""
        self._write(None)

    def forget(self) -> None:
        """Delete the record: the job is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, step: str | None) -> None:
        if self._path is None:
            return
        if step is None and not self._deaths:
            self.forget()
        else:
            content = {"at": step, "workflow": self._workflow, "deaths": self._deaths}
            write_json(self._path, content)


@contextmanager
def attempts(output: Path) -> Iterator[Attempts]:
    """Yield the `Attempts` at ``output``; delete the record when the block ends without an error.

    In the block, a signal that ends the process from outside first removes the mark of the step and
    leaves the block as an exception, so that temporary files are deleted; the second ends the
    process at once.
    """
    tried, owner = Attempts(paths.attempts_file(output)), os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != owner:  # a process that was forked in the block
            os.kill(os.getpid(), number)
        tried.interrupted()
        tried.ended_by = number
        raise EndedError(number)

    # A signal that is ignored, as under nohup, stays ignored.
    taken = [n for n in _ENDED_BY_OTHERS if signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield tried
    except EndedError as ended:
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
    tried.forget()
