"""Inventory of fetched files, for checking them later without a network."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.machine.progress import progress
from benchmark.sources.archives import marker
from benchmark.sources.checks import hashes_of, sha256_of
from benchmark.sources.raw_folder import FetchedFile, RawFolder, is_unpacked, unpacked_to
from benchmark.sources.tree import relative
from benchmark.storage.files import read_json, write_json


def write(place: RawFolder, gathered: Iterable[FetchedFile]) -> None:
    """Record each file or folder: size, hash and, for an archive, how much was unpacked."""
    rows = []
    for got in gathered:
        row: dict[str, Any] = {"name": got.name, "path": relative(got.path, place.raw)}
        if got.path.is_dir():
            row["files"], row["bytes"] = _count(got.path)
        elif got.path.exists():
            row["bytes"] = got.path.stat().st_size
        made = marker(unpacked_to(got)) if is_unpacked(got) and not got.path.is_dir() else None
        if made is not None:
            opened = relative(unpacked_to(got), place.raw)
            row |= {"sha256": made["sha256"], "unpacked": opened}
        elif not got.path.is_dir():
            row["sha256"] = sha256_of(got.path)
        rows.append(row)
    write_json(_inventory(place), rows)


def read(place: RawFolder) -> list[dict[str, Any]]:
    """Return the recorded rows; empty before the first fetch."""
    return list(read_json(_inventory(place))) if _inventory(place).is_file() else []


def verify(place: RawFolder) -> tuple[int, list[str]]:
    """Read all files again; return the number of records and a list of what is wrong.

    Raises `UserError` where nothing was fetched.
    """
    if not _inventory(place).is_file():
        raise UserError(f"{place.raw}: nothing was fetched yet. Fetch it first.")
    rows = read_json(_inventory(place))

    def read(path: Path) -> str:
        return hashes_of(path, ["sha256"])["sha256"]

    wrong = [
        problem for row in progress(rows, "verify", "file") for problem in _wrong(place, row, read)
    ]
    if not place.links_are_intact:
        wrong.append(f"links below {place.files} lead nowhere: fetch again")
    return len(rows), wrong


def is_unchanged(place: RawFolder) -> bool:
    """Return whether all files are as recorded; those with a valid receipt are not read again."""
    if not _inventory(place).is_file():
        return False
    rows = read_json(_inventory(place))
    return not any(problem for row in rows for problem in _wrong(place, row, sha256_of))


def _wrong(place: RawFolder, row: dict[str, Any], read: Callable[[Path], str]) -> Iterator[str]:
    path = place.raw / row["path"]
    opened = place.raw / row["unpacked"] if "unpacked" in row else None
    if path.is_dir():
        if _count(path) != (row["files"], row["bytes"]):
            yield f"{row['name']}: its files are not those that were fetched"
    elif path.is_file():
        if read(path) != row["sha256"]:
            yield f"{row['name']}: its content is not what was fetched"
    elif opened is None:  # an archive may be deleted once it is unpacked
        yield f"{row['name']}: missing"
    if opened is not None:
        made = marker(opened)
        if made is None or _count(opened) != (made["files"], made["bytes"]):
            yield f"{row['name']}: what was unpacked of it has changed"


def _count(folder: Path) -> tuple[int, int]:
    """Return number and total bytes of the files below a folder."""
    walked = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    sizes = [path.stat().st_size for path in walked]
    return len(sizes), sum(sizes)


def _inventory(place: RawFolder) -> Path:
    return place.raw / "inventory.json"
