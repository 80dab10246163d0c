"""Scores -> statistics: the four tables that every figure and the report are drawn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("by_structure", "by_dataset", "overall", "comparison")


def analyse(scores: Path, output: Path, *, controls: Sequence[str] = ()) -> None:
    """Write by_structure.csv, by_dataset.csv, overall.csv and comparison.csv into ``output``.

    ``scores``: the study's ``scores.parquet``, a file or a folder of shards. ``controls``: methods
    that see the reference; they are averaged like the others and left out of the comparison.
    """
    from benchmark.analysis import aggregate, comparison

    rows = aggregate.read_scores(scores, level="structure")
    by_structure = aggregate.by_structure(rows)
    by_dataset = aggregate.by_dataset(by_structure)
    results = {
        "by_structure": by_structure,
        "by_dataset": by_dataset,
        "overall": aggregate.overall(by_dataset),
        "comparison": comparison.compare(rows, controls=controls),
    }
    for name in TABLES:
        _write(results[name], output / f"{name}.csv")


def read_statistics(path: Path) -> "pd.DataFrame":
    """Read one of the tables back; a name such as "NA" stays a name, an empty field is missing."""
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _write(table: "pd.DataFrame", path: Path) -> None:
    from benchmark.files import atomic

    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
