"""Where a method computes: a GPU where it can use one and one is there, else the CPU."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmark.adapter import find
from benchmark.machine.gpu_lease import lease, visible


@contextmanager
def device(method: str, purpose: str) -> Iterator[str]:
    """Give ``cuda`` or ``cpu``, with a GPU of this process's own in the first case.

    torch is imported only for a method that can use a GPU, and after its GPU was taken. One that
    is here and that torch cannot use is told of on standard error. ``purpose``: what jobs that wait
    for the GPU are told. Raises `UserError` when none became free.
    """
    if not find(method).info.gpu:
        yield "cpu"
        return
    with lease(purpose):
        import torch

        if torch.cuda.is_available():
            yield "cuda"
            return
        if visible():
            print(
                f"A GPU is present, but torch {torch.__version__} cannot use it: {method} runs on "
                "the CPU. Install a build of torch for this machine's driver, see pytorch.org.",
                file=sys.stderr,
            )
        yield "cpu"


def facts(device: str) -> dict[str, Any]:
    """What the run record says of the device: its kind, and the name and memory of a GPU."""
    if device == "cpu":
        return {"device": device}
    import torch

    gpu = torch.cuda.get_device_properties(0)
    return {"device": device, "gpu": gpu.name, "gpu_memory_gib": round(gpu.total_memory / 2**30, 1)}


def release_memory() -> None:
    """Give cached GPU memory back after a failure, so that a smaller batch can succeed."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
