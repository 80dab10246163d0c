"""All that lies below a folder, through links, with an end where a link leads back up."""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Give each folder from ``root`` on, the names of the folders and of the files in it.

    As `os.walk` from the top down, where the names of folders may be sorted or taken out, but into
    no folder that is inside itself. Links are followed; what must not be read is passed over.
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
