"""Collapsible detail tables of the report: DSC by structure, comparisons within each dataset."""

from typing import TYPE_CHECKING, Any

from reports import appendix, supplement_tables
from reports.columns import DATASET, HOLM_CHOSEN, PAIR, REASON, N, P, Table, column
from reports.notes import notes
from reports.printed import PrintedTable

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

FEW = 6
"""With fewer datasets, a test over datasets has hardly any power.

The comparison within each dataset is then shown open.
"""

STRUCTURES = Table(
    "DSC by structure",
    "by_structure",
    (
        DATASET,
        column("Structure", "text", "structure"),
        column("Scans", "count", "scans"),
        column("DSC", "share", "mean", "cells", "expected", "contaminated"),
    ),
    where={"metric": ("dsc",)},
    across="method",
    marked=True,
    notes=("Mean over the scans that contain the structure.",),
)
WITHIN = Table(
    "Paired comparison within each dataset: DSC",
    "comparison_by_dataset",
    (
        DATASET,
        *PAIR,
        column("Same prompt", "text", "same_prompt"),
        N,
        column("Cells", "count", "cells"),
        column("Difference", "signed", "difference"),
        column("Test", "text", "test"),
        P,
        HOLM_CHOSEN,
        REASON,
    ),
    where={"metric": ("dsc",), "chosen": (True,)},
    marked=True,
    notes=(
        "Paired over n scans, each the mean of its structures, or over patients if there are "
        "several scans of one. The difference is Method minus Against. The test is the one that "
        "fits the differences: paired t if they pass as normal, else Wilcoxon signed-rank. Holm's "
        "correction covers all pairs and datasets.",
    ),
)


def structures(results: "Results") -> dict[str, Any]:
    """Return DSC by structure: one row per structure of a dataset, one column per method.

    The column ``scans`` counts the scans with the structure, as the largest number expected of any
    method. Empty without scores.
    """
    rows = supplement_tables.selected(results.statistics(STRUCTURES.source), STRUCTURES)
    asked = rows.groupby(["dataset", "structure"])["expected"]
    return _shown(results, STRUCTURES, rows.assign(scans=asked.transform("max")), opened=False)


def within(results: "Results") -> dict[str, Any]:
    """Return the paired comparisons within each dataset, by the chosen test; empty without any."""
    rows = supplement_tables.selected(results.statistics(WITHIN.source), WITHIN)
    few = results.by_dataset.loc[results.by_dataset["n"] > 0, "dataset"].nunique() < FEW
    return _shown(results, WITHIN, rows, opened=few)


def _shown(
    results: "Results", table: Table, rows: "pd.DataFrame", *, opened: bool
) -> dict[str, Any]:
    if rows.empty:
        return {}
    head, cells = supplement_tables.layout(
        rows, table, results.methods_in_table_order, results.confidence
    )
    below = [*table.notes, *(notes(results) if table.marked else ())]
    printed = PrintedTable.one_block(table.source, table.heading, rows, head, cells, below)
    files = appendix.links(results.folder, f"statistics/{table.source}", ("csv",))
    shown = appendix.shown(printed, appendix.numeric(table.columns, head), files)
    return {**shown, "opened": opened}
