"""Paired comparison of methods.

There are three analyses. The first compares dataset means, as in the paper, because scans of one
dataset are not independent observations. It also compares means over the datasets of each
collection, since these share patients, images or readers: if half of the variance of the difference
belongs to the collection, a test at 5 % over the paper's 44 datasets rejects in 9 %. The second
compares patients within each dataset, after averaging each patient's scans. The third is a mixed
model of all scan means (`benchmark.analysis.mixed`). Both methods of a pair are averaged over the
same cells, those in which both have a value. The paper ("Statistics and reproducibility") uses the
paired t-test if the differences look normal, else the Wilcoxon signed-rank test; both are given,
and the paper's choice is marked.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis import frames, mixed
from benchmark.analysis.frames import ALL
from benchmark.analysis.grid import Grid, codes, group_means
from benchmark.analysis.paired import holm, paired_tests, tidy
from benchmark.metrics.definitions import METRICS

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

COMPARED = ("dsc", "sensitivity", "specificity", "hd95", "nsd", "asd")
"""The metrics of the paper's Table 1."""

UNITS = ("dataset", "collection")
"""Units of the tests over a split. The paper's is the dataset."""

_PAIR = ("method_a", "method_b", "prompt_a", "prompt_b", "same_prompt")
_NUMBERS = (
    *("unit", "n", "cells", "expected", "failed_a", "failed_b", "skipped_a", "skipped_b"),
    *("contaminated_a", "contaminated_b", "mean_a", "mean_b", "difference"),
    *("wins_a", "ties", "wins_b"),
)
_TEST = ("test", "chosen", "normality_p", "statistic", "p", "p_holm", "family", "family_of")
_CHOSEN = "p_holm_chosen"
_INTERVAL = ("low", "high", "effect", "effect_name", "reason")
COLUMNS = ("split", "metric", *_PAIR, *_NUMBERS, *_TEST, _CHOSEN, *_INTERVAL)
BY_DATASET = ("dataset", *COLUMNS[1:])


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Compare the methods of ``tables["scores"]``; see ``docs/analyses.md``."""
    rows = frames.base_rows(tables["scores"], "structure")
    metrics = [name for name in COMPARED if name in rows]
    grid = Grid.of(rows, metrics, without=settings.controls)
    return {
        "comparison": compare(grid, tail=settings.tail),
        "comparison_by_dataset": compare_samples(grid, tail=settings.tail),
        "mixed_model": mixed.compare(grid, settings),
    }


def compare(grid: Grid, *, tail: float = 0.025) -> pd.DataFrame:
    """Compare every pair of methods over dataset means, and over means of collections.

    Return one row per split, metric, pair, unit and test.
    """
    splits = grid.datasets["split"]
    groups = {name: (splits == name).to_numpy() for name in frames.order_splits(splits)}
    groups[ALL] = np.ones(len(splits), dtype=bool)
    found = [
        {"split": split, **row}
        for metric in grid.values
        for pair in combinations(range(len(grid.methods)), 2)
        for unit in UNITS
        for split, row in _rows(
            grid, metric, pair, "split", groups, dict.fromkeys(groups, unit), tail
        )
    ]
    named = "pairs of methods within split, metric, unit and test"
    family = ["split", "metric", "unit"]
    table = _corrected(pd.DataFrame(found, columns=list(COLUMNS)), family, named)
    return _ordered(table, {"split": list(groups), "metric": list(grid.values)})


def compare_samples(grid: Grid, *, tail: float = 0.025) -> pd.DataFrame:
    """Compare every pair of methods over the patients, or else scans, of each dataset.

    Return one row per dataset, metric, pair and test.
    """
    names = grid.samples["dataset"].to_numpy()
    units = dict(zip(names, grid.samples["unit"], strict=True))
    groups = {name: names == name for name in grid.datasets["dataset"]}
    found = [
        {"dataset": dataset, **row}
        for metric in grid.values
        for pair in combinations(range(len(grid.methods)), 2)
        for dataset, row in _rows(grid, metric, pair, "dataset", groups, units, tail)
    ]
    named = "pairs of methods and datasets within metric and test"
    table = _corrected(pd.DataFrame(found, columns=list(BY_DATASET)), ["metric"], named)
    return _ordered(table, {"dataset": list(groups), "metric": list(grid.values)})


def _corrected(table: pd.DataFrame, family: list[str], named: str) -> pd.DataFrame:
    """Add Holm-corrected P values within each ``family`` and test, and among the chosen tests.

    The chosen tests form a family of their own: they mix both kinds of test, so the correction
    within either kind does not apply to them.
    """
    chosen = holm(table[table["chosen"].astype(bool)], family, named)["p_holm"]
    return holm(table, [*family, "test"], named).assign(**{_CHOSEN: chosen})


def _rows(
    grid: Grid,
    metric: str,
    pair: tuple[int, int],
    by: str,
    groups: Mapping[str, NDArray[np.bool_]],
    units: Mapping[str, str],
    tail: float,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of one pair of methods and one metric, with the name of their group.

    ``groups`` maps each split to its datasets (if ``by`` is "split") or each dataset to its samples
    (if "dataset"), as a mask over the means; ``units`` names the unit of each group.
    """
    collections = codes(grid.datasets, ["collection"])
    both = grid.values[metric][:, pair]
    both = np.where(np.isfinite(both).all(axis=1, keepdims=True), both, np.nan)
    counted = np.isfinite(both[:, 0])
    means = grid.dataset_means(both) if by == "split" else grid.sample_means(both)
    a, b = (grid.methods[i] for i in pair)
    kinds = {"prompt_a": grid.prompts[a], "prompt_b": grid.prompts[b]}
    about: dict[str, Any] = {"metric": metric, "method_a": a, "method_b": b, **kinds}
    about["same_prompt"] = kinds["prompt_a"] == kinds["prompt_b"]
    sign = METRICS[metric].sign
    places = grid.cells[by].to_numpy()
    for name, members in groups.items():
        valued = members & np.isfinite(means[:, 0])
        known = means[valued]
        if units[name] == "collection":
            known = group_means(known, np.unique(collections[valued], return_inverse=True)[1])
        differences = tidy(known[:, 0] - known[:, 1])
        expected = (places == name) | (name == ALL)
        inside = counted & expected
        trained_a, trained_b = grid.contaminated[inside][:, pair].sum(axis=0)
        numbers = {
            "unit": units[name],
            "n": len(known),
            "cells": int(inside.sum()),
            **grid.losses(expected, pair),
            **{"contaminated_a": int(trained_a), "contaminated_b": int(trained_b)},
            "mean_a": known[:, 0].mean() if len(known) else np.nan,
            "mean_b": known[:, 1].mean() if len(known) else np.nan,
            "difference": differences.mean() if len(known) else np.nan,
            "wins_a": int((sign * differences > 0).sum()),
            "ties": int((differences == 0).sum()),
            "wins_b": int((sign * differences < 0).sum()),
        }
        for row in paired_tests(differences, unit=units[name], tail=tail):
            yield name, {**about, **numbers, **row}


def _ordered(table: pd.DataFrame, orders: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    for name, values in orders.items():
        table[f"_{name}"] = table[name].map({value: i for i, value in enumerate(values)})
    keys = [f"_{name}" for name in orders]
    return table.sort_values(keys, kind="stable", ignore_index=True).drop(columns=keys)
