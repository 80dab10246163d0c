"""Files at plain addresses: https, http, and public S3 buckets."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from benchmark.digest import digest
from benchmark.sources.answers import host_of
from benchmark.sources.fetched import Fetched
from benchmark.sources.files import File
from benchmark.sources.place import Got, Place
from benchmark.sources.records import Published, download_all


class HttpFile(File):
    """``url``: ``https://``, ``http://`` or ``s3://bucket/key``; it names the file by default."""

    url: str

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_address(cls, content: Any) -> Any:
        if isinstance(content, dict) and "name" not in content and "url" in content:
            last = PurePosixPath(unquote(urlsplit(str(content["url"])).path)).name
            return {**content, "name": last}
        return content

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http", "s3") or not parts.netloc or not parts.path:
            raise ValueError("must be an address that begins with https://, http:// or s3://")
        if "@" in parts.netloc:
            raise ValueError("must hold no user and no password")
        return value

    @model_validator(mode="after")
    def _has_one_name(self) -> "HttpFile":
        if self.many:
            raise ValueError("a file at an address has one name, without wildcards")
        return self


class HttpSource(Fetched):
    """``files``: the files and their addresses."""

    tag: ClassVar = "http"
    kind: Literal["http"]
    files: tuple[HttpFile, ...] = Field(min_length=1)

    def gather(self, place: Place) -> Iterator[Got]:
        """Download the files, those of an address below a folder of its own."""
        for file in self.files:
            url = _over_http(file.url)
            store = f"http/{host_of(url)}/{digest(url)[:8]}"
            yield from download_all(place, store, [(file, Published(file.name, url))])


def _over_http(url: str) -> str:
    """Address of an object of a public S3 bucket over https; others as they are."""
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return url
    if "." in parts.netloc:  # no certificate covers such a host name
        return f"https://s3.amazonaws.com/{parts.netloc}{parts.path}"
    return f"https://{parts.netloc}.s3.amazonaws.com{parts.path}"
