"""Averages as in the paper: over scans, then structures, then datasets, with denominators.

Scores are averaged over the scans of each structure, then over the structures of each dataset. The
mean and standard deviation over datasets summarise a method (paper, Table 1), so a dataset with
many scans has no more weight than one with few. Means leave out missing values and count them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis import bootstrap, checks, frames
from benchmark.analysis.frames import ALL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmark.analysis.arrays import Array
    from benchmark.analysis.settings import AnalysisSettings

COUNTED_FLAGS = ("ok", "expected", "skipped", "failed", "contaminated")
"""Columns that count cells (structures of scans): scored, expected, skipped and failed.

``contaminated`` counts the cells of data on which the method's weights were trained.
"""

COUNT_COLUMNS = ("cells", *COUNTED_FLAGS)
"""``cells`` counts those with a value of the metric; a scored cell may lack one."""

_DATASET = ["split", "dataset", "modality"]
_METHOD = ["method", "prompt"]
_SUMMARY = {"std": "sd", "count": "n"}


def analyse(
    tables: "Mapping[str, pd.DataFrame]", settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Average ``tables["scores"]`` by structure, by dataset and overall; see docs/analyses.md."""
    rows = frames.base_rows(tables["scores"], "structure")
    structures = by_structure(rows)
    means = by_dataset(structures)
    datasets, whole = _intervals(rows, means, overall(means), settings)
    return {"by_structure": structures, "by_dataset": datasets, "overall": whole}


def read_scores(path: Path, *, level: str, more: Sequence[str] = ()) -> pd.DataFrame:
    """Read the rows of one ``level`` ("structure" or "object") at deviation 0, without variants.

    ``more`` names columns to read in addition to those that the statistics need. Raise a
    `UserError` if the table lacks a column or is not a valid table of scores.
    """
    table = frames.read(path, [*frames.SCORE_COLUMNS, *more])
    checks.require_columns(table, more, str(path))
    return frames.base_rows(frames.checked_scores(table, str(path)), level)


def by_structure(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (dataset, structure, method, metric).

    ``mean`` and ``sd`` are over scans; ``n`` counts the scans with a value.
    """
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
    counts = flags.groupby(keys, sort=False, dropna=False)[list(COUNTED_FLAGS)].sum().reset_index()
    groups = rows.groupby(keys, sort=False, dropna=False)[frames.metric_columns(rows)]
    wide = groups.agg(["mean", "std", "count"]).rename_axis(columns=["metric", None])  # type: ignore[list-item]
    long = wide.stack("metric", future_stack=True).reset_index()
    long = long.rename(columns=_SUMMARY).assign(cells=long["count"])
    return long.merge(counts, on=keys, how="left")


def by_dataset(structures: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (dataset, method, metric).

    ``mean`` and ``sd`` are over ``structures``, the rows of `by_structure`; ``n`` counts those with
    a value.
    """
    return _next_level(structures, [*_DATASET, *_METHOD, "metric"], "structures")


def overall(datasets: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (split, method, metric).

    ``mean`` and ``sd`` are over ``datasets``, the rows of `by_dataset`; ``n`` counts those with a
    value. The split "all" comes last and contains every dataset.
    """
    both = pd.concat([datasets, datasets.assign(split=ALL)], ignore_index=True)
    return _next_level(both, ["split", *_METHOD, "metric"], "datasets")


def dataset_means(rows: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Average the columns ``values`` over scans, then over structures; one row per ``keys``.

    ``rows`` has one row per scan, structure and ``keys``, which must include the dataset.
    """
    structures = rows.groupby([*keys, "structure"], sort=False, dropna=False)[list(values)].mean()
    return structures.groupby(list(keys), sort=False, dropna=False).mean().reset_index()


def in_split(table: pd.DataFrame, split: str) -> NDArray[np.bool_]:
    """Return a mask of the rows of ``table`` whose ``split`` it is; all rows for `ALL`."""
    return ((table["split"] == split) | (split == ALL)).to_numpy()


def splits_alike(table: pd.DataFrame) -> list[list[str]]:
    """Group the splits of ``table``, and `ALL`, by their rows: a single split has those of all."""
    splits = frames.order_splits(table["split"])
    return [[*splits, ALL]] if len(splits) == 1 else [[split] for split in [*splits, ALL]]


def _next_level(table: pd.DataFrame, keys: list[str], units: str) -> pd.DataFrame:
    groups = table.groupby(keys, sort=False, dropna=False)
    counts = groups[list(COUNT_COLUMNS)].sum()
    counts.insert(0, units, groups.size())
    return _summary(table, keys, "mean").merge(counts.reset_index(), on=keys, how="left")


def _summary(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return mean, sample standard deviation (NaN for a single value) and count of each group."""
    groups = table.groupby(keys, sort=False, dropna=False)[value]
    return groups.agg(["mean", "std", "count"]).reset_index().rename(columns=_SUMMARY)


def _intervals(
    rows: pd.DataFrame, datasets: pd.DataFrame, whole: pd.DataFrame, settings: "AnalysisSettings"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add bootstrap intervals, and a description of the resampled units, to both tables."""
    methods, metrics = rows["method"].unique().tolist(), frames.metric_columns(rows)
    drawn = bootstrap.dataset_replicates(rows, methods, metrics, settings.resamples, settings.seed)
    facts = rows.drop_duplicates("dataset").set_index("dataset")
    inner = {name: bootstrap.interval(values, settings.tail) for name, values in drawn.items()}
    outer = {}
    for split in [*facts["split"].unique(), ALL] if drawn else []:
        named = [d for d in drawn if split in (ALL, facts.at[d, "split"])]
        collections = {d: str(facts.at[d, "collection"]) for d in named}
        values = bootstrap.overall_replicates(
            {d: drawn[d] for d in named}, collections, settings.seed
        )
        outer[split] = bootstrap.interval(values, settings.tail)
    places = {name: i for names in (methods, metrics) for i, name in enumerate(names)}
    patients = _patients(rows).join(facts[["split", "collection"]], on="dataset")
    both = pd.concat([patients, patients.assign(split=ALL)], ignore_index=True)
    units = both.groupby(["split", "method", "metric"]).agg(
        collections=("collection", "nunique"),
        datasets=("dataset", "size"),
        patients=("patients", "sum"),
    )
    alone = patients.set_index(["dataset", "method", "metric"])[["patients"]]
    return (
        _with_intervals(datasets, alone, inner, places),
        _with_intervals(whole, units, outer, places),
    )


def _patients(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the patients with a value; one row per (dataset, method, metric) that has any."""
    found = []
    for metric in frames.metric_columns(rows):
        valued = rows[np.isfinite(rows[metric].astype(float))]
        counts = valued.groupby(["dataset", "method"])["patient"].nunique()
        found.append(counts.rename("patients").reset_index().assign(metric=metric))
    return pd.concat(found, ignore_index=True)


def _with_intervals(
    table: pd.DataFrame,
    units: pd.DataFrame,
    found: "dict[str, tuple[Array, Array]]",
    places: dict[str, int],
) -> pd.DataFrame:
    """Add the columns ``low``, ``high`` and ``resampled`` (the units that were drawn) to ``table``.

    Args:
        table: one row per split or dataset, method and metric.
        units: number of units with a value, one column per level of the hierarchy, outermost
            first; indexed by (split or dataset, method, metric). Too few units at the outermost
            level (see `bootstrap.enough`) give no interval.
        found: ends of the intervals, each (methods, metrics), by split or dataset.
        places: position of each method and metric in these arrays.
    """
    ends: dict[str, list[float]] = {"low": [], "high": []}
    resampled = []
    known = units.to_dict("index")
    for key in zip(*(table[name] for name in units.index.names), strict=True):
        name, method, metric = key
        low, high = found[name]
        place = places[method], places[metric]
        counts = known.get(key, dict.fromkeys(units, 0))
        drawn = bootstrap.enough(counts.values())
        ends["low"].append(low[place] if drawn else np.nan)
        ends["high"].append(high[place] if drawn else np.nan)
        resampled.append(", ".join(f"{count} {unit}" for unit, count in counts.items()))
    return table.assign(**ends, resampled=resampled)
