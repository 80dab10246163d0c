"""Check how an adapter uses memory and time, on one synthetic scan."""

import gc
import sys
import weakref
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from benchmark.adapter import Adapter
from benchmark.conformance.scenes import Scene
from benchmark.machine.machine_errors import INTERRUPTIONS, METHOD_ERRORS
from benchmark.prompts import Prompt
from benchmark.volume import Volume


def memory_runs_out(adapter: Adapter, scene: Scene, prompts: Sequence[Prompt]) -> str | None:
    """Return what is wrong if memory runs out while the adapter reads the image, or None.

    The adapter may raise or yield failures, which both end up in the tables. A mask would be taken
    for a prediction.
    """
    _Full.used = False
    full = scene.volume.array.view(_Full)
    scan = replace(scene.volume, array=full)
    try:
        given = list(adapter.segment(scan, prompts))
    except INTERRUPTIONS:
        raise
    except METHOD_ERRORS:  # a library may wrap the error
        return None
    if _Full.used and any(prediction.mask is not None for prediction in given):
        return (
            "Expected an exception or failures where memory runs out; got a mask. Next step: do "
            "not catch MemoryError, or yield Prediction(failure=...)."
        )
    return None


def memory_is_released(adapter: Adapter, scene: Scene, prompts: Sequence[Prompt]) -> str | None:
    """Return what is wrong if the adapter keeps the image or ever more GPU memory, or None."""
    seen = []
    for _ in range(3):
        array = scene.volume.array.copy()
        array.flags.writeable = False
        held = weakref.ref(array)
        scan: Volume | None = replace(scene.volume, array=array)
        del array
        assert scan is not None
        list(adapter.segment(scan, prompts))
        scan = None
        gc.collect()
        if held() is not None:
            return (
                "Expected the image to be let go of once its objects are segmented; got one that "
                "is kept. Next step: keep no volume, array or view of it on self."
            )
        seen.append(_on_gpu())
    if seen[-1] > seen[-2] > seen[-3]:
        return (
            f"Expected the same memory of the GPU after each scan; got {seen} bytes. Next step: "
            "keep no tensors of a scan on self."
        )
    return None


def times(adapter: Adapter, scene: Scene, prompts: Sequence[Prompt], load_s: float) -> str:
    """Describe the time for loading, for all objects at once and for the objects one by one."""

    def seconds(chosen: Sequence[Prompt]) -> float:
        start = perf_counter()
        list(adapter.segment(scene.volume, chosen))
        return perf_counter() - start

    together = seconds(prompts)
    alone = [seconds([prompt]) for prompt in prompts]
    shape = " x ".join(map(str, scene.volume.shape))
    return (
        f"load {load_s:.2g} s; {shape} voxels: {len(prompts)} objects at once {together:.2g} s, "
        f"one by one {sum(alone):.2g} s"
    )


class _Full(np.ndarray[Any, Any]):
    """An array that raises `MemoryError` at any computation with it."""

    used = False

    def _run_out(self, *arguments: Any, **options: Any) -> Any:
        _Full.used = True
        raise MemoryError("out of memory, as a test")

    __array_ufunc__ = __array_function__ = astype = _run_out


def _on_gpu() -> int:
    """Return the bytes that torch has allocated on the GPU; 0 without torch or GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.memory_allocated())
