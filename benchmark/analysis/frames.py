"""Score tables of this project or of other origin, checked once and brought to one form."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from benchmark.errors import UserError, unknown_name
from benchmark.metrics.definitions import METRICS
from benchmark.tables import read_table, records

CELL = ("dataset", "scan", "structure", "method")
"""What a row of scores must name at least."""

DEFAULTS: dict[str, Any] = {
    "split": "unsplit",
    "modality": "unknown",
    "level": "structure",
    "object": None,
    "variant": "",
    "prompt": "unknown",
    "deviation": 0.0,
    "shift": None,
    "contaminated": False,
}
"""What an optional column is where a table of scores lacks it. ``collection`` is then the dataset,
``patient`` the scan, and ``status`` is ok where any metric has a value."""

COLUMNS = (*CELL, *DEFAULTS, "collection", "patient", "status", *METRICS)
KEY = (*CELL, "level", "object", "variant", "deviation")


def read(path: Path, wanted: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table: csv, or parquet (a file, or a folder of shards); only ``wanted`` columns."""
    if not path.exists():
        raise UserError(f"No such table: {path}.")
    if path.suffix == ".csv":
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
        return table if wanted is None else table[[c for c in table.columns if c in set(wanted)]]
    if wanted is None:
        return read_table(path)
    first = next(iter(sorted(path.glob("*.parquet"))), path) if path.is_dir() else path
    return read_table(path, [c for c in pq.read_schema(first).names if c in set(wanted)])


def read_scores(path: Path) -> pd.DataFrame:
    """Read a long score table of any origin; see `scores`."""
    return scores(read(path, COLUMNS), str(path))


def read_objects(path: Path) -> pd.DataFrame:
    """Read a table of objects: at least ``dataset`` and ``object``, once each."""
    table = read(path)
    require(table, ("dataset", "object"), str(path))
    unique(table, ("dataset", "object"), str(path))
    return table


def scores(table: pd.DataFrame, origin: str = "The table of scores") -> pd.DataFrame:
    """Check a long score table and fill in the optional columns.

    Raises `UserError` for a missing column, a key that occurs twice, a status that is none, no
    metric, or a metric that is not numeric. Rows keep their order.
    """
    require(table, CELL, origin)
    metrics = metrics_of(table)
    if not metrics:
        raise UserError(
            f"{origin} has no metric: expected at least one column of {', '.join(METRICS)}."
        )
    for name in metrics:
        if not pd.api.types.is_numeric_dtype(table[name]) and table[name].notna().any():
            raise UserError(f"{origin}: the column {name!r} is not numeric.")
    filled = table.assign(
        **{name: value for name, value in DEFAULTS.items() if name not in table},
        **{name: table[name].astype(float) for name in metrics},
    )
    for name, stands_for in (("collection", "dataset"), ("patient", "scan")):
        if name not in filled:
            filled[name] = filled[stands_for]
    if "status" not in filled:
        filled["status"] = filled[metrics].notna().any(axis=1).map({True: "ok", False: "failed"})
    if unknown := sorted(set(filled["status"]) - {"ok", "skipped", "failed"}):
        raise UserError(f"{origin}: the status is ok, skipped or failed, got {unknown[0]!r}.")
    unique(filled, KEY, origin)
    return filled


def metrics_of(table: pd.DataFrame) -> list[str]:
    """Metrics that ``table`` has a column for, in the order of the tables."""
    return [name for name in METRICS if name in table]


def base(table: pd.DataFrame, level: str) -> pd.DataFrame:
    """Rows of one level ("structure" or "object"), without variants and deviations."""
    kept = (table["level"] == level) & (table["variant"] == "") & (table["deviation"] == 0)
    return table[kept].reset_index(drop=True)


def require(table: pd.DataFrame, columns: Iterable[str], origin: str) -> None:
    """Raise a `UserError` for the first of ``columns`` that ``table`` lacks."""
    for name in columns:
        if name not in table:
            raise UserError(
                f"{origin} lacks the column {name!r}. "
                + unknown_name("column", name, map(str, table.columns)).partition(". ")[2]
            )


def unique(table: pd.DataFrame, key: Sequence[str], origin: str) -> None:
    """Raise a `UserError` where two rows of ``table`` have the same ``key``."""
    twice = table.duplicated(list(key))
    if twice.any():
        row = records(table[twice].head(1)[list(key)])[0]
        named = ", ".join(f"{k} {v}" for k, v in row.items() if not pd.isna(v) and v != "")
        raise UserError(
            f"{origin} has {int(twice.sum())} rows whose key occurs before, such as: {named}. "
            f"A row is told from the others by {', '.join(key)}. Likely two tables were joined, "
            "or the column that tells them apart is missing."
        )


def known_method(table: pd.DataFrame, name: str, where: str) -> None:
    """Raise a `UserError` where no row of ``table`` is of the method ``name``."""
    if name not in set(table["method"]):
        raise UserError(f"{where}: " + unknown_name("method", name, table["method"].unique()))


def order(values: Iterable[str]) -> list[str]:
    """Splits as tables list them: the usual ones first, whatever the order of the rows."""
    usual = ("internal", "external", "phantom")
    return sorted(set(values), key=lambda v: (usual.index(v) if v in usual else len(usual), v))


def read_images(path: Path) -> pd.DataFrame:
    """Read a table of scans, with the columns that the fingerprint needs."""
    axes = [f"{what}_{axis}" for what in ("size", "spacing") for axis in "zyx"]
    wanted = ["dataset", "scan", "patient", "split", "part", "modality", *axes]
    table = read(path, wanted)
    require(table, wanted, str(path))
    unique(table, ["dataset", "scan"], str(path))
    return table


READERS = {"scores": read_scores, "images": read_images, "objects": read_objects}
"""How each table that an analysis takes is read and checked."""
