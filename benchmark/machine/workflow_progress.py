"""One line on what runs, what waits, how far and how much longer, while Snakemake runs.

Whole lines, at most one every few seconds on a terminal and two a minute in a log file, so that
they can stand between other messages; fewer while no job ends. Of a job that fails, the end of its
log is written: Snakemake's own --show-failed-logs writes the whole, which may be pages. Snakemake
is not imported: its log records name their event.
"""

import logging
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

EVERY_S = {True: 5.0, False: 30.0}
"""Seconds between two lines, on a terminal (True) and elsewhere."""
_SILENCE = 10
"""While no job ends, a line is written after so many times `EVERY_S`."""
_LAST_LINES = 20
"""Lines of the log of a failed job that are written."""

_Kind = tuple[str, str]
"""A rule, and the run or model that its job is for, or "" if for none: such jobs take alike."""


def _kind(rule: str, wildcards: Mapping[str, Any]) -> _Kind:
    return rule, str(wildcards.get("run", wildcards.get("fit", "")))


class ProgressLine(logging.Handler):
    """Logging handler for Snakemake's logger; ``clock`` returns seconds."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to ``stream`` (default: standard error)."""
        super().__init__(logging.INFO)
        self.stream = stream or sys.stderr
        self.clock = clock
        self.every = EVERY_S[self.stream.isatty()]
        self.names: dict[int, tuple[str, str]] = {}
        self.kinds: dict[int, _Kind] = {}
        self.started: dict[int, float] = {}
        self.seconds: defaultdict[_Kind, list[float]] = defaultdict(list)
        self.waiting: Counter[_Kind] = Counter()
        self.does = "running"
        self.total = self.done = 0
        self.begun = self.written_at = self.clock()

    def emit(self, record: logging.LogRecord) -> None:
        """Process a record of the workflow, and write the line when it is due."""
        handle = getattr(self, f"_{_event(record)}", None)
        if handle is not None:
            handle(record)

    def expect(self, jobs: Iterable[tuple[str, Mapping[str, Any]]], *, submits: bool) -> None:
        """Count what is ahead by kind.

        ``jobs``: rule and wildcards of each job to run; ``submits``: jobs go to a cluster, where
        they may wait before they run.
        """
        self.waiting = Counter(_kind(rule, wildcards) for rule, wildcards in jobs)
        self.does = "submitted" if submits else "running"

    def write_if_silent(self) -> None:
        """Write the line if jobs run and it was not written for long."""
        self.acquire()
        try:
            if self.started and self.clock() - self.written_at >= _SILENCE * self.every:
                self._write()
        finally:
            self.release()

    def line(self) -> str:
        """Return the line for the current state."""
        passed = duration(self.clock() - self.begun)
        share = self.done / self.total if self.total else 1.0
        head = f"{self.done} of {self.total} jobs done ({share:.0%}) in {passed}"
        if self.done == self.total:
            return head
        running = [self.names[job] for job in self.started if job in self.names]
        rules = Counter(rule for rule, _ in running)
        what = ", ".join(f"{count} {rule}" for rule, count in rules.items()) or "nothing"
        if len(running) == 1:
            what = " ".join(running[0]).strip()
        waiting = self.total - self.done - len(self.started)
        left = self.remaining()
        about = "at least" if self._unknown() else "about"
        tail = f"; {about} {duration(left)} left" if left else ""
        return f"{head}; {self.does}: {what}; waiting: {waiting}{tail}"

    def remaining(self) -> float | None:
        """Estimate the remaining seconds; None if it is too early.

        The estimate uses the mean time of the jobs of each kind, and the parallelism so far. A run
        or model of which no job of a rule has ended counts for nothing.
        """
        passed = self.clock() - self.begun
        worked = sum(map(sum, self.seconds.values()))
        known = sum(map(len, self.seconds.values()))
        if not known or worked <= 0 or passed <= 0:
            return None
        ahead = 0.0
        unknown = self._unknown()
        for kind, count in self.waiting.items():
            if kind not in unknown:
                times = self.seconds.get(kind)
                ahead += count * (sum(times) / len(times) if times else worked / known)
        return ahead / max(worked / passed, 1.0)

    def _unknown(self) -> set[_Kind]:
        """Return the kinds ahead whose time depends on a run or model and is not known yet."""
        ahead = (kind for kind, count in self.waiting.items() if count > 0)
        return {kind for kind in ahead if kind[1] and kind not in self.seconds}

    def _run_info(self, record: logging.LogRecord) -> None:
        stats = dict(getattr(record, "stats", None) or {})
        self.total = int(stats.pop("total", 0))
        self.waiting = Counter({(rule, ""): int(count) for rule, count in stats.items()})
        self.begun = self.written_at = self.clock()

    def _job_info(self, record: logging.LogRecord) -> None:
        wildcards = getattr(record, "wildcards", None) or {}
        job = int(record.jobid)  # type: ignore[attr-defined]
        rule = str(record.rule_name)  # type: ignore[attr-defined]
        self.names[job] = (rule, " ".join(map(str, wildcards.values())))
        self.kinds[job] = _kind(rule, wildcards)

    def _job_started(self, record: logging.LogRecord) -> None:
        now = self.clock()
        self.started |= dict.fromkeys(record.jobs, now)  # type: ignore[attr-defined]

    def _job_finished(self, record: logging.LogRecord) -> None:
        job = int(record.job_id)  # type: ignore[attr-defined]
        start = self.started.pop(job, None)
        if start is not None and job in self.kinds:
            kind = self.kinds[job]
            self.seconds[kind].append(self.clock() - start)
            self.waiting[kind] -= 1

    def _job_error(self, record: logging.LogRecord) -> None:
        self.started.pop(int(record.jobid), None)  # type: ignore[attr-defined]
        for log in getattr(record, "log", ()):
            print(_end_of_log(log), file=self.stream, flush=True)

    def _progress(self, record: logging.LogRecord) -> None:
        # The record's total counts all jobs of the graph, also those that --until leaves out.
        self.done = int(record.done)  # type: ignore[attr-defined]
        if self.clock() - self.written_at >= self.every or self.done == self.total:
            self._write()

    def _write(self) -> None:
        self.written_at = self.clock()
        print(self.line(), file=self.stream, flush=True)


def replace_job_lines(logger: logging.Logger) -> ProgressLine:
    """Replace the messages of Snakemake's ``logger`` on each job by the progress line."""
    for handler in logger.handlers:
        handler.addFilter(lambda record: not _is_replaced(record))
    line = ProgressLine()
    logger.addHandler(line)
    return line


def write_while_silent(line: ProgressLine) -> None:
    """Write ``line`` now and then while no job ends, until the process does."""

    def work() -> None:
        while True:
            time.sleep(line.every)
            line.write_if_silent()

    threading.Thread(target=work, daemon=True).start()


def _is_replaced(record: logging.LogRecord) -> bool:
    events = ("job_started", "job_finished", "progress")
    return _event(record) in events or record.msg == "Select jobs to execute..."


def _end_of_log(path: str) -> str:
    """Return the last lines of a job's log, under a line that names the file."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as stream:
            lines = deque(stream, _LAST_LINES)
    except OSError as error:  # e.g. on another machine
        return f"The log of the failed job, {path}, cannot be read: {error.strerror}"
    return f"The end of {path}:\n" + "".join(f"    {line.rstrip()}\n" for line in lines).rstrip()


def _event(record: logging.LogRecord) -> str:
    return str(getattr(record, "event", None) or "").rpartition(".")[2].lower()


def duration(seconds: float) -> str:
    """Format seconds for people: ``40 s``, ``12 min``, ``3 h 20 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
