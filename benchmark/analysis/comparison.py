"""Paired comparison of methods: is the difference between them larger than chance?

The unit is the dataset: scans of one dataset are not independent samples of what a method meets.
Both methods of a pair are averaged over the same cells, those in which both have a value. The
paper ("Statistics and reproducibility") takes the paired t-test or the Wilcoxon signed-rank test;
both are given, each corrected for the number of pairs (Holm) within its split and metric.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.aggregate import ALL, CELL, dataset_means

COMPARED = ("dsc", "sensitivity", "specificity", "hd95", "nsd", "asd")
"""The metrics of the paper's Table 1."""

COLUMNS = (
    "split",
    "metric",
    "method_a",
    "method_b",
    "prompt_a",
    "prompt_b",
    "same_prompt",
    "unit",
    "n",
    "cells",
    "mean_a",
    "mean_b",
    "difference",
    "test",
    "statistic",
    "p",
    "p_holm",
    "family",
    "reason",
)
"""``n``: datasets; ``cells``: (scan, structure) pairs behind them; ``difference``: a less b;
``family``: P values corrected together; ``reason``: why there is no P value."""

TESTS = ("wilcoxon signed-rank", "paired t")


def compare(
    rows: pd.DataFrame, *, controls: Sequence[str] = (), metrics: Sequence[str] = COMPARED
) -> pd.DataFrame:
    """Compare every pair of methods; a row a (split, metric, pair, test), see `COLUMNS`.

    ``rows``: structure level, as `aggregate.read_scores` gives them. ``controls``: methods that see
    the reference and take no part.
    """
    compared = rows[~rows["method"].isin(list(controls))]
    found: list[dict[str, Any]] = []
    for a, b in combinations(compared["method"].unique().tolist(), 2):
        found += _pair(compared, a, b, metrics)
    table = pd.DataFrame(found, columns=list(COLUMNS))
    return table if table.empty else _corrected(table, [*rows["split"].unique(), ALL], metrics)


def differences_test(test: str, differences: NDArray[np.float64]) -> tuple[float, float, str]:
    """Statistic, two-sided P value and, where there is none (both NaN), the reason."""
    from scipy import stats

    values = np.round(differences, 12)  # equal means that were summed in another order
    if len(values) < 2:
        return np.nan, np.nan, f"n = {len(values)}: a paired test needs at least two datasets"
    if not values.any():
        return np.nan, np.nan, "all differences are zero"
    if test == "wilcoxon signed-rank":
        result = stats.wilcoxon(values)
    elif np.ptp(values) <= 1e-9 * np.abs(values).max():
        return np.nan, np.nan, "all differences are equal: they have no variance"
    else:
        result = stats.ttest_1samp(values, 0.0)
    return float(result.statistic), float(result.pvalue), ""


def _pair(rows: pd.DataFrame, a: str, b: str, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    ok = rows[rows["status"] == "ok"]
    keys = [key for key in CELL if key != "method"]
    sides = (ok.loc[ok["method"] == name, [*keys, "split", *metrics]] for name in (a, b))
    joined = next(sides).merge(
        next(sides).drop(columns="split"), on=keys, suffixes=("_a", "_b"), validate="one_to_one"
    )
    kinds = rows.drop_duplicates("method").set_index("method")["prompt"]
    about = {
        "method_a": a,
        "method_b": b,
        "prompt_a": kinds[a],
        "prompt_b": kinds[b],
        "same_prompt": bool(kinds[a] == kinds[b]),
        "unit": "dataset",
    }
    for metric in metrics:
        columns = [f"{metric}_a", f"{metric}_b"]
        cells = joined.dropna(subset=columns)
        means = dataset_means(cells, ["split", "dataset"], columns)
        sizes = cells["split"].value_counts()
        for split in [*rows["split"].unique(), ALL]:
            part = means if split == ALL else means[means["split"] == split]
            values = (part[columns[0]] - part[columns[1]]).to_numpy(dtype=np.float64)
            numbers = {
                "n": len(values),
                "cells": len(cells) if split == ALL else int(sizes.get(split, 0)),
                "mean_a": part[columns[0]].mean(),
                "mean_b": part[columns[1]].mean(),
                "difference": values.mean() if len(values) else np.nan,
            }
            for test in TESTS:
                statistic, p, reason = differences_test(test, values)
                outcome = {"test": test, "statistic": statistic, "p": p, "reason": reason}
                yield {"split": split, "metric": metric, **about, **numbers, **outcome}


def _corrected(table: pd.DataFrame, splits: list[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Add Holm's P values within (split, metric, test); order by split and metric."""
    from statsmodels.stats.multitest import multipletests

    table = table.copy()
    for _, family in table.groupby(["split", "metric", "test"], sort=False):
        known = family.index[family["p"].notna()]
        table.loc[family.index, "family"] = len(known)
        if len(known):
            table.loc[known, "p_holm"] = multipletests(table.loc[known, "p"], method="holm")[1]
    table["family"] = table["family"].astype(int)
    order = {"split": splits, "metric": list(metrics)}
    return table.sort_values(
        ["split", "metric"],
        key=lambda column: column.map({v: i for i, v in enumerate(order[str(column.name)])}),
        kind="stable",
        ignore_index=True,
    )
