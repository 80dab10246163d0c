"""The mixed model against the closed form of balanced data, and by simulation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis import frames, mixed
from benchmark.analysis.grid import Grid
from benchmark.analysis.settings import AnalysisSettings

METHODS = 3


def draw(seed: int, datasets: int, scans: int, interaction: float = 0.05) -> np.ndarray:
    """Scores (datasets, scans, methods); methods do not differ but within datasets."""
    rng = np.random.default_rng(seed)
    shape = (datasets, scans, METHODS)
    of_dataset, of_scan = rng.normal(0, 0.1, (datasets, 1, 1)), rng.normal(0, 0.05, (*shape[:2], 1))
    of_method = rng.normal(0, interaction, (datasets, 1, METHODS))
    return np.asarray(0.6 + of_dataset + of_scan + of_method + rng.normal(0, 0.05, shape))


def result(values: np.ndarray, **settings: Any) -> Any:
    rows = [
        {"dataset": f"D{d:02d}", "scan": f"s{s}", "structure": "x", "method": f"m{m}", "dsc": value}
        for (d, s, m), value in np.ndenumerate(values)
    ]
    grid = Grid.of(frames.scores(pd.DataFrame(rows)), ["dsc"])
    table = mixed.compare(grid, AnalysisSettings(**settings))
    return table[table["split"] == "all"].set_index(["method_a", "method_b"])


def test_balanced_data_in_closed_form() -> None:
    """REML of balanced data is the analysis of variance: the error is method within dataset."""
    values = draw(1, 10, 6)
    row = result(values).loc[("m0", "m1")]
    cells = values.mean(axis=1)
    rest = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    mean_square = 6 * (rest**2).sum() / (9 * (METHODS - 1))
    assert row["difference"] == pytest.approx(cells[:, 0].mean() - cells[:, 1].mean())
    assert row["se"] == pytest.approx((2 * mean_square / 60) ** 0.5, rel=1e-3)
    assert row["sd_residual"] == pytest.approx(0.05, rel=0.2)
    assert (row["datasets"], row["scans"], row["df"]) == (10, 60, 9)


def test_size_where_methods_differ_within_datasets() -> None:
    """Scans as independent evidence would find a difference in most of these."""
    p = [result(draw(seed, 8, 12, 0.1)).loc[("m0", "m1"), "p"] for seed in range(25)]
    assert np.mean(np.array(p) < 0.05) <= 0.2


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
