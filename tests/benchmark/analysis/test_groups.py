"""ANOVA and equivalence tests against statsmodels, published values and simulation."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.weightstats import ttost_paired

from benchmark.analysis.groups import equivalence, one_way, repeated_measures

# R's data set PlantGrowth; R prints F = 4.846 on 2 and 27 degrees of freedom, P = 0.01591.
PLANTS = (
    [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14],
    [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69],
    [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26],
)


def test_one_way_is_that_of_r() -> None:
    found = one_way(*(np.array(group) for group in PLANTS))
    assert found.statistic == pytest.approx(4.846, abs=5e-4)
    assert found.p == pytest.approx(0.01591, abs=5e-6)
    assert (found.df1, found.df2) == (2, 27)


@pytest.mark.parametrize(("subjects", "levels"), [(5, 2), (8, 3), (12, 5)])
def test_repeated_measures_are_those_of_statsmodels(subjects: int, levels: int) -> None:
    rng = np.random.default_rng(subjects)
    values = rng.normal(0, 1, (subjects, levels)) + rng.normal(0, 3, (subjects, 1))
    found = repeated_measures(values)
    long = pd.DataFrame(
        {
            "y": values.ravel(),
            "subject": np.repeat(np.arange(subjects), levels),
            "level": np.tile(np.arange(levels), subjects),
        }
    )
    table = AnovaRM(long, "y", "subject", within=["level"]).fit().anova_table
    assert found.statistic == pytest.approx(table["F Value"].iloc[0])
    assert found.df1 == pytest.approx(found.epsilon * table["Num DF"].iloc[0])
    if levels == 2:
        assert found.epsilon == pytest.approx(1)
        assert found.p == pytest.approx(table["Pr > F"].iloc[0])


def test_epsilon_from_the_covariance_of_the_levels() -> None:
    """Greenhouse and Geisser's formula in the entries of the covariance matrix (Box 1954)."""
    rng = np.random.default_rng(1)
    values = rng.multivariate_normal(np.zeros(4), np.diag([1, 2, 4, 8.0]) + 1, 30)
    s = np.cov(values.T)
    k = len(s)
    above = k**2 * (np.trace(s) / k - s.mean()) ** 2
    below = (s**2).sum() - 2 * k * (s.mean(axis=0) ** 2).sum() + k**2 * s.mean() ** 2
    assert repeated_measures(values).epsilon == pytest.approx(above / ((k - 1) * below))


def test_equivalence_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.8, 0.05, (2, 20))
    found = equivalence(a - b, 0.02, unit="dataset")
    p, *_ = ttost_paired(a, b, -0.02, 0.02)
    assert found.p == pytest.approx(p)
    assert found.equivalent == (found.low > -0.02 and found.high < 0.02)


def test_size_and_power() -> None:
    """At the margin equivalence is claimed in 5 % of repeats, well within it nearly always."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.02, (1000, 44))
    at_margin = np.mean([equivalence(n + 0.02, 0.02, unit="d").equivalent for n in noise])
    within = np.mean([equivalence(n, 0.02, unit="d").equivalent for n in noise])
    assert at_margin == pytest.approx(0.05, abs=0.02)
    assert within > 0.99
    shared = rng.normal(0, 0.2, (1000, 20, 1))
    null = shared + rng.normal(0, 0.02, (1000, 20, 5)) * np.array([1, 1, 1, 2, 3])
    size = np.mean([repeated_measures(v).p < 0.05 for v in null])
    assert size == pytest.approx(0.05, abs=0.02)
    falling = null[:200] + np.array([0, 0, 0, 0, 0.05])
    blind = np.mean([one_way(*v.T).p < 0.05 for v in falling])
    seeing = np.mean([repeated_measures(v).p < 0.05 for v in falling])
    assert blind < 0.01 < 0.6 < seeing  # the paper's test cannot see what the paired one does


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((4, 3)), "all units change alike"),
        (np.arange(4.0)[:, None] + np.array([0, 0.1]), "all units change alike"),
        (np.ones((1, 3)), "n = 1"),
        (np.ones((4, 1)), "1 levels"),
    ],
)
def test_what_cannot_be_computed(values: np.ndarray, reason: str) -> None:
    assert repeated_measures(values).reason.startswith(reason)
    assert np.isnan(repeated_measures(values).p)
    assert one_way(*values.T).reason or np.isfinite(one_way(*values.T).p)
