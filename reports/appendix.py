"""The tables of a study at the end of its report, and the files that lie beside it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import recorded, tidy
from reports.columns import Kind
from reports.supplement import NAMES, SUPPLEMENT

if TYPE_CHECKING:
    from reports.results import Results

_LABELS = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX", "pdf": "PDF", "svg": "SVG", "png": "PNG"}
_TEXT: tuple[Kind, ...] = ("text", "method")
_MOST_ROWS = 300
"""Longer tables are linked, not shown: the report stays small enough to send."""


def appendix(results: "Results") -> list[dict[str, Any]]:
    """Give the tables that the report does not show elsewhere, each with its files."""
    made = files(results.folder)
    return [_shown(table, made) for table in (*tidy.printed(results), recorded.windows(results))]


def _shown(table: tidy.Printed, made: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    count = len(table.cells)
    told = f"{count:,} row{'s' * (count != 1)}" if count else f"none: {table.without}"
    if count > _MOST_ROWS:
        told += ", in its files alone"
    return {
        "name": table.name,
        "heading": table.heading,
        "told": told,
        "head": table.head,
        "numeric": _numeric(table),
        "rows": table.cells if count <= _MOST_ROWS else [],
        "notes": table.below,
        "files": made.get(table.name, []),
    }


def _numeric(table: tidy.Printed) -> set[int]:
    """Places of the columns that hold numbers in print."""
    if table.name not in SUPPLEMENT:
        return set(range(1, len(table.head)))
    columns = SUPPLEMENT[table.name].columns
    kinds = [column.kind for column in columns]
    kinds += [kinds[-1]] * (len(table.head) - len(kinds))
    return {place for place, kind in enumerate(kinds) if kind not in _TEXT}


def files(study: Path) -> dict[str, list[tuple[str, str]]]:
    """Label and path, from the study's folder, of the files of each table that was written."""
    found = {name: links(study, f"tables/{name}", ("csv", "md", "tex")) for name in NAMES}
    return found | {"ledger": links(study, "statistics/ledger", ("csv",))}


def links(study: Path, stem: str, suffixes: Iterable[str]) -> list[tuple[str, str]]:
    """Label and path of those of ``stem``.suffix that exist below ``study``."""
    paths = ((suffix, f"{stem}.{suffix}") for suffix in suffixes)
    return [(_LABELS[suffix], path) for suffix, path in paths if (study / path).exists()]
