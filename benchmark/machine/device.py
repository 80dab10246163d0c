"""The device of a method: a GPU if it can use one and there is one, else the CPU."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from benchmark.machine.gpu_lease import lease, lease_unlisted, visible
from benchmark.methods.registry import find


@contextmanager
def device(method: str, purpose: str, options: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield ``cuda``, with a GPU that this process alone uses, or ``cpu``.

    torch is imported only for a method that can use a GPU, and only after the GPU was reserved. A
    GPU that torch cannot use is reported on standard error. A method that computes in another
    process has its own torch, or none, and gets any visible GPU.

    ``purpose``: shown to jobs that wait for the GPU; ``options``: of the method. Raises `UserError`
    if no GPU became free in time.
    """
    adapter = find(method)(options)
    if not adapter.resources.gpus:
        yield "cpu"
        return
    with lease(purpose):
        gpus = visible()
        if gpus and adapter.info.out_of_process:
            yield "cuda"
            return
        import torch

        if torch.cuda.is_available():
            count = torch.cuda.device_count()
            with nullcontext() if gpus else lease_unlisted(purpose, count):
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
    """Return what the run record says of the device: its kind, and a GPU's name and memory."""
    if device == "cpu":
        return {"device": device}
    import torch

    if not torch.cuda.is_available():  # the method computes in another process
        return {"device": device}
    gpu = torch.cuda.get_device_properties(0)
    return {"device": device, "gpu": gpu.name, "gpu_memory_gib": round(gpu.total_memory / 2**30, 1)}


def release_memory() -> None:
    """Release cached GPU memory after a failure, so that a smaller batch can succeed."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
