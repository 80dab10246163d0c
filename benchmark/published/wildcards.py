"""Files and folders by a pattern of their paths, through the links that a fetch lays out."""

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path


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


def _names_like(folder: Path, pattern: str) -> list[str]:
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    names = [entry.name for entry in _entries(folder) if fnmatchcase(entry.name, literal)]
    return [name for name in names if name.startswith(".") == pattern.startswith(".")]


def _folders(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """The folder and all below it, but none inside itself, where a link leads back up."""
    if not folder.is_dir():
        return
    stat = folder.stat()
    here = (stat.st_dev, stat.st_ino)
    if here in above:
        return
    yield folder
    for entry in _entries(folder):
        # a link to itself is no folder: entry.is_dir() would raise for it
        is_folder = Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()
        if is_folder and not entry.name.startswith("."):
            yield from _folders(folder / entry.name, above | {here})


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder; nothing where it is none, or must not be read."""
    if folder.is_dir():
        with suppress(PermissionError), os.scandir(folder) as entries:
            return list(entries)
    return []
