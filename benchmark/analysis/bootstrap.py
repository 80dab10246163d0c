"""Hierarchical bootstrap of the averages: objects lie in patients, datasets in collections.

Two datasets of one source collection hold much of the same, and so do two scans of a patient. So
collections are drawn with replacement, in each of them datasets, and in each of those patients
with all their scans (Davison and Hinkley 1997, section 3.8). Only what has a value is drawn.
Methods and metrics that have values of the same units see the same draws, so that differences
between methods may be taken draw by draw. Intervals are percentiles, which are too narrow from few
units: one of 95 % covers 57 % of means over 2 datasets, 84 % over 5, 91 % over 10 (normal effects
of datasets).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST = 6
"""From fewer of the outermost units that are drawn there is no interval, of average or rank."""


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random numbers of what is named; they depend on nothing else in the table."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])


def dataset_replicates(
    rows: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], resamples: int, seed: int
) -> dict[str, Array]:
    """Give each dataset's mean in each draw of its patients: (resamples, methods, metrics).

    ``rows``: structure level; the mean is that over the scans of a structure, then over the
    structures. Of each method and metric the patients with a value are drawn; NaN without any.
    """
    return {
        str(dataset): _draws(part, methods, metrics, resamples, seed, str(dataset))
        for dataset, part in rows.groupby("dataset", sort=True)
    }


def _draws(
    rows: pd.DataFrame,
    methods: Sequence[str],
    metrics: Sequence[str],
    resamples: int,
    seed: int,
    dataset: str,
) -> Array:
    patient = pd.factorize(rows["patient"], sort=True)[0]
    structure, structures = pd.factorize(rows["structure"], sort=True)
    method = pd.Index(methods).get_indexer(pd.Index(rows["method"]))
    weights: dict[bytes, Array] = {}  # by the patients that are drawn
    found = np.full((resamples, len(methods), len(metrics)), np.nan)
    for i, metric in enumerate(metrics):
        values = rows[metric].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        for j in range(len(methods)):
            mine = known & (method == j)
            patients, place = np.unique(patient[mine], return_inverse=True)
            count = len(patients)
            if not count:
                continue
            if (key := patients.tobytes()) not in weights:
                drawn = generator(seed, dataset).multinomial(
                    count, np.full(count, 1 / count), resamples
                )
                weights[key] = drawn.astype(np.float64)
            shape = count, len(structures)
            cell = place * len(structures) + structure[mine]
            sums = np.bincount(cell, values[mine], minlength=shape[0] * shape[1]).reshape(shape)
            counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
            found[:, j, i] = mean(ratio(weights[key] @ sums, weights[key] @ counts), axis=1)
    return found


def overall_replicates(
    replicates: Mapping[str, Array], collections: Mapping[str, str], seed: int
) -> Array:
    """Give the mean over datasets in each draw: (resamples, methods, metrics); see `draws`.

    Of each method and metric the datasets with a value are drawn; NaN without any.
    """
    names = sorted(replicates)
    valued = np.stack([np.isfinite(replicates[name]).any(axis=0) for name in names])
    found = np.full_like(replicates[names[0]], np.nan)
    for there in np.unique(valued.reshape(len(names), -1), axis=1).T:
        if there.any():
            alike = (valued == there[:, None, None]).all(axis=0)
            inner = {n: replicates[n][:, alike] for n, has in zip(names, there, strict=True) if has}
            drawn = draws(inner, collections, seed)
            found[:, alike] = np.stack([means.mean(axis=0) for means in drawn])
    return found


def draws(
    replicates: Mapping[str, Array], collections: Mapping[str, str], seed: int
) -> Iterator[Array]:
    """Give, a draw of collections, datasets and patients each, the means of the datasets drawn.

    ``replicates``: (resamples, ...) of each dataset; ``collections``: that of each dataset.
    """
    names = sorted(replicates)
    stacked = np.stack([replicates[name] for name in names], axis=1)
    resamples = len(stacked)
    groups = [
        np.array([i for i, name in enumerate(names) if collections[name] == collection])
        for collection in sorted({collections[name] for name in names})
    ]
    rng = generator(seed, "collections")
    for _ in range(resamples):
        chosen = [groups[i] for i in rng.integers(len(groups), size=len(groups))]
        datasets = np.concatenate([rng.choice(group, len(group)) for group in chosen])
        inner = rng.integers(resamples, size=len(datasets))
        yield stacked[inner, datasets]


def interval(replicates: Array, tail: float) -> tuple[Array, Array]:
    """Give the ends of the percentile interval over the first axis; NaN where nothing is known."""
    known = np.isfinite(replicates).any(axis=0)
    safe = np.where(known, replicates, 0.0)
    low, high = np.nanquantile(safe, (tail, 1 - tail), axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def enough(units: Iterable[int]) -> bool:
    """Tell whether the outermost of the ``units`` of which there are several are `FEWEST` or more.

    A single one is not drawn: what is told is of that collection, or of that dataset.
    """
    return next((count for count in units if count > 1), 0) >= FEWEST


def mean(values: Array, axis: int) -> Array:
    """Mean of what is known along ``axis``; NaN where nothing is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis), known.sum(axis))


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Array:
    """Divide; NaN where ``below`` is zero."""
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found
