"""Paired and unpaired tests against scipy and published results of R."""

import statistics

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.paired import (
    mean_interval,
    normality,
    paired_test,
    papers_choice,
    rank_sum,
    signed_ranks,
)

# R, ?wilcox.test (Hollander and Wolfe 1973): depression scale, and permeability of the membrane.
DEPRESSION = (
    np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]),
    np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]),
)
PERMEABILITY = (
    np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]),
    np.array([1.15, 0.88, 0.90, 0.74, 1.21]),
)


def test_signed_rank_is_that_of_r() -> None:
    """R: V = 40, one-sided P 0.01953. The estimate and its interval are in Hollander and Wolfe."""
    found = paired_test("wilcoxon signed-rank", np.subtract(*DEPRESSION), unit="patient")
    assert found.p == pytest.approx(2 * 0.01953, abs=1e-4)
    assert found.effect == pytest.approx((40 - 5) / 45)
    assert (found.low, found.high) == pytest.approx((0.010, 0.786), abs=0.001)


def test_rank_sum_is_that_of_r() -> None:
    """R: W = 35, one-sided P 0.1272."""
    found = rank_sum(*PERMEABILITY)
    assert found.statistic == 35
    assert found.p == pytest.approx(2 * 0.1272, abs=2e-4)


@pytest.mark.parametrize(
    ("n", "method"), [(1, "exact"), (5, "exact"), (13, "exact"), (50, "exact"), (51, "asymptotic")]
)
def test_many_signed_rank_tests_at_once_are_scipys(n: int, method: str) -> None:
    values = np.random.default_rng(n).normal(0.3, 1, (n, 20))
    sums, p = signed_ranks(values)
    found = [stats.wilcoxon(column, method=method) for column in values.T]
    assert p == pytest.approx([one.pvalue for one in found])
    alone = paired_test("wilcoxon signed-rank", values[:, 0], unit="x").p
    assert n == 1 or alone == pytest.approx(p[0])
    smaller = [one.statistic for one in found]
    assert (n * (n + 1) / 2 - np.abs(sums)) / 2 == pytest.approx(smaller)


@pytest.mark.parametrize("n", [2, 6, 13, 14, 40])
def test_many_signed_rank_tests_with_ties_and_zeros_are_scipys(n: int) -> None:
    values = np.random.default_rng(n).integers(-2, 5, (n, 4)).astype(np.float64)
    values[:, 0] = 0
    _, p = signed_ranks(values)
    assert p[0] == 1
    assert p[1:] == pytest.approx([stats.wilcoxon(c).pvalue for c in values[:, 1:].T])


@pytest.mark.parametrize("n", [12, 80, 320])
def test_intervals_agree_with_their_tests(n: int) -> None:
    """A shift at the end of the interval is one that the test just does not reject."""
    values = np.random.default_rng(n).normal(0.2, 1, n)
    found = paired_test("wilcoxon signed-rank", values, unit="x")
    for end in (found.low, found.high):
        beyond = end + 0.02 * np.sign(end - values.mean())
        assert stats.wilcoxon(values - beyond).pvalue < 0.05
        within = end - 0.02 * np.sign(end - values.mean())
        assert stats.wilcoxon(values - within).pvalue > 0.045
    paired = paired_test("paired t", values, unit="x")
    assert (paired.low, paired.high) == pytest.approx(
        tuple(stats.ttest_1samp(values, 0).confidence_interval())
    )


def test_the_interval_beyond_fifty_is_by_the_moments_of_the_sum_of_ranks() -> None:
    """Of 80: its mean is 1620, its standard deviation 208.49, so 1211 Walsh averages lie beyond."""
    values = np.random.default_rng(80).normal(0.2, 1, 80)
    i, j = np.triu_indices(80)
    walsh = np.sort((values[i] + values[j]) / 2)
    found = paired_test("wilcoxon signed-rank", values, unit="x")
    assert (found.low, found.high) == pytest.approx((walsh[1211 - 1], walsh[-1211]), abs=1e-9)


def test_paired_t_in_closed_form() -> None:
    values = np.array([1.0, 2.0, 4.0, -1.0, 3.5])
    found = paired_test("paired t", values, unit="x", tail=0.05)
    theirs = stats.ttest_1samp(values, 0)
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    ends = pytest.approx(tuple(theirs.confidence_interval(0.9)))
    assert (found.low, found.high) == ends
    assert mean_interval(values, 0.05) == ends
    assert found.effect == pytest.approx(statistics.mean(values) / statistics.stdev(values))
    assert np.isnan(mean_interval(values[:1], 0.05)).all()


NORMAL_SCORES = stats.norm.ppf((np.arange(1, 21) - 0.5) / 20)


@pytest.mark.parametrize(
    ("differences", "least", "most", "test"),
    [
        (NORMAL_SCORES, 0.05, 1.0, "paired t"),
        (np.append(NORMAL_SCORES[1:], 50.0), 0.0, 0.01, "wilcoxon signed-rank"),
        (np.append(NORMAL_SCORES[1:], 4.5), 0.01, 0.05, "wilcoxon signed-rank"),
    ],
)
def test_the_papers_choice_is_by_shapiro_wilk_at_5_percent(
    differences: np.ndarray, least: float, most: float, test: str
) -> None:
    p = normality(differences)
    assert p == pytest.approx(stats.shapiro(differences).pvalue)
    assert least < p < most
    assert papers_choice(p) == test


def test_of_two_differences_nothing_tells_that_they_are_normal() -> None:
    p = normality(NORMAL_SCORES[:2])
    assert np.isnan(p)
    assert papers_choice(p) == "wilcoxon signed-rank"


def test_rank_sum_of_ties_and_of_nothing() -> None:
    a, b = np.array([1.0, 2, 2, 3]), np.array([2.0, 3, 4, 5])
    assert rank_sum(a, b).p == pytest.approx(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    assert rank_sum(a[:1], b).reason.startswith("n = 1")
    assert rank_sum(a * 0, b * 0).reason == "all values are equal"


@pytest.mark.parametrize(("sizes", "method"), [((49, 49), "exact"), ((3, 50), "asymptotic")])
def test_rank_sum_is_exact_below_fifty_values_each(sizes: tuple[int, int], method: str) -> None:
    """As R's ``wilcox.test``."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=size) for size in sizes)
    theirs = stats.mannwhitneyu(a, b, method=method)
    assert rank_sum(a, b).p == pytest.approx(theirs.pvalue)


def test_of_five_differences_there_is_an_interval_at_90_percent_and_none_at_95() -> None:
    """That all have one sign has a P of 2 / 32: the former is from the least to the greatest."""
    values = np.array([0.3, -0.1, 0.5, 0.9, 0.2])
    for tail in (0.05, 1 / 32):
        found = paired_test("wilcoxon signed-rank", values, unit="x", tail=tail)
        assert (found.low, found.high) == (-0.1, 0.9)
    assert np.isnan(paired_test("wilcoxon signed-rank", values, unit="x").low)


def test_zeros_have_no_rank() -> None:
    """Without the zero, ranks 1 and 2 go up and 3 goes down."""
    found = paired_test("wilcoxon signed-rank", np.array([0.0, 0.1, 0.2, -0.3]), unit="x")
    assert found.effect == pytest.approx(0)
