"""What an entry says of a published file: its name, how it is checked, and where it is put."""

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from benchmark.settings import Settings
from benchmark.sources.checks import Expected

WILDCARDS = re.compile(r"[*?\[]")
SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
"""Names of archives; they are unpacked unless the entry says otherwise."""


def below(value: str) -> str:
    """``value`` as a path that stays below the folder it starts from; `ValueError` otherwise."""
    path = PurePosixPath(value)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError("must be a path below a folder: not empty, not absolute, no '..', no '\\'")
    return path.as_posix()


Below = Annotated[str, AfterValidator(below)]
"""A relative path that stays below the folder it starts from."""


def _hexadecimal(digits: int) -> str:
    return rf"^[0-9a-f]{{{digits}}}$"


class Checked(Settings):
    """What is published of a file, for its check; null where it is not known, never guessed.

    ``size`` in bytes.
    """

    sha256: str | None = Field(default=None, pattern=_hexadecimal(64))
    md5: str | None = Field(default=None, pattern=_hexadecimal(32))
    size: int | None = Field(default=None, ge=1)

    @property
    def hashes(self) -> dict[str, str]:
        """The published hashes by the name of their algorithm."""
        known = {"sha256": self.sha256, "md5": self.md5}
        return {name: value for name, value in known.items() if value}

    @property
    def expected(self) -> Expected:
        """What a file is compared with."""
        return Expected(self.size, self.hashes)


class File(Checked):
    """A file of a source, or with wildcards in ``name`` all that match.

    ``count``: how many files match the name. ``unpack``: null unpacks what is named like an
    archive. ``members``: patterns of the members that are unpacked, all where there is none.
    ``into``: folder below the dataset's, for the file or for what the archive holds. ``password``:
    of the archive, as its owners publish it; ``password_variable``: or the environment variable
    that holds the one a person was given.
    """

    name: Below
    count: int | None = Field(default=None, ge=1)
    unpack: bool | None = None
    members: tuple[str, ...] = ()
    into: Below | None = None
    password: str | None = None
    password_variable: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")

    @property
    def many(self) -> bool:
        """Whether the name holds wildcards."""
        return bool(WILDCARDS.search(self.name))

    @model_validator(mode="after")
    def _of_one_file(self) -> "File":
        if self.many and (self.hashes or self.size):
            raise ValueError("a hash and a size belong to one file, but the name holds wildcards")
        if self.count and not self.many:
            raise ValueError("count is for a name with wildcards")
        if self.password and self.password_variable:
            raise ValueError("give password or password_variable, not both")
        return self


def is_archive(name: str) -> bool:
    """Whether a file of this name is taken for an archive."""
    return name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """Name of an archive without what makes it one."""
    longest = max((s for s in SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(longest)]
