"""Statistical analyses: tidy tables on which the figures, the report and the ledger are based.

Each analysis is a pure function of tables and settings, and is also available as a workflow rule
and as a subcommand. ``docs/analyses.md`` documents the columns of every output table.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.analysis.settings import AnalysisSettings


class Analysis(NamedTuple):
    """The tables that an analysis reads and writes, and the module that implements it.

    ``module`` is a submodule of this package that defines ``analyse(tables, settings)``.
    """

    module: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]


ANALYSES = {
    "fingerprint": Analysis(
        "fingerprint", ("images", "objects"), ("fingerprint", "object_types", "training_samples")
    ),
    "averages": Analysis("aggregate", ("scores",), ("by_structure", "by_dataset", "overall")),
    "comparison": Analysis(
        "comparison", ("scores",), ("comparison", "comparison_by_dataset", "mixed_model")
    ),
    "stability": Analysis("stability", ("scores",), ("stability_values", "stability_tests")),
    "thickness": Analysis(
        "thickness", ("scores", "objects"), ("thickness_values", "thickness_tests")
    ),
    "regularity": Analysis(
        "regularity", ("scores", "objects"), ("regularity_values", "regularity")
    ),
    "efficiency": Analysis(
        "efficiency", ("times",), ("times", "times_by_dataset", "times_tests", "costs")
    ),
    "interaction": Analysis(
        "interaction",
        ("interaction", "scores"),
        ("interaction", "interaction_tests", "interaction_gain"),
    ),
    "ranking": Analysis(
        "ranking",
        ("scores",),
        ("ranking", "rank_shares", "rank_agreement", "wins", "ranks_by_dataset"),
    ),
    "survival": Analysis(
        "survival",
        ("cohorts", "measures"),
        (
            "survival_patients",
            "survival_curves",
            "survival_tests",
            "survival_cox",
            "survival_difference",
            "survival_response",
        ),
    ),
    "generalisation": Analysis(
        "generalisation",
        ("runs",),
        (
            "recovery",
            "transfer",
            "finetuning",
            "finetuning_tests",
            "ablation",
            "ablation_overall",
            "ablation_tests",
            "lost_runs",
        ),
    ),
}

MEMORY_PER_SIZE = 20
"""Ratio of an analysis's peak memory to the size of its tables on disk; measured: 16 to 24."""

OPTIONAL_TABLES = ("interaction", "runs")
"""Tables that a study may lack.

They exist if the study file names them; ``runs`` also if the study trains models.
"""


def analyse(
    name: str, inputs: Mapping[str, Path], output: Path, settings: "AnalysisSettings"
) -> None:
    """Run an analysis and write each table that it gives to ``<output>/<table>.csv``.

    Args:
        name: key of `ANALYSES`.
        inputs: csv or parquet file of each table in ``ANALYSES[name].takes``. The tables in
            `OPTIONAL_TABLES`, and ``objects`` for the thickness analysis, may be missing.
        output: folder to write to.
        settings: settings of the statistics.
    """
    from benchmark.analysis import frames
    from benchmark.storage.tables import write_csv

    analysis = ANALYSES[name]
    tables = {key: frames.READERS[key](inputs[key]) for key in analysis.takes if key in inputs}
    found = import_module(f"{__name__}.{analysis.module}").analyse(tables, settings)
    for table in analysis.gives:
        write_csv(found[table], output / f"{table}.csv")


def read_statistics(path: Path) -> "pd.DataFrame":
    """Read a table that `analyse` wrote; see `benchmark.analysis.frames.read_csv`."""
    from benchmark.analysis.frames import read_csv

    return read_csv(path)
