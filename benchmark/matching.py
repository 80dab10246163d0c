"""Matched prompts: what methods are told, what that costs, and whether two are told the same."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError, unknown_name

if TYPE_CHECKING:
    import pandas as pd


def costs(prompts: "Iterable[pd.DataFrame]") -> dict[str, dict[str, float]]:
    """What a prompt costs, by kind: over the objects at deviation 0.

    ``prompts``: tables of `benchmark.prompts.SCHEMA`, one a shard. ``views``: of the scan that a
    person looks at (mean); ``clicks``: median and quartiles.
    """
    import pandas as pd

    columns = ["kind", "views", "clicks"]
    parts = [rows.loc[rows["deviation"] == 0, columns] for rows in prompts]
    found: dict[str, dict[str, float]] = {}
    if not parts:
        return found
    for kind, rows in pd.concat(parts, ignore_index=True).groupby("kind"):
        low, median, high = rows["clicks"].quantile([0.25, 0.5, 0.75])
        found[str(kind)] = {
            "prompts": len(rows),
            "views": float(rows["views"].mean()),
            "clicks": float(median),
            "clicks_low": float(low),
            "clicks_high": float(high),
        }
    return found


def require_same_prompt(scores: "pd.DataFrame", methods: Sequence[str]) -> str:
    """Return the kind of prompt of ``methods`` if they were told the same; `UserError` if not.

    ``scores``: a study's long table. The same is the same kind and, object by object and deviation
    by deviation, the same hash, which covers the rule, its version, the place and the content.
    """
    known = scores["method"].unique().tolist()
    for name in methods:
        if name not in known:
            raise UserError(unknown_name("method", name, known))
    rows = scores[scores["method"].isin(methods) & scores["prompt_hash"].notna()]
    kinds = rows.groupby("method")["prompt"].unique()
    told = {name: sorted(kinds.get(name, ())) for name in methods}
    if len({tuple(kind) for kind in told.values()}) != 1 or len(told[methods[0]]) != 1:
        listed = "; ".join(f"{name}: {', '.join(kind) or 'none'}" for name, kind in told.items())
        raise UserError(
            f"These methods do not receive the same prompt ({listed}). A comparison under the same "
            "prompt needs methods with one kind of prompt. Next step: name such methods, or "
            "compare without that claim."
        )
    cell: list[Any] = ["dataset", "scan", "object", "deviation"]
    objects = rows[rows["level"] == "object"]
    hashes = objects.groupby(cell)["prompt_hash"].nunique()
    if (hashes > 1).any():
        dataset, scan, name, deviation = hashes.index[hashes > 1][0]
        raise UserError(
            f"The prompts of {name} ({dataset}, scan {scan}, deviation {deviation}) differ between "
            f"{', '.join(methods)}, and so for {int((hashes > 1).sum())} prompts in all. They come "
            "from other rules or other references. Next step: run these methods in one study."
        )
    return str(told[methods[0]][0])
