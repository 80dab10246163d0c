"""Which GPU errors, from torch and from other programs, end the job."""

import pytest

from benchmark.errors import MachineError
from benchmark.machine.machine_errors import KernelError, raise_if_machine_error

BROKEN = [
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported",
    "CUDA error: device-side assert triggered",
    "CUDA error: unspecified launch failure",
    "CUDA driver error: unknown error",
    "CUDA unknown error - this may be due to an incorrectly set up environment",
    "HIP error: the operation cannot be performed in the present state",
    "exit code 1: torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered",
]
FULL = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be reported",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
]
WORKERS = [
    "DataLoader worker (pid 4711) is killed by signal: Killed. ",
    "DataLoader worker (pid(s) 4711, 4712) exited unexpectedly",
]
DISKS = [
    "exit code 1: OSError: [Errno 28] No space left on device",
    "tar: x: Cannot write: No space left on device",
    "[Errno 122] Disk quota exceeded: 'a.npz'",
    "[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0",
]
OTHERS = [
    "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( handle)`",
    "CUDA error: invalid configuration argument\nCUDA kernel errors might be reported",
    "CUDA error: too many resources requested for launch",
    "mat1 and mat2 shapes cannot be multiplied",
    "no CUDA is here",
    "mkdir failed for /home/user/.config/matplotlib: [Errno 30] Read-only file system",
    "UserWarning: [Errno 28] No space left on device.  joblib will operate in serial mode",
    "",
]


@pytest.mark.parametrize("loading", [False, True])
@pytest.mark.parametrize("told", BROKEN)
def test_a_gpu_that_failed_ends_the_job(told: str, loading: bool) -> None:
    error = RuntimeError(told)
    with pytest.raises(MachineError, match=r"The GPU failed.*run the same command again") as raised:
        raise_if_machine_error(error, loading=loading)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("told", FULL)
def test_full_memory_ends_the_job_only_while_the_model_is_loaded(told: str) -> None:
    raise_if_machine_error(RuntimeError(told))
    with pytest.raises(MachineError, match="does not fit into GPU memory"):
        raise_if_machine_error(RuntimeError(told), loading=True)


def test_a_torch_without_code_for_the_gpu_is_not_run_again() -> None:
    """As the build for CUDA 13 on a V100, which its driver still lists."""
    told = "CUDA error: no kernel image is available for execution on the device"
    with pytest.raises(MachineError, match=r"build of torch does not support the GPU.*install"):
        raise_if_machine_error(RuntimeError(told))


@pytest.mark.parametrize("told", WORKERS)
def test_a_killed_process_that_made_batches_ends_the_job(told: str) -> None:
    with pytest.raises(MachineError, match="more memory or fewer workers"):
        raise_if_machine_error(RuntimeError(told))


@pytest.mark.parametrize("told", DISKS)
def test_a_full_disk_in_another_program_ends_the_job(told: str) -> None:
    with pytest.raises(MachineError, match=r"disk is full \(.*run the same command"):
        raise_if_machine_error(RuntimeError(told))


def test_an_input_may_have_broken_the_gpu() -> None:
    blamed = []
    for told in BROKEN:
        with pytest.raises(MachineError) as raised:
            raise_if_machine_error(RuntimeError(told))
        blamed += [told] * isinstance(raised.value, KernelError)
    assert blamed == BROKEN[:3]


@pytest.mark.parametrize("told", OTHERS)
def test_other_errors_pass(told: str) -> None:
    raise_if_machine_error(RuntimeError(told), loading=True)
