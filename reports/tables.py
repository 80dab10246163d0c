"""Every table of a study: those of the paper, of the record and of the supplement."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from reports import main_tables, record_tables, supplement_tables
from reports.printed import PrintedTable

if TYPE_CHECKING:
    from reports.results import Results


def printed(results: "Results") -> Iterator[PrintedTable]:
    """Yield the tables in the order of `reports.supplement.NAMES`."""
    modules = (main_tables, record_tables, supplement_tables)
    return chain.from_iterable(module.printed(results) for module in modules)


def make(results: "Results") -> list[Path]:
    """Write the tables into the study's folder ``tables`` and return the paths."""
    folder = results.folder / "tables"
    return [path for table in printed(results) for path in table.write(folder)]
