"""In what precision networks compute: one word for it with all methods."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Precision = Literal["float32", "tf32", "bfloat16"]


@contextmanager
def in_precision(precision: Precision, device: Any) -> Iterator[None]:
    """Context in which torch computes on ``device`` (its name, or a ``torch.device``).

    ``float32``: the same on any hardware, also where the environment lets matrices be multiplied
    in tf32, as in NVIDIA's containers. ``tf32``: what torch does unless told otherwise; the
    convolutions of GPUs from Ampere on keep ten bits of what they read, faster, so that a mask
    depends on the GPU. Elsewhere it is float32. ``bfloat16``: mixed precision.
    """
    import torch

    cudnn = torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, precision != "float32"
    products = torch.get_float32_matmul_precision()
    if precision == "float32":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(
            torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"
        ):
            yield
    finally:
        cudnn.allow_tf32 = before
        torch.set_float32_matmul_precision(products)


def fastest(device: str) -> Precision:
    """Precision that a method takes where a study names none and its masks hardly depend on it."""
    return "float32" if device == "cpu" else "bfloat16"
