"""Who has the best mean on how many datasets: one that is shared counts for each that has it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def leaders(wide: "pd.DataFrame", *, higher: bool = True) -> "tuple[pd.Series[int], int]":
    """Datasets on which each method leads, the most first, and on how many the lead is shared.

    ``wide``: means, a row a dataset, a column a method. Methods that lead on none are left out.
    """
    best = wide.max(axis=1) if higher else wide.min(axis=1)
    ahead = wide.eq(best, axis=0)
    counts = ahead.sum().astype(int).sort_values(ascending=False, kind="stable")
    return counts[counts > 0], int((ahead.sum(axis=1) > 1).sum())
