"""Harrell's concordance of a risk with survival, and that of each draw of a bootstrap."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def concordances(
    time: Array, event: NDArray[np.bool_], risk: Array, weights: Array
) -> tuple[float, Array]:
    """Give the share of comparable pairs in which the one at higher risk fares worse.

    Ties of risk count half. A pair is comparable where one is known to have had the event first:
    at a time before the other's, or at the same time as the other was censored. ``weights``: how
    often each draw holds each patient (draws, n). O(n^2) memory.
    """
    first = event[:, None] & (
        (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event[None, :])
    )
    right = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    comparable = first.astype(np.float64)
    concordant = comparable * right
    every = np.ones((1, len(time)))
    return float(_share(every, concordant, comparable)[0]), _share(weights, concordant, comparable)


def _share(weights: Array, concordant: Array, comparable: Array) -> Array:
    above = np.einsum("ri,ri->r", weights @ concordant, weights)
    below = np.einsum("ri,ri->r", weights @ comparable, weights)
    found = np.full(len(weights), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found
