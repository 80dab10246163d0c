"""Paired tests of differences, their intervals and effect sizes; why there is none, if so."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.bootstrap import ratio

Array = NDArray[np.float64]

WILCOXON, PAIRED_T = "wilcoxon signed-rank", "paired t"
TESTS = (WILCOXON, PAIRED_T)

NORMAL = 0.05
"""Shapiro-Wilk P above which differences look normal."""

_EXACT = 50
"""Up to so many differences scipy's ``wilcoxon`` takes the exact distribution; so do we.
R's ``wilcox.test`` of two samples does for fewer values than that in each."""

_ALL_SIGNS = 13
"""Up to so many differences with ties or zeros all signs are tried, as by scipy's ``wilcoxon``."""


@dataclass(frozen=True)
class Outcome:
    """``low``, ``high``: interval of the difference; ``reason``: why there is no P value."""

    statistic: float = np.nan
    p: float = np.nan
    low: float = np.nan
    high: float = np.nan
    effect: float = np.nan
    effect_name: str = ""
    reason: str = ""


def paired_test(test: str, differences: Array, *, unit: str, tail: float = 0.025) -> Outcome:
    """Two-sided test that ``differences`` are centred at zero.

    Paired t: interval of the mean, Cohen's d_z. Wilcoxon: interval of the pseudomedian (as R's
    ``wilcox.test``, from the Walsh averages), matched-pairs rank-biserial correlation.
    """
    from scipy import stats

    values = tidy(differences)
    if len(values) < 2:
        return Outcome(reason=f"n = {len(values)}: a paired test needs at least two {unit}s")
    if not values.any():
        return Outcome(reason="all differences are zero")
    if test == WILCOXON:
        result = stats.wilcoxon(values)
        low, high = _pseudomedian_interval(values, tail)
        ends = (low, high, _rank_biserial(values), "rank-biserial")
    elif constant(values):
        return Outcome(reason="all differences are equal: they have no variance")
    else:
        result = stats.ttest_1samp(values, 0.0)
        half = stats.t.ppf(1 - tail, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        d_z = float(values.mean() / values.std(ddof=1))
        ends = (float(values.mean() - half), float(values.mean() + half), d_z, "Cohen's d_z")
    return Outcome(float(result.statistic), float(result.pvalue), *ends)


def signed_ranks(differences: Array) -> tuple[Array, Array]:
    """Test many samples at once, (n, samples): signed sums of ranks, and P values as scipy's.

    For draws of a bootstrap, of which there are too many for `paired_test`. Exact for up to
    50 differences without ties or zeros; with such for up to 13; else the normal approximation.
    P is 1 where all differences are zero.
    """
    from scipy import stats

    n = len(differences)
    ranks = stats.rankdata(np.abs(differences), axis=0) - (differences == 0).sum(axis=0)
    ranks = np.where(differences == 0, 0.0, ranks)  # zeros are left out, as usual
    sums = (ranks * np.sign(differences)).sum(axis=0)
    z = ratio(sums, np.sqrt((ranks**2).sum(axis=0)))  # the standard deviation, under ties too
    p = np.where(np.isfinite(z), 2 * stats.norm.sf(np.abs(z)), 1.0)
    plain = (np.sort(ranks, axis=0) == np.arange(1, n + 1)[:, None]).all(axis=0)
    if n <= _EXACT:
        smaller = (n * (n + 1) / 2 - np.abs(sums[plain])) / 2
        p[plain] = _exact(n)[smaller.astype(np.intp)]
    if n <= _ALL_SIGNS and not plain.all():
        likely = np.abs(_signs(n) @ ranks[:, ~plain]) >= np.abs(sums[~plain]) - 1e-9
        p[~plain] = likely.mean(axis=0)
    return sums, p


def normality(differences: Array) -> float:
    """P value of the Shapiro-Wilk test; NaN for fewer than three values or no variance."""
    from scipy import stats

    values = tidy(differences)
    if len(values) < 3 or constant(values):
        return np.nan
    with np.errstate(all="ignore"):
        return float(stats.shapiro(values[:5000]).pvalue)  # its P value is for up to 5000


def papers_choice(normality_p: float) -> str:
    """The paper's rule: the paired t-test where differences look normal, else Wilcoxon's."""
    return PAIRED_T if normality_p > NORMAL else WILCOXON


def tidy(values: Array) -> Array:
    """Drop the noise of sums that were taken in another order."""
    return np.round(values, 12)


def constant(values: Array) -> bool:
    """Tell whether ``values`` have no variance worth the name."""
    return bool(np.ptp(values) <= 1e-9 * np.abs(values).max()) if len(values) else True


def holm(table: pd.DataFrame, family: list[str], named: str) -> pd.DataFrame:
    """Add Holm's P values within each ``family`` of rows: p_holm, family (its size), family_of.

    Rows without a P value do not count. ``named``: what a family is, in words.
    """
    from statsmodels.stats.multitest import multipletests

    table = table.assign(p_holm=np.nan, family=0, family_of=named)
    groups = table.groupby(family, sort=False) if family else [((), table)]
    for _, rows in groups:
        known = rows.index[rows["p"].notna()]
        table.loc[rows.index, "family"] = len(known)
        if len(known):
            table.loc[known, "p_holm"] = multipletests(rows.loc[known, "p"], method="holm")[1]
    return table


def _rank_biserial(values: Array) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(values[values != 0]))
    signs = np.sign(values[values != 0])
    return float((ranks * signs).sum() / ranks.sum())


def _pseudomedian_interval(values: Array, tail: float) -> tuple[float, float]:
    """Interval from the sorted Walsh averages; NaN where n is too small for the level."""
    from scipy import stats

    n = len(values)
    if n > 300:
        return _by_search(values, tail)
    i, j = np.triu_indices(n)
    walsh = np.sort((values[i] + values[j]) / 2)
    if n <= _EXACT:
        cumulative = np.cumsum(_signed_rank_counts(n)) / 2.0**n
        rank = int(np.searchsorted(cumulative, tail))
        if rank == 0 and cumulative[0] > tail:
            return np.nan, np.nan
        rank = max(rank, 1)
    else:
        spread = (n * (n + 1) * (2 * n + 1) / 24) ** 0.5
        rank = max(int(n * (n + 1) / 4 - stats.norm.isf(tail) * spread), 1)
    return float(walsh[rank - 1]), float(walsh[len(walsh) - rank])


def _signed_rank_counts(n: int) -> Array:
    """How many subsets of 1..n have each sum."""
    counts = np.ones(1)
    for rank in range(1, n + 1):
        counts = np.pad(counts, (0, rank)) + np.pad(counts, (rank, 0))
    return counts


@lru_cache
def _exact(n: int) -> Array:
    """Two-sided P values by the smaller of the two sums of ranks."""
    return np.minimum(1.0, 2 * np.cumsum(_signed_rank_counts(n)) / 2.0**n)


@lru_cache
def _signs(n: int) -> Array:
    """All ways to give n ranks a sign, but for their mirror images: (2**(n - 1), n)."""
    return np.array([(1.0, *signs) for signs in product((-1.0, 1.0), repeat=n - 1)])


def _by_search(values: Array, tail: float) -> tuple[float, float]:
    """The same without all Walsh averages: shifts at which the statistic is at either quantile."""
    from scipy import optimize, stats

    n = len(values)
    aim = stats.norm.isf(tail) * (n * (n + 1) * (2 * n + 1) / 6) ** 0.5

    def excess(shift: float, wanted: float) -> float:
        moved = values - shift
        return float((stats.rankdata(np.abs(moved)) * np.sign(moved)).sum()) - wanted

    ends = [
        optimize.brentq(excess, values.min() - 1, values.max() + 1, args=(wanted,), xtol=1e-9)
        for wanted in (aim, -aim)
    ]
    return float(ends[0]), float(ends[1])


def rank_sum(a: Array, b: Array) -> Outcome:
    """Wilcoxon's rank-sum test of independent samples, as R's ``wilcox.test`` takes it.

    Exact for fewer than 50 values each without ties, else the normal approximation with continuity
    correction. The statistic is R's W.
    """
    from scipy import stats

    a, b = tidy(a), tidy(b)
    if min(len(a), len(b)) < 2:
        return Outcome(reason=f"n = {min(len(a), len(b))}: a test needs at least two values each")
    both = np.concatenate([a, b])
    if constant(both):
        return Outcome(reason="all values are equal")
    exact = len(np.unique(both)) == len(both) and max(len(a), len(b)) < _EXACT
    found = stats.mannwhitneyu(a, b, method="exact" if exact else "asymptotic")
    return Outcome(float(found.statistic), float(found.pvalue))


def mean_interval(values: Array, tail: float) -> tuple[float, float]:
    """Interval of a mean by t; NaN for fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.isf(tail, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
