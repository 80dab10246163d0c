"""Correlations with intervals: Pearson, Spearman, and partial (Pearson given a third variable).

The standard error of Fisher's z comes from a cluster bootstrap. P value and interval use the t
distribution with one degree of freedom fewer than there are clusters; with the normal distribution,
the false-positive rate for two clusters would be 28 %. Fisher's z is infinite at r = 1 and r = -1,
so these have neither P value nor interval.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.arrays import Array
from benchmark.analysis.paired import constant

CORRELATION_KINDS = ("pearson", "spearman", "partial")


@dataclass(frozen=True)
class Correlation:
    """A correlation with its interval and P value; ``reason`` says why a number is missing.

    ``p_independent`` is the P value of the usual t-test, which takes all points for independent.
    """

    r: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    p_independent: float = np.nan
    reason: str = ""


def correlate(
    kind: str,
    x: Array,
    y: Array,
    given: Array,
    *,
    tail: float,
    weights: Array,
    cluster: NDArray[np.intp],
) -> Correlation:
    """Correlate ``x`` with ``y``.

    Args:
        kind: "pearson", "spearman" or "partial".
        x: (n,).
        y: (n,).
        given: (n,), the variable that a partial correlation controls for.
        tail: share of the distribution beyond each end of the interval.
        weights: (draws, clusters), how often each bootstrap draw contains each cluster.
        cluster: (n,), index of each point's cluster.
    """
    from scipy import stats

    extra = int(kind == "partial")
    if len(x) < 4 + extra:
        return Correlation(reason=f"n = {len(x)}: a correlation needs at least {4 + extra} points")
    columns = [x, y, given][: 2 + extra]
    if any(constant(column) for column in columns):
        return Correlation(reason="a variable has no variance")
    if kind == "spearman":
        columns = [stats.rankdata(column) for column in columns]
    data = np.column_stack([(c - c.mean()) / c.std() for c in columns])
    r = float(_coefficient((data.T @ data / len(x))[None])[0])
    if not np.isfinite(r):
        return Correlation(reason="a variable follows from the one that is held fixed")
    if abs(r) > 1 - 1e-12:
        return Correlation(r=r, reason=f"r = {r:.0f}: there is no interval")
    free = len(x) - 2 - extra
    alone = 2 * float(stats.t.sf(abs(r) * (free / (1 - r**2)) ** 0.5, free))
    bare = Correlation(r=r, p_independent=alone)
    if weights.shape[1] < 2:
        return replace(bare, reason="an interval needs at least two clusters")
    drawn = _bootstrap(data, cluster, weights)
    drawn = drawn[np.isfinite(drawn)]
    se = float(np.arctanh(np.clip(drawn, -1 + 1e-12, 1 - 1e-12)).std(ddof=1))
    if not se > 1e-9:
        return replace(bare, reason="the clusters do not differ: there is no interval")
    df = weights.shape[1] - 1
    p = 2 * float(stats.t.sf(abs(np.arctanh(r)) / se, df))
    half = float(stats.t.isf(tail, df)) * se
    ends = np.tanh([np.arctanh(r) - half, np.arctanh(r) + half])
    return replace(bare, low=float(ends[0]), high=float(ends[1]), p=p)


def _bootstrap(data: Array, cluster: NDArray[np.intp], weights: Array) -> Array:
    """Return the coefficient of each draw, from sums and cross products by cluster."""
    n, k = data.shape
    moments = np.column_stack(
        [np.ones(n), data, *(data[:, i] * data[:, j] for i in range(k) for j in range(k))]
    )
    sums = np.column_stack(
        [np.bincount(cluster, column, minlength=weights.shape[1]) for column in moments.T]
    )
    drawn = weights @ sums
    drawn = drawn[drawn[:, 0] > 0]
    means = drawn[:, 1:] / drawn[:, :1]
    first, second = means[:, :k], means[:, k:].reshape(-1, k, k)
    return _coefficient(second - first[:, :, None] * first[:, None, :])


def _coefficient(covariance: Array) -> Array:
    """Return the correlation of the first two variables, given the third if there is one.

    ``covariance`` is (draws, k, k) with k of 2 or 3; the result is (draws,).
    """
    spread = np.sqrt(np.einsum("dii->di", covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = covariance / (spread[:, :, None] * spread[:, None, :])
        if covariance.shape[1] == 2:
            return np.asarray(r[:, 0, 1])
        xy, xz, yz = r[:, 0, 1], r[:, 0, 2], r[:, 1, 2]
        rest = (1 - xz**2) * (1 - yz**2)
        return np.where(rest > 1e-12, (xy - xz * yz) / np.sqrt(np.abs(rest)), np.nan)
