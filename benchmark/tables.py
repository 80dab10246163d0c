"""Parquet tables: written whole or not at all, with a declared schema and the run record inside."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import UserError
from benchmark.files import atomic
from benchmark.record import run_record

_RECORD = b"pambench"


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
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_RECORD: record}), temporary)


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table: one file, or a folder of shards in the order of their names."""
    try:
        table = pa.concat_tables(pq.read_table(part, columns=columns) for part in _parts(path))
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"The table {path} cannot be read ({error}). Delete it; the next run makes it anew."
        ) from None
    frame: pd.DataFrame = table.to_pandas()
    return frame


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a table as dictionaries."""
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return rows


def read_record(path: Path) -> dict[str, Any]:
    """Read the run record of the process that wrote ``path``."""
    metadata = pq.read_schema(path).metadata or {}
    return dict(json.loads(metadata.get(_RECORD, b"{}")))


def _parts(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.parquet"), key=lambda part: (len(part.name), part.name))
    return [path]
