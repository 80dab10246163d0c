"""HTTP transfer of one file: resumed after interruptions, checked, moved into place at the end."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.machine.progress import byte_bar
from benchmark.sources.answers import (
    TIMEOUT,
    check_status,
    host_of,
    is_page,
    shown,
    with_download_errors,
)
from benchmark.sources.checks import Expected, give_receipt
from benchmark.sources.patience import DownloadError, InterruptedDownloadError, Patience
from benchmark.storage.files import read_json, write_json

if TYPE_CHECKING:
    from requests import Response, Session

_BLOCK = 1 << 20
_PART = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_SUFFIX_OF_TYPE = {"application/json": "json", "application/xml": "xml", "text/xml": "xml"}
_HEADERS = {"User-Agent": "pambench (segmentation benchmark)", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Transfer:
    """Transfer of one file; partial data and the server's version tag lie beside the target."""

    url: str
    target: Path
    expected: Expected
    headers: Mapping[str, str]
    session: "Session"
    patience: Patience
    quiet: bool = False

    @property
    def part(self) -> Path:
        """File of the data received so far."""
        return self.target.parent / f".{self.target.name}.part"

    @property
    def mark(self) -> Path:
        """File of the server's version tag for the partial data."""
        return self.target.parent / f".{self.target.name}.part.json"

    @property
    def done(self) -> int:
        """Number of bytes received so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def run(self) -> None:
        """Transfer, check and place the file; if resumed data fail the check, start over once.

        Raises `DownloadError`.
        """
        for resumed in (self.done > 0, False):
            self.patience.retry(self.target.name, self._once, lambda: self.done)
            difference, hashes = self.expected.check(self.part)
            if difference is None:
                return self._place(hashes)
            self._discard()
            if not resumed:
                break
            print(f"{self.target.name}: {difference}; starting over", file=sys.stderr)
        raise DownloadError(
            f"{self.target.name} from {shown(self.url)} is not the published file: {difference}. "
            "It was deleted. The transfer was damaged (run again), or another version is served "
            "now (then check the page of the data, and correct the entry)."
        )

    def _place(self, hashes: Mapping[str, str]) -> None:
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        give_receipt(self.part, self.target, hashes)
        self.part.replace(self.target)
        self.mark.unlink(missing_ok=True)

    def _once(self) -> None:
        if self.expected.size is not None and self.done >= self.expected.size:
            return  # complete, or too long, which the check detects
        with_download_errors(self.url, self._request)

    def _request(self) -> None:
        headers = {**_HEADERS, **self.headers, **self._resume_headers()}
        answer = self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT)
        with closing(answer):
            if answer.status_code == 416:  # range not satisfiable: complete, or another file
                if answer.headers.get("Content-Range") == f"bytes */{self.done}":
                    return
                self._discard()
                raise InterruptedDownloadError(f"{host_of(self.url)} has a different file now")
            check_status(answer, self.url)
            self._check_type(answer.headers.get("Content-Type", ""))
            total = self._begin(answer)
            self._check_total(total)
            self._receive(answer, total)

    def _check_type(self, content_type: str) -> None:
        """Raise `DownloadError` for a page, or for the error of a service in place of the file."""
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "text/html":
            self._refuse_page()
        suffix = _SUFFIX_OF_TYPE.get(kind, "")
        if not self.expected.hashes and not self.target.name.lower().endswith(suffix):
            raise DownloadError(
                f"{shown(self.url)} answered with {kind} instead of {self.target.name}, most "
                "likely an error of the service. Open the address in a browser to see which."
            )

    def _resume_headers(self) -> dict[str, str]:
        """Return headers that request the rest of the file.

        They are empty if neither a version tag nor a hash could reveal that the file has changed.
        """
        mark: dict[str, str] = {}
        with suppress(UserError):  # missing or unreadable: no version is known
            mark = read_json(self.mark)
        if not self.done or not (mark or self.expected.hashes):
            return {}
        return {"Range": f"bytes={self.done}-", **mark}

    def _begin(self, answer: "Response") -> int | None:
        """Keep the partial data if the response continues them, else drop them.

        Returns the total size in bytes, None if the server does not give it.
        """
        length = answer.headers.get("Content-Length", "")
        start, total = 0, int(length) if length.isdigit() else None
        if answer.status_code == 206:
            served = _PART.fullmatch(answer.headers.get("Content-Range", ""))
            start = int(served[1]) if served else -1
            total = int(served[2]) if served and served[2] != "*" else None
        if start != self.done:
            self._discard()
            if start:
                raise InterruptedDownloadError(
                    f"{host_of(self.url)} sent a different part than requested"
                )
        strong = answer.headers.get("ETag", "W/")
        version = answer.headers.get("Last-Modified") if strong.startswith("W/") else strong
        if version:
            write_json(self.mark, {"If-Range": version})
        return total

    def _check_total(self, total: int | None) -> None:
        if total is None:
            return
        if self.expected.size is not None and total != self.expected.size:
            raise DownloadError(
                f"{shown(self.url)} has {total:,} bytes, but {self.expected.size:,} were published:"
                " another version, or a web page. Nothing was downloaded."
            )
        free, needed = shutil.disk_usage(self.target.parent).free, total - self.done
        if free < needed:
            raise DownloadError(
                f"{self.target.name} needs {needed:,} more bytes, but only {free:,} are free in "
                f"{self.target.parent}. Make room, or put a link to a larger disk in its place, "
                "then run again."
            )

    def _receive(self, answer: "Response", total: int | None) -> None:
        begun, came = self.patience.clock(), 0
        bar = byte_bar(self.target.name, total, self.done, quiet=self.quiet)
        with self.part.open("ab") as file, closing(bar):
            # read1 returns what is available, so a slow server is noticed before a block is full
            while block := answer.raw.read1(_BLOCK):
                if not file.tell() and is_page(block):
                    self._refuse_page()
                file.write(block)
                bar.update(len(block))
                came += len(block)
                passed = self.patience.clock() - begun
                if passed >= self.patience.window:
                    if came < self.patience.slowest * passed:
                        raise InterruptedDownloadError(f"{host_of(self.url)} is too slow")
                    begun, came = self.patience.clock(), 0
        chunked = answer.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if total is None and not chunked and self.expected == Expected():
            print(
                f"{self.target.name}: {host_of(self.url)} does not give its size, so a "
                "transfer that broke off would go unnoticed. Check the file.",
                file=sys.stderr,
            )
        if total is not None and self.done < total:
            broken = f"{host_of(self.url)} broke off after {self.done:,} of {total:,} bytes"
            raise InterruptedDownloadError(broken)

    def _refuse_page(self) -> None:
        if self.target.suffix.lower() not in (".html", ".htm"):
            raise DownloadError(
                f"{shown(self.url)} answered with a web page instead of {self.target.name}: the "
                "file needs a login or a click, its quota is used up, or it has moved. Open the "
                "address in a browser to see which."
            )

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)
