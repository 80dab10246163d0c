"""Where a method computes: a GPU where it can use one and one is there, else the CPU."""

from benchmark.adapter import find


def device(method: str) -> str:
    """Return ``cuda`` or ``cpu``; torch is imported only for a method that can use a GPU."""
    if not find(method).info.gpu:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
