"""Where a method computes: a GPU where it can use one and one is there, else the CPU."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmark.adapter import find
from benchmark.machine.gpu_lease import lease, visible


@contextmanager
def device(method: str, purpose: str, options: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Give ``cuda`` or ``cpu``, with a GPU of this process's own in the first case.

    torch is imported only for a method that can use a GPU, and after its GPU was taken. One that
    is here and that torch cannot use is told of on standard error. A method that computes elsewhere
    has a torch of its own, or none: it gets any GPU that is visible. ``purpose``: what jobs that
    wait for the GPU are told; ``options``: of the method. Raises `UserError` when none became free.
    """
    needs = find(method)(options).needs
    if not needs.gpu:
        yield "cpu"
        return
    with lease(purpose):
        gpus = visible()
        if gpus and needs.elsewhere:
            yield "cuda"
            return
        import torch

        if torch.cuda.is_available():
            yield "cuda"
            return
        if gpus:
            print(
                f"A GPU is present, but torch {torch.__version__} cannot use it: {method} runs on "
                "the CPU. Install a build of torch for this machine's driver, see pytorch.org.",
                file=sys.stderr,
            )
        yield "cpu"


def facts(device: str) -> dict[str, Any]:
    """What the run record says of the device: its kind, and name and memory of a GPU torch sees."""
    if device == "cpu":
        return {"device": device}
    import torch

    if not torch.cuda.is_available():  # that of a method that computes elsewhere
        return {"device": device}
    gpu = torch.cuda.get_device_properties(0)
    return {"device": device, "gpu": gpu.name, "gpu_memory_gib": round(gpu.total_memory / 2**30, 1)}


def release_memory() -> None:
    """Give cached GPU memory back after a failure, so that a smaller batch can succeed."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
