"""Parquet tables, written atomically, with a declared schema and the run record inside.

The metadata of each file has a checksum over the whole file. Parquet's own checksums cover pages,
not the names and offsets of columns: one in forty flipped bits would read as another table.
"""

import json
import mmap
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import UserError
from benchmark.storage.files import atomic, recovery_hint
from benchmark.storage.record import run_record

_RECORD = b"pambench"
_SEAL = b"pambench-crc32:"
_UNSEALED = _SEAL + b"0" * 8
_GROUP = 1 << 17
"""Rows per row group."""
_BLOCK = 1 << 20
"""Bytes per step of the checksum."""

Rows: TypeAlias = Iterable[Mapping[str, Any]] | pd.DataFrame | pa.Table


def write_table(
    rows: Rows, schema: pa.Schema, path: Path, *, facts: Mapping[str, Any] | None = None
) -> None:
    """Write ``rows`` under ``schema``: missing values are null, an unknown column is a ValueError.

    The file's metadata holds the run record, extended by ``facts`` of the stage.
    """
    table = _arrow(rows, schema, path)
    with table_of_parts(schema, path, facts=facts) as add:
        add(table)


@contextmanager
def table_of_parts(
    schema: pa.Schema, path: Path, *, facts: Mapping[str, Any] | None = None
) -> Iterator[Callable[[Rows], None]]:
    """Write a table in parts, as `write_table` does; yield the function that adds one.

    Memory does not grow with the table: parts are joined to row groups and written.
    """
    record = json.dumps({**run_record(), **(facts or {})}, sort_keys=True).encode()
    held: list[pa.Table] = []
    about = {_RECORD: record, b"checksum": _UNSEALED}
    with atomic(path) as temporary:
        with pq.ParquetWriter(temporary, schema.with_metadata(about)) as writer:

            def add(rows: Rows) -> None:
                held.append(_arrow(rows, schema, path).replace_schema_metadata(about))
                if sum(len(part) for part in held) >= _GROUP:
                    flush()

            def flush() -> None:
                writer.write_table(pa.concat_tables(held))
                held.clear()

            yield add
            if held:
                flush()
        _seal(temporary)


def _arrow(rows: Rows, schema: pa.Schema, path: Path) -> pa.Table:
    listed = rows if isinstance(rows, pd.DataFrame | pa.Table) else list(rows)
    if isinstance(listed, pa.Table):
        named = set(listed.column_names)
    else:
        keyed = listed if isinstance(listed, pd.DataFrame) else {k for row in listed for k in row}
        named = {str(name) for name in keyed}
    if extra := named - set(schema.names):
        raise ValueError(f"columns {sorted(extra)} are not in the schema of {path.name}")
    if isinstance(listed, pa.Table):
        columns = [
            listed[field.name].cast(field.type)
            if field.name in named
            else pa.nulls(len(listed), field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)
    if isinstance(listed, pd.DataFrame):
        whole = listed.reindex(columns=schema.names)
        return pa.Table.from_pandas(whole, schema=schema, preserve_index=False)
    return pa.Table.from_pylist(listed, schema=schema)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write ``table`` as csv without its index."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table: one file, or a folder of shards in the order of their numbers."""
    frame: pd.DataFrame = read_arrow(path, columns).to_pandas()
    return frame


def read_arrow(
    path: Path, columns: list[str] | None = None, filters: list[tuple[str, str, Any]] | None = None
) -> pa.Table:
    """Read a table as `pyarrow.Table`, from a file or a folder of shards.

    ``columns``: only these, as far as they exist; ``filters``: as in `pyarrow.parquet.read_table`.
    Raises `UserError` if a file is missing or damaged.
    """
    found = []
    for part in parts(path):
        with _opened(part) as file:
            found.append(pq.read_table(file, columns=columns, filters=filters))
    return pa.concat_tables(found)


def read_groups(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Yield a table that is one file in groups of rows."""
    with _opened(path) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_GROUP, columns=columns):
            yield pa.Table.from_batches([batch])


def column_names(path: Path) -> list[str]:
    """Return the column names of a table; for a folder of shards, those of the first."""
    return list(_schema(parts(path)[0]).names)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries."""
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return rows


def read_record(path: Path) -> dict[str, Any]:
    """Read the run record of the process that wrote ``path``."""
    metadata = _schema(path).metadata or {}
    return dict(json.loads(metadata.get(_RECORD, b"{}")))


def _schema(path: Path) -> pa.Schema:
    with _opened(path) as file:
        return pq.read_schema(file)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a table after verifying its checksum; raise `UserError` if it cannot be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(
            f"The table {path} cannot be read: {error.strerror}. Likely cause: the step that "
            "writes it has not been run."
        ) from None
    with file:
        try:
            _check(file)
            yield file
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"The table {path} cannot be read ({error}). {recovery_hint(path)}"
            ) from None


def _seal(path: Path) -> None:
    """Write the checksum of the file, computed with zeros in its place."""
    with path.open("r+b") as file:
        place = _place(file)
        checksum = _checksum(file, place)
        file.seek(place)
        file.write(checksum)


def _check(file: BinaryIO) -> None:
    """Verify the checksum of a file; a table of other origin has none."""
    place = _place(file)
    if place >= 0:
        file.seek(place)
        if file.read(8) != _checksum(file, place):
            raise OSError("it is not as it was written: the disk has damaged it")
    file.seek(0)


def _place(file: BinaryIO) -> int:
    """Return the offset of the checksum in a file; -1 if it has none."""
    if not file.seek(0, 2):
        return -1
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.rfind(_SEAL)
    return at + len(_SEAL) if at >= 0 else -1


def _checksum(file: BinaryIO, place: int) -> bytes:
    """Return the CRC-32 of a file, as hexadecimal digits, with zeros in place of its checksum."""
    file.seek(0)
    checksum, left = 0, place
    while left and (block := file.read(min(left, _BLOCK))):
        checksum, left = zlib.crc32(block, checksum), left - len(block)
    checksum = zlib.crc32(b"0" * 8, checksum)
    file.seek(place + 8)
    while block := file.read(_BLOCK):
        checksum = zlib.crc32(block, checksum)
    return b"%08x" % checksum


def forget_shards(folder: Path, count: int) -> None:
    """Delete the shards in a folder from number ``count`` on, left from when there were more."""
    for part in parts(folder):
        if int(part.stem) >= count:
            part.unlink(missing_ok=True)


def parts(path: Path) -> list[Path]:
    """Return the files of a table: itself, or the shards of a folder in order of their numbers.

    Raises `UserError` if a folder has none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"), key=lambda part: (len(part.name), part.name))
    if not found:
        raise UserError(f"The folder {path} holds no tables (*.parquet).")
    return found
