"""Jobs of a killed workflow, with a scripted stand-in for Slurm."""

import os
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.machine.cluster_jobs import require_no_jobs_left

SQUEUE = """#!/bin/sh
case "$*" in *"--name dead "*) printf '11\\n12\\n';; esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which two workflows ran on Slurm, one of which was killed."""
    program = tmp_path / "bin" / "squeue"
    program.parent.mkdir()
    program.write_text(SQUEUE, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    logs = tmp_path / ".snakemake" / "log"
    logs.mkdir(parents=True)
    for day, text in enumerate(("SLURM run ID: dead\n", "a local run\n", "SLURM run ID: done\n")):
        (logs / f"2026-01-0{day + 1}.snakemake.log").write_text(text, encoding="utf-8")
    return tmp_path


def test_jobs_that_are_left_are_refused_with_the_command_that_ends_them(folder: Path) -> None:
    told = r"Next step: .*scancel --name dead   \(2 jobs\)$"
    with pytest.raises(UserError, match=told):
        require_no_jobs_left(folder)


def test_jobs_of_a_workflow_that_lives_are_its_own(folder: Path) -> None:
    locks = folder / ".snakemake" / "locks"
    locks.mkdir()
    (locks / "0.output.lock").touch()
    with pytest.raises(UserError):
        require_no_jobs_left(folder)
    (locks / "1.output.lock").touch()
    require_no_jobs_left(folder)


def test_without_jobs_or_slurm_nothing_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = folder / "bin" / "squeue"
    squeue.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    require_no_jobs_left(folder)
    monkeypatch.setenv("PATH", str(folder))
    require_no_jobs_left(folder)
