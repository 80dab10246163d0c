"""Whether methods were given the same prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError, unknown_name

if TYPE_CHECKING:
    import pandas as pd


def require_same_prompt(scores: "pd.DataFrame", methods: Sequence[str]) -> str:
    """Return the kind of prompt of ``methods``; raise `UserError` if they were not given the same.

    ``scores``: the long table of a study. Prompts are the same if they have the same kind and, for
    every object and deviation, the same hash, which covers the rule, its version, the place and the
    content.
    """
    known = scores["method"].unique().tolist()
    for name in methods:
        if name not in known:
            raise UserError(unknown_name("method", name, known))
    rows = scores[scores["method"].isin(methods) & scores["prompt_hash"].notna()]
    kinds = rows.groupby("method")["prompt"].unique()
    kinds_of = {name: sorted(kinds.get(name, ())) for name in methods}
    if len({tuple(kind) for kind in kinds_of.values()}) != 1 or len(kinds_of[methods[0]]) != 1:
        listed = "; ".join(
            f"{name}: {', '.join(kind) or 'none'}" for name, kind in kinds_of.items()
        )
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
    return str(kinds_of[methods[0]][0])
