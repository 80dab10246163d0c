"""Full and read-only disks: a refusal with advice, never a partial file."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import prepare
from benchmark.catalogue import Dataset
from benchmark.errors import MachineError, UserError
from benchmark.inference.segmenting import segment_prompts
from benchmark.machine.machine_errors import raise_if_machine_error
from benchmark.prepare import conversion
from benchmark.sources import Status
from benchmark.storage.disk import require_writable_folders, write_problem, writing


def test_a_full_disk_is_told_with_the_folder_and_the_next_step(tmp_path: Path) -> None:
    with (
        pytest.raises(
            MachineError, match=rf"t\.parquet was not written: the disk is full.*{tmp_path}"
        ),
        writing(tmp_path / "t.parquet"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_other_refusals_of_the_machine(tmp_path: Path, number: int, told: str) -> None:
    with pytest.raises(MachineError, match=told), writing(tmp_path / "a"):
        raise OSError(number, os.strerror(number), str(tmp_path / ".writing-x"))


def test_other_errors_pass(tmp_path: Path) -> None:
    for error in (ValueError("a"), OSError(errno.EACCES, "denied", "/elsewhere"), UserError("b")):
        with pytest.raises(type(error)) as raised, writing(tmp_path / "a"):
            raise error
        assert raised.value is error


def test_folders_that_can_be_written_are_no_problem(tmp_path: Path) -> None:
    assert write_problem([tmp_path, tmp_path / "absent"]) is None
    assert not list(tmp_path.iterdir())
    (tmp_path / "results").touch()  # a file where a folder should be
    with pytest.raises(MachineError, match=r"Nothing can be written to .*/results"):
        require_writable_folders([tmp_path, tmp_path / "results"])


# ITK writes what fits and says nothing. A bound on the size of files stands for a full disk.
WRITE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from benchmark import volume
from benchmark.errors import MachineError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    noise = np.random.default_rng(0).normal(size=(40, 40, 40))
    volume.write(noise, (1.0, 1.0, 1.0), Path(sys.argv[1]))
except MachineError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_half_an_image_does_not_count_as_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    ran = subprocess.run(
        [sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=True
    )
    assert f"{path} was not written: the disk is full" in ran.stdout
    assert not list(tmp_path.iterdir())


def test_a_full_disk_sets_no_scan_aside(
    tmp_path: Path,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
    ready: Callable[[Path], Status],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_scan(tmp_path, "a")

    def image_of(*_: Any) -> None:
        raise MachineError("the disk is full")

    monkeypatch.setattr(conversion, "image_of", image_of)
    with pytest.raises(MachineError):
        prepare.prepare(entry(tmp_path), ready(tmp_path), 0)


def test_a_full_disk_is_no_failure_of_a_method() -> None:
    class Full:
        def segment(self, volume: Any, prompts: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x/y")

    class Scan:
        shape = (1, 1, 1)

    with pytest.raises(MachineError, match="the disk is full"):
        segment_prompts(Full(), Scan(), [object()])  # type: ignore[arg-type, list-item]
    raise_if_machine_error(ValueError("nothing of the machine"))
