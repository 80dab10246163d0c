"""Articles of Figshare, with the hashes that it publishes."""

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class FigshareSource(Remote):
    """``article``: its number; ``version``: of the article; ``files``: which of its files."""

    tag: ClassVar = "figshare"
    kind: Literal["figshare"]
    article: int = Field(ge=1)
    version: int = Field(ge=1)
    files: tuple[File, ...] = Field(min_length=1)
