"""A linear mixed model of scan means, fitted by restricted maximum likelihood (REML).

The method is a fixed effect; dataset, method within dataset and scan are random effects. Without
the random effect of method within dataset, the model would treat scans of one dataset as
independent evidence about a method. P values and intervals use the t distribution with one degree
of freedom fewer than there are datasets.

Every scan that enters has a value of every method, so an orthogonal rotation of the methods
separates the model into independent parts (Searle, Casella and McCulloch 1992, section 4.7): the
differences between methods, from which the effects of dataset and scan cancel, and the mean over
methods. Each part has only two variances, whose ratio maximises a function of one variable. All
differences have the same standard error. Estimates of the variances of dataset and scan that would
be negative are given as zero, but not held there in the fit (unlike in lme4, which then pools them
with the others): the differences do not depend on them.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.aggregate import in_split, splits_alike
from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import generator
from benchmark.analysis.grid import Grid, common, group_means
from benchmark.analysis.paired import constant, holm, tidy

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

COLUMNS = (
    *("split", "metric", "method_a", "method_b", "difference", "se", "low", "high"),
    *("t", "df", "p", "p_holm", "family", "family_of", "datasets", "scans", "scans_known"),
    *("cells", "expected"),
    *("sd_dataset", "sd_method_in_dataset", "sd_scan", "sd_residual", "reason"),
)


def compare(grid: Grid, settings: "AnalysisSettings") -> pd.DataFrame:
    """Compare every pair of methods; return one row per split, metric and pair, with `COLUMNS`.

    Only cells in which every method has a value are used; methods without any value in the split
    are ignored in this. At most ``settings.mixed_scans`` scans of each dataset enter, drawn at
    random.
    """
    found = []
    for alike in splits_alike(grid.cells):
        rows = {m: list(_rows(grid, m, alike[-1], settings)) for m in grid.values}
        found += [
            {"split": split, "metric": metric, **row}
            for split in alike
            for metric, of_pairs in rows.items()
            for row in of_pairs
        ]
    named = "pairs of methods within split and metric"
    return holm(pd.DataFrame(found, columns=list(COLUMNS)), ["split", "metric"], named)


def _rows(
    grid: Grid, metric: str, split: str, settings: "AnalysisSettings"
) -> Iterator[dict[str, Any]]:
    expected = in_split(grid.cells, split)
    values = np.where(expected[:, None], grid.values[metric], np.nan)
    used: NDArray[np.bool_] = np.asarray(np.isfinite(values).any(axis=0))
    cells = common(values)
    means = grid.scan_means(np.where(cells[:, None], values[:, used], np.nan))
    known = np.isfinite(means).all(axis=1) if used.any() else np.zeros(len(means), dtype=bool)
    chosen = _sample(grid.scans.take(np.flatnonzero(known)), settings)
    scans = grid.scans.loc[chosen]
    counts = {
        "datasets": scans["dataset"].nunique(),
        "scans": len(scans),
        "scans_known": int(known.sum()),
        "cells": int(cells.sum()),
        "expected": int(expected.sum()),
    }
    methods = [m for m, there in zip(grid.methods, used, strict=True) if there]
    fitted = _fit(means[chosen], scans["dataset"].to_numpy())
    for a, b in combinations(grid.methods, 2):
        pair = {"method_a": a, "method_b": b, **counts}
        if a not in methods or b not in methods:
            yield {**pair, "reason": f"no value of {a if a not in methods else b}"}
        elif isinstance(fitted, str):
            yield {**pair, "reason": fitted}
        else:
            places = methods.index(a), methods.index(b)
            yield {**pair, **_contrast(fitted, places, counts["datasets"], settings.tail)}


def _sample(scans: pd.DataFrame, settings: "AnalysisSettings") -> NDArray[np.intp]:
    """Draw the scans of each dataset that enter the model; return their row numbers, sorted."""
    chosen: list[NDArray[np.intp]] = []
    for dataset, rows in scans.groupby("dataset", sort=True):
        most = min(settings.mixed_scans, len(rows))
        rng = generator(settings.seed, "mixed model", str(dataset))
        chosen.append(np.sort(rng.choice(rows.index.to_numpy(), most, replace=False)))
    return np.concatenate(chosen) if chosen else np.array([], dtype=np.intp)


class _Part(NamedTuple):
    """REML estimates of columns whose rows share an effect of their dataset.

    Attributes:
        means: (columns,).
        variance_of_mean: of each entry of ``means``.
        between: variance of the effects of datasets.
        within: variance of the rows of one dataset.
    """

    means: Array
    variance_of_mean: float
    between: float
    within: float


class _Model(NamedTuple):
    """A fitted model: effects of the methods, (methods,), and ``se`` of any difference of two."""

    effects: Array
    se: float
    spreads: dict[str, float]


def _fit(means: Array, datasets: NDArray[Any]) -> "_Model | str":
    """Fit the model to ``means``, (scans, methods), or return the reason why it cannot be."""
    from scipy.linalg import helmert

    scans, methods = means.shape
    if methods < 2:
        return f"{methods} methods with values: there is nothing to compare"
    names, dataset = np.unique(datasets, return_inverse=True)
    if len(names) < 2:
        return f"{len(names)} datasets: the model needs at least two"
    if constant(tidy(means - means.mean(axis=1, keepdims=True)).ravel()):
        return "no method differs from another in any scan"
    rotation = helmert(methods)  # orthonormal rows, each of them a contrast of methods
    contrasts = means @ rotation.T
    if not tidy(contrasts - contrasts.mean(axis=0)).any():
        return "methods differ alike in every scan: there is no variance of the difference"
    of_methods = _reml(contrasts, dataset)
    average = _reml(means.mean(axis=1, keepdims=True), dataset)
    variances = {
        "dataset": average.between - of_methods.between / methods,
        "method_in_dataset": of_methods.between,
        "scan": average.within - of_methods.within / methods,
        "residual": of_methods.within,
    }
    spreads = {f"sd_{name}": max(variance, 0.0) ** 0.5 for name, variance in variances.items()}
    if scans == len(names):  # one scan per dataset: its effects cannot be told from the dataset's
        spreads |= {"sd_method_in_dataset": np.nan, "sd_scan": np.nan}
        spreads["sd_dataset"] = max(variances["scan"], 0.0) ** 0.5
    se = (2 * of_methods.variance_of_mean) ** 0.5
    return _Model(of_methods.means @ rotation, se, spreads)


def _reml(values: Array, dataset: NDArray[np.intp]) -> _Part:
    """Fit ``values = mean + effect of dataset + residual`` to independent columns by REML.

    Args:
        values: (rows, columns); all columns have the same two variances.
        dataset: (rows,), index of each row's dataset. With one row per dataset the variances
            cannot be told apart, and all variance is ``within``.
    """
    from scipy import optimize

    rows, columns = values.shape
    sizes = np.bincount(dataset).astype(np.float64)
    means = group_means(values, dataset)
    inside = float(((values - means[dataset]) ** 2).sum())
    df = (rows - 1) * columns

    def solve(ratio: float) -> tuple[float, Array, float]:
        """Return the deviance, means and variance within, given that between / within is known."""
        weights = sizes / (1 + sizes * ratio)
        centre = weights @ means / weights.sum()
        within = (inside + float((weights @ (means - centre) ** 2).sum())) / df
        volume = float(np.log1p(sizes * ratio).sum() + np.log(weights.sum()))
        return df * float(np.log(max(within, 1e-300))) + columns * volume, centre, within

    def deviance(log_ratio: float) -> float:
        return solve(float(np.exp(log_ratio)))[0]

    ratio = 0.0
    if rows > len(sizes):
        grid = np.linspace(-12, 30, 85)
        best = int(np.argmin([deviance(x) for x in grid]))
        bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        found = optimize.minimize_scalar(
            deviance, bounds=bounds, method="bounded", options={"xatol": 1e-8}
        )
        if found.fun < solve(0.0)[0]:
            ratio = float(np.exp(found.x))
    _, centre, within = solve(ratio)
    return _Part(
        centre, within / float((sizes / (1 + sizes * ratio)).sum()), ratio * within, within
    )


def _contrast(model: _Model, pair: tuple[int, int], datasets: int, tail: float) -> dict[str, Any]:
    from scipy import stats

    estimate = float(model.effects[pair[0]] - model.effects[pair[1]])
    half = stats.t.isf(tail, datasets - 1) * model.se
    t = estimate / model.se
    return {
        "difference": estimate,
        "se": model.se,
        "low": estimate - half,
        "high": estimate + half,
        "t": t,
        "df": datasets - 1,
        "p": 2 * float(stats.t.sf(abs(t), datasets - 1)),
        **model.spreads,
        "reason": "",
    }
