"""What each kind of prompt costs the person who gives it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def prompt_costs(prompts: "Iterable[pd.DataFrame]") -> dict[str, dict[str, float]]:
    """Return the cost of each kind of prompt, over the objects at deviation 0.

    ``prompts``: tables of `benchmark.prompts.SCHEMA`, one per shard. The result has for each kind
    the number of ``prompts``, the mean number of ``views`` of the scan that a person needs, and the
    median (``clicks``) and quartiles (``clicks_low``, ``clicks_high``) of the clicks.
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
