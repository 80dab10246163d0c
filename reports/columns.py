"""What a supplementary table is: its columns, and how their cells are printed."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
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
"""How a cell is printed from its fields: ``method`` with † where it was trained on the data;
``short`` three significant digits; ``of`` a count and that of which it is a part; ``timed``
seconds as ``short``, with the number of objects; ``pm`` mean and sd; ``share`` and ``mm`` a mean of
a dataset with its denominators and † (mean, cells, expected, contaminated). A cell of any other
kind shows the denominators, where cells are missing, if ``matched`` and ``expected`` are its last
two fields."""


@dataclass(frozen=True)
class Column:
    """A column in print: its head, how a cell is printed, and from which fields.

    ``{level}`` in a head stands for the study's level of confidence, such as 95 %.
    """

    heading: str
    kind: Kind
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A supplementary table: the rows of a table of the statistics, in print by ``columns``.

    ``number``: a range where the paper's text does not tell which of them it is. ``where``: values
    of which a field of a row must have one; ``leaves_out``: those of which it must have none.
    ``beside``: a field and its value; only datasets that have a mean in such a row. ``across``: a
    field whose values become columns; the last of ``columns`` is then the cell. ``marked``: has †
    to be explained.
    """

    title: str
    source: str
    columns: tuple[Column, ...]
    number: str = ""
    where: dict[str, tuple[object, ...]] = field(default_factory=dict)
    across: str = ""
    marked: bool = False
    notes: tuple[str, ...] = ()
    without: str = "No scores."
    beside: tuple[str, object] | None = None
    leaves_out: dict[str, tuple[object, ...]] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The title, with the number that the paper gives it."""
        if not self.number:
            return self.title
        label = "Of Tables" if "-" in self.number else "Tables" if "," in self.number else "Table"
        return f"{label} {self.number}: {self.title}"


def column(heading: str, kind: Kind, *fields: str) -> Column:
    """Give a column; see `Kind`."""
    return Column(heading, kind, fields)


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
"""Of a table that shows the chosen test of each pair."""
REASON = column("Not computable", "text", "reason")
INTERVAL = column("{level} interval", "interval", "low", "high")
"""In print the head names the study's level of confidence."""
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


def by_dataset(title: str, number: str, kind: Kind = "share", **where: tuple[object, ...]) -> Table:
    """Give a table with a row a dataset, a column a method: means with their denominators."""
    cell = column(title, kind, "mean", "cells", "expected", "contaminated")
    columns = (*PLACE, cell)
    return Table(f"{title} by dataset", "by_dataset", columns, number, where, "method", marked=True)


def levels(title: str, source: str, number: str, without: str) -> Table:
    """Give a table of DSC with a row a (method, dataset), a column a level."""
    columns = (METHOD, DATASET, column("DSC", "number", "mean"))
    where: dict[str, tuple[object, ...]] = {"metric": ("dsc",), "selection": ("all",)}
    return Table(title, source, columns, number, where, "level", without=without)


def level_tests(title: str, source: str, number: str, without: str) -> Table:
    """Give the table of the tests over levels."""
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
    return Table(title, source, columns, number, where, notes=notes, without=without)
