"""Which objects the case browser holds: the worst, the most disputed and the best come first."""

from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["dataset", "scan", "object"]
KINDS = {
    "worst": "lowest mean DSC of the methods, in the lower half of the objects",
    "disputed": "largest spread of DSC between the methods",
    "best": "highest mean DSC of the methods, in the upper half",
    "failed": "a method gave no mask",
}
"""Why a case is chosen, in the order in which they take turns."""


def judged(objects: "pd.DataFrame", judges: Sequence[str]) -> "pd.DataFrame":
    """Give a row an object: ``mean`` and ``spread`` of the DSC of ``judges``, and how many failed.

    ``objects``: `reports.results.Results.objects`. A method without a score enters neither mean
    nor spread; the spread is empty where fewer than two have one.
    """
    rows = objects[objects["method"].isin(list(judges))].copy()
    rows["dsc"] = rows["dsc"].where(rows["status"] == "ok")
    rows["failed"] = rows["status"] == "failed"
    groups = rows.groupby([*KEYS, "structure", "modality"], sort=True, dropna=False)
    found = groups.agg(
        mean=("dsc", "mean"),
        low=("dsc", "min"),
        high=("dsc", "max"),
        count=("dsc", "count"),
        failed=("failed", "sum"),
    ).reset_index()
    found["spread"] = (found["high"] - found["low"]).where(found["count"] > 1)
    return found.drop(columns=["low", "high"])


def choose(found: "pd.DataFrame", shown: Collection[str], most: int) -> list[dict[str, Any]]:
    """Choose up to ``most`` objects of the datasets ``shown``, in order of interest.

    ``found``: from `judged`. The kinds take turns; within a kind, the first of every dataset comes
    before the second of any, and of these the more extreme one. Each row carries ``kinds``: all by
    which it was reached before the choice ended, with the last object there is or room for.
    """
    queues = [_queue(found[found["dataset"].isin(list(shown))], kind) for kind in KINDS]
    reached = {_key(row) for queue in queues for row in queue}
    chosen: dict[tuple[str, ...], dict[str, Any]] = {}
    for turn in zip_longest(*queues):
        for kind, row in zip(KINDS, turn, strict=True):
            # To go on would call each object of a small study by every kind.
            if len(chosen) == min(most, len(reached)):
                return list(chosen.values())
            if row is not None:
                chosen.setdefault(_key(row), {**row, "kinds": []})["kinds"].append(kind)
    return list(chosen.values())


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEYS)


def _queue(found: "pd.DataFrame", kind: str) -> list[dict[str, Any]]:
    by, up = {
        "worst": ("mean", True),
        "disputed": ("spread", False),
        "best": ("mean", False),
        "failed": ("failed", False),
    }[kind]
    belongs = found[by].notna()
    middle = found["mean"].median()
    if kind == "failed":
        belongs &= found["failed"] > 0
    elif kind == "worst":
        belongs &= found["mean"] <= middle
    elif kind == "best":
        belongs &= found["mean"] >= middle
    rows = found[belongs]
    rows = rows.sort_values([by, *KEYS], ascending=[up, True, True, True])
    rows = rows.assign(turn=rows.groupby("dataset").cumcount())
    rows = rows.sort_values("turn", kind="stable").drop(columns="turn")
    return [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
