"""Parquet tables: written whole or not at all, with a declared schema and the run record inside.

Each has a checksum over the whole file, in its metadata. Parquet's own, over pages, guard neither
the names of columns nor their places: of single flipped bits, a fortieth would give other tables.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import UserError
from benchmark.files import atomic, make_anew
from benchmark.record import run_record

_RECORD = b"pambench"
_SEAL = b"pambench-crc32:"
_UNSEALED = _SEAL + b"0" * 8


def write_table(
    rows: Iterable[Mapping[str, Any]] | pd.DataFrame,
    schema: pa.Schema,
    path: Path,
    *,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write ``rows`` under ``schema``: a missing value is null, an unknown column an error.

    The run record, with ``facts`` of the stage beside it, goes into the file's metadata.
    """
    listed = rows if isinstance(rows, pd.DataFrame) else list(rows)
    named = listed if isinstance(listed, pd.DataFrame) else {key for row in listed for key in row}
    if extra := {str(name) for name in named} - set(schema.names):
        raise ValueError(f"columns {sorted(extra)} are not in the schema of {path.name}")
    if isinstance(listed, pd.DataFrame):
        whole = listed.reindex(columns=schema.names)
        table = pa.Table.from_pandas(whole, schema=schema, preserve_index=False)
    else:
        table = pa.Table.from_pylist(listed, schema=schema)
    record = json.dumps({**run_record(), **(facts or {})}, sort_keys=True).encode()
    about = {_RECORD: record, b"checksum": _UNSEALED}
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(about), temporary)
        _seal(temporary)


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
    return pa.concat_tables(_read(part, columns, filters) for part in _parts(path))


def column_names(path: Path) -> list[str]:
    """Names of the columns of a table; of a folder of shards, those of its first."""
    return list(_read(_parts(path)[0], None, None, schema=True).names)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a table as dictionaries."""
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return rows


def read_record(path: Path) -> dict[str, Any]:
    """Read the run record of the process that wrote ``path``."""
    metadata = _read(path, None, None, schema=True).metadata or {}
    return dict(json.loads(metadata.get(_RECORD, b"{}")))


def _read(path: Path, columns: Any, filters: Any, *, schema: bool = False) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The table {path} cannot be read: {error.strerror}. Likely cause: the step that "
            "writes it has not been run."
        ) from None
    try:
        _check(content)
        source = pa.BufferReader(content)
        if schema:
            return pq.read_schema(source)
        return pq.read_table(source, columns=columns, filters=filters)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"The table {path} cannot be read ({error}). {make_anew(path)}") from None


def _seal(path: Path) -> None:
    """Put the checksum of the file, taken while its place holds zeros, into its place."""
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(content.rindex(_UNSEALED) + len(_SEAL))
        file.write(b"%08x" % zlib.crc32(content))


def _check(content: bytes) -> None:
    """Compare the checksum of a file with its content; a table of other origin has none."""
    at = content.rfind(_SEAL)
    if at >= 0:
        start, end = at + len(_SEAL), at + len(_UNSEALED)
        before = zlib.crc32(b"0" * 8, zlib.crc32(content[:start]))
        if content[start:end] != b"%08x" % zlib.crc32(content[end:], before):
            raise OSError("it is not as it was written: the disk has damaged it")


def _parts(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.parquet"), key=lambda part: (len(part.name), part.name))
    return [path]
