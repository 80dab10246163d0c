"""Download one file over HTTP, checked and atomic; concurrent processes share one transfer."""

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
    """Download ``url`` to ``target``, complete and checked, and return ``target``.

    ``size`` in bytes and ``hashes`` (see `Expected`) are the published ones; what is not given is
    not checked. An existing ``target`` that matches is kept. ``target`` exists only once it is
    complete; until then the data are in ``.<name>.part`` beside it, and a later call resumes them.
    If another process is downloading the same file, the call waits for it. ``headers`` are sent,
    but never written or shown. ``quiet`` hides the progress bar.

    Raises `DownloadError` if the file cannot be downloaded or is not the expected one.
    """
    import requests

    expected = Expected(size, hashes or {})
    with locked(target):
        if already_there(target, expected):
            return target
        with nullcontext(session) if session else requests.Session() as opened:
            kept = patience or Patience()
            Transfer(url, target, expected, headers or {}, opened, kept, quiet).run()
    return target


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the inter-process lock of ``path``; print a message if it has to wait."""
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
