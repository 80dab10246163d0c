"""The paper's Table 1, and the tables of DSC by dataset and of prompts."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmark.analysis.comparison import COMPARED
from benchmark.analysis.frames import ALL
from benchmark.metrics.definitions import METRICS
from reports import prompts, scoring
from reports.formatting import NONE, decimals, denominators, marked, mean_cell, mean_sd, split_title
from reports.notes import notes, weights
from reports.printed import PrintedTable

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

HEADINGS = {"method": "Method", "cells": "Scored / expected", "datasets": "Datasets"}
TABLE1 = COMPARED
_BY_DATASET = "Table S5: DSC by dataset"
_NO_SCORES = "No scores."
BOLD = (
    "best mean of the block, if its method has a value in all expected cells; controls and means "
    "with † are not considered. If a method that lacks cells has the best mean, none is in bold."
)


def table1(
    overall: "pd.DataFrame", methods: Sequence[str], controls: Sequence[str] = ()
) -> "pd.DataFrame":
    """Return the numbers of Table 1: one row per (split, method).

    Each metric has the columns ``<metric>_mean``, ``_sd`` and ``_cells``; the other counts are
    those of DSC, with ``n`` the datasets that have one, of ``datasets``. Each split is a block of
    rows, with ``controls`` last; the split "all" is added if there are several.
    """
    import pandas as pd

    order = [m for m in methods if m not in controls] + list(controls)
    splits = [split for split in overall["split"].unique() if split != ALL]
    blocks = [*splits, ALL] if len(splits) > 1 else splits
    found = []
    for split in blocks:
        for method in order:
            rows = overall[(overall["split"] == split) & (overall["method"] == method)]
            if rows.empty:
                continue
            by_metric = rows.set_index("metric")
            counts = by_metric.loc["dsc"]
            row = {"split": split, "method": method, "control": method in controls}
            for metric in TABLE1:
                for part in ("mean", "sd", "cells"):
                    row[f"{metric}_{part}"] = by_metric.loc[metric, part]
            for count in ("ok", "expected", "skipped", "failed", "n", "datasets", "contaminated"):
                row[count] = int(counts[count])
            found.append(row)
    return pd.DataFrame(found)


def best(numbers: "pd.DataFrame", metric: str) -> set[int]:
    """Return the index of the row with the best mean of ``metric`` in each split.

    Controls and methods whose weights were trained on some of the data are not considered. A method
    without a value in some cells is not best, since its mean can be better than its true
    performance, and neither is a method with a worse mean. No row is best if all are equal as
    printed.
    """
    higher = METRICS[metric].higher_is_better
    whole = numbers[f"{metric}_cells"] == numbers["expected"]
    fair = numbers[~numbers["control"] & (numbers["contaminated"] == 0)]
    found: set[int] = set()
    for _, block in fair.groupby("split"):
        means = block[f"{metric}_mean"].round(decimals(metric))
        if means.nunique() > 1:
            first = means == (means.max() if higher else means.min())
            found |= set(means.index[first & whole[means.index]])
    return found


def table1_cells(numbers: "pd.DataFrame", bold: Callable[[str], str]) -> list[list[str]]:
    """Return the formatted rows of Table 1: method, metrics, cells, datasets.

    ``bold`` marks up the best cell of a column.
    """
    leaders = {metric: best(numbers, metric) if len(numbers) else set() for metric in TABLE1}
    rows = []
    for index, row in numbers.iterrows():
        name = f"{row['method']}{' (control)' if row['control'] else ''}"
        cells = [marked(name, row["contaminated"])]
        for metric in TABLE1:
            text = mean_sd(row[f"{metric}_mean"], row[f"{metric}_sd"], decimals(metric))
            text += denominators(row[f"{metric}_cells"], row["ok"])
            cells.append(bold(text) if index in leaders[metric] else text)
        rows.append([*cells, f"{row['ok']}/{row['expected']}", f"{row['n']}/{row['datasets']}"])
    return rows


def headings() -> list[str]:
    """Return the column headings of Table 1."""
    labels = [METRICS[metric].label for metric in TABLE1]
    return [HEADINGS["method"], *labels, HEADINGS["cells"], HEADINGS["datasets"]]


def per_dataset(by_dataset: "pd.DataFrame", methods: Sequence[str]) -> "pd.DataFrame":
    """Return DSC and counts: one row per (dataset, method), in the order of the study."""
    rows = by_dataset[by_dataset["metric"] == "dsc"]
    place = {method: i for i, method in enumerate(methods)}
    first = {name: i for i, name in enumerate(rows["dataset"].unique())}
    key = rows["dataset"].map(first) * len(place) + rows["method"].map(place)
    columns = ["split", "dataset", "modality", "method", "mean", "sd", "low", "high", "n"]
    columns += ["structures", "cells", "ok", "expected", "skipped", "failed", "contaminated"]
    ordered = rows.loc[key.sort_values(kind="stable").index, columns]
    names = {name: f"dsc_{name}" for name in ("mean", "sd", "low", "high")}
    return ordered.rename(columns=names).reset_index(drop=True)


def printed(results: "Results") -> Iterator[PrintedTable]:
    """Yield table1, dsc_by_dataset and prompts."""
    numbers = table1(results.overall, results.methods, results.controls)
    below = [*filter(None, [weights(results)]), *notes(results)]
    blocks = _split_rows(numbers)
    table1_notes = [f"Bold: {BOLD}", *below, *scoring.notes(results)]
    yield PrintedTable("table1", "", numbers, headings(), blocks, table1_notes, _NO_SCORES)
    methods = results.methods_in_table_order
    long = per_dataset(results.by_dataset, methods)
    wide: dict[str, list[str]] = {}
    for row in long.to_dict("records"):
        dataset = str(row["dataset"])
        cells = wide.setdefault(dataset, [dataset] + [NONE] * len(methods))
        text = mean_cell(row["dsc_mean"], row["cells"], row["expected"], row["contaminated"])
        cells[1 + methods.index(str(row["method"]))] = text
    head, rows = ["Dataset", *methods], list(wide.values())
    yield PrintedTable.one_block("dsc_by_dataset", _BY_DATASET, long, head, rows, below, _NO_SCORES)
    costs = prompts.table(results)
    rows, about = prompts.printed(costs), prompts.NOTES
    yield PrintedTable.one_block("prompts", "", costs, prompts.HEADINGS, rows, about, _NO_SCORES)


def _split_rows(numbers: "pd.DataFrame") -> dict[str, list[list[str]]]:
    blocks: dict[str, list[list[str]]] = {}
    if len(numbers):
        rows = table1_cells(numbers, lambda text: f"**{text}**")
        for split, row in zip(numbers["split"], rows, strict=True):
            blocks.setdefault(split_title(split), []).append(row)
    return blocks
