"""How many slices pass a network at a time, as the memory of the GPU allows."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmark.machine.device import release_memory


class Batch:
    """A number of slices that is halved when a pass does not fit into memory."""

    def __init__(self, size: int) -> None:
        """Raises ValueError for a ``size`` below 1."""
        if size < 1:
            raise ValueError(f"batch {size}; at least one slice has to pass the network at a time")
        self.size = size

    @classmethod
    def of(cls, size: "int | Batch") -> "Batch":
        """Return ``size`` itself if it is a batch, so that the halving outlasts the call."""
        return size if isinstance(size, Batch) else cls(size)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Halve the size and go on after the block if it runs out of memory, except at size 1."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            if self.size == 1:
                raise
            self.size //= 2
            traceback.clear_frames(error.__traceback__)  # they keep what the pass allocated
            release_memory()
