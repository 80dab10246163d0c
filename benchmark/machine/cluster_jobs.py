"""Jobs that a killed workflow left in the queue of Slurm, and which a rerun would submit again."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmark.errors import UserError

_RUN_ID = re.compile(r"SLURM run ID: (\S+)")
_LOGS = 20
"""Number of logs that are read, the newest first."""
_HEAD = 1 << 16
"""Characters of a log that are read; the id of the run is among its first lines."""


def require_no_jobs_left(folder: Path) -> None:
    """Raise `UserError` if jobs of an earlier workflow in ``folder`` still wait or run.

    Slurm is not queried where no workflow used it. The jobs may belong to another workflow that is
    still running, whose lock is then there besides our own; in that case nothing is raised.
    """
    if shutil.which("squeue") is None:
        return
    state = folder / ".snakemake"
    if len(list((state / "locks").glob("*.output.lock"))) > 1:
        return
    left = {run: count for run in _runs(state / "log") if (count := _waiting_or_running(run))}
    if left:
        jobs = "; ".join(f"scancel --name {run}   ({count} jobs)" for run, count in left.items())
        raise UserError(
            "Jobs of a workflow that was killed here still wait or run on the cluster, and would "
            f"be submitted again. Next step: cancel them, or let them end, then run again: {jobs}"
        )


def _runs(logs: Path) -> Iterator[str]:
    """Yield the ids of the latest runs on Slurm, by the logs of Snakemake."""
    newest = sorted(logs.glob("*.log"), key=lambda path: path.name, reverse=True)
    for path in newest[:_LOGS]:
        with path.open(encoding="utf-8", errors="replace") as file:
            if found := _RUN_ID.search(file.read(_HEAD)):
                yield found[1]


def _waiting_or_running(run: str) -> int:
    """Count the jobs of a run; 0 if Slurm does not answer."""
    command = ["squeue", "--noheader", "--name", run, "--states", "PD,R,S,CF", "--format", "%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(answer.stdout.split())
