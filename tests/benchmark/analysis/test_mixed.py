"""The mixed model against closed forms for balanced data, and against statsmodels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
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


def score_rows(values: np.ndarray) -> pd.DataFrame:
    """A row per finite or missing value; infinite ones stand for scans that do not exist."""
    rows = [
        {
            "dataset": f"D{d:02d}",
            "scan": f"s{s}",
            "structure": "x",
            "method": f"m{m}",
            "hd95": value,
        }
        for (d, s, m), value in np.ndenumerate(values)
        if not np.isinf(value)
    ]
    return pd.DataFrame(rows)


def fitted(rows: pd.DataFrame, **settings: Any) -> Any:
    grid = Grid.of(frames.checked_scores(rows), ["hd95"])
    table = mixed.compare(grid, AnalysisSettings(**settings))
    return table[table["split"] == "all"].set_index(["method_a", "method_b"])


def result(values: np.ndarray, **settings: Any) -> Any:
    return fitted(score_rows(values), **settings)


def unbalanced(seed: int) -> np.ndarray:
    """Scores of 8 datasets with 2 to 6 scans each."""
    values = draw(seed, 8, 6)
    for d in range(8):
        values[d, 2 + d % 5 :] = np.inf
    return values


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
        assert row[f"sd_{name}"] == pytest.approx(variance**0.5, rel=1e-6), name
    difference, se = cells[:, 0].mean() - cells[:, 1].mean(), (2 * method_in_dataset / 60) ** 0.5
    assert row["difference"] == pytest.approx(difference)
    assert row["se"] == pytest.approx(se, rel=1e-6)
    assert (row["datasets"], row["scans"], row["df"]) == (10, 60, 9)
    assert row["t"] == pytest.approx(row["difference"] / row["se"])
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["t"]), 9))
    half = stats.t.isf(0.05, 9) * row["se"]
    assert (row["low"], row["high"]) == pytest.approx((difference - half, difference + half))


def test_no_variance_of_methods_within_datasets() -> None:
    """Then REML pools both mean squares; all pairs have the same standard error."""
    values = draw(6, 6, 4)
    values -= values.mean(axis=1, keepdims=True)  # no dataset and no method differs
    values += np.array([0.5, 0.52, 0.55]) + 0.01 * np.arange(6)[:, None, None]
    rows = result(values)
    rest = values - values.mean(axis=2, keepdims=True) - values.mean(axis=(0, 1)) + values.mean()
    se = (2 * (rest**2).sum() / (23 * 2) / 24) ** 0.5
    assert rows["se"].to_numpy() == pytest.approx(np.full(3, se))
    assert rows["difference"].to_numpy() == pytest.approx([-0.02, -0.05, -0.03])
    assert rows["sd_method_in_dataset"].eq(0).all()


def test_unbalanced_data_as_by_statsmodels() -> None:
    """All variances are well above zero here, where the fit of statsmodels is reliable."""
    rows = score_rows(unbalanced(2))
    found = fitted(rows)
    model = smf.mixedlm(
        "hd95 ~ 0 + method",  # in hundredths, since it calls variances below 0.01 zero
        rows.assign(scan=rows["dataset"] + rows["scan"], hd95=100 * rows["hd95"]),
        groups="dataset",
        re_formula="1",
        vc_formula={"method": "0 + method", "scan": "0 + scan"},
    )
    right = model.fit(method=["lbfgs", "powell"])
    spreads = dict(zip(model.exog_vc.names, right.vcomp, strict=True))
    variances = {
        "sd_method_in_dataset": spreads["method"],
        "sd_residual": right.scale,
        "sd_scan": spreads["scan"],
        "sd_dataset": right.cov_re.iloc[0, 0],
    }
    assert found["se"].nunique() == 1
    for name, variance in variances.items():
        assert 100 * found[name].to_numpy() == pytest.approx(variance**0.5, rel=1e-3)
    for a, b in found.index:
        contrast = [[(f"m{m}" == a) - (f"m{m}" == b) for m in range(METHODS)]]
        tested = right.t_test(np.array(contrast))
        row = 100 * found.loc[(a, b), ["difference", "se"]].astype(float)
        assert row["difference"] == pytest.approx(tested.effect.item(), rel=1e-3)
        assert row["se"] == pytest.approx(tested.sd.item(), rel=2e-2)


def test_order_of_rows_and_names_of_methods_change_nothing() -> None:
    rows = score_rows(unbalanced(3))
    first = fitted(rows)
    renamed = rows.sample(frac=1, random_state=3).replace({"method": {"m0": "z", "m1": "m"}})
    second = fitted(renamed.reset_index(drop=True))
    second = {frozenset(pair): row for pair, row in second.iterrows()}
    for (a, b), row in first.iterrows():
        other = second[frozenset({"m0": "z", "m1": "m"}.get(name, name) for name in (a, b))]
        assert abs(row["difference"]) == pytest.approx(abs(other["difference"]), rel=1e-6)
        for name in ("se", "p", "sd_dataset", "sd_method_in_dataset", "sd_scan", "sd_residual"):
            assert row[name] == pytest.approx(other[name], rel=1e-6), name


def test_one_scan_per_dataset_is_the_paired_t_test() -> None:
    values = draw(7, 9, 1)[:, :, :2]
    row = result(values).loc[("m0", "m1")]
    right = stats.ttest_rel(values[:, 0, 0], values[:, 0, 1])
    assert (row["t"], row["p"]) == pytest.approx((right.statistic, right.pvalue))
    assert np.isnan(row[["sd_method_in_dataset", "sd_scan"]].astype(float)).all()
    noise = (values[:, 0, 0] - values[:, 0, 1]).var(ddof=1) / 2
    dataset = values.mean(axis=2).var(ddof=1) - noise / 2
    assert row["sd_residual"] == pytest.approx(noise**0.5)
    assert row["sd_dataset"] == pytest.approx(dataset**0.5)


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


def test_a_method_without_a_value_in_a_split_takes_nothing_from_the_others_there() -> None:
    """Method m2 ran on the external datasets alone: among the internal, as if it were not there."""
    rows = score_rows(draw(8, 12, 4))
    outer = rows["dataset"] >= "D06"
    rows = rows.assign(split=np.where(outer, "external", "internal"))
    rows = rows[outer | (rows["method"] != "m2")].reset_index(drop=True)
    grid = Grid.of(frames.checked_scores(rows), ["hd95"])
    table = mixed.compare(grid, AnalysisSettings())
    found: Any = table.set_index(["split", "method_a", "method_b"])
    inner = rows[rows["split"] == "internal"].reset_index(drop=True)
    right = fitted(inner).loc[("m0", "m1")]
    row = found.loc[("internal", "m0", "m1")]
    for name in ("difference", "se", "p", "datasets", "scans", "cells"):
        assert row[name] == pytest.approx(right[name]), name
    assert found.loc[("internal", "m0", "m2"), "reason"] == "no value of m2"
    assert found.loc[("all", "m0", "m1"), "datasets"] == 6


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
    shifted = draw(3, 4, 5)[:, :, :1] + np.arange(3)
    assert result(shifted)["reason"].str.startswith("methods differ alike in every scan").all()
