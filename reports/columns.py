"""The declaration of a supplementary table: its columns and how their cells are formatted."""

from dataclasses import dataclass, field
from typing import Literal

CellFormat = Literal[
    "text",
    "method",
    "count",
    "number",
    "signed",
    "percent",
    "short",
    "of",
    "timed",
    "p",
    "pm",
    "interval",
    "share",
    "mm",
]
"""How a cell is formatted from its fields.

- ``text``, ``count``, ``number``, ``signed``, ``percent``, ``p``, ``interval``: as the name says;
- ``method``: a name, with † if its weights were trained on the data;
- ``short``: three significant digits;
- ``of``: a count and the total it is part of;
- ``timed``: seconds as in ``short``, with the number of objects;
- ``pm``: mean ± standard deviation;
- ``share``, ``mm``: a dataset mean with its denominators and † (fields: mean, cells, expected,
  contaminated), with three and two decimals.

In any other format, the last fields may be one that begins with ``contaminated``, then one that
begins with ``matched`` and ``expected``: the cell also has these denominators where cells are
missing, and † if contaminated.
"""


@dataclass(frozen=True)
class Column:
    """A table column: its heading, the format of its cells and the fields they are made from.

    ``{level}`` in a heading is replaced by the study's confidence level, such as 95 %.
    """

    heading: str
    format: CellFormat
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A supplementary table: selected rows of the statistics table ``source``, and their format.

    Attributes:
        number: number of the table in the paper's supplement, or a range if the paper's text does
            not say which.
        where: permitted values by field; rows with other values are dropped.
        across: field whose values become columns; the last of ``columns`` then formats the cells.
        marked: whether the table may contain † marks, which need a footnote.
        when_empty: text shown in place of an empty table.
        beside: a field and a value; keep only datasets with a mean in such a row.
        leaves_out: excluded values by field.
    """

    title: str
    source: str
    columns: tuple[Column, ...]
    number: str = ""
    where: dict[str, tuple[object, ...]] = field(default_factory=dict)
    across: str = ""
    marked: bool = False
    notes: tuple[str, ...] = ()
    when_empty: str = "No scores."
    beside: tuple[str, object] | None = None
    leaves_out: dict[str, tuple[object, ...]] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The title, preceded by the table's number in the paper, if any."""
        if not self.number:
            return self.title
        label = "Of Tables" if "-" in self.number else "Tables" if "," in self.number else "Table"
        return f"{label} {self.number}: {self.title}"


def column(heading: str, format: CellFormat, *fields: str) -> Column:
    """Return a column; see `CellFormat` for the formats."""
    return Column(heading, format, fields)


DATASET = column("Dataset", "text", "dataset")
METHOD = column("Method", "text", "method")
METRIC = column("Metric", "text", "metric")
PLACE = (DATASET, column("Modality", "text", "modality"))
SPLIT = column("Split", "text", "split")
N = column("n", "count", "n")
P = column("P", "p", "p")
UNCORRECTED = "P values are not corrected for the number of tests."
HOLM = column("P (Holm)", "p", "p_holm")
HOLM_CHOSEN = column("P (Holm)", "p", "p_holm_chosen")
"""For tables that show only the test chosen for each pair."""
REASON = column("Not computable", "text", "reason")
INTERVAL = column("{level} interval", "interval", "low", "high")
"""The heading states the study's confidence level."""
DIFFERENCE = (
    "The difference is the mean. Interval and effect go with the test: for paired t they are the "
    "interval of the mean and Cohen's d_z, for Wilcoxon signed-rank the interval of the "
    "pseudomedian and the rank-biserial correlation."
)
EFFECT = (column("Effect", "number", "effect"), column("Effect is", "text", "effect_name"))
MARKED = column("Method", "method", "method", "contaminated")
PAIR = (
    column("Method", "method", "method_a", "contaminated_a"),
    column("Against", "method", "method_b", "contaminated_b"),
)


def by_dataset(
    title: str, number: str, format: CellFormat = "share", **where: tuple[object, ...]
) -> Table:
    """Return a table of means and denominators: one row per dataset, one column per method."""
    cell = column(title, format, "mean", "cells", "expected", "contaminated")
    columns = (*PLACE, cell)
    return Table(f"{title} by dataset", "by_dataset", columns, number, where, "method", marked=True)


def levels(title: str, source: str, number: str, when_empty: str) -> Table:
    """Return a table of DSC: one row per (method, dataset), one column per level."""
    columns = (METHOD, DATASET, column("DSC", "number", "mean"))
    where: dict[str, tuple[object, ...]] = {"metric": ("dsc",), "selection": ("all",)}
    return Table(title, source, columns, number, where, "level", when_empty=when_empty)


def level_tests(title: str, source: str, number: str, when_empty: str) -> Table:
    """Return the table of the tests between levels."""
    columns = (
        METHOD,
        column("Objects", "text", "selection"),
        column("Test", "text", "test"),
        column("Level", "text", "level"),
        N,
        column("Difference", "signed", "difference"),
        column("90 % interval (TOST)", "interval", "low", "high"),
        P,
        column("Equivalent", "text", "equivalent"),
        REASON,
    )
    notes = (
        "TOST: two one-sided tests, each at 5 %, that the difference from the baseline is within "
        "the margin of equivalence; the interval is the corresponding one of 90 %.",
        UNCORRECTED,
    )
    where: dict[str, tuple[object, ...]] = {"metric": ("dsc",)}
    return Table(title, source, columns, number, where, notes=notes, when_empty=when_empty)
