"""Choice of the objects in the case browser: worst, most disputed, best and failed."""

from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from benchmark.storage.tables import records

if TYPE_CHECKING:
    import pandas as pd

OBJECT_KEY = ["dataset", "scan", "object"]
CASE_KINDS = {
    "worst": "lowest mean DSC of the methods, in the lower half of the objects",
    "disputed": "largest spread of DSC between the methods",
    "best": "highest mean DSC of the methods, in the upper half",
    "failed": "a method gave no mask",
}
"""Reasons to choose a case, in the order in which they take turns."""


def judged(objects: "pd.DataFrame", judges: Sequence[str]) -> "pd.DataFrame":
    """Return one row per object: ``mean`` and ``spread`` (range) of the DSC of ``judges``.

    ``objects`` is `reports.results.Results.objects`. ``count`` and ``failed`` are the numbers of
    methods with a score and of failures. A method without a score enters neither mean nor spread;
    the spread is NaN if fewer than two have one.
    """
    rows = objects[objects["method"].isin(list(judges))].copy()
    rows["dsc"] = rows["dsc"].where(rows["status"] == "ok")
    rows["failed"] = rows["status"] == "failed"
    groups = rows.groupby([*OBJECT_KEY, "structure", "modality"], sort=True, dropna=False)
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

    ``found`` comes from `judged`. The `CASE_KINDS` take turns. Within a kind, the most extreme
    object of every dataset comes before the second one of any dataset. ``kinds`` of a row lists
    every kind that proposed the object before the choice ended.
    """
    queues = [_queue(found[found["dataset"].isin(list(shown))], kind) for kind in CASE_KINDS]
    reached = {_key(row) for queue in queues for row in queue}
    chosen: dict[tuple[str, ...], dict[str, Any]] = {}
    for turn in zip_longest(*queues):
        for kind, row in zip(CASE_KINDS, turn, strict=True):
            # Stop here: in a small study, every kind would in the end propose every object.
            if len(chosen) == min(most, len(reached)):
                return list(chosen.values())
            if row is not None:
                chosen.setdefault(_key(row), {**row, "kinds": []})["kinds"].append(kind)
    return list(chosen.values())


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in OBJECT_KEY)


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
    rows = rows.sort_values([by, *OBJECT_KEY], ascending=[up, True, True, True])
    rows = rows.assign(turn=rows.groupby("dataset").cumcount())
    rows = rows.sort_values("turn", kind="stable").drop(columns="turn")
    return records(rows)
