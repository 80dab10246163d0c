"""Locks that processes forked by a method do not inherit.

A child that outlives a killed job, such as a worker of a process pool, would hold the job's lock,
and the next attempt would wait for it without end.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_held: set[int] = set()


@contextmanager
def held(lock: int | None) -> Iterator[None]:
    """Close the open file ``lock``, if any, at the end of the block, and in any forked child."""
    if lock is not None:
        _held.add(lock)
    try:
        yield
    finally:
        if lock in _held:  # not in a child
            _held.remove(lock)
            os.close(lock)


def _close_all() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_all)
