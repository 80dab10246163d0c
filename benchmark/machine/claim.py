"""Locks of outputs: of two jobs that would make the same file at once, the later one waits.

A workflow that was killed on a cluster leaves its jobs in the queue, and a rerun submits them
again, maybe after a change of their inputs.
"""

import errno
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import UserError
from benchmark.machine.own_lock import held
from benchmark.storage.digest import digest
from benchmark.storage.disk import writing

_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""Errors of a file system that knows no locks, such as Lustre mounted without ``-o flock``."""


@contextmanager
def claim(
    output: Path, inputs: Iterable[Path | str | None], *, wait: bool = True
) -> Iterator[bool]:
    """Hold the lock of ``output`` in the block; yield whether the output is still to be made.

    It is not if another process held the lock and has made the output meanwhile from the same
    ``inputs`` (see `state_of`), which is printed.

    Without ``wait``, raise `UserError` if another process holds the lock. The kernel releases the
    lock when its holder ends, however it ends. On a disk without locks, nothing is locked, which is
    reported on standard error.
    """
    path = output.with_name(f".{output.name}.lock")
    mine = state_of(inputs).encode()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock, other = _lock(path, wait)
        if lock is not None:
            os.ftruncate(lock, 0)
            os.pwrite(lock, mine, 0)
    with held(lock):
        try:
            already_made = other == mine and output.exists()
            if already_made:
                print(f"{output} was made by another process in the meantime")
            yield not already_made
        finally:
            if lock is not None:
                path.unlink(missing_ok=True)


def state_of(inputs: Iterable[Path | str | None]) -> str:
    """Return a digest of the times and sizes of ``inputs``, as Snakemake compares them.

    An input that is a folder stands for all tables below it, a text for itself, None for nothing.
    """
    given = list(inputs)
    found: list[object] = [one for one in given if isinstance(one, str)]
    for path in (one for one in given if isinstance(one, Path)):
        for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
            if file.is_file():
                state = file.stat()
                found.append((str(file), state.st_mtime_ns, state.st_size))
    return digest(found)


def _lock(path: Path, wait: bool) -> tuple[int | None, bytes | None]:
    """Open and lock ``path``; return the descriptor, and what a holder that ended wrote into it.

    The descriptor is None on a disk without locks.
    """
    other = None
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
            print(f"waiting for another job that makes this output (lock: {path})", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
            other = os.pread(lock, 1000, 0)
        except OSError as error:
            os.close(lock)
            if error.errno not in _WITHOUT_LOCKS:
                raise
            path.unlink(missing_ok=True)
            print(
                f"The disk of {path.parent} has no locks ({error.strerror}): nothing keeps two "
                "jobs from making the same file, so cancel the jobs of a killed workflow before "
                "a rerun, see docs/clusters.md.",
                file=sys.stderr,
            )
            return None, None
        if _is_at(path, lock):
            return lock, other
        os.close(lock)  # its holder deleted the file at the end: lock a new one


def _is_at(path: Path, lock: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False
