"""Walk through a folder and its links, without endless loops."""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder from ``root`` down, with the names of its folders and its files.

    Like `os.walk` from the top down, including that folder names may be sorted or removed in place.
    Links are followed, except into a folder that contains itself. Unreadable folders are skipped.
    """
    above: dict[Path, frozenset[tuple[int, int]]] = {root: frozenset()}
    for place, folders, names in os.walk(root, followlinks=True):
        folder = Path(place)
        stat, outer = folder.stat(), above.pop(folder)
        here = (stat.st_dev, stat.st_ino)
        if here in outer:
            folders.clear()
            continue
        yield folder, folders, names
        above |= {folder / name: outer | {here} for name in folders}
