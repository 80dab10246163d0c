"""Supplementary tables at the end of the report, and links to the files written beside it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import record_tables, supplement_tables
from reports.columns import CellFormat, Column
from reports.formatting import count_noun
from reports.printed import PrintedTable
from reports.supplement import NAMES, SUPPLEMENT

if TYPE_CHECKING:
    from reports.results import Results

_LABELS = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX", "pdf": "PDF", "svg": "SVG", "png": "PNG"}
_TEXT: tuple[CellFormat, ...] = ("text", "method")
_MOST_ROWS = 300
"""Longer tables are only linked, so that the report stays small enough to send."""


def appendix(results: "Results") -> list[dict[str, Any]]:
    """Return the tables that the report does not show elsewhere, each with links to its files."""
    made = files(results.folder)
    tables = (*supplement_tables.printed(results), record_tables.windows(results))
    return [shown(table, _numeric(table), made.get(table.name, [])) for table in tables]


def shown(table: PrintedTable, numeric: set[int], made: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what the template needs to show a collapsible table.

    ``numeric`` holds the indices of the numeric columns, ``made`` a (label, path) pair per file
    of the table. Tables of more than `_MOST_ROWS` rows are returned without their rows.
    """
    count = len(table.cells)
    told = count_noun(count, "row") if count else f"none: {table.when_empty}"
    if count > _MOST_ROWS:
        told += ", only in its files"
    return {
        "name": table.name,
        "heading": table.heading,
        "told": told,
        "head": table.head,
        "numeric": numeric,
        "rows": table.cells if count <= _MOST_ROWS else [],
        "notes": table.notes,
        "files": made,
        "opened": False,
    }


def numeric(columns: Sequence[Column], head: Sequence[str]) -> set[int]:
    """Return the indices of the numeric columns; the last column may be repeated in ``head``."""
    formats = [column.format for column in columns]
    formats += [formats[-1]] * (len(head) - len(formats))
    return {place for place, format in enumerate(formats) if format not in _TEXT}


def _numeric(table: PrintedTable) -> set[int]:
    if table.name not in SUPPLEMENT:
        return set(range(1, len(table.head)))
    return numeric(SUPPLEMENT[table.name].columns, table.head)


def files(study: Path) -> dict[str, list[tuple[str, str]]]:
    """Return a (label, path) pair for each file written, by the name of its table.

    Paths are relative to the study's folder.
    """
    found = {name: links(study, f"tables/{name}", ("csv", "md", "tex")) for name in NAMES}
    return found | {"ledger": links(study, "statistics/ledger", ("csv",))}


def links(study: Path, stem: str, suffixes: Iterable[str]) -> list[tuple[str, str]]:
    """Return (label, path) for each file ``stem.suffix`` that exists below ``study``."""
    paths = ((suffix, f"{stem}.{suffix}") for suffix in suffixes)
    return [(_LABELS[suffix], path) for suffix, path in paths if (study / path).exists()]
