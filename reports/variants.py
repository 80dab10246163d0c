"""Table of the variants next to their plain methods: mean DSC over all datasets."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchmark.analysis.aggregate import by_dataset, by_structure, overall
from benchmark.analysis.frames import ALL
from benchmark.storage.tables import read_groups
from reports import appendix
from reports.formatting import NONE, marked, mean_sd, plain_text
from reports.printed import PrintedTable

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

HEAD = ["Method", "Variant", "Options", "DSC", "Scored / expected", "Datasets"]
NOTES = (
    "Mean ± standard deviation over all datasets, averaged as in the tables above; the plain "
    "method comes first. Variants appear in no other tables than those of thickness and ablations "
    "that a study file names.",
)
_COLUMNS = ["split", "dataset", "modality", "structure", "method", "prompt", "variant"]
_COLUMNS += ["level", "deviation", "status", "contaminated", "dsc"]


def variants(results: "Results") -> dict[str, Any]:
    """Return the table, one row per (method, variant); empty if no method has variants."""
    named = {m: results.method_record(m).variants for m in results.methods_in_table_order}
    named = {method: options for method, options in named.items() if options}
    if not named:
        return {}
    numbers = _numbers(results, list(named))
    found = {(row["method"], row["variant"]): row for row in numbers.to_dict("records")}
    cells = [
        _cells(method, variant, options, found[method, variant])
        for method, variants in named.items()
        for variant, options in {"": {}, **variants}.items()
        if (method, variant) in found
    ]
    heading = "Variants of the methods: DSC"
    printed = PrintedTable.one_block("variants", heading, numbers, HEAD, cells, NOTES)
    return appendix.shown(printed, {3, 4, 5}, [])


def _numbers(results: "Results", methods: list[str]) -> "pd.DataFrame":
    """Return averages over all datasets, one row per (method, variant)."""
    import pandas as pd

    # The scores of a large study need not fit in memory, and few of its rows are kept.
    groups = read_groups(results.folder / "scores.parquet", _COLUMNS)
    parts = [_kept(group.to_pandas(), methods) for group in groups]
    if not any(len(part) for part in parts):
        return pd.DataFrame(columns=["method", "variant"])
    means = [
        overall(by_dataset(by_structure(rows.drop(columns="variant")))).assign(variant=variant)
        for variant, rows in pd.concat(parts).groupby("variant", sort=False)
    ]
    table = pd.concat(means, ignore_index=True)
    return table[table["split"] == ALL]


def _kept(rows: "pd.DataFrame", methods: list[str]) -> "pd.DataFrame":
    kept = (rows["level"] == "structure") & (rows["deviation"] == 0) & rows["method"].isin(methods)
    return rows[kept]


def _cells(method: str, variant: str, options: dict[str, Any], row: dict[Any, Any]) -> list[str]:
    return [
        marked(method, row["contaminated"]),
        variant or "(plain)",
        ", ".join(_told(options)) or NONE,
        mean_sd(row["mean"], row["sd"]),
        f"{row['ok']}/{row['expected']}",
        f"{row['n']}/{row['datasets']}",
    ]


def _told(options: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Yield the options as text; nested options are named by their dotted path."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _told(value, f"{within}{key}.")
        else:
            yield f"{within}{key} {plain_text(value)}"
