"""Description of a published file in an entry: name, expected hashes, destination."""

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from benchmark.settings import Settings
from benchmark.sources.checks import Expected

WILDCARDS = re.compile(r"[*?\[]")
SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
"""Suffixes of archives, which are unpacked unless the entry says otherwise."""


def below(value: str) -> str:
    """Return ``value`` as a relative path that stays below its folder; `ValueError` otherwise."""
    path = PurePosixPath(value)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError("must be a path below a folder: not empty, not absolute, no '..', no '\\'")
    return path.as_posix()


Below = Annotated[str, AfterValidator(below)]
"""A relative path that stays below its folder."""


def _hexadecimal(digits: int) -> str:
    return rf"^[0-9a-f]{{{digits}}}$"


class Checked(Settings):
    """Published hashes and ``size`` (bytes) of a file; None where not known, never guessed."""

    sha256: str | None = Field(default=None, pattern=_hexadecimal(64))
    md5: str | None = Field(default=None, pattern=_hexadecimal(32))
    size: int | None = Field(default=None, ge=1)

    @property
    def hashes(self) -> dict[str, str]:
        """The published hashes by algorithm."""
        known = {"sha256": self.sha256, "md5": self.md5}
        return {name: value for name, value in known.items() if value}

    @property
    def expected(self) -> Expected:
        """The published properties that the file is compared with."""
        return Expected(self.size, self.hashes)


class File(Checked):
    """A file of a source or, with wildcards in ``name``, all files that match.

    ``count`` is the number of files that match. ``unpack`` tells whether it is an archive to
    unpack; None decides by the suffix. ``members`` are patterns of the members to unpack (default:
    all). ``holds`` gives, for patterns of names, how many members match: the check of an archive
    that its server packs again on each request, so that hash and size change. ``into`` is the
    folder, below that of the dataset, for the file or the contents of the archive. ``password`` is
    the password that the owners of the archive publish, ``password_variable`` the environment
    variable that holds one given to a person.
    """

    name: Below
    count: int | None = Field(default=None, ge=1)
    unpack: bool | None = None
    members: tuple[str, ...] = ()
    holds: dict[str, int] = {}
    into: Below | None = None
    password: str | None = None
    password_variable: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")

    @property
    def many(self) -> bool:
        """Whether the name contains wildcards."""
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
    """Return whether a file of this name is treated as an archive."""
    return name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """Return the name of an archive without its archive suffix."""
    longest = max((s for s in SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(longest)]
