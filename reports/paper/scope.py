"""Which parts of a study can be compared with the paper, and their rows of the statistics.

The paper's methods are identified by their adapters (PAM also by its released weights), its
datasets by their ids.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reports.formatting import is_missing
from reports.paper.measured import Measured, NotAvailableError

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

ROLES = {
    "PAM-2DBox": "pam-2dbox",
    "PAM-2DMask": "pam-2dmask",
    "PAM-3DBox": "pam-3dbox",
    "MedSAM": "medsam",
    "SegVol": "segvol",
    "nnU-Net": "nnunet",
}
RELEASED = "pam-released"
_IDS = tuple(f"D{number:02d}" for number in range(1, 45))
DATASETS = {"internal": _IDS[:34], "external": _IDS[34:], "all": _IDS}


def method_in_role(results: "Results", role: str) -> str:
    """Return the study's name of the paper's method ``role``."""
    known = results.method_records
    ours = [name for name, entry in known.items() if entry.adapter == ROLES[role]]
    if not ours:
        raise NotAvailableError(f"{role} is not in this study")
    if role.startswith("PAM"):
        ours = [name for name in ours if known[name].weights == RELEASED]
        if not ours:
            raise NotAvailableError(f"{role} runs here with other weights than the paper's")
    return ours[0]


def require_same_datasets(results: "Results", method: str, split: str) -> None:
    """Raise `NotAvailableError` unless a method has a DSC on exactly the datasets of a split."""
    table = results.by_dataset
    rows = table[(table["method"] == method) & (table["metric"] == "dsc") & (table["n"] > 0)]
    rows = rows if split == "all" else rows[rows["split"] == split]
    require_paper_datasets(rows["dataset"], split, method)


def require_paper_datasets(datasets: Iterable[str], split: str, of: str) -> None:
    """Raise `NotAvailableError` unless ``datasets`` are exactly those of the paper's ``split``."""
    wanted, found = DATASETS[split], set(datasets)
    ours = {catalogue_id(name) for name in found} & set(wanted)
    if len(ours) < len(wanted):
        raise NotAvailableError(f"{of}: {len(ours)} of the paper's {len(wanted)} datasets")
    if len(found) > len(wanted):
        more = ", ".join(sorted(found - set(wanted)))
        raise NotAvailableError(f"{of}: beside the paper's {len(wanted)} datasets also {more}")


def require_all_datasets(n: int, of: str) -> None:
    """Raise `NotAvailableError` if a test is over fewer datasets than the paper has."""
    if n < len(DATASETS["all"]):
        raise NotAvailableError(f"{of}: {n} of the paper's {len(DATASETS['all'])} datasets")


def catalogue_id(dataset: str) -> str:
    """Return the catalogue id; D34-released is D34 as the authors' scripts read it."""
    return dataset.removesuffix("-released")


def contamination_note(results: "Results", methods: Iterable[str], split: str) -> str:
    """Say how many cells behind the means of ``methods`` are contaminated; empty if none."""
    table = results.by_dataset
    rows = table[table["method"].isin(list(methods)) & (table["metric"] == "dsc")]
    return contamination_of(rows if split == "all" else rows[rows["split"] == split])


def contamination_of(rows: "pd.DataFrame") -> str:
    """Say how many cells behind rows of means are contaminated; empty if none."""
    count, of = int(rows["contaminated"].sum()), int(rows["expected"].sum())
    return f"{count} of {of} cells were trained on; the paper's are held out" if count else ""


def rows_of(results: "Results", name: str, **where: Any) -> "pd.DataFrame":
    """Return the rows of a statistics table whose columns have the values of ``where``."""
    table = results.statistics(name)
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def single_value(table: "pd.DataFrame", column: str, **more: str) -> Measured:
    """Return the value of the only row of ``table``.

    ``more`` maps fields of `Measured`, such as ``low``, to columns. Raises `NotAvailableError`
    without a row or a value.
    """
    if table.empty:
        raise NotAvailableError("there is no such row in the statistics")
    row = table.iloc[0]
    if is_missing(row[column]):
        raise NotAvailableError(str(row.get("reason") or "it has no value"))
    found = {field: row[name] for field, name in more.items()}
    return Measured(float(row[column]), **found)


def paired_rows(results: "Results", a: str, b: str, **where: Any) -> "tuple[pd.DataFrame, float]":
    """Return the comparison rows of two methods, and the sign that makes differences a minus b."""
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        pair = {"method_a": first, "method_b": second, "unit": "dataset"}
        rows = rows_of(results, "comparison", **pair, **where)
        if len(rows):
            return rows, sign
    raise NotAvailableError(f"{a} and {b} were not compared")
