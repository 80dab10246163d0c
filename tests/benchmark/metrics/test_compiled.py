"""Where compiled code of the engine "numba" is cached: read-only installs, parallel jobs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import benchmark

ONE_OBJECT = """
import pathlib, numpy, benchmark, benchmark.metrics
package = pathlib.Path(benchmark.__file__).parent
try:
    (package / "metrics" / "written").touch()
    print("writable", end=" ")
except OSError:
    print("read-only", end=" ")
mask = numpy.ones((3, 3, 3), bool)
values = benchmark.metrics.score(
    mask, mask & (numpy.arange(3) < 2), (1.0, 1.0, 1.0), grid_voxels=27, tolerance_mm=0.5,
    engine="numba",
)
print(package, values["hd"])
"""

# Root may write where nobody may. A capability that is gone from the bounding set (PR_CAPBSET_DROP
# of CAP_DAC_OVERRIDE) is gone from the next program that the process becomes.
AS_ANY_USER = """
import ctypes, os, sys
if os.geteuid() == 0:
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the package in which nobody may write, as an installation by another user."""
    home = Path(benchmark.__file__).parent
    copy = tmp_path / "site" / "benchmark"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return copy.parent


def start(site: Path, home: Path) -> "subprocess.Popen[str]":
    """Start a job that scores an object with the package in ``site``; ``home`` is the user's."""
    unset = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.Popen(
        [sys.executable, "-c", AS_ANY_USER, "-c", ONE_OBJECT],
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
        env=inherited | {"PYTHONPATH": str(site), "HOME": str(home)},
    )


def end(job: "subprocess.Popen[str]", site: Path) -> None:
    """Wait for a job; it must have had the right value from a package that it cannot write to."""
    printed = job.communicate()[0].split()
    assert job.returncode == 0
    assert printed == ["read-only", str(site / "benchmark"), "1.0"]


def content(folder: Path) -> dict[Path, int]:
    """Files in a folder, and when each was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_parallel_jobs_of_a_read_only_install_share_a_cache_of_the_user(
    site: Path, tmp_path: Path
) -> None:
    installed = content(site)
    home = tmp_path / "home"
    home.mkdir()
    for job in [start(site, home) for _ in range(2)]:
        end(job, site)
    kept = content(home)
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}  # no file half written
    assert all(path.is_relative_to(home / ".cache" / "pambench" / "numba") for path in kept)
    end(start(site, home), site)
    assert content(home) == kept  # read, not compiled
    assert content(site) == installed


def test_without_a_folder_to_write_each_process_compiles(site: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    end(start(site, home), site)
    assert not content(home)
