"""The paper's averages: over scans, then structures, then datasets, each with its denominators.

A structure of a dataset is the mean over its scans, a dataset the mean over its structures, and a
method the mean and standard deviation over the datasets (paper, Table 1), so that a dataset with
many scans weighs no more than one with few. What has no value is left out of a mean and counted.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.metrics.definitions import METRICS
from benchmark.tables import read_table

ALL = "all"
"""Name of the ``split`` that holds every dataset of the study."""

COUNTS = ("ok", "expected", "skipped", "failed", "contaminated")
"""Cells (a structure of a scan) that were scored, that there are, and why the others were not;
``contaminated``: cells of data that the method's weights were trained on."""

CELL = ("dataset", "scan", "structure", "method")

_COLUMNS = ("split", "modality", *CELL, "prompt", "status", "contaminated", *METRICS)
_DATASET = ["split", "dataset", "modality"]
_METHOD = ["method", "prompt"]


def read_scores(path: Path, *, level: str, more: Sequence[str] = ()) -> pd.DataFrame:
    """Read the rows of one ``level`` ("structure" or "object"): base variant, deviation 0.

    ``more``: columns beside those that the averages need.
    """
    table = read_table(path, ["level", "variant", "deviation", *_COLUMNS, *more])
    kept = (table["level"] == level) & (table["variant"] == "") & (table["deviation"] == 0)
    return table.loc[kept, [*_COLUMNS, *more]].reset_index(drop=True)


def by_structure(rows: pd.DataFrame) -> pd.DataFrame:
    """Give a row a (dataset, structure, method, metric): mean and sd over scans, n with a value."""
    keys = [*_DATASET, "structure", *_METHOD]
    flags = pd.DataFrame(
        {
            **{key: rows[key] for key in keys},
            "ok": rows["status"] == "ok",
            "expected": True,
            "skipped": rows["status"] == "skipped",
            "failed": rows["status"] == "failed",
            "contaminated": rows["contaminated"].astype(bool),
        }
    )
    counts = flags.groupby(keys, sort=False, dropna=False)[list(COUNTS)].sum().reset_index()
    long = rows.melt(keys, list(METRICS), var_name="metric")
    return _summary(long, [*keys, "metric"], "value").merge(counts, on=keys, how="left")


def by_dataset(structures: pd.DataFrame) -> pd.DataFrame:
    """Give a row a (dataset, method, metric): mean and sd over ``structures``, n with a value."""
    return _next_level(structures, [*_DATASET, *_METHOD, "metric"], "structures")


def overall(datasets: pd.DataFrame) -> pd.DataFrame:
    """Give a row a (split, method, metric): mean and sd over ``datasets``, n with a value.

    The split "all" comes last and holds every dataset.
    """
    both = pd.concat([datasets, datasets.assign(split=ALL)], ignore_index=True)
    return _next_level(both, ["split", *_METHOD, "metric"], "datasets")


def dataset_means(rows: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Average ``values`` over scans, then over structures; a row for each of ``keys``.

    ``rows``: one a (scan, structure) and ``keys``; ``keys`` name at least the dataset.
    """
    structures = rows.groupby([*keys, "structure"], sort=False, dropna=False)[list(values)].mean()
    return structures.groupby(list(keys), sort=False, dropna=False).mean().reset_index()


def _next_level(table: pd.DataFrame, keys: list[str], units: str) -> pd.DataFrame:
    groups = table.groupby(keys, sort=False, dropna=False)
    counts = groups[list(COUNTS)].sum()
    counts.insert(0, units, groups.size())
    return _summary(table, keys, "mean").merge(counts.reset_index(), on=keys, how="left")


def _summary(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Mean, sample standard deviation (missing for one value) and number of values of a group."""
    groups = table.groupby(keys, sort=False, dropna=False)[value]
    return (
        groups.agg(["mean", "std", "count"])
        .reset_index()
        .rename(columns={"std": "sd", "count": "n"})
    )
