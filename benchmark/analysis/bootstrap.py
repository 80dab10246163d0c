"""Hierarchical bootstrap of the averages over collections, datasets and patients.

Datasets of one source collection are correlated, and so are scans of one patient. The bootstrap
therefore draws collections with replacement, then datasets within them, and then patients with all
their scans (Davison and Hinkley 1997, section 3.8). Only units with a value are drawn. Methods and
metrics with values for the same units share the draws, so differences between methods can be taken
draw by draw.

Intervals are percentile intervals, which are too narrow for few units: with normally distributed
effects of datasets and none of patients, the nominal 95 % interval has a coverage of 50 % for means
over 2 datasets, 83 % over 5 and 90 % over 10.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.arrays import Array

MIN_UNITS_FOR_INTERVAL = 6
"""Smallest number of units at the outermost resampled level for which intervals are given."""


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator seeded by ``seed`` and ``names`` only, not by the rest of the data."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])


def multiplicities(rng: np.random.Generator, units: int, resamples: int) -> Array:
    """Draw ``units`` units with replacement; return how often each was drawn, (resamples, units).

    Without units there is one column, of zeros.
    """
    share = np.full(max(units, 1), 1 / max(units, 1))
    return rng.multinomial(units, share, resamples).astype(np.float64)


def dataset_replicates(
    rows: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], resamples: int, seed: int
) -> dict[str, Array]:
    """Resample the patients of each dataset and return the dataset means.

    Means are over the scans of each structure, then over structures. For each method and metric,
    only patients with a value are drawn.

    Args:
        rows: scores at the structure level.
        methods: names along the second axis of the result.
        metrics: names along the third axis.
        resamples: number of draws.
        seed: seed of the random numbers.

    Returns:
        (resamples, methods, metrics) by dataset; NaN where no patient has a value.
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
    weights: dict[bytes, Array] = {}  # keyed by the patients that have a value
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
                weights[key] = multiplicities(generator(seed, dataset), count, resamples)
            shape = count, len(structures)
            cell = place * len(structures) + structure[mine]
            sums = np.bincount(cell, values[mine], minlength=shape[0] * shape[1]).reshape(shape)
            counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
            found[:, j, i] = mean(ratio(weights[key] @ sums, weights[key] @ counts), axis=1)
    return found


def overall_replicates(
    replicates: Mapping[str, Array], collections: Mapping[str, str], seed: int
) -> Array:
    """Return the mean over datasets in each draw of collections, datasets and patients.

    For each method and metric, only datasets with a value are drawn.

    Args:
        replicates: the result of `dataset_replicates`.
        collections: source collection of each dataset.
        seed: seed of the random numbers.

    Returns:
        (resamples, methods, metrics); NaN where no dataset has a value.
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
    """Yield the means of the drawn datasets, once per draw of collections, datasets and patients.

    Args:
        replicates: (resamples, ...) by dataset, such as the result of `dataset_replicates`.
        collections: source collection of each dataset.
        seed: seed of the random numbers.

    Yields:
        (datasets drawn, ...), ``resamples`` times.
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
    """Return the ends of the percentile interval over the first axis, ignoring NaN.

    ``tail`` is the share of the distribution beyond each end. An end is NaN if all draws are.
    """
    known = np.isfinite(replicates).any(axis=0)
    safe = np.where(known, replicates, 0.0)
    low, high = np.nanquantile(safe, (tail, 1 - tail), axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def enough(units: Iterable[int]) -> bool:
    """Return whether there are `MIN_UNITS_FOR_INTERVAL` at the outermost level with several units.

    ``units`` counts the units of each level, outermost first. A level with a single unit is not
    resampled: the result is then conditional on that collection or dataset.
    """
    return next((count for count in units if count > 1), 0) >= MIN_UNITS_FOR_INTERVAL


def mean(values: Array, axis: int) -> Array:
    """Average the finite values along ``axis``; NaN where there are none."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis), known.sum(axis))


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Array:
    """Return ``above / below``, NaN where ``below`` is not positive."""
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found
