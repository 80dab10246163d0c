"""How much passes a network at a time, as the memory of the GPU allows."""

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from benchmark.machine.device import release_memory
from benchmark.machine.machine_errors import is_full

T = TypeVar("T")
R = TypeVar("R")


class Batch:
    """A number of items, such as slices, that is halved when a pass does not fit into memory."""

    def __init__(self, size: int) -> None:
        """Raises ValueError for a ``size`` below 1."""
        if size < 1:
            raise ValueError(f"batch {size}; at least one item has to pass the network at a time")
        self.size = size

    @classmethod
    def of(cls, size: "int | Batch") -> "Batch":
        """Return ``size`` itself if it is a batch, so that the halving outlasts the call."""
        return size if isinstance(size, Batch) else cls(size)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Halve the size and go on after the block if a GPU is full, except at size 1."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not is_full(error):
                raise
            self.size //= 2
            traceback.clear_frames(error.__traceback__)  # they keep what the pass allocated
            release_memory()
            print(f"GPU memory did not suffice: now {self.size} at a time", file=sys.stderr)

    def over(self, items: Iterable[T], work: Callable[[list[T]], R]) -> Iterator[tuple[list[T], R]]:
        """Yield ``items`` in parts of at most the size, each with the result of ``work`` on it.

        Where ``work`` runs out of memory, it is repeated with the first half of the part.
        """
        source = iter(items)
        waiting: list[T] = []
        while waiting := waiting + list(islice(source, max(self.size - len(waiting), 0))):
            part, done = waiting[: self.size], []
            with self.attempt():
                done.append(work(part))
            if done:
                waiting = waiting[len(part) :]
                yield part, done.pop()  # not kept here while the next part is worked on


class Batches(dict[int, Batch]):
    """The batches of a loaded method by the size that its options ask for: variants share them."""

    def __missing__(self, size: int) -> Batch:
        """Begin with the size itself."""
        self[size] = Batch(size)
        return self[size]
