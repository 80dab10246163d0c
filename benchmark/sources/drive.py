"""Files that their owners share on Google Drive."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from benchmark.sources.files import File
from benchmark.sources.remote import Remote


class DriveFile(File):
    """``id``: that of the file in its address on Google Drive."""

    id: str = Field(pattern=r"^[\w-]{10,}$")

    @model_validator(mode="after")
    def _has_one_name(self) -> "DriveFile":
        if self.many:
            raise ValueError("a file on Google Drive has one name, without wildcards")
        return self


class DriveSource(Remote):
    """``files``: the files and their ids."""

    tag: ClassVar = "drive"
    kind: Literal["drive"]
    files: tuple[DriveFile, ...] = Field(min_length=1)
