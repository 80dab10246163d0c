"""A linear mixed model of scan means, fitted by statsmodels (REML).

The method is a fixed effect; dataset, method within dataset and scan are random effects. Without
the random effect of method within dataset, the model would treat scans of one dataset as
independent evidence about a method. P values and intervals use the t distribution with one degree
of freedom fewer than there are datasets.
"""

import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis import frames
from benchmark.analysis.aggregate import ALL
from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import generator
from benchmark.analysis.grid import Grid, common
from benchmark.analysis.paired import constant, holm

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

COLUMNS = (
    *("split", "metric", "method_a", "method_b", "difference", "se", "low", "high"),
    *("t", "df", "p", "p_holm", "family", "family_of", "datasets", "scans", "scans_known", "cells"),
    *("sd_dataset", "sd_method_in_dataset", "sd_scan", "sd_residual", "reason"),
)


def compare(grid: Grid, settings: "AnalysisSettings") -> pd.DataFrame:
    """Compare every pair of methods; return one row per split, metric and pair, with `COLUMNS`.

    Only cells in which every method has a value are used; methods without any value are ignored
    in this. At most ``settings.mixed_scans`` scans of each dataset enter, drawn at random.
    """
    splits = frames.order_splits(grid.cells["split"])
    rows = {
        (split, metric): list(_rows(grid, metric, split, settings))
        for split in ([*splits, ALL] if len(splits) > 1 else [ALL])
        for metric in grid.values
    }
    found = [
        {"split": split, "metric": metric, **row}
        for split in [*splits, ALL]
        for metric in grid.values
        for row in rows[split if len(splits) > 1 else ALL, metric]
    ]
    named = "pairs of methods within split and metric"
    return holm(pd.DataFrame(found, columns=list(COLUMNS)), ["split", "metric"], named)


def _rows(
    grid: Grid, metric: str, split: str, settings: "AnalysisSettings"
) -> Iterator[dict[str, Any]]:
    values = grid.values[metric]
    used: NDArray[np.bool_] = np.asarray(np.isfinite(values).any(axis=0))
    cells = common(values)
    cells &= ((grid.cells["split"] == split) | (split == ALL)).to_numpy()
    means = grid.scan_means(np.where(cells[:, None], values[:, used], np.nan))
    known = np.isfinite(means).all(axis=1) if used.any() else np.zeros(len(means), dtype=bool)
    chosen = _sample(grid.scans.take(np.flatnonzero(known)), settings)
    scans = grid.scans.loc[chosen]
    counts = {
        "datasets": scans["dataset"].nunique(),
        "scans": len(scans),
        "scans_known": int(known.sum()),
        "cells": int(cells.sum()),
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


def _fit(means: Array, datasets: NDArray[Any]) -> Any:
    """Fit the model to ``means``, (scans, methods).

    Return the results of statsmodels, or the reason (a string) why there are none.
    """
    if means.shape[1] < 2:
        return f"{means.shape[1]} methods with values: there is nothing to compare"
    if len(np.unique(datasets)) < 2:
        return f"{len(np.unique(datasets))} datasets: the model needs at least two"
    if constant(np.round(means - means.mean(axis=1, keepdims=True), 12).ravel()):
        return "no method differs from another in any scan"
    import statsmodels.formula.api as smf

    scans, methods = means.shape
    long = pd.DataFrame(
        {
            "value": means.ravel(),
            "scan": np.repeat(np.arange(scans), methods),
            "method": np.tile(np.arange(methods), scans),
            "dataset": np.repeat(datasets, methods),
        }
    )
    parts = {"method": "0 + C(method)", "scan": "0 + C(scan)"}
    model = smf.mixedlm(
        "value ~ 0 + C(method)", long, groups="dataset", re_formula="1", vc_formula=parts
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance estimate of zero is a valid result
        try:
            result = model.fit(method=["lbfgs", "powell"])
        except (np.linalg.LinAlgError, ValueError) as error:
            return f"the model could not be fitted ({error})"
        if not result.converged or not np.isfinite(result.bse_fe).all():
            return "the fit of the model did not converge"
    return result


def _contrast(fitted: Any, pair: tuple[int, int], datasets: int, tail: float) -> dict[str, Any]:
    from scipy import stats

    a, b = pair
    covariance = np.asarray(fitted.cov_params())
    estimate = float(fitted.fe_params.iloc[a] - fitted.fe_params.iloc[b])
    se = float(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]) ** 0.5
    half = stats.t.isf(tail, datasets - 1) * se
    spreads = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))
    return {
        "difference": estimate,
        "se": se,
        "low": estimate - half,
        "high": estimate + half,
        "t": estimate / se,
        "df": datasets - 1,
        "p": 2 * float(stats.t.sf(abs(estimate / se), datasets - 1)),
        "sd_dataset": float(fitted.cov_re.iloc[0, 0]) ** 0.5,
        "sd_method_in_dataset": float(spreads["method"]) ** 0.5,
        "sd_scan": float(spreads["scan"]) ** 0.5,
        "sd_residual": float(fitted.scale) ** 0.5,
        "reason": "",
    }
