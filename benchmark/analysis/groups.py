"""Tests over the levels of a factor: one-way and repeated-measures ANOVA, and equivalence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.paired import constant, tidy

Array = NDArray[np.float64]

ALPHA = 0.05
"""Level of each of the two one-sided tests of equivalence."""


@dataclass(frozen=True)
class GroupOutcome:
    """``epsilon``: Greenhouse and Geisser's, by which both degrees of freedom are multiplied;
    ``reason``: why there is no P value."""

    statistic: float = np.nan
    df1: float = np.nan
    df2: float = np.nan
    p: float = np.nan
    epsilon: float = np.nan
    reason: str = ""


@dataclass(frozen=True)
class Equivalence:
    """Of a paired difference: ``low``, ``high`` at 1 - 2 `ALPHA`; ``equivalent`` at `ALPHA`."""

    statistic: float = np.nan
    df1: float = np.nan
    p: float = np.nan
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    equivalent: bool | None = None
    reason: str = ""


def one_way(*groups: Array) -> GroupOutcome:
    """Test whether independent ``groups`` have the same mean."""
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
    """Test whether the columns of (subjects, levels) have the same mean, subject by subject.

    P is that of Greenhouse and Geisser (1959), which holds without sphericity; ``df1`` and ``df2``
    are the corrected ones.
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


def equivalence(differences: Array, margin: float, *, unit: str) -> Equivalence:
    """Two one-sided t-tests (Schuirmann 1987) that the mean difference lies within +-``margin``."""
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
