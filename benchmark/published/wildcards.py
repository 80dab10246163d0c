"""Files and folders by a pattern of their paths, through the links that a fetch lays out."""

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from benchmark.walk import walk


def paths_like(root: Path, pattern: str) -> list[Path]:
    """Paths below ``root`` that fit ``pattern``, sorted.

    ``*`` is any text within a name, ``**`` in the place of a name any folders or none; neither
    stands for the dot at the start of a name, and no other character is special.
    """
    found = [root]
    for part in pattern.split("/"):
        if part == "**":
            found = [below for folder in found for below in _folders(folder)]
        elif "*" in part:
            found = [folder / name for folder in found for name in _names_like(folder, part)]
        else:
            found = [folder / part for folder in found if os.access(folder / part, os.F_OK)]
    return sorted(set(found))


def fits(text: str, pattern: str) -> bool:
    """Whether ``*`` in ``pattern`` may stand for any text; no other character is special."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def _names_like(folder: Path, pattern: str) -> list[str]:
    names = [entry.name for entry in _entries(folder) if fits(entry.name, pattern)]
    return [name for name in names if name.startswith(".") == pattern.startswith(".")]


def _folders(folder: Path) -> Iterator[Path]:
    """The folder and all below it."""
    for place, folders, _ in walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield place


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder; nothing where it is none, or must not be read."""
    if folder.is_dir():
        with suppress(PermissionError), os.scandir(folder) as entries:
            return list(entries)
    return []
