"""Harrell's concordance index of a risk with survival times, with bootstrap replicates."""

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import ratio


def concordances(
    time: Array, event: NDArray[np.bool_], risk: Array, weights: Array
) -> tuple[float, Array]:
    """Return Harrell's concordance index, of all patients and of each bootstrap draw.

    It is the share of comparable pairs in which the patient at higher risk has the event first; a
    tie in risk counts half. A pair is comparable if one patient is known to have had the event
    first: before the time of the other, or at the time at which the other was censored. Memory is
    O(n^2).

    Args:
        time: (n,), time of the event or of censoring.
        event: (n,), whether the event happened.
        risk: (n,).
        weights: (draws, n), how often each draw contains each patient.

    Returns:
        The index of all patients and that of each draw, (draws,); NaN without comparable pairs.
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
    return ratio(above, below)
