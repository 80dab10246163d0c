"""Scans, cells and datasets that a study lost, and the share of them that its budget allows."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmark.errors import UserError
from benchmark.storage.tables import read_groups


def require_within_budget(folder: Path, lost_share: float) -> None:
    """Raise `UserError` if a study lost more than ``lost_share`` of any of three things.

    These are all scans; the cells of each method by itself, so that many methods do not hide one
    that fails; and whole datasets, because one that cannot be read contributes no scans.
    ``folder``: that of a collected study. Datasets that wait for a manual step, and methods whose
    weights are absent, are not losses.
    """
    names, kinds = ["dataset", "scan"], ["method", "status"]
    scans, lost, unprepared, cells = set(), set(), set(), Counter[tuple[str, str]]()
    for part in read_groups(folder / "scores.parquet", [*names, *kinds, "level", "prompt"]):
        scans |= _distinct(part, names)
        counts = prompted_cells(part).group_by(kinds).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            cells[row["method"], row["status"]] += row["count_all"]
    for part in read_groups(folder / "failures.parquet", [*names, "method", "stage"]):
        prepared = pc.and_(pc.is_null(part["method"]), pc.equal(part["stage"], "prepare"))
        lost |= _distinct(part.filter(pc.and_(prepared, pc.is_valid(part["scan"]))), names)
        unprepared |= _distinct(part.filter(prepared), ["dataset"])
    used = {(dataset,) for dataset, _ in scans}
    shares = [
        ("scans", len(lost), len(scans | lost)),
        ("whole datasets", len(unprepared - used), len(unprepared | used)),
    ]
    for method in dict.fromkeys(method for method, _ in cells):
        failed = cells[method, "failed"]
        shares.append((f"cells of {method}", failed, failed + cells[method, "ok"]))
    over = [
        f"{count} of {total} {what}"
        for what, count, total in shares
        if total and count / total > lost_share
    ]
    if over:
        raise UserError(
            f"{'; '.join(over)} were lost, more than the budget of {lost_share:.0%} "
            "(budgets.lost_share). The reasons are listed in failures.parquet and in the report."
        )


def prompted_cells(scores: pa.Table) -> pa.Table:
    """Return the cells of one prompt each: objects, and structures that were prompted by name."""
    by_name = pc.equal(scores["prompt"], "structure")
    return scores.filter(pc.or_kleene(pc.equal(scores["level"], "object"), by_name))


def _distinct(table: pa.Table, names: list[str]) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in table.group_by(names).aggregate([]).to_pylist()}
