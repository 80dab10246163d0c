"""Ranking of methods and its stability (after challengeR, Wiesenfarth et al. 2021).

Ranks are over the cells in which every method has a value, so that no method gains from its own
failures; methods without any value have no rank. The bootstrap is that of the averages, over
collections, datasets and patients.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis import bootstrap, frames
from benchmark.analysis.aggregate import in_split, splits_alike
from benchmark.analysis.arrays import Array
from benchmark.analysis.comparison import COMPARED
from benchmark.analysis.grid import CELL_KEY, Grid, codes, common
from benchmark.analysis.paired import signed_ranks, tidy
from benchmark.metrics.definitions import METRICS
from benchmark.storage.tables import records

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

SCHEMES = ("mean", "median", "significance")
SIGNIFICANT = 0.05

RANKING = (
    *("split", "metric", "scheme", "method", "prompt", "value", "rank", "rank_mean", "low"),
    *("high", "first_share", "rank_worst", "datasets", "cells", "expected", "failed", "skipped"),
    *("contaminated", "reason"),
)
SHARES = ("split", "metric", "scheme", "method", "rank", "share")
AGREEMENT = (
    *("split", "metric", "scheme", "resamples", "tau_mean", "tau_median", "tau_low", "tau_high"),
    "reason",
)
WINS = (
    *("split", "metric", "method_a", "method_b", "wins", "ties", "losses", "datasets", "cells"),
    *("expected", "failed_a", "failed_b", "skipped_a", "skipped_b"),
)
BY_DATASET = (
    *("split", "dataset", "modality", "metric", "method", "prompt", "value", "rank", "cells"),
    *("expected", "contaminated"),
)


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Rank the methods of ``tables["scores"]``; see ``docs/analyses.md``."""
    rows = frames.base_rows(tables["scores"], "structure")
    rows = rows[~rows["method"].isin(settings.controls)].reset_index(drop=True)
    grid = Grid.of(rows, [name for name in COMPARED if name in rows])
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
    firsts = rows.drop_duplicates("dataset")
    collections = dict(zip(firsts["dataset"], firsts["collection"], strict=True))
    splits = []
    for names in splits_alike(grid.cells):
        inside = _inside(grid, names[-1])
        splits.append((names, inside, _replicates(rows, grid, inside, settings)))
    for i, metric in enumerate(grid.values):
        for names, inside, replicates in splits:
            drawn = {name: values[:, :, i] for name, values in replicates.items()}
            args = grid, metric, names[-1], inside[metric]
            ranked = list(_ranked(*args, drawn, collections, settings))
            ranked += [("wins", row) for row in _wins(grid, metric, names[-1])]
            for split in names:
                for name, row in ranked:
                    found[name].append({"split": split, "metric": metric, **row})
        found["ranks_by_dataset"] += list(_by_dataset(grid, metric))
    return {name: pd.DataFrame(found[name], columns=list(c)) for name, c in _TABLES.items()}


_TABLES = {
    "ranking": RANKING,
    "rank_shares": SHARES,
    "rank_agreement": AGREEMENT,
    "wins": WINS,
    "ranks_by_dataset": BY_DATASET,
}


def _inside(grid: Grid, split: str) -> dict[str, Array]:
    """Return the values of each metric, (cells, methods), with NaN outside the split."""
    members = in_split(grid.cells, split)[:, None]
    return {m: np.where(members, values, np.nan) for m, values in grid.values.items()}


def _replicates(
    rows: pd.DataFrame, grid: Grid, inside: Mapping[str, Array], settings: "AnalysisSettings"
) -> dict[str, Array]:
    """Resample the dataset means of each metric over the cells in which all methods have one."""
    place = codes(rows, CELL_KEY)
    kept = {m: rows[m].where(common(values)[place]) for m, values in inside.items()}
    return bootstrap.dataset_replicates(
        rows.assign(**kept), grid.methods, list(inside), settings.resamples, settings.seed
    )


def _ranked(
    grid: Grid,
    metric: str,
    split: str,
    values: Array,
    drawn: Mapping[str, Array],
    collections: Mapping[str, str],
    settings: "AnalysisSettings",
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (table name, row) for ranking, rank_shares and rank_agreement.

    Args:
        grid: cells of all splits.
        metric: name of the metric.
        split: name of the split.
        values: (cells, methods), its values in the split; NaN outside of it.
        drawn: (resamples, methods) by dataset, the resampled means.
        collections: source collection of each dataset.
        settings: settings of the statistics.
    """
    sign = METRICS[metric].sign
    shared = common(values)
    means = grid.dataset_means(np.where(shared[:, None], values, np.nan))
    valued = np.asarray(np.isfinite(values).any(axis=0))
    complete = np.asarray(np.isfinite(means).any(axis=1))
    names = grid.datasets["dataset"][complete].tolist()
    methods = [m for m, there in zip(grid.methods, valued, strict=True) if there]
    members = in_split(grid.cells, split)
    facts = _facts(grid, members, shared, len(names))
    as_worst = _failures_as_worst(grid, metric, grid.failed & members[:, None], values)
    worst = {
        scheme: dict(zip(grid.methods, _ranks_of_valued(as_worst, scheme), strict=True))
        for scheme in SCHEMES
    }
    reason = "" if names else "no cell in which every method has a value"
    if len(methods) < 2:
        reason = f"{len(methods)} methods with values: there is nothing to rank"
    if reason:
        yield from _unranked(facts, worst, reason)
        return
    inner = {name: sign * drawn[name][:, valued] for name in names}
    draws = list(bootstrap.draws(inner, collections, settings.seed))
    patients = grid.cells.loc[shared, ["dataset", "patient"]].drop_duplicates()
    units = len({collections[name] for name in names}), len(names), len(patients)
    tail = settings.tail if bootstrap.enough(units) else None
    for scheme in SCHEMES:
        ranks = _rank_scheme(sign * means[complete][:, valued], draws, scheme)
        yield "rank_agreement", {"scheme": scheme, **_agreement(ranks.ranks, ranks.resampled, tail)}
        for about in facts:
            row = {"scheme": scheme, **about, "rank_worst": worst[scheme][about["method"]]}
            if about["method"] not in methods:
                yield "ranking", {**row, "reason": "no value"}
                continue
            place = methods.index(about["method"])
            found = _method_row(ranks, place, tail)
            if scheme != "significance":
                found["value"] *= sign
            yield "ranking", {**row, **found, "reason": ""}
            of_method = ranks.resampled[:, place]
            for rank, count in zip(*np.unique(of_method, return_counts=True), strict=True):
                share = {"scheme": scheme, "method": about["method"], "rank": rank}
                yield "rank_shares", {**share, "share": count / len(of_method)}


def _unranked(
    facts: Sequence[dict[str, Any]], worst: Mapping[str, Mapping[str, float]], reason: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of methods that cannot be ranked; ``worst`` has ranks by scheme and method."""
    for scheme, ranks in worst.items():
        yield "rank_agreement", {"scheme": scheme, "resamples": 0, "reason": reason}
        for about in facts:
            last = ranks[about["method"]]
            yield "ranking", {"scheme": scheme, **about, "rank_worst": last, "reason": reason}


def _failures_as_worst(grid: Grid, metric: str, failed: NDArray[np.bool_], values: Array) -> Array:
    """Return dataset means, (datasets, methods), that are better if higher, of another ranking.

    In it the cells in which a method ``failed`` have the metric's worst value. The means are over
    the cells in which every method has a value then; all NaN for a metric without a worst value.
    """
    definition = METRICS[metric]
    worst = definition.range[0] if definition.sign > 0 else definition.range[1]
    if not np.isfinite(worst):
        return np.full((len(grid.datasets), len(grid.methods)), np.nan)
    filled = np.where(failed, worst, values)
    shared = common(filled)
    return definition.sign * grid.dataset_means(np.where(shared[:, None], filled, np.nan))


def _ranks_of_valued(matrix: Array, scheme: str) -> Array:
    """Return the rank of each method of ``matrix`` (datasets, methods); NaN without any value."""
    ranks = np.full(matrix.shape[1], np.nan)
    known = np.isfinite(matrix)
    valued = known.any(axis=0)
    if valued.sum() > 1:
        ranks[valued] = _ranks(_values(matrix[known.any(axis=1)][:, valued], scheme))
    return ranks


def _facts(
    grid: Grid, expected: NDArray[np.bool_], shared: NDArray[np.bool_], datasets: int
) -> list[dict[str, Any]]:
    """Return the columns of `RANKING` that describe each method and its cells.

    ``expected`` and ``shared`` are masks of the cells of a split, and of those with all values.
    """
    counts = pd.DataFrame(
        {
            **{"method": grid.methods, "prompt": [grid.prompts[m] for m in grid.methods]},
            **{"datasets": datasets, "cells": shared.sum(), "expected": expected.sum()},
            "failed": grid.failed[expected].sum(axis=0),
            "skipped": grid.skipped[expected].sum(axis=0),
            "contaminated": grid.contaminated[shared].sum(axis=0),
        }
    )
    return records(counts)


class _SchemeRanks(NamedTuple):
    """How one scheme ranks the methods.

    Attributes:
        values: (methods,), by which they are ranked; higher is better.
        ranks: (methods,), of all data.
        resampled: (resamples, methods), of each draw.
        first_shares: (methods,), share of the draws in which each is first; ties share a draw.
    """

    values: Array
    ranks: Array
    resampled: Array
    first_shares: Array


def _rank_scheme(matrix: Array, draws: Sequence[Array], scheme: str) -> _SchemeRanks:
    """Rank the methods of ``matrix`` (datasets, methods), and of each draw of it."""
    values = _values(matrix, scheme)
    resampled = np.array([_ranks(_values(draw, scheme)) for draw in draws])
    best = resampled == resampled.min(axis=1, keepdims=True)
    first_shares = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return _SchemeRanks(values, _ranks(values), resampled, first_shares)


def _method_row(ranks: _SchemeRanks, place: int, tail: float | None) -> dict[str, Any]:
    """Return the value and ranks of one method; without a ``tail`` its interval is NaN."""
    drawn = ranks.resampled[:, place]
    low, high = _ends(drawn, tail)
    return {
        "value": ranks.values[place],
        **{"rank": ranks.ranks[place], "rank_mean": drawn.mean(), "low": low, "high": high},
        "first_share": float(ranks.first_shares[place]),
    }


def _values(matrix: Array, scheme: str) -> Array:
    """Reduce (datasets, methods) to the values by which methods are ranked; higher is better."""
    if scheme == "mean":
        return bootstrap.mean(matrix, axis=0)
    if scheme == "median":
        return np.asarray(np.nanmedian(matrix, axis=0))
    return _beaten(matrix)


def _ranks(values: Array) -> Array:
    from scipy.stats import rankdata

    return np.asarray(rankdata(-tidy(values)), dtype=np.float64)


def _beaten(matrix: Array) -> Array:
    """Count the methods that each beats significantly: signed-rank test, Holm correction."""
    pairs = np.array(list(combinations(range(matrix.shape[1]), 2)))
    differences = tidy(matrix[:, pairs[:, 0]] - matrix[:, pairs[:, 1]])
    sums, p = signed_ranks(differences)
    order = np.argsort(p, kind="stable")
    holm = np.empty(len(p))
    holm[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(p), 0, -1)))
    winner = np.where(sums > 0, pairs[:, 0], pairs[:, 1])[holm < SIGNIFICANT]
    return np.bincount(winner, minlength=matrix.shape[1]).astype(np.float64)


def _agreement(ranks: Array, resampled: Array, tail: float | None) -> dict[str, Any]:
    """Summarise Kendall's tau-b between the ranking of each draw and that of all data.

    Draws in which all methods tie are left out. Without a ``tail`` the interval is NaN.
    """
    i, j = np.triu_indices(len(ranks), 1)
    whole, drawn = np.sign(ranks[i] - ranks[j]), np.sign(resampled[:, i] - resampled[:, j])
    scale = np.sqrt((whole**2).sum() * (drawn**2).sum(axis=1))
    tau = bootstrap.ratio(drawn @ whole, scale)
    tau = tau[np.isfinite(tau)]
    if not len(tau):
        return {"resamples": 0, "reason": "all methods tie"}
    low, high = _ends(tau, tail)
    ends = {"tau_mean": tau.mean(), "tau_median": np.median(tau), "tau_low": low, "tau_high": high}
    return {"resamples": len(tau), **ends, "reason": ""}


def _ends(drawn: Array, tail: float | None) -> tuple[float, float]:
    """Return the ends of the interval of ``drawn``, (resamples,); NaN without a ``tail``."""
    if tail is None:
        return np.nan, np.nan
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return float(low), float(high)


def _wins(grid: Grid, metric: str, split: str) -> Iterator[dict[str, Any]]:
    """Count the datasets on which one method is better, over the cells in which both have a value.

    Only datasets of the ``split`` count.
    """
    chosen, expected = in_split(grid.datasets, split), in_split(grid.cells, split)
    sign = METRICS[metric].sign
    for a, b in permutations(range(len(grid.methods)), 2):
        both = grid.values[metric][:, (a, b)]
        valued: NDArray[np.bool_] = np.asarray(np.isfinite(both).all(axis=1))
        means = grid.dataset_means(np.where(valued[:, None], both, np.nan))[chosen]
        better = tidy(sign * (means[:, 0] - means[:, 1]))
        yield {
            **{"method_a": grid.methods[a], "method_b": grid.methods[b]},
            **{"wins": int((better > 0).sum()), "ties": int((better == 0).sum())},
            **{"losses": int((better < 0).sum()), "datasets": int(np.isfinite(better).sum())},
            **{"cells": int((valued & expected).sum()), **grid.losses(expected, (a, b))},
        }


def _by_dataset(grid: Grid, metric: str) -> Iterator[dict[str, Any]]:
    """Rank the methods on each dataset, over its cells in which all of them have a value."""
    sign = METRICS[metric].sign
    shared = np.empty(len(grid.cells), dtype=bool)
    names = grid.cells["dataset"].to_numpy()
    of_dataset = {name: np.flatnonzero(names == name) for name in grid.datasets["dataset"]}
    for rows in of_dataset.values():
        shared[rows] = common(grid.values[metric][rows])
    means = grid.dataset_means(np.where(shared[:, None], grid.values[metric], np.nan))
    datasets = records(grid.datasets.drop(columns="collection"))
    for place, values in zip(datasets, means, strict=True):
        known = np.isfinite(values)
        ranks = np.full(len(values), np.nan)
        ranks[known] = _ranks(sign * values[known])
        rows = of_dataset[place["dataset"]]
        cells = rows[shared[rows]]
        trained = grid.contaminated[cells].sum(axis=0)
        about = {**place, "metric": metric, "cells": len(cells), "expected": len(rows)}
        for i, method in enumerate(grid.methods):
            mine = {"method": method, "prompt": grid.prompts[method], "contaminated": trained[i]}
            yield {**about, **mine, "value": values[i], "rank": ranks[i]}
