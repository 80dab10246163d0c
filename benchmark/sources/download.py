"""One file over HTTP, complete and checked; two processes that want it share one transfer."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.sources.checks import Expected, already_there
from benchmark.sources.patience import Patience
from benchmark.sources.transfer import Transfer

if TYPE_CHECKING:
    from requests import Session


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    hashes: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    session: "Session | None" = None,
    patience: Patience | None = None,
    quiet: bool = False,
) -> Path:
    """Download ``url`` to ``target``; return ``target``, which is then complete and checked.

    ``size`` in bytes and ``hashes`` (see `Expected`) are as published; what is not given is not
    checked. A ``target`` that is there and fits is left as it is. ``target``
    exists only once it is complete; until then the bytes lie beside it in ``.<name>.part``, and a
    later call goes on where the last one stopped. Two processes may ask for the same file: one
    waits for the other. ``headers`` are sent, and never written or shown.
    ``quiet`` shows no bar.

    Raises `DownloadError` when the file cannot be had, or is not the one that was expected.
    """
    import requests

    expected = Expected(size, hashes or {})
    with locked(target):
        if already_there(target, expected):
            return target
        with nullcontext(session) if session else requests.Session() as asking:
            kept = patience or Patience()
            Transfer(url, target, expected, headers or {}, asking, kept, quiet).run()
    return target


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of ``path`` among all processes; says so when it has to wait."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{path.name}: another job is downloading it; waiting", file=sys.stderr)
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()
