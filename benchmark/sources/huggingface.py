"""Repositories of Hugging Face at a pinned revision."""

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class HuggingFaceSource(Remote):
    """``repo``: ``owner/name``; ``revision``: a whole commit hash; ``files``: which of its files.

    A repository that asks for an account takes the token in the variable ``HF_TOKEN``.
    """

    tag: ClassVar = "huggingface"
    kind: Literal["huggingface"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    type: Literal["dataset", "model"] = "dataset"
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: tuple[File, ...] = Field(min_length=1)
