"""Recognise faults of the machine among the errors of a method: they end the job as `MachineError`.

Any other error becomes the reason of a cell or a model, which a rerun keeps.
"""

import errno
import re
import traceback

from benchmark.errors import MachineError, UserError, reason_of
from benchmark.storage.disk import raise_if_disk_full

METHOD_ERRORS = BaseException
"""What a method may raise as its own failure.

Research code calls `sys.exit`, and neither a cancelled task of asyncio nor a panic of a library in
Rust is an `Exception`. Who catches this raises `INTERRUPTIONS` again, as `raise_if_machine_error`
does.
"""

_FULL = re.compile(r"\b(CUDA|HIP) (driver )?(error: )?out of memory|_STATUS_ALLOC_FAILED")
# Refused calls; if the GPU is lost, the next call says so.
_OF_A_CALL = "CUBLAS_|HIPBLAS_|invalid argument|invalid configuration|too many resources requested"
_BROKEN = re.compile(rf"\b(CUDA|HIP) (unknown error|(driver )?error: (?!{_OF_A_CALL}))")
_OF_A_KERNEL = re.compile(
    "device-side assert|illegal memory access|misaligned address|unspecified launch failure"
)
_UNFIT = re.compile(r"\b(CUDA|HIP) error: (no kernel image|invalid device function)")
_WORKER = re.compile(r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)")

_PASSING = {  # of a disk, a network share or a process; no fault of the file that is read
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
}


class EndedError(BaseException):
    """A signal asks for the end of this process; no clause for errors of a library takes it."""

    def __init__(self, number: int) -> None:
        """Store the ``number`` of the signal."""
        super().__init__(number)
        self.number = number


INTERRUPTIONS = (KeyboardInterrupt, EndedError)
"""Exceptions by which a user or a cluster ends a job."""


class KernelError(MachineError):
    """An invalid operation of a GPU kernel: its input may be the cause, or the GPU."""


def is_full(error: BaseException) -> bool:
    """Return whether ``error`` says that the memory of a GPU did not suffice."""
    return bool(_FULL.search(str(error)))


def advice(error: BaseException) -> str:
    """Return what to do, as a sentence, if a prompt alone did not fit into GPU memory, else ""."""
    if not is_full(error):
        return ""
    return (
        " This prompt was alone on the GPU. Next step: take a larger GPU or end other programs on "
        "it and repeat the masks (docs/clusters.md), or give the method options that need less, "
        "such as precision: bfloat16 if it has it (pambench methods show NAME)."
    )


def is_gpu_error(line: str) -> bool:
    """Return whether a line that a program printed reports a full or broken GPU."""
    return bool(_FULL.search(line) or _BROKEN.search(line))


def reason_for_scan(error: Exception) -> str:
    """Return why a scan is set aside after ``error``; raise it if it is a fault of the machine.

    The traceback of anything but a `UserError` is printed: libraries that read files raise
    exceptions of any type, and a fault of the project looks the same.
    """
    raise_if_disk_full(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in _PASSING:
        raise error
    if not isinstance(error, UserError):
        traceback.print_exception(error)
    return reason_of(error)


def raise_if_machine_error(error: BaseException, *, loading: bool = False) -> None:
    """Raise `MachineError` if ``error`` is one, or comes from a full disk or a broken GPU.

    `INTERRUPTIONS` are raised again.

    A killed process of a data loader counts too. After any CUDA error except out of memory, the GPU
    cannot be used in this process any more. Out of memory is a fault of the machine only while
    ``loading`` the model, when no prompt can be the cause; a training may be too large for any GPU
    here. Errors are recognised by their messages, because torch is not imported, and a program in
    another environment has nothing else.
    """
    if isinstance(error, INTERRUPTIONS):
        raise error
    raise_if_disk_full(error)
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if is_full(error):
        if loading:
            raise MachineError(
                f"The model does not fit into GPU memory ({text}). Likely cause: another program "
                "uses it, or the GPU is too small. Next step: end that program, or take a larger "
                "GPU or a smaller method, then run the same command again."
            ) from error
    elif _WORKER.search(str(error)):
        raise MachineError(
            f"A process that made batches was killed ({text}). Likely cause: too little memory, or "
            "too little shared memory (/dev/shm). Completed work is kept. Next step: give "
            "the job more memory or fewer workers, then run the same command again."
        ) from error
    elif _UNFIT.search(str(error)):
        raise MachineError(
            f"The installed build of torch does not support the GPU here ({text}). Next step: "
            "install one that does (pytorch.org lists them), or hide the GPU to compute on the CPU "
            "(export CUDA_VISIBLE_DEVICES=), then run the same command again."
        ) from error
    elif _BROKEN.search(str(error)):
        kind = KernelError if _OF_A_KERNEL.search(str(error)) else MachineError
        raise kind(
            f"The GPU failed, and this process cannot use it any more ({text}). Nothing that was "
            "done is lost: run the same command again. If it fails again on the same shard, the "
            "method is at fault: fix it, or leave it out."
        ) from error
