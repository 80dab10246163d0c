"""The mixed model against the closed-form solution for balanced data."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.analysis import frames, mixed
from benchmark.analysis.grid import Grid
from benchmark.analysis.settings import AnalysisSettings

METHODS = 3


def draw(seed: int, datasets: int, scans: int) -> np.ndarray:
    """Scores (datasets, scans, methods); methods do not differ but within datasets."""
    rng = np.random.default_rng(seed)
    shape = (datasets, scans, METHODS)
    of_dataset, of_scan = rng.normal(0, 0.1, (datasets, 1, 1)), rng.normal(0, 0.05, (*shape[:2], 1))
    of_method = rng.normal(0, 0.05, (datasets, 1, METHODS))
    return np.asarray(0.6 + of_dataset + of_scan + of_method + rng.normal(0, 0.05, shape))


def result(values: np.ndarray, **settings: Any) -> Any:
    rows = [
        {"dataset": f"D{d:02d}", "scan": f"s{s}", "structure": "x", "method": f"m{m}", "dsc": value}
        for (d, s, m), value in np.ndenumerate(values)
    ]
    grid = Grid.of(frames.checked_scores(pd.DataFrame(rows)), ["dsc"])
    table = mixed.compare(grid, AnalysisSettings(**settings))
    return table[table["split"] == "all"].set_index(["method_a", "method_b"])


def test_balanced_data_in_closed_form() -> None:
    """REML of balanced data is the analysis of variance: the error is method within dataset."""
    values = draw(1, 10, 6)
    row = result(values, confidence=0.9).loc[("m0", "m1")]
    cells, scans, datasets = values.mean(axis=1), values.mean(axis=2), values.mean(axis=(1, 2))
    of_method = cells - datasets[:, None] - cells.mean(axis=0) + values.mean()
    of_scan = scans - datasets[:, None]
    rest = values - cells[:, None, :] - of_scan[:, :, None]
    # Mean squares, by degrees of freedom: 9 x 2, 10 x 5, 10 x 5 x 2 and 9.
    method_in_dataset = 6 * (of_method**2).sum() / 18
    scan = METHODS * (of_scan**2).sum() / 50
    residual = (rest**2).sum() / 100
    dataset = 6 * METHODS * ((datasets - values.mean()) ** 2).sum() / 9
    variances = {
        "residual": residual,
        "scan": (scan - residual) / METHODS,
        "method_in_dataset": (method_in_dataset - residual) / 6,
        "dataset": (dataset - scan - method_in_dataset + residual) / (6 * METHODS),
    }
    for name, variance in variances.items():
        assert variance > 0  # else REML is not the analysis of variance
        assert row[f"sd_{name}"] == pytest.approx(variance**0.5, rel=1e-2), name
    difference, se = cells[:, 0].mean() - cells[:, 1].mean(), (2 * method_in_dataset / 60) ** 0.5
    assert row["difference"] == pytest.approx(difference)
    assert row["se"] == pytest.approx(se, rel=1e-3)
    assert (row["datasets"], row["scans"], row["df"]) == (10, 60, 9)
    assert row["t"] == pytest.approx(row["difference"] / row["se"])
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["t"]), 9))
    half = stats.t.isf(0.05, 9) * row["se"]
    assert (row["low"], row["high"]) == pytest.approx((difference - half, difference + half))


def test_holm_is_within_split_and_metric() -> None:
    values = {"dsc": draw(4, 8, 5), "nsd": draw(5, 8, 5)}
    rows = [
        {"dataset": f"D{d}", "split": ("internal", "external")[d % 2], "scan": f"s{s}"}
        | {"structure": "x", "method": f"m{m}"}
        | {metric: table[d, s, m] for metric, table in values.items()}
        for d, s, m in np.ndindex(values["dsc"].shape)
    ]
    grid = Grid.of(frames.checked_scores(pd.DataFrame(rows)), list(values))
    found = mixed.compare(grid, AnalysisSettings())
    groups = found.groupby(["split", "metric"])
    assert len(groups) == 6
    for _, part in groups:
        right = multipletests(part["p"], method="holm")[1]
        assert part["p_holm"].to_numpy() == pytest.approx(right)
        assert set(part["family"]) == {3}
        assert set(part["family_of"]) == {"pairs of methods within split and metric"}


def test_scans_are_drawn_and_told() -> None:
    row = result(draw(2, 4, 9), mixed_scans=3).loc[("m0", "m1")]
    assert (row["scans"], row["scans_known"]) == (12, 36)


def test_missing_values() -> None:
    values = draw(3, 4, 5)
    values[0, :, 2] = np.nan  # of one dataset: its scans do not count
    assert result(values).loc[("m0", "m1"), "scans"] == 15
    values[:, :, 2] = np.nan
    rows = result(values)
    assert rows.loc[("m0", "m2"), "reason"] == "no value of m2"
    assert np.isfinite(rows.loc[("m0", "m1"), "p"])
    assert result(draw(3, 1, 5))["reason"].eq("1 datasets: the model needs at least two").all()
    assert result(np.ones((3, 2, 3)))["reason"].str.startswith("no method differs").all()
