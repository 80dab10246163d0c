"""On how many datasets each method has the best mean; a tie counts for every method in it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def leaders(wide: "pd.DataFrame", *, higher: bool = True) -> "tuple[pd.Series[int], int]":
    """Return the number of datasets that each method leads, and the number of ties.

    ``wide`` holds means, one row per dataset and one column per method. Counts are in descending
    order; methods that lead nowhere are left out.
    """
    best = wide.max(axis=1) if higher else wide.min(axis=1)
    ahead = wide.eq(best, axis=0)
    counts = ahead.sum().astype(int).sort_values(ascending=False, kind="stable")
    return counts[counts > 0], int((ahead.sum(axis=1) > 1).sum())
