"""The supplementary tables of the registry, formatted from the tidy tables of the statistics."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.metrics.definitions import METRICS
from reports import scoring
from reports.columns import CellFormat, Column, Table
from reports.formatting import (
    DAGGER,
    NONE,
    denominators,
    format_p,
    interval,
    is_missing,
    marked,
    mean_cell,
    mean_sd,
)
from reports.notes import notes
from reports.printed import PrintedTable
from reports.supplement import SUPPLEMENT

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

_DISTANCES = {name for name, metric in METRICS.items() if metric.family == "distance"}
_MEASURED = {"spacing_anisotropy", "volume_mm3_median"}
"""Columns of datasets that depend on the size of their voxels."""


def printed(results: "Results") -> Iterator[PrintedTable]:
    """Yield every table of the registry."""
    for name, entry in SUPPLEMENT.items():
        rows = selected(results.statistics(entry.source), entry)
        head, cells = layout(rows, entry, results.methods_in_table_order, results.confidence)
        seen = any(DAGGER in cell for line in cells for cell in line)
        below = [*entry.notes, *(notes(results, seen=seen) if entry.marked and len(rows) else ())]
        if entry.columns[-1].format == "mm":
            below += filter(None, [scoring.empty_rule(results)])
        if entry.where.get("metric") == ("nsd",):
            below += filter(None, [scoring.nsd_tolerance(results)])
        if not _DISTANCES.isdisjoint(rows.get("metric", ())) or not _MEASURED.isdisjoint(rows):
            below += scoring.spacing_notes(results)
        yield PrintedTable.one_block(
            name, entry.heading, rows, head, cells, below, entry.when_empty
        )


def selected(table: "pd.DataFrame", entry: Table) -> "pd.DataFrame":
    """Return the rows of a tidy table that ``entry`` selects, with all columns."""
    for key, values in entry.where.items():
        table = table[table[key].isin(values)]
    for key, values in entry.leaves_out.items():
        table = table[~table[key].isin(values)]
    if entry.beside is not None:
        key, value = entry.beside
        has_value = table[entry.columns[-1].fields[0]].notna()
        named = table.loc[(table[key] == value) & has_value, "dataset"]
        table = table[table["dataset"].isin(named)]
    return table.reset_index(drop=True)


def layout(
    rows: "pd.DataFrame", entry: Table, methods: Sequence[str] = (), level: str = ""
) -> tuple[list[str], list[list[str]]]:
    """Return the column headings and the formatted cells of a table.

    ``methods`` gives the column order if the columns are methods; ``level`` replaces ``{level}``
    in headings.
    """
    if not entry.across:
        cells = [
            [_cell(column, row) for column in entry.columns] for row in rows.to_dict("records")
        ]
        return [column.heading.replace("{level}", level) for column in entry.columns], cells
    *keys, shown = entry.columns
    found = list(dict.fromkeys(rows[entry.across]))
    if entry.across == "method":
        found = [method for method in methods if method in found]
    elif entry.across == "level":
        found = sorted(found)
    lines: dict[tuple[str, ...], dict[object, str]] = {}
    for row in rows.to_dict("records"):
        key = tuple(_cell(column, row) for column in keys)
        lines.setdefault(key, {})[row[entry.across]] = _cell(shown, row)
    head = [column.heading for column in keys] + [_text(value) for value in found]
    return head, [[*key, *(line.get(v, NONE) for v in found)] for key, line in lines.items()]


def _cell(column: Column, row: dict[Any, Any]) -> str:
    fields, behind, seen = column.fields, "", False
    if len(fields) > 1 and fields[-2].startswith("matched"):
        behind = denominators(row[fields[-2]], row[fields[-1]])
        fields = fields[:-2]
    if fields[-1].startswith("contaminated") and column.format not in _MARKED:
        seen = bool(row[fields[-1]])
        fields = fields[:-1]
    first, *rest = (row[name] for name in fields)
    if is_missing(first) and column.format not in ("share", "mm"):
        return NONE + behind
    return marked(_FORMATTERS[column.format](first, *rest) + behind, seen)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _of(part: float, whole: float) -> str:
    return f"{part:,.0f}" if is_missing(whole) else f"{part:,.0f}/{whole:,.0f}"


def _short(value: float) -> str:
    """Format with three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


_MARKED = ("method", "share", "mm")
"""Formats that show † themselves."""

_FORMATTERS: dict[CellFormat, Callable[..., str]] = {
    "text": _text,
    "method": marked,
    "count": lambda value: f"{value:,.0f}",
    "number": lambda value: f"{value:.3f}",
    "signed": lambda value: f"{value:+.3f}",
    "percent": lambda value: f"{value:.1f}",
    "short": _short,
    "of": _of,
    "timed": lambda seconds, objects: f"{_short(seconds)} ({objects:,.0f})",
    "p": format_p,
    "pm": mean_sd,
    "interval": lambda low, high: interval(low, high) or NONE,
    "share": mean_cell,
    "mm": lambda mean, known, expected, trained: mean_cell(mean, known, expected, trained, 2),
}
