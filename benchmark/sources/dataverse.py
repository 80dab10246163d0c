"""Datasets of a Dataverse, with the hashes that it publishes."""

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class DataverseSource(Remote):
    """``server``: its host name; ``doi``: of the dataset; ``files``: which of its files.

    ``version``: such as ``1.0``; null takes the latest one, where the version is not known. The
    name of a file is its folder and its label, ``training/Utrecht/0/wmh.nii.gz``.
    """

    tag: ClassVar = "dataverse"
    kind: Literal["dataverse"]
    server: str = Field(pattern=r"^[a-z0-9.-]+$")
    doi: str = Field(pattern=r"^10\.\d+/\S+$")
    version: str | None = Field(default=None, pattern=r"^\d+\.\d+$")
    files: tuple[File, ...] = Field(min_length=1)
