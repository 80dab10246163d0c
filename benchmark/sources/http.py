"""Files at plain addresses: https, http, and public S3 buckets."""

from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


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


class HttpSource(Remote):
    """``files``: the files and their addresses."""

    tag: ClassVar = "http"
    kind: Literal["http"]
    files: tuple[HttpFile, ...] = Field(min_length=1)
