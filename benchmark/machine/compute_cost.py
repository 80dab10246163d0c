"""Costs of a method other than time: parameters, operations and memory, as torch counts them.

This module does not import torch first: if the method has not imported it, there is nothing to
count.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_DEPTH = 4
_STATUS = Path("/proc/self/status")


def parameters(method: object) -> int | None:
    """Count the parameters of all torch modules that ``method`` holds, each once; None if none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    found = {id(p): p.numel() for m in _modules(method, torch, _DEPTH) for p in m.parameters()}
    return sum(found.values()) or None


def flops(work: Callable[[], object]) -> int | None:
    """Count the floating-point operations of torch in ``work``; None if there are none.

    A multiplication and an addition are two operations, as in torch's own counter; operations that
    it does not know, such as elementwise ones, are not counted.
    """
    if "torch" not in sys.modules:
        return None
    from torch import ops
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(*shapes: Any, **_: Any) -> int:  # of queries, keys, values and further arguments
        count = sdpa_flop_count(*shapes[:3])  # type: ignore[no-untyped-call]
        return int(count)

    # torch counts attention by kernel, and its counter lacks the kernel of the CPU.
    unknown = {ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=unknown) as counter:
        work()
    return int(counter.get_total_flops()) or None


def peak_memory_mb() -> float:
    """Return the peak memory of this process so far, in MiB.

    On Linux it is read from /proc: ``ru_maxrss`` starts from the peak of the parent, such as
    Snakemake.
    """
    if _STATUS.exists():
        fields = dict(
            line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines()
        )
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def peak_gpu_mb(device: str) -> float | None:
    """Return the peak of GPU memory that torch has allocated, in MiB; None if there is none."""
    torch = sys.modules.get("torch")
    held = torch.cuda.max_memory_allocated() if torch and device != "cpu" else 0
    return held / 2**20 if held else None


def _modules(thing: object, torch: Any, depth: int) -> list[Any]:
    if isinstance(thing, torch.nn.Module):
        return [thing]
    if depth == 0:
        return []
    inner = list(thing.values()) if isinstance(thing, dict) else []
    inner += list(thing) if isinstance(thing, list | tuple) else []
    inner += list(getattr(thing, "__dict__", {}).values())
    return [module for part in inner for module in _modules(part, torch, depth - 1)]
