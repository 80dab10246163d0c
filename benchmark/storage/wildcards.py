"""Find files and folders by a path pattern, through the symbolic links that a fetch makes."""

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from benchmark.storage.walk import walk


def paths_like(root: Path, pattern: str) -> list[Path]:
    """Return the paths below ``root`` that fit ``pattern``, sorted.

    ``*`` stands for any text within a path component, and ``**`` as a component for any number of
    folders. Neither matches a leading dot, and no other character is special.
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
    """Return whether ``text`` fits ``pattern``, in which only ``*`` is special."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def _names_like(folder: Path, pattern: str) -> list[str]:
    names = [entry.name for entry in _entries(folder) if fits(entry.name, pattern)]
    return [name for name in names if name.startswith(".") == pattern.startswith(".")]


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folder and all folders below it, except hidden ones."""
    for place, folders, _ in walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield place


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder; none if it is not a folder or may not be read."""
    if folder.is_dir():
        with suppress(PermissionError), os.scandir(folder) as entries:
            return list(entries)
    return []
