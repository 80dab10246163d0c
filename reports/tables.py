"""The paper's Table 1 and the DSC of each dataset, as csv, Markdown and LaTeX."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis.aggregate import ALL
from benchmark.analysis.comparison import COMPARED
from benchmark.metrics.definitions import METRICS
from reports import prompts, scoring
from reports.notes import notes, weights
from reports.typeset import NONE, write

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

SPLITS = {
    "internal": "Internal datasets",
    "external": "External datasets",
    "phantom": "Generated phantoms",
    "local": "Own data",
    ALL: "All datasets",
}
HEADINGS = {"method": "Method", "cells": "Scored / expected", "datasets": "Datasets"}
TABLE1 = COMPARED
_BY_DATASET = "Table S5: DSC by dataset"


def table1(
    overall: "pd.DataFrame", methods: Sequence[str], controls: Sequence[str] = ()
) -> "pd.DataFrame":
    """Numbers of Table 1: a row a (split, method), mean, sd and cells of each metric, counts.

    A split of the study comes as a block of its own; "all" only beside more than one. Controls that
    see the reference come last in their block. ``n``: datasets with a DSC, of ``datasets``.
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
    """Index of the best mean of ``metric`` in each split, of methods with a value in all its cells.

    One that has none in hard cases can look better than it is, and so can one whose weights were
    trained on some of the data. Where all are equal in print, none is best.
    """
    higher = METRICS[metric].higher_is_better
    whole = numbers[f"{metric}_cells"] == numbers["expected"]
    fair = numbers[~numbers["control"] & whole & (numbers["contaminated"] == 0)]
    found: set[int] = set()
    for _, block in fair.groupby("split"):
        means = block[f"{metric}_mean"].round(digits(metric))
        if means.nunique() > 1:
            found |= set(means.index[means == (means.max() if higher else means.min())])
    return found


def digits(metric: str) -> int:
    """Decimals in print: three for shares, two for millimetres."""
    return 2 if METRICS[metric].unit == "mm" else 3


def plus_minus(mean: float, sd: float, metric: str) -> str:
    """Print mean and sd; a dash for no value, the mean alone for a single one."""
    if mean != mean:
        return NONE
    text = f"{mean:.{digits(metric)}f}"
    return text if sd != sd else f"{text} ± {sd:.{digits(metric)}f}"


def printed(numbers: "pd.DataFrame", bold: Callable[[str], str]) -> list[list[str]]:
    """Cells of Table 1 as text, a list a row: method, metrics, cells, datasets."""
    leaders = {metric: best(numbers, metric) if len(numbers) else set() for metric in TABLE1}
    rows = []
    for index, row in numbers.iterrows():
        trained = "†" if row["contaminated"] else ""
        cells = [f"{row['method']}{' (control)' if row['control'] else ''}{trained}"]
        for metric in TABLE1:
            text = plus_minus(row[f"{metric}_mean"], row[f"{metric}_sd"], metric)
            text += lacking(row[f"{metric}_cells"], row["ok"])
            cells.append(bold(text) if index in leaders[metric] else text)
        rows.append([*cells, f"{row['ok']}/{row['expected']}", f"{row['n']}/{row['datasets']}"])
    return rows


def headings() -> list[str]:
    """Column heads of Table 1."""
    labels = [METRICS[metric].label for metric in TABLE1]
    return [HEADINGS["method"], *labels, HEADINGS["cells"], HEADINGS["datasets"]]


def per_dataset(by_dataset: "pd.DataFrame", methods: Sequence[str]) -> "pd.DataFrame":
    """Numbers of the second table: a row a (dataset, method) with DSC and counts, in order."""
    rows = by_dataset[by_dataset["metric"] == "dsc"]
    place = {method: i for i, method in enumerate(methods)}
    first = {name: i for i, name in enumerate(rows["dataset"].unique())}
    key = rows["dataset"].map(first) * len(place) + rows["method"].map(place)
    columns = ["split", "dataset", "modality", "method", "mean", "sd", "n", "structures"]
    columns += ["cells", "ok", "expected", "skipped", "failed", "contaminated"]
    ordered = rows.loc[key.sort_values(kind="stable").index, columns]
    return ordered.rename(columns={"mean": "dsc_mean", "sd": "dsc_sd"}).reset_index(drop=True)


def cell(mean: float, known: float, expected: float, contaminated: int, decimals: int = 3) -> str:
    """A mean of a dataset: with its denominators where cells are missing, † if trained on."""
    text = NONE if mean != mean else f"{mean:.{decimals}f}"
    return text + lacking(known, expected) + ("†" if contaminated else "")


def lacking(known: float, expected: float) -> str:
    """Denominators of a mean, where cells are missing; nothing where they are unknown (NaN)."""
    return f" ({known:.0f}/{expected:.0f})" if known < expected else ""


def make(results: "Results") -> list[Path]:
    """Write table1, dsc_by_dataset and prompts into the study's folder ``tables``."""
    folder = results.folder / "tables"
    numbers = table1(results.overall, results.methods, results.controls)
    below = [*filter(None, [weights(results)]), *notes(results)]
    table1_below = [*below, *scoring.told(results)]
    made = write(folder / "table1", numbers, _split_rows(numbers), headings(), table1_below)
    long = per_dataset(results.by_dataset, results.columns)
    wide: dict[str, list[str]] = {}
    for row in long.to_dict("records"):
        dataset = str(row["dataset"])
        cells = wide.setdefault(dataset, [dataset] + [NONE] * len(results.columns))
        text = cell(row["dsc_mean"], row["cells"], row["expected"], row["contaminated"])
        cells[1 + results.columns.index(str(row["method"]))] = text
    head = ["Dataset", *results.columns]
    made += write(folder / "dsc_by_dataset", long, {_BY_DATASET: list(wide.values())}, head, below)
    told = prompts.table(results)
    rows = {"": prompts.printed(told)} if len(told) else {}
    return made + write(folder / "prompts", told, rows, prompts.HEADINGS, prompts.NOTES)


def _split_rows(numbers: "pd.DataFrame") -> dict[str, list[list[str]]]:
    blocks: dict[str, list[list[str]]] = {}
    if len(numbers):
        rows = printed(numbers, lambda text: f"**{text}**")
        for split, row in zip(numbers["split"], rows, strict=True):
            blocks.setdefault(SPLITS.get(split, split), []).append(row)
    return blocks
