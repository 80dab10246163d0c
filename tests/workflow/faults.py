"""Faults of a workflow run. Each strikes at a random moment; a rerun then has to recover.

A moment is a number of files that the run has written, plus a fraction of a second.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.workflow.conftest import Workplace

TARGET = "results/small/scores.parquet"
PATIENCE_S = 600.0
FOLDERS = (".", "results", "data")


class SkippedError(Exception):
    """The fault cannot be simulated on this machine; the message says why."""


@dataclass
class Disturbed:
    """A study that is about to run and be disturbed.

    Attributes:
        place: working directory.
        study: study file.
        chance: source of randomness.
        closing: clean-up at the end of the round.
        told: description of the fault.
        refused: output of runs that were started during the fault and had to refuse.
    """

    place: Workplace
    study: Path
    chance: random.Random
    closing: contextlib.ExitStack
    told: str = ""
    refused: list[str] = field(default_factory=list)

    def rerun(self) -> str:
        """Rerun the workflow without options; returns its output, or "" if it succeeded."""
        command = self.place.command(self.study, "--", TARGET)
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        return run.stdout + run.stderr if run.returncode else ""

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the workflow in its own process session."""
        command = self.place.command(self.study, *arguments, "--", TARGET)
        silent = subprocess.DEVNULL
        return subprocess.Popen(command, stdout=silent, stderr=silent, start_new_session=True)

    def written(self) -> list[Path]:
        """Return the files that the workflow has written, sorted by name."""
        found = (path for name in ("data", "results") for path in self.inside(name))
        return sorted(path for path in found if path.suffix in (".parquet", ".json"))

    def inside(self, name: str) -> Iterator[Path]:
        """Yield all files below a folder of the working directory."""
        for folder, _, names in os.walk(self.place.folder / name):
            yield from (Path(folder) / each for each in names)

    def await_moment(self, run: subprocess.Popen[bytes]) -> None:
        """Wait until a random moment of the run, or its end."""
        more, later = self.chance.randrange(12), self.chance.random()
        before = len(self.written())
        self.told = f"{more} files and {later:.2f} s into the run"
        while run.poll() is None and len(self.written()) < before + more:
            time.sleep(0.02)
        if run.poll() is None:
            time.sleep(later)

    def jobs(self, run: subprocess.Popen[bytes]) -> list[int]:
        """Return the ids of the run's `pambench` processes that are still alive."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                mine = os.getsid(int(process.name)) == run.pid
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended in the meantime
                continue
            if mine and any(word.endswith(b"bin/pambench") for word in command[:2]):
                found.append(int(process.name))
        return sorted(found)


def kill(run: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to a run and all its jobs."""
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def kill_when(place: Workplace, study: Path, moment: Callable[[], bool], *targets: str) -> bool:
    """Start the workflow, and kill it with all its jobs once ``moment()`` is true.

    Returns whether it was still running then. Snakemake's lock stays behind.
    """
    with (place.folder / "killed.log").open("w", encoding="utf-8") as file:
        run = subprocess.Popen(
            place.command(study, *targets), stdout=file, stderr=file, start_new_session=True
        )
        while run.poll() is None:
            if moment():
                kill(run)
                return True
            time.sleep(0.02)
    return False


def kill_all(case: Disturbed) -> None:
    """Send SIGKILL to the workflow and all its jobs."""
    run = case.start()
    case.await_moment(run)
    kill(run)


def kill_workflow(case: Disturbed) -> None:
    """Send SIGKILL to Snakemake alone: its jobs go on while the rerun starts the same ones."""
    run = case.start()
    case.await_moment(run)
    run.kill()
    run.wait()


def kill_job(case: Disturbed) -> None:
    """Send SIGKILL to one job; Snakemake tries it once more."""
    run = case.start()
    case.await_moment(run)
    while run.poll() is None:
        if jobs := case.jobs(run):
            os.kill(case.chance.choice(jobs), signal.SIGKILL)
            break
        time.sleep(0.02)
    run.wait(PATIENCE_S)


def two_workflows(case: Disturbed) -> None:
    """Start a second workflow on the same folder, with or without ``--nolock``."""
    first = case.start()
    case.await_moment(first)
    bold = case.chance.random() < 0.5
    case.told += ", the second with --nolock" if bold else ""
    second = case.start(*(["--nolock"] if bold else []))
    for run in (first, second):
        run.wait(PATIENCE_S)


def clock(case: Disturbed) -> None:
    """Let the clock jump: move the times of some files by up to ten years, back or ahead."""
    run = case.start()
    case.await_moment(run)
    files = case.written()
    for path in case.chance.sample(files, min(len(files), 1 + case.chance.randrange(8))):
        jump = case.chance.choice([-1, 1]) * 10 ** case.chance.uniform(1, 8.5)
        try:
            moved = path.stat().st_mtime + jump
            os.utime(path, (moved, moved))
        except FileNotFoundError:  # Snakemake deletes outputs before their job starts
            continue
    run.wait(PATIENCE_S)


def damage(case: Disturbed) -> None:
    """Truncate, empty or partly zero a file of the workflow, or flip a bit in it."""
    run = case.start()
    case.await_moment(run)
    if case.chance.random() < 0.5:
        kill(run)
    files = [*case.written(), *sorted(case.inside(".snakemake/metadata"))]
    path = case.chance.choice(files)
    case.told += f", {path.relative_to(case.place.folder)} {_spoil(path, case.chance)}"
    run.wait(PATIENCE_S)


def _spoil(path: Path, chance: random.Random) -> str:
    content = bytearray(path.read_bytes())
    at = chance.randrange(max(len(content), 1))
    how = chance.choice(["emptied", "cut", "zeroed", "flipped"])
    if how == "emptied":
        content.clear()
    elif how == "cut":
        del content[at:]
    elif how == "zeroed":
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    elif content:
        content[at] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return f"{how} at byte {at}"


def full_disk(case: Disturbed) -> None:
    """Fill the disk during the run, and free it later."""
    name = case.chance.choice(FOLDERS)
    folder = _on_a_small_disk(case, case.place.folder / name)
    run = case.start()
    case.await_moment(run)
    case.told += f", the disk of {name}"
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
        run.wait(PATIENCE_S)
    case.refused.append(case.rerun())
    ballast.unlink()


def read_only(case: Disturbed) -> None:
    """Make a folder read-only, and writable again later."""
    name = case.chance.choice(FOLDERS)
    case.told = f"the folder {name}"
    folder = case.place.folder / name
    folder.mkdir(exist_ok=True)
    if os.getuid() == 0:  # root ignores file modes
        _on_a_small_disk(case, folder)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        case.refused.append(case.rerun())
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    else:
        folder.chmod(0o555)
        case.refused.append(case.rerun())
        folder.chmod(0o755)


def _on_a_small_disk(case: Disturbed, folder: Path) -> Path:
    """Mount a small disk at ``folder``, with its content, until the end of the round."""
    if os.getuid() != 0:
        raise SkippedError("only root can mount a small disk")
    aside = folder.with_name(f"{folder.name}.aside")
    folder.mkdir(exist_ok=True)
    folder.rename(aside)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        raise SkippedError(f"no disk can be mounted here: {mounted.stderr.strip()}")
    case.closing.callback(lambda: subprocess.run(["umount", "--lazy", folder], check=True))
    shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(aside)
    return folder


FAULTS: dict[str, Callable[[Disturbed], None]] = {
    "kill all": kill_all,
    "kill the workflow": kill_workflow,
    "kill a job": kill_job,
    "full disk": full_disk,
    "read-only": read_only,
    "clock": clock,
    "damage": damage,
    "two workflows": two_workflows,
}
