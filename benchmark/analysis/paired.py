"""Tests of paired differences and of two samples, with intervals, effect sizes and Holm correction.

Where a test cannot be computed, its outcome has the ``reason`` and NaN in place of numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import ratio

WILCOXON, PAIRED_T = "wilcoxon signed-rank", "paired t"
PAIRED_TESTS = (WILCOXON, PAIRED_T)
RANK_SUM = "wilcoxon rank-sum"

NORMAL = 0.05
"""Shapiro-Wilk P value above which differences are taken to be normal."""

_EXACT = 50
"""Largest number of differences for the exact distribution, as in scipy's ``wilcoxon``.

R's two-sample ``wilcox.test`` is exact if each sample has fewer values than this.
"""

_ALL_SIGNS = 13
"""Largest number of differences, with ties or zeros, for a permutation test over all signs.

This is also the limit in scipy's ``wilcoxon``.
"""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a test.

    ``low`` and ``high`` are the interval of the difference; ``reason`` says why there is no test.
    """

    statistic: float = np.nan
    p: float = np.nan
    low: float = np.nan
    high: float = np.nan
    effect: float = np.nan
    effect_name: str = ""
    reason: str = ""


def paired_tests(differences: Array, *, unit: str, tail: float) -> Iterator[dict[str, Any]]:
    """Yield a row per test of `PAIRED_TESTS`, with whether it is the paper's choice.

    The arguments are those of `paired_test`; the keys are ``test``, ``chosen``, ``normality_p`` and
    the fields of `Outcome`.
    """
    normal = normality(differences)
    for test in PAIRED_TESTS:
        outcome = paired_test(test, differences, unit=unit, tail=tail)
        chosen = test == papers_choice(normal)
        yield {"test": test, "chosen": chosen, "normality_p": normal, **vars(outcome)}


def rank_tests(a: Array, b: Array, differences: Array, *, unit: str) -> Iterator[dict[str, Any]]:
    """Yield ``test``, ``statistic``, ``p`` and ``reason`` of the rank-sum and signed-rank tests.

    The former is of all values ``a``, (n,), and ``b``, (m,), as in the paper; the latter of paired
    ``differences``, each of a ``unit``.
    """
    signed = paired_test(WILCOXON, differences, unit=unit)
    for test, found in ((RANK_SUM, rank_sum(a, b)), (WILCOXON, signed)):
        yield {"test": test, "statistic": found.statistic, "p": found.p, "reason": found.reason}


def paired_test(test: str, differences: Array, *, unit: str, tail: float = 0.025) -> Outcome:
    """Test (two-sided) whether ``differences``, (n,), are centred at zero.

    The paired t-test comes with the interval of the mean and Cohen's d_z, Wilcoxon's test with the
    interval of the pseudomedian (from the Walsh averages, as in R's ``wilcox.test``) and the
    matched-pairs rank-biserial correlation. Differences of zero enter the interval, as they enter
    the test of any other centre; R leaves them out.

    Args:
        test: one of `PAIRED_TESTS`.
        differences: (n,).
        unit: what a difference belongs to, for the ``reason``.
        tail: share of the distribution beyond each end of the interval.
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
        d_z = float(values.mean() / values.std(ddof=1))
        ends = (*mean_interval(values, tail), d_z, "Cohen's d_z")
    return Outcome(float(result.statistic), float(result.pvalue), *ends)


def signed_ranks(differences: Array) -> tuple[Array, Array]:
    """Apply the Wilcoxon signed-rank test to each column of ``differences``, (n, samples).

    This vectorised version is for samples too many to test one by one. P values are as in scipy's
    ``wilcoxon``: exact for up to 50 differences without ties or zeros and for up to 13 with them,
    else by the normal approximation. They are 1 if all differences are zero.

    Returns:
        Sums of signed ranks and P values, each (samples,).
    """
    from scipy import stats

    n = len(differences)
    ranks = stats.rankdata(np.abs(differences), axis=0) - (differences == 0).sum(axis=0)
    ranks = np.where(differences == 0, 0.0, ranks)  # zeros are dropped, as by Wilcoxon
    sums = (ranks * np.sign(differences)).sum(axis=0)
    z = ratio(sums, np.sqrt((ranks**2).sum(axis=0)))  # standard deviation, also with ties
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
    """Return the Shapiro-Wilk P value; NaN for fewer than three values or without variance."""
    from scipy import stats

    values = tidy(differences)
    if len(values) < 3 or constant(values):
        return np.nan
    with np.errstate(all="ignore"):
        return float(stats.shapiro(values[:5000]).pvalue)  # scipy's P value needs n <= 5000


def papers_choice(normality_p: float) -> str:
    """Apply the paper's rule: the paired t-test if differences look normal, else Wilcoxon's."""
    return PAIRED_T if normality_p > NORMAL else WILCOXON


def tidy(values: Array) -> Array:
    """Round off floating-point noise, so that ties do not depend on the order of summation."""
    return np.round(values, 12)


def constant(values: Array) -> bool:
    """Return whether ``values`` are equal up to rounding, or empty."""
    return bool(np.ptp(values) <= 1e-9 * np.abs(values).max()) if len(values) else True


def holm(table: pd.DataFrame, family: list[str], named: str) -> pd.DataFrame:
    """Add Holm-corrected P values within families of rows.

    The new columns are ``p_holm``, ``family`` (number of P values corrected together) and
    ``family_of`` (``named``, a description). ``family`` names the columns that define the families;
    without any, all rows are one. Rows without a P value do not count.
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
    """Return the interval from the sorted Walsh averages; NaN if n is too small for ``tail``."""
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
    """Return the number of subsets of 1..n with each sum, (n (n + 1) / 2 + 1,)."""
    counts = np.ones(1)
    for rank in range(1, n + 1):
        counts = np.pad(counts, (0, rank)) + np.pad(counts, (rank, 0))
    return counts


@lru_cache
def _exact(n: int) -> Array:
    """Return the two-sided P value for each value of the smaller sum of ranks."""
    return np.minimum(1.0, 2 * np.cumsum(_signed_rank_counts(n)) / 2.0**n)


@lru_cache
def _signs(n: int) -> Array:
    """Return all assignments of signs to n ranks, up to a global sign: (2**(n - 1), n)."""
    return np.array([(1.0, *signs) for signs in product((-1.0, 1.0), repeat=n - 1)])


def _by_search(values: Array, tail: float) -> tuple[float, float]:
    """Find the interval without the n (n + 1) / 2 Walsh averages.

    Its ends are the shifts at which the statistic equals either quantile of its distribution.
    """
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
    """Apply the Wilcoxon rank-sum test to independent samples, as R's ``wilcox.test`` does.

    The test is exact for fewer than 50 values in each sample and no ties, else it uses the normal
    approximation with continuity correction. The statistic is R's W.
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
    """Return the t interval of the mean; NaN for fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.isf(tail, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
