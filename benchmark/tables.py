"""Parquet tables: written whole or not at all, with a declared schema and the run record inside.

Each has a checksum over the whole file, in its metadata. Parquet's own, over pages, guard neither
the names of columns nor their places: of single flipped bits, a fortieth would give other tables.
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
from benchmark.files import atomic, make_anew
from benchmark.record import run_record

_RECORD = b"pambench"
_SEAL = b"pambench-crc32:"
_UNSEALED = _SEAL + b"0" * 8
_GROUP = 1 << 17
"""Rows that a table is written in at a time."""
_BLOCK = 1 << 20
"""Bytes that a checksum is taken of at a time."""

Rows: TypeAlias = Iterable[Mapping[str, Any]] | pd.DataFrame | pa.Table


def write_table(
    rows: Rows, schema: pa.Schema, path: Path, *, facts: Mapping[str, Any] | None = None
) -> None:
    """Write ``rows`` under ``schema``: a missing value is null, an unknown column an error.

    The run record, with ``facts`` of the stage beside it, goes into the file's metadata.
    """
    table = _arrow(rows, schema, path)
    with table_of_parts(schema, path, facts=facts) as add:
        add(table)


@contextmanager
def table_of_parts(
    schema: pa.Schema, path: Path, *, facts: Mapping[str, Any] | None = None
) -> Iterator[Callable[[Rows], None]]:
    """Write a table as `write_table` does, by parts; gives the function that takes them.

    Memory does not grow with the table: parts are joined to groups of rows and written.
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


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table: one file, or a folder of shards in the order of their names."""
    frame: pd.DataFrame = read_arrow(path, columns).to_pandas()
    return frame


def read_arrow(
    path: Path, columns: list[str] | None = None, filters: list[tuple[str, str, Any]] | None = None
) -> pa.Table:
    """Read a table as pyarrow has it, of a file or a folder of shards.

    ``columns``: only these, as far as there are; ``filters``: as `pyarrow.parquet.read_table` takes
    them. Raises `UserError` where a file is missing or damaged.
    """
    return pa.concat_tables(_read(part, columns, filters) for part in parts(path))


def read_groups(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Read a table that is one file some rows at a time."""
    with _opened(path) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_GROUP, columns=columns):
            yield pa.Table.from_batches([batch])


def column_names(path: Path) -> list[str]:
    """Names of the columns of a table; of a folder of shards, those of its first."""
    return list(_read(parts(path)[0], None, None, schema=True).names)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a table as dictionaries."""
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return rows


def read_record(path: Path) -> dict[str, Any]:
    """Read the run record of the process that wrote ``path``."""
    metadata = _read(path, None, None, schema=True).metadata or {}
    return dict(json.loads(metadata.get(_RECORD, b"{}")))


def _read(path: Path, columns: Any, filters: Any, *, schema: bool = False) -> Any:
    with _opened(path) as file:
        if schema:
            return pq.read_schema(file)
        return pq.read_table(file, columns=columns, filters=filters)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a table whose checksum is right; tells what is wrong with one that cannot be read."""
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
                f"The table {path} cannot be read ({error}). {make_anew(path)}"
            ) from None


def _seal(path: Path) -> None:
    """Put the checksum of the file, taken while its place holds zeros, into its place."""
    with path.open("r+b") as file:
        place = _place(file)
        checksum = _checksum(file, place)
        file.seek(place)
        file.write(checksum)


def _check(file: BinaryIO) -> None:
    """Compare the checksum of a file with its content; a table of other origin has none."""
    place = _place(file)
    if place >= 0:
        file.seek(place)
        if file.read(8) != _checksum(file, place):
            raise OSError("it is not as it was written: the disk has damaged it")
    file.seek(0)


def _place(file: BinaryIO) -> int:
    """Where the checksum of a file begins; -1 without one."""
    if not file.seek(0, 2):
        return -1
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.rfind(_SEAL)
    return at + len(_SEAL) if at >= 0 else -1


def _checksum(file: BinaryIO, place: int) -> bytes:
    """Checksum of a file as if there were zeros at the place of its checksum."""
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
    """Delete what lies in a folder of shards from number ``count`` on: there were more before."""
    for part in parts(folder):
        if int(part.stem) >= count:
            part.unlink(missing_ok=True)


def parts(path: Path) -> list[Path]:
    """Files of a table: itself, or of a folder its shards, in the order of their names.

    Raises `UserError` where a folder has none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"), key=lambda part: (len(part.name), part.name))
    if not found:
        raise UserError(f"The folder {path} holds no tables (*.parquet).")
    return found
