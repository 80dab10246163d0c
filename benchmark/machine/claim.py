"""Locks of outputs: of two jobs that would make the same file at once, the later one waits.

A workflow that was killed on a cluster leaves its jobs in the queue, and a rerun submits them
again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.disk import writing
from benchmark.errors import UserError


@contextmanager
def claim(output: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of ``output`` in the block; yield whether the output is still to be made.

    It is not if another process held the lock and has made the output meanwhile, which is printed.
    Without ``wait``, raise `UserError` if another process holds the lock. The kernel releases the
    lock when its holder ends, however it ends.
    """
    path = output.with_name(f".{output.name}.lock")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock, waited = _lock(path, wait)
    try:
        already_made = waited and output.exists()
        if already_made:
            print(f"{output} was made by another process in the meantime")
        yield not already_made
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _lock(path: Path, wait: bool) -> tuple[int, bool]:
    """Open and lock ``path``; return the descriptor, and whether another process held the lock."""
    waited = False
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                os.close(lock)
                raise UserError(
                    f"Another job is already making this output (lock: {path}); several "
                    "processes cannot wait for it together. Nothing was done. Next step: let that "
                    "job end, or end it, then run the same command again."
                ) from None
            waited = True
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(path, lock):
            return lock, waited
        os.close(lock)  # its holder deleted the file at the end: lock a new one


def _is_at(path: Path, lock: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False
