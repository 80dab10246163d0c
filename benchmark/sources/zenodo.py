"""Records of Zenodo, with the hashes that it publishes."""

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class ZenodoSource(Remote):
    """``record``: its number, that of one version; ``files``: which of its files."""

    tag: ClassVar = "zenodo"
    kind: Literal["zenodo"]
    record: int = Field(ge=1)
    files: tuple[File, ...] = Field(min_length=1)
