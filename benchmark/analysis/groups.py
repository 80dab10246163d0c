"""Tests over the levels of a factor: one-way and repeated-measures ANOVA, and equivalence.

Where a test cannot be computed, its outcome has the ``reason`` and NaN in place of numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmark.analysis.arrays import Array
from benchmark.analysis.paired import constant, tidy

ALPHA = 0.05
"""Significance level of each of the two one-sided tests of equivalence."""


@dataclass(frozen=True)
class GroupOutcome:
    """Outcome of an ANOVA.

    ``epsilon`` is the Greenhouse-Geisser factor by which both degrees of freedom were multiplied;
    ``reason`` says why there is no P value.
    """

    statistic: float = np.nan
    df1: float = np.nan
    df2: float = np.nan
    p: float = np.nan
    epsilon: float = np.nan
    reason: str = ""


@dataclass(frozen=True)
class Equivalence:
    """Outcome of a test of equivalence of a paired difference.

    ``low`` and ``high`` are the interval at confidence 1 - 2 `ALPHA`; ``equivalent`` says whether
    both one-sided tests reject at `ALPHA`; ``reason`` says why there is no P value.
    """

    statistic: float = np.nan
    df1: float = np.nan
    p: float = np.nan
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    equivalent: bool | None = None
    reason: str = ""


def one_way(*groups: Array) -> GroupOutcome:
    """Test whether independent ``groups``, each (n,), have the same mean (one-way ANOVA)."""
    from scipy import stats

    values = [tidy(group) for group in groups]
    if len(values) < 2:
        return GroupOutcome(reason=f"{len(values)} groups: there is nothing to compare")
    if min(len(group) for group in values) < 2:
        return GroupOutcome(reason="a group has fewer than two values")
    if all(constant(group) for group in values):
        return GroupOutcome(reason="no variance within the groups")
    found = stats.f_oneway(*values)
    within = sum(len(group) for group in values) - len(values)
    return GroupOutcome(float(found.statistic), len(values) - 1, within, float(found.pvalue))


def repeated_measures(values: Array) -> GroupOutcome:
    """Test whether the columns of ``values``, (subjects, levels), have the same mean.

    This is a repeated-measures ANOVA. The degrees of freedom are corrected as by Greenhouse and
    Geisser (1959), so the P value does not assume sphericity.
    """
    from scipy import stats

    values = tidy(values)
    subjects, levels = values.shape
    if levels < 2:
        return GroupOutcome(reason=f"{levels} levels: there is nothing to compare")
    if subjects < 2:
        return GroupOutcome(reason=f"n = {subjects}: repeated measures need at least two")
    between = values.mean(axis=0) - values.mean()
    error = values - values.mean(axis=1, keepdims=True) - between
    if np.abs(error).max() <= 1e-9 * max(np.abs(values).max(), 1e-12):
        return GroupOutcome(reason="all units change alike: there is no variance of the change")
    df1, df2 = levels - 1, (levels - 1) * (subjects - 1)
    f = float(subjects * (between**2).sum() / df1 / ((error**2).sum() / df2))
    spread = error.T @ error  # double-centred covariance, up to a factor
    epsilon = float(np.trace(spread) ** 2 / (df1 * (spread**2).sum()))
    epsilon = min(max(epsilon, 1 / df1), 1.0)
    p = float(stats.f.sf(f, epsilon * df1, epsilon * df2))
    return GroupOutcome(f, epsilon * df1, epsilon * df2, p, epsilon)


def anovas(values: Array) -> Iterator[tuple[str, GroupOutcome]]:
    """Yield name and outcome of both tests of the columns of ``values``, (subjects, levels)."""
    yield "one-way ANOVA", one_way(*values.T)
    yield "repeated-measures ANOVA", repeated_measures(values)


def equivalence(differences: Array, margin: float, *, unit: str) -> Equivalence:
    """Test whether the mean of paired ``differences``, (n,), lies within +-``margin``.

    These are two one-sided t-tests (TOST; Schuirmann 1987). The statistic is that of the test with
    the larger P value. ``unit`` names what a difference belongs to, for the ``reason``.
    """
    from scipy import stats

    values = tidy(differences)
    n = len(values)
    if n < 2:
        return Equivalence(reason=f"n = {n}: a paired test needs at least two {unit}s")
    if constant(values):
        what = "zero" if not values.any() else "equal"
        return Equivalence(reason=f"all differences are {what}", difference=float(values.mean()))
    mean, se = float(values.mean()), float(values.std(ddof=1)) / n**0.5
    lower, upper = (mean + margin) / se, (mean - margin) / se
    p = max(float(stats.t.sf(lower, n - 1)), float(stats.t.cdf(upper, n - 1)))
    half = float(stats.t.isf(ALPHA, n - 1)) * se
    nearer = lower if abs(lower) < abs(upper) else upper
    return Equivalence(nearer, n - 1, p, mean, mean - half, mean + half, p < ALPHA)
