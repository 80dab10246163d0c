"""Read, check and normalise the input tables of the analyses, of this project or from elsewhere."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmark.analysis.checks import (
    measured,
    numbers,
    require_columns,
    require_filled,
    require_one,
    require_range,
    require_unique,
)
from benchmark.errors import UserError, unknown_name
from benchmark.metrics.definitions import METRICS
from benchmark.storage.tables import column_names, read_arrow

ALL = "all"
"""The value of ``split`` in the statistics that stands for all datasets; no split has this name."""

REQUIRED_SCORE_COLUMNS = ("dataset", "scan", "structure", "method")
"""Columns that a table of scores must have, besides at least one metric."""

SCORE_DEFAULTS: dict[str, Any] = {
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
"""Values of optional columns that a table of scores lacks, and of their empty fields.

Also, ``collection`` defaults to the dataset and ``patient`` to the scan. Without the column,
``status`` is ok if any metric has a value, else failed.
"""

SCORE_COLUMNS = (
    *REQUIRED_SCORE_COLUMNS,
    *SCORE_DEFAULTS,
    *("collection", "patient", "status"),
    *METRICS,
)
SCORE_KEY = (*REQUIRED_SCORE_COLUMNS, "level", "object", "variant", "deviation")

COHORT_COLUMNS = ("cohort", "patient", "time", "event", "dataset", "pre_scan", "post_scan")
SIZE_COLUMNS = ("diameter_mm", "area_mm2", "volume_mm3")
MEASURE_COLUMNS = ("dataset", "scan", "method", *SIZE_COLUMNS, "status", "reason")
INTERACTION_COLUMNS = ("reader", "dataset", "object", "prompt", "seconds")
RUN_KEY = ("kind", "method", "trained_on", "tested_on", "metric", "seed", "ablation", "setting")
COST_COLUMNS = ("seconds", "flops", "parameters")
COST_OBJECTS = "objects"
"""Number of objects that the costs are means over."""
CELL_COUNTS = ("ok", "matched", "expected")
_NUMBERS = (*CELL_COUNTS, *COST_COLUMNS, COST_OBJECTS)
RUN_COLUMNS = (*RUN_KEY, "default", "value", "contaminated", *_NUMBERS, "reason")
RUN_KINDS = ("general", "scratch", "finetuned", "reference", "ablation")
_ABLATION: dict[str, Any] = {"ablation": "", "setting": "", "default": False}

NAME_COLUMNS = (
    *("dataset", "collection", "structure", "scan", "patient", "object", "method", "variant"),
    *("cohort", "pre_scan", "post_scan", "reader", "trained_on", "tested_on"),
    *("ablation", "setting"),
)
"""Columns that are always read as text: the scan 0001 is not the scan 1."""


def read(
    path: Path, wanted: Sequence[str] | None = None, names: Sequence[str] = NAME_COLUMNS
) -> pd.DataFrame:
    """Read a csv file, a parquet file or a folder of parquet shards.

    ``wanted`` restricts the columns to those named; ``names`` are columns to read as text. Raise a
    `UserError` if there is no such table.
    """
    if not path.exists():
        raise UserError(f"No such table: {path}.")
    if path.suffix == ".csv":
        table = read_csv(path, names)
        return table if wanted is None else table[[c for c in table.columns if c in set(wanted)]]
    columns = None if wanted is None else [c for c in column_names(path) if c in set(wanted)]
    found = read_arrow(path, columns)
    for place, field in enumerate(found.schema):
        if field.name in names and pa.types.is_integer(field.type):
            found = found.set_column(place, field.name, found[field.name].cast(pa.string()))
    frame: pd.DataFrame = found.to_pandas()
    return frame


def read_csv(path: Path, names: Sequence[str] = NAME_COLUMNS) -> pd.DataFrame:
    """Read a csv table; only empty fields are missing, so "NA" and "0001" are valid ``names``.

    Raise a `UserError` if the file is empty, is not UTF-8 text, or has rows of different lengths.
    """
    text: dict[Hashable, type[str]] = dict.fromkeys(names, str)
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a csv table in UTF-8: {error}") from None


def read_scores(path: Path) -> pd.DataFrame:
    """Read and check a long table of scores from any source; see `checked_scores`."""
    return checked_scores(read(path, SCORE_COLUMNS), str(path))


def read_objects(path: Path) -> pd.DataFrame:
    """Read a table of objects, with unique pairs of ``dataset`` and ``object``."""
    table = read(path)
    require_columns(table, ("dataset", "object"), str(path))
    require_filled(table, ("dataset", "object"), str(path))
    require_unique(table, ("dataset", "object"), str(path))
    return table


def checked_scores(table: pd.DataFrame, origin: str = "The table of scores") -> pd.DataFrame:
    """Check a long table of scores and fill in the optional columns; rows keep their order.

    Metrics of rows whose status is not ``ok`` become NaN, so no statistic needs to check the status
    again. Raise a `UserError`, which names ``origin``, for a missing column, a row without a name,
    a duplicate key, an unknown status, a ``contaminated`` that is not a boolean, a table without
    metrics, a metric that is not numeric, infinite or outside its range, a dataset in several
    splits, modalities or collections, a split named `ALL`, a scan of several patients, or a method
    with several kinds of prompt.
    """
    require_columns(table, REQUIRED_SCORE_COLUMNS, origin)
    require_filled(table, REQUIRED_SCORE_COLUMNS, origin)
    metrics = metric_columns(table)
    if not metrics:
        raise UserError(
            f"{origin} has no metric: expected at least one column of {', '.join(METRICS)}."
        )
    filled = _with_defaults(table, SCORE_DEFAULTS)
    filled = filled.assign(**{name: numbers(table, name, origin) for name in metrics})
    for name in (name for name, value in SCORE_DEFAULTS.items() if value is not None):
        filled[name] = filled[name].where(filled[name].notna(), SCORE_DEFAULTS[name])
    if unclear := sorted({str(x) for x in filled["contaminated"] if x not in (True, False)}):
        raise UserError(f"{origin}: contaminated is true or false, got {unclear[0]!r}.")
    filled["contaminated"] = filled["contaminated"].astype(bool)
    for name, stands_for in (("collection", "dataset"), ("patient", "scan")):
        known = filled[name] if name in filled else filled[stands_for]
        filled[name] = known.where(known.notna(), filled[stands_for])
    if "status" not in filled:
        filled["status"] = filled[metrics].notna().any(axis=1).map({True: "ok", False: "failed"})
    if unknown := sorted(set(filled["status"]) - {"ok", "skipped", "failed"}):
        raise UserError(f"{origin}: the status is ok, skipped or failed, got {unknown[0]!r}.")
    require_unique(filled, SCORE_KEY, origin)
    require_one(filled, ("dataset",), ("split", "modality", "collection"), origin)
    require_one(filled, ("dataset", "scan"), ("patient",), origin)
    require_one(filled, ("method",), ("prompt",), origin)
    if (filled["split"] == ALL).any():
        raise UserError(
            f"{origin}: no split may be named {ALL!r}, which stands for all datasets in the "
            "statistics. Give it another name, or leave the column out."
        )
    ok = filled["status"] == "ok"
    filled = filled.assign(**{name: filled[name].where(ok) for name in metrics})
    for name in metrics:
        require_range(filled, name, METRICS[name].range, origin)
    return filled


def metric_columns(table: pd.DataFrame) -> list[str]:
    """Return the metrics that are columns of ``table``, in the order of `METRICS`."""
    return [name for name in METRICS if name in table]


def base_rows(table: pd.DataFrame, level: str) -> pd.DataFrame:
    """Select the rows of one level ("structure" or "object") without variant or deviation."""
    kept = (table["level"] == level) & (table["variant"] == "") & (table["deviation"] == 0)
    return table[kept].reset_index(drop=True)


def order_splits(values: Iterable[str]) -> list[str]:
    """Return the distinct splits: internal, external and phantom first, then by name."""
    usual = ("internal", "external", "phantom")
    return sorted(set(values), key=lambda v: (usual.index(v) if v in usual else len(usual), v))


def read_images(path: Path) -> pd.DataFrame:
    """Read a table of scans, with the columns that the fingerprint needs."""
    axes = [f"{what}_{axis}" for what in ("size", "spacing") for axis in "zyx"]
    wanted = ["dataset", "scan", "patient", "split", "part", "modality", *axes]
    table = read(path, wanted)
    require_columns(table, wanted, str(path))
    require_unique(table, ["dataset", "scan"], str(path))
    return table


def read_times(path: Path) -> pd.DataFrame:
    """Read inference times: method, dataset, object, and seconds by phase (``segment_s``, ...)."""
    table = read(path)
    required = ("method", "dataset", "object")
    require_columns(table, (*required, "segment_s"), str(path))
    require_filled(table, required, str(path))
    defaults = {"scan": "", "variant": "", "device": "unknown"}
    table = _with_defaults(table, defaults)
    table["variant"] = table["variant"].fillna("")
    require_unique(table, ("method", "dataset", "scan", "object", "variant", "device"), str(path))
    return measured(table, [str(c) for c in table if str(c).endswith("_s")], str(path))


def read_interaction(path: Path) -> pd.DataFrame:
    """Read interaction times, one row per reader, object and kind of prompt.

    The column ``generated`` defaults to false.
    """
    table = read(path)
    require_columns(table, INTERACTION_COLUMNS, str(path))
    require_filled(table, INTERACTION_COLUMNS[:-1], str(path))
    table["seconds"] = numbers(table, "seconds", str(path))
    if not (table["seconds"] > 0).all():
        raise UserError(f"{path}: seconds must be positive.")
    require_range(table, "seconds", (0.0, inf), str(path))
    require_unique(table, INTERACTION_COLUMNS[:-1], str(path))
    return _with_defaults(table, {"generated": False})


def read_runs(path: Path) -> pd.DataFrame:
    """Read training runs, one row per trained model, test dataset and metric."""
    table = read(path)
    required = ("kind", "method", "tested_on")
    require_columns(table, (*required, "value"), str(path))
    require_filled(table, required, str(path))
    defaults: dict[str, Any] = {"trained_on": "", "metric": "dsc", "seed": 0, **_ABLATION}
    defaults["contaminated"] = False
    table = _with_defaults(table, defaults)
    for name, value in {"trained_on": "", **_ABLATION}.items():
        table[name] = table[name].where(table[name].notna(), value)
    for name in ("default", "contaminated"):
        table[name] = table[name].isin([True, "True", "true", 1])
    table = _with_defaults(table, dict.fromkeys(_NUMBERS, float("nan")))
    table["value"] = numbers(table, "value", str(path))
    require_range(table, "value", (-inf, inf), str(path))
    table = measured(table, _NUMBERS, str(path))
    for kind in table["kind"].unique():
        if kind not in RUN_KINDS:
            raise UserError(f"{path}: " + unknown_name("kind", str(kind), RUN_KINDS))
    require_unique(table, RUN_KEY, str(path))
    return table


def read_cohorts(path: Path) -> pd.DataFrame:
    """Read a table of patients with the columns `COHORT_COLUMNS` and numeric ``covariate_NAME``.

    ``cohort`` and ``dataset`` have defaults, for tables with only one of each.
    """
    table = read(path)
    defaults = {"cohort": "cohort", "dataset": "study"}
    return cohorts_table([_with_defaults(table, defaults)])


def cohorts_table(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate and check tables of patients.

    Raise a `UserError` unless patients are unique within cohorts, times and covariates are finite
    numbers, times are not negative and events are 0 or 1.
    """
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COHORT_COLUMNS})
    table = pd.concat(tables, ignore_index=True)
    require_columns(table, COHORT_COLUMNS, "The table of patients")
    require_filled(table, ("cohort", "patient", "dataset"), "The table of patients")
    require_unique(table, ("cohort", "patient"), "The table of patients")
    for name in (str(c) for c in table if str(c).startswith("covariate_")):
        table[name] = numbers(table, name, "The table of patients")
        require_range(table, name, (-inf, inf), "The table of patients")
    table = measured(table, ["time"], "The table of patients")
    table["event"] = numbers(table, "event", "The table of patients")
    events = table["event"].map({0: 0.0, 1: 1.0})
    if (events.isna() & table["event"].notna()).any():
        raise UserError("The table of patients: event is 1 (it happened) or 0 (censored).")
    return table.assign(event=events)


def read_measures(path: Path) -> pd.DataFrame:
    """Read sizes of lesions, one row per scan and method.

    Without the column, ``status`` is ok if there is a volume, else failed.
    """
    table = _with_defaults(read(path), {"dataset": "study"})
    require_columns(table, ("scan", "method", *SIZE_COLUMNS), str(path))
    require_filled(table, ("dataset", "method"), str(path))
    table = measured(table, SIZE_COLUMNS, str(path))
    if "status" not in table:
        table["status"] = table["volume_mm3"].notna().map({True: "ok", False: "failed"})
    table = _with_defaults(table, {"reason": None})
    require_unique(table, ("dataset", "scan", "method"), str(path))
    return table


def _with_defaults(table: pd.DataFrame, defaults: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column of each value of ``defaults`` that it lacks, at its end."""
    return table.assign(**{k: v for k, v in defaults.items() if k not in table})


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "scores": read_scores,
    "images": read_images,
    "objects": read_objects,
    "times": read_times,
    "interaction": read_interaction,
    "runs": read_runs,
    "cohorts": read_cohorts,
    "measures": read_measures,
}
"""The function that reads and checks each input table of the analyses."""
