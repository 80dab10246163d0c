"""The precision in which networks compute, with the same names for all methods."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Precision = Literal["float32", "tf32", "bfloat16"]


@contextmanager
def in_precision(precision: Precision, device: Any) -> Iterator[None]:
    """Return a context in which torch computes in ``precision`` on ``device``.

    ``device`` is a name or a ``torch.device``.

    - ``float32``: the same on any hardware, even if the environment enables TF32 for matrix
      products, as NVIDIA's containers do.
    - ``tf32``: torch's default. Convolutions on GPUs from Ampere on keep ten bits of the mantissa
      of their inputs: faster, but masks then depend on the GPU. On other devices it is float32.
    - ``bfloat16``: mixed precision.
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


def default_precision(device: str) -> Precision:
    """Return the default precision of a method whose masks hardly depend on it."""
    return "float32" if device == "cpu" else "bfloat16"
