"""Files at plain addresses: https, http and public S3 buckets."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from benchmark.sources.answers import host_of
from benchmark.sources.fetched import FetchedSource
from benchmark.sources.files import File
from benchmark.sources.raw_folder import FetchedFile, RawFolder
from benchmark.sources.records import Published, download_all
from benchmark.storage.digest import digest


class HttpFile(File):
    """A file at ``url``, which starts with ``https://``, ``http://`` or ``s3://bucket/``.

    By default its name is the last part of the address.
    """

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


class HttpSource(FetchedSource):
    """Files, each at its own address."""

    tag: ClassVar = "http"
    kind: Literal["http"]
    files: tuple[HttpFile, ...] = Field(min_length=1)

    def gather(self, place: RawFolder) -> Iterator[FetchedFile]:
        """Download the files, each to a folder of its own, so that equal names do not collide."""
        for file in self.files:
            url = _over_http(file.url)
            store = f"http/{host_of(url)}/{digest(url)[:8]}"
            yield from download_all(place, store, [(file, Published(file.name, url))])


def _over_http(url: str) -> str:
    """Return the https address of an object in a public S3 bucket; others are unchanged."""
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return url
    if "." in parts.netloc:  # the wildcard certificate does not cover dots
        return f"https://s3.amazonaws.com/{parts.netloc}{parts.path}"
    return f"https://{parts.netloc}.s3.amazonaws.com{parts.path}"
