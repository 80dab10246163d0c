"""Leases of GPUs between real processes, with a scripted stand-in for the driver."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmark.errors import UserError
from benchmark.machine import gpu_lease
from benchmark.machine.device import device, facts
from benchmark.machine.gpu_lease import LOCKS, SCHEDULERS, WAIT, Gpu, lease, visible

HOLD = """
import sys
from benchmark.machine.gpu_lease import lease
with lease("holder") as gpu:
    print(gpu.id, flush=True)
    sys.stdin.read()
"""
CLASH = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from benchmark.machine import gpu_lease
gpu_lease.time = SimpleNamespace(sleep=lambda seconds: None)
assert "torch" not in sys.modules
for turn in range(5):
    with gpu_lease.lease("worker") as gpu:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu.id
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        mark = Path(sys.argv[1]) / gpu.id
        mark.touch(exist_ok=False)
        mark.unlink()
assert "torch" not in sys.modules
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with four GPUs and no cluster."""
    for name in (*SCHEDULERS, "CUDA_VISIBLE_DEVICES", WAIT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(LOCKS, str(tmp_path / "locks"))
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    driver.touch(0o755)
    lists(tmp_path, *(f"GPU {i}: NVIDIA H200 (UUID: GPU-{x})" for i, x in enumerate("abcd")))
    monkeypatch.setenv("PATH", f"{driver.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def lists(machine: Path, *rows: str) -> None:
    """Let the driver list these rows, as ``nvidia-smi -L`` does."""
    text = "\n".join(["#!/bin/sh", "cat <<END", *rows, "END", ""])
    (machine / "bin" / "nvidia-smi").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("named", "ids"),
    [
        (None, ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]),
        ("2,0", ["GPU-c", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("1,-1,2", ["GPU-b"]),
        ("1,7,2", ["GPU-b"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),  # of Slurm, for a job without a GPU
        ("0,none,1", ["GPU-a"]),
    ],
)
def test_visible_gpus_are_those_of_cuda(named: str | None, ids: list[str]) -> None:
    environment = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert visible(environment) == [Gpu(name) for name in ids]


@pytest.mark.parametrize(
    ("named", "ids"),
    [
        (None, ["GPU-5d5ba0d6", "MIG-c6d4f1ef", "MIG-cba663e8"]),
        ("1", ["MIG-c6d4f1ef", "MIG-cba663e8"]),
        ("MIG-cba663e8,0", ["MIG-cba663e8", "GPU-5d5ba0d6"]),
        ("GPU-5d5b,MIG-cb", ["GPU-5d5ba0d6", "MIG-cba663e8"]),
        ("MIG-GPU-c0ffee/1/0", ["MIG-GPU-c0ffee/1/0"]),  # of drivers before R470
    ],
)
def test_a_part_of_a_gpu_is_a_gpu(named: str | None, ids: list[str], machine: Path) -> None:
    """Rows as in NVIDIA's MIG user guide."""
    lists(
        machine,
        "GPU 0: A100-SXM4-40GB (UUID: GPU-5d5ba0d6)",
        "GPU 1: A100-SXM4-40GB (UUID: GPU-8d2b8a77)",
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef)",
        "  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8)",
    )
    environment = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert visible(environment) == [Gpu(name) for name in ids]


def test_a_training_on_more_gpus_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # of torchrun
    with (
        pytest.raises(UserError, match="on 2 GPUs, and 1 can be seen here: GPU-c"),
        lease("training"),
    ):
        pass


def test_a_machine_without_a_driver_has_none(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(machine / "locks"))
    assert visible({}) == []
    with lease("anything") as gpu:
        assert gpu is None


def test_no_gpu_is_held_twice(machine: Path) -> None:
    marks = machine / "marks"
    marks.mkdir()
    workers = [subprocess.Popen([sys.executable, "-c", CLASH, str(marks)]) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    assert len(list((machine / "locks").iterdir())) > 1  # they did not queue for a single one


def test_a_killed_holder_frees_its_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "GPU-d"

        def kill(seconds: float) -> None:
            holder.send_signal(signal.SIGKILL)
            holder.wait()

        monkeypatch.setattr(gpu_lease, "time", SimpleNamespace(sleep=kill))
        with lease("next") as gpu:
            assert gpu == Gpu("GPU-d")
    assert holder.returncode == -signal.SIGKILL
    assert f"GPU-d: holder (process {holder.pid})" in capsys.readouterr().err


def test_who_waits_too_long_is_told_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv(WAIT, "30")
    pauses: list[float] = []
    monkeypatch.setattr(gpu_lease, "time", SimpleNamespace(sleep=pauses.append))
    with lease("medsam on D35"):
        with (
            pytest.raises(UserError, match=rf"GPU-a: medsam on D35 \(process {os.getpid()}\)"),
            lease("segvol on D35"),
        ):
            pass
        assert sum(pauses) == pytest.approx(30)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_a_cluster_hands_out_by_index_alone_is_not_locked(
    scheduler: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without nvidia-smi: it may be another GPU in each job."""
    (machine / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    monkeypatch.setenv(scheduler, "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with lease("anything") as gpu:
        assert gpu is None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert not (machine / "locks").exists()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("named", "taken"), [("1", "GPU-b"), ("MIG-7", "MIG-7")])
def test_the_only_one_of_an_allocation_is_taken_once(
    scheduler: str, named: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(scheduler, "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setenv(WAIT, "0")
    with lease("one") as gpu:
        assert gpu == Gpu(taken)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)  # of another job of the allocation
        with pytest.raises(UserError, match=f"{taken}: one"), lease("other"):
            pass


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_several_in_one_allocation_are_taken_one_by_one(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(scheduler, "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with lease("one") as first:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")  # of another job of the allocation
        with lease("other") as second:
            assert (first, second) == (Gpu("GPU-b"), Gpu("GPU-c"))


def test_the_environment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with lease("anything"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"


def test_a_time_out_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT, "an hour")
    with pytest.raises(UserError, match=rf"{WAIT} has to be a number of seconds, got 'an hour'"):
        lease("anything").__enter__()


@pytest.mark.parametrize("here", [True, False])
def test_a_gpu_that_torch_cannot_use_is_told_of(
    here: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if not here:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with device("pam-2dmask", "anything") as where:
        assert where == "cpu"
    told = capsys.readouterr().err
    assert ("torch" in told and "pam-2dmask runs on the CPU" in told) == here
    assert bool(told) == here


def test_gpus_that_nobody_lists_are_used_by_one_job_at_a_time(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(machine / "locks"))  # without nvidia-smi
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv(WAIT, "0")
    with device("pam-2dmask", "medsam on D35") as where:
        assert where == "cuda"
        assert "export CUDA_VISIBLE_DEVICES=0,1\n" in capsys.readouterr().err
        with pytest.raises(UserError, match="medsam on D35"):
            device("pam-2dmask", "segvol on D35").__enter__()
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")  # as the message says
        with device("pam-2dmask", "first"), device("box-fill", "none"):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        monkeypatch.setenv(SCHEDULERS[0], "7")
        with device("pam-2dmask", "assigned by a cluster") as where:
            assert where == "cuda"
    monkeypatch.delenv(SCHEDULERS[0])
    with device("pam-2dmask", "next") as where:
        assert where == "cuda"


def test_a_method_that_uses_no_gpu_leaves_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with device("pam-2dmask", "anything") as where:
        assert (where, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", "GPU-a")
    with device("box-fill", "anything") as where:
        assert where == "cpu"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("sees", [True, False])
def test_what_computes_elsewhere_does_not_depend_on_the_torch_here(
    sees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2" if sees else "")
    with device("nnunet", "anything") as where:
        assert where == ("cuda" if sees else "cpu")
        assert facts(where) == {"device": where}
        if sees:
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-c"


def test_a_program_that_uses_no_gpu_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for gpu in (False, True):
        with device("command", "anything", {"command": "run {folder}", "gpu": gpu}) as where:
            assert where == ("cuda" if gpu else "cpu")
            assert ("CUDA_VISIBLE_DEVICES" in os.environ) == gpu


def test_a_method_may_delete_what_names_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with lease("this"):
        del os.environ["CUDA_VISIBLE_DEVICES"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"
