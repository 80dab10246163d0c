"""Single files of a GitHub repository at a pinned commit."""

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class GitHubSource(Remote):
    """``repo``: ``owner/name``; ``commit``: a whole hash; ``files``: which of its files.

    Each file is checked against the hash under which git itself keeps it.
    """

    tag: ClassVar = "github"
    kind: Literal["github"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: tuple[File, ...] = Field(min_length=1)
