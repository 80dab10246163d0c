"""Programs of other environments, run once or kept running; their failures become reasons."""

import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Any

from benchmark.machine.machine_errors import is_gpu_error

_QUOTED = 3  # last lines of a program's errors to quote in a reason
_READ = 1 << 16  # bytes at the end of a program's output to search for them
_STEP_S = 1.0  # between two looks at whether a program has ended
_END_S = 10.0  # for a program to end that has closed its input or output
_WATCH = 'read -r _; kill -s KILL -- "-$0"'
"""Script that kills the process group ``$0`` once its input closes: when this process ends."""

# Match whole lines only: a program may well print "done loading".
_READY = re.compile("ready")
_ANSWER = re.compile("done|error(?:[ :]+(.*))?")


class ProcessError(RuntimeError):
    """A program failed; the message says why, with the end of its output."""


def run(
    command: Sequence[str], *, timeout_s: float | None, env: Mapping[str, str] | None = None
) -> None:
    """Run ``command`` to its end; a `ProcessError` tells the exit code, or that time ran out."""
    with tempfile.TemporaryFile() as output:
        program = _Program(command, env, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            code = program.process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"no end after {timeout_s:g} s{_tail(output)}") from None
        finally:
            program.end()
        if code:
            raise ProcessError(f"{reason(code)}{_tail(output)}")


def reason(code: int) -> str:
    """Explain an exit code by the conventions of shells and containers."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return "killed (exit code 137), most likely for want of memory"
    if number == signal.SIGSEGV:
        return "crashed (segmentation fault)"
    return {
        124: "out of its own time (exit code 124)",
        126: "not executable (exit code 126)",
        127: "not found (exit code 127)",
    }.get(code, f"exit code {code}")


class Server:
    """A program kept running: it reads a line on standard input, and answers with a line when done.

    The answer is ``done``, or ``error`` and a reason; other lines of output are ignored. The
    program ends when its input closes, and is restarted after a failure. If it prints ``ready``
    once it has loaded, `start` can wait for that.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Store the command; the program starts on first use."""
        self.command, self.env = command, env
        self._program: _Program | None = None

    def start(self) -> None:
        """Start the program unless it is running, and wait until it says ``ready``."""
        if self._program is None:
            self._running()
            if self._answer(_READY, None) is None:
                raise self._end("before it was ready")

    def request(self, line: str, *, timeout_s: float | None = None) -> None:
        """Send ``line`` and wait for the answer; raises `ProcessError` unless it is ``done``."""
        process = self._running()
        assert process.stdin is not None
        self._drop_late_answers()
        try:
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            answer = self._answer(_ANSWER, timeout_s)
        except queue.Empty:
            raise self._failure(f"no answer after {timeout_s:g} s") from None
        except OSError:  # it does not read any more
            answer = None
        if answer is None:
            raise self._end("without an answer")
        if answer[0] != "done":
            raise ProcessError(answer[1] or "error without a reason")

    def stop(self) -> None:
        """End the program if it is running."""
        if self._program is not None:
            self._program.end()
            self._output.close()
            self._program = None

    def _end(self, when: str) -> ProcessError:
        """Return the failure of a program that closed its input or output: most likely it ended."""
        try:
            code = self._running().wait(_END_S)
        except subprocess.TimeoutExpired:
            return self._failure("it runs on, but closed its input or output")
        return self._failure(f"it ended {when}: {reason(code)}")

    def _failure(self, what: str) -> ProcessError:
        quoted = _tail(self._output)
        self.stop()
        return ProcessError(what + quoted)

    def __del__(self) -> None:
        """End the program with its owner."""
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._program is None:
            self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
            self._lines: queue.Queue[str | None] = queue.Queue()
            self._program = _Program(
                self.command,
                self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._output,
            )
            Thread(target=_read, args=(self._program.process, self._lines), daemon=True).start()
        return self._program.process

    def _answer(self, wanted: re.Pattern[str], timeout_s: float | None) -> re.Match[str] | None:
        """Wait for a matching line; None if the program has ended, `queue.Empty` if it is late."""
        process, ended = self._running(), False
        end = monotonic() + (timeout_s or inf)
        while (left := end - monotonic()) > 0:
            if not ended and process.poll() is not None:  # its children may keep the output open
                ended, end = True, monotonic() + _STEP_S
            try:
                line = self._lines.get(timeout=min(left, _STEP_S))
            except queue.Empty:
                continue
            if line is None:
                return None
            if answer := wanted.fullmatch(line):
                return answer
        if ended:
            return None
        raise queue.Empty

    def _drop_late_answers(self) -> None:
        """Forget what was printed since the last answer, which is none to the next line."""
        with suppress(queue.Empty):
            while self._lines.get_nowait() is not None:
                pass
            self._lines.put(None)  # the end of the output


def _read(process: subprocess.Popen[bytes], lines: "queue.Queue[str | None]") -> None:
    assert process.stdout is not None
    with process.stdout, suppress(ValueError):
        for line in process.stdout:
            lines.put(line.decode(errors="replace").strip())
    lines.put(None)


class _Program:
    """A running program and all its children, which end with this process however it ends."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None, **streams: Any
    ) -> None:
        """Start ``command``; raises `ProcessError` if that fails."""
        try:
            self.process = subprocess.Popen(
                list(command),
                env={**os.environ, **(env or {})},
                start_new_session=True,  # its own process group, to end its children with it
                **streams,
            )
        except OSError as error:
            raise ProcessError(f"{command[0]} cannot be started: {error.strerror}") from None
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, str(self.process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """End the program and all its children."""
        self._watch.kill()  # first, since the number may soon be that of another program
        self._watch.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self._watch.stdin):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _tail(output: IO[bytes]) -> str:
    """Return the last lines, and the last about a GPU, which torch follows with advice."""
    output.seek(0, os.SEEK_END)
    output.seek(max(output.tell() - _READ, 0))
    lines = [line.strip() for line in output.read().decode(errors="replace").splitlines()]
    quoted = [line for line in lines if line][-_QUOTED:]
    if not any(map(is_gpu_error, quoted)):
        quoted = [*filter(is_gpu_error, lines)][-1:] + quoted
    return f": {' / '.join(quoted)}" if quoted else ""


def program(command: Sequence[str]) -> Path | None:
    """Return the file that a command starts, found by path or on PATH; None if there is none."""
    found = shutil.which(command[0])
    return Path(found) if found else None
