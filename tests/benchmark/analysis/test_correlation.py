"""Correlations against scipy, closed-form results and simulation."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from benchmark.analysis import frames, regularity
from benchmark.analysis.correlation import correlate
from benchmark.analysis.settings import AnalysisSettings

RNG = np.random.default_rng(6)
SIZE = RNG.normal(0, 1, 60)
X = SIZE + RNG.normal(0, 1, 60)
Y = 0.5 * SIZE - 0.3 * X + RNG.normal(0, 1, 60)


def clusters(number: int, draws: int) -> dict[str, Any]:
    """The 60 points in clusters of one size, and draws of these."""
    weights = RNG.multinomial(number, np.full(number, 1 / number), draws).astype(float)
    return {"tail": 0.025, "cluster": np.arange(60) * number // 60, "weights": weights}


EACH = clusters(60, 400)
"""Every point is a cluster of its own."""


def residuals(values: Any, given: Any) -> Any:
    return values - np.polyval(np.polyfit(given, values, 1), given)


def test_pearson_and_spearman_are_scipys() -> None:
    found = correlate("pearson", X, Y, SIZE, **EACH)
    assert found.r == pytest.approx(stats.pearsonr(X, Y).statistic)
    ranked = correlate("spearman", X, Y, SIZE, **EACH)
    assert ranked.r == pytest.approx(stats.spearmanr(X, Y).statistic)


def test_partial_is_the_correlation_of_residuals() -> None:
    found = correlate("partial", X, Y, SIZE, **EACH)
    theirs = stats.pearsonr(residuals(X, SIZE), residuals(Y, SIZE))
    assert found.r == pytest.approx(theirs.statistic)


def test_interval_and_p_are_from_draws_of_whole_clusters() -> None:
    """Every draw taken point by point: the standard error is that of Fisher's z over the draws."""
    given = clusters(12, 200)
    found = correlate("pearson", X, Y, SIZE, **given)
    drawn = [np.repeat(np.arange(60), w[given["cluster"]].astype(int)) for w in given["weights"]]
    se = np.std([np.arctanh(stats.pearsonr(X[i], Y[i]).statistic) for i in drawn], ddof=1)
    z = np.arctanh(stats.pearsonr(X, Y).statistic)
    half = stats.t.isf(0.025, 11) * se
    assert (found.low, found.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(z) / se, 11))


def test_p_of_independent_points_is_that_of_scipy_and_of_a_regression() -> None:
    for kind, theirs in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        found = correlate(kind, X, Y, SIZE, **clusters(12, 200))
        assert found.p_independent == pytest.approx(theirs(X, Y).pvalue)
    partial = correlate("partial", X, Y, SIZE, **clusters(1, 200))
    design = np.column_stack([np.ones(60), X, SIZE])
    assert partial.p_independent == pytest.approx(OLS(Y, design).fit().pvalues[1])
    assert np.isnan(partial.p)  # of a single cluster


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_correlation_has_no_interval(sign: int) -> None:
    for kind, y in (("pearson", 2 * X + 1), ("spearman", np.exp(X))):
        found = correlate(kind, X, sign * y, SIZE, **EACH)
        assert found.r == pytest.approx(sign)
        assert np.isnan([found.low, found.high, found.p]).all()
        assert found.reason == f"r = {sign}: there is no interval"


def test_clusters_count_once() -> None:
    """Ten copies of each point change neither r nor its interval, where copies are a cluster."""
    once = correlate("pearson", X, Y, SIZE, **EACH)
    often = [np.repeat(v, 10) for v in (X, Y, SIZE)]
    cluster = np.repeat(np.arange(60), 10)
    copied = correlate("pearson", *often, **(EACH | {"cluster": cluster}))
    naive = {"p_independent": stats.pearsonr(*often[:2]).pvalue}
    assert vars(copied) == pytest.approx(vars(once) | naive)
    assert naive["p_independent"] < once.p / 10
    assert (once.low, once.high) == pytest.approx(
        tuple(stats.pearsonr(X, Y).confidence_interval()), abs=0.08
    )


def over_structures(structures: int) -> pd.DataFrame:
    """Correlations over structures, which are all alike within a dataset."""
    scores, objects = [], []
    for d in range(12):
        for s in range(structures):
            at = {"dataset": f"D{d}", "object": f"s/{s}/1"}
            objects.append({**at, "volume_mm3": 5.0 + SIZE[d] ** 2})
            objects[-1] |= {f"{shape}_2d": X[d] for shape in regularity.SHAPE_NAMES}
            objects[-1] |= {f"{shape}_3d": X[d] for shape in regularity.SHAPE_NAMES}
            cell = {**at, "scan": "s", "structure": str(s), "level": "object", "split": "internal"}
            scores += [
                {**cell, "method": method, "dsc": value}
                for method, value in (("reference", 0.5), ("m", 0.5 + Y[d] / 100))
            ]
    tables = {
        "scores": frames.checked_scores(pd.DataFrame(scores)),
        "objects": pd.DataFrame(objects),
    }
    found = regularity.analyse(tables, AnalysisSettings(resamples=200))["regularity"]
    return found[(found["unit"] == "structure") & (found["modality"] == "all")]


def test_structures_of_a_dataset_count_once() -> None:
    once, often = over_structures(1), over_structures(10)
    assert set(once["n"]) == {12}
    assert set(often["n"]) == {120}
    assert set(often["clusters"]) == set(once["clusters"]) == {12}
    for column in ("r", "low", "high", "p"):
        np.testing.assert_allclose(often[column], once[column], rtol=1e-6)
    pearson = often[(often["correlation"] == "pearson") & (often["dimension"] == "2d")]
    assert pearson["r"].to_numpy() == pytest.approx(stats.pearsonr(X[:12], Y[:12]).statistic)


def shaped(collections: dict[str, str] | None = None, merged: bool = False) -> pd.DataFrame:
    """Correlations where each shape has numbers of its own: 4 datasets of 2 patients.

    ``merged``: the structures of D1 are further structures of D0.
    """
    points = shapes(merged)
    keys = ["dataset", "scan", "patient", "structure", "object"]
    table = points[keys].assign(level="object", collection=points["dataset"])
    table["collection"] = table["collection"].replace(collections or {})
    scores = [
        table.assign(method=method, dsc=0.5 + (method == "m") * points["change"])
        for method in ("reference", "m")
    ]
    tables = {
        "scores": frames.checked_scores(pd.concat(scores, ignore_index=True)),
        "objects": points,
    }
    found = regularity.analyse(tables, AnalysisSettings(resamples=200))["regularity"]
    return found[found["modality"] == "all"].reset_index(drop=True)


def shapes(merged: bool = False) -> pd.DataFrame:
    """Two patients a dataset, each with two objects of two structures."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for d, patient, structure, o in product(range(4), "pq", "vw", range(2)):
        moved = merged and d == 1
        about: dict[str, Any] = {"dataset": "D0" if moved else f"D{d}", "scan": f"{d}{patient}"}
        about |= {"patient": patient, "structure": f"x{structure}" if moved else structure}
        about |= {"object": f"{d}{patient}/{structure}/{o}", "volume_mm3": rng.lognormal(3, 1)}
        columns = [f"{s}_{dimension}" for s in regularity.SHAPE_NAMES for dimension in ("2d", "3d")]
        numbers = dict(zip(columns, rng.uniform(size=6), strict=True))
        rows.append(about | numbers | {"change": rng.normal(0, 0.1)})
    return pd.DataFrame(rows)


def test_what_was_lost_is_counted() -> None:
    """In the CT scans M has no value for 3 of 8 objects, and the reference for 1; in the MR, 0."""
    points = shapes()
    table = points[["dataset", "scan", "patient", "structure", "object"]]
    table = table.assign(level="object", collection=points["dataset"], dsc=0.5)
    table["modality"] = np.where(table["dataset"] == "D0", "CT", "MR")
    lost = {"reference": [7], "m": [0, 1, 2]}
    scores = [
        table.assign(method=name, dsc=table["dsc"].mask(table.index.isin(rows)))
        for name, rows in lost.items()
    ]
    tables = {"scores": frames.checked_scores(pd.concat(scores, ignore_index=True))}
    found = regularity.analyse(tables | {"objects": points}, AnalysisSettings(resamples=100))
    rows = found["regularity"].query("unit == 'object'").drop_duplicates("modality")
    counts: Any = rows.set_index("modality")[["n", "expected", "failed", "failed_reference"]]
    assert counts.loc["all"].tolist() == [28, 32, 3, 1]
    assert counts.loc["CT"].tolist() == [4, 8, 3, 1]
    assert counts.loc["MR"].tolist() == [24, 24, 0, 0]


def test_each_correlation_is_of_its_own_column() -> None:
    """Over objects, and over their means by structure; of volumes the logarithm is held fixed."""
    found: Any = shaped().set_index(["unit", "dimension", "shape", "correlation"]).sort_index()
    points = shapes()
    means = points.groupby(["dataset", "structure"]).mean(numeric_only=True)
    for unit, table, n, drawn in (("object", points, 32, 8), ("structure", means, 8, 4)):
        y, size = table["change"], np.log(table["volume_mm3"])
        for dimension, shape in product(("2d", "3d"), regularity.SHAPE_NAMES):
            x = table[f"{shape}_{dimension}"]
            rows: Any = found.loc[(unit, dimension, shape)]
            assert set(rows["n"]) == {n}
            assert set(rows["clusters"]) == {drawn}
            expected = {
                "pearson": stats.pearsonr(x, y).statistic,
                "spearman": stats.spearmanr(x, y).statistic,
                "partial": stats.pearsonr(residuals(x, size), residuals(y, size)).statistic,
            }
            assert rows["r"].to_dict() == pytest.approx(expected)


def test_points_are_means_over_the_objects_of_a_structure() -> None:
    at = {"dataset": "D", "scan": "s", "structure": "x", "level": "object"}
    scores = [
        {**at, "object": name, "method": method, "prompt": prompt, "dsc": dsc}
        for method, prompt, values in (("r", "mask2d", (0.5, 0.7)), ("m", "box2d", (0.6, 0.9)))
        for name, dsc in zip("12", values, strict=True)
    ]
    objects = pd.DataFrame({"dataset": "D", "object": ["1", "2"], "volume_mm3": [10.0, 30.0]})
    for place, name in enumerate(regularity.SHAPE_NAMES, 1):
        objects = objects.assign(**{f"{name}_2d": [0.0, place / 10], f"{name}_3d": [0.1, place]})
    tables = {"scores": frames.checked_scores(pd.DataFrame(scores)), "objects": objects}
    found = regularity.analyse(tables, AnalysisSettings(resamples=100))["regularity_values"]
    row: Any = found.set_index("dimension").loc["2d"]
    assert row[["method", "prompt"]].tolist() == ["m", "box2d"]
    assert row[["reference", "prompt_reference"]].tolist() == ["r", "mask2d"]
    assert (row["same_prompt"], row["objects"]) == (False, 2)
    columns = ["dsc", "dsc_reference", "change", "volume_mm3", *regularity.SHAPE_NAMES]
    expected = [0.75, 0.6, 0.15, 20, 0.05, 0.1, 0.15]
    assert row[columns].tolist() == pytest.approx(expected)


def test_datasets_of_one_collection_are_one_cluster() -> None:
    """As if they were one dataset that has the structures of both."""
    found, merged = shaped({"D1": "D0"}), shaped(merged=True)
    assert (found["clusters"] == found["unit"].map({"structure": 3, "object": 8})).all()
    rows = found["unit"] == "structure"
    columns = ["n", "clusters", "r", "low", "high", "p"]
    np.testing.assert_allclose(found.loc[rows, columns], merged.loc[rows, columns], rtol=1e-9)


@pytest.mark.parametrize("kind", ["pearson", "spearman", "partial"])
def test_what_cannot_be_computed(kind: str) -> None:
    assert correlate(kind, X[:3], Y[:3], SIZE[:3], **EACH).reason.startswith("n = 3")
    assert correlate(kind, X * 0, Y, SIZE, **EACH).reason == "a variable has no variance"
    assert correlate("partial", X, Y, X, **EACH).reason.startswith("a variable follows")
    assert correlate(kind, X, Y, SIZE, **clusters(1, 9)).reason.endswith("at least two clusters")


@pytest.mark.parametrize(("clusters", "spread"), [(40, 0.3), (2, 1.0), (3, 1.0), (5, 1.0)])
def test_size_under_clusters(clusters: int, spread: float) -> None:
    """No relation, points of a cluster alike: the clustered test keeps its 5 %, of few too."""
    rng = np.random.default_rng(7)
    hits = []
    for _ in range(60 if clusters > 5 else 200):
        cluster = np.repeat(np.arange(clusters), 8)
        x, y = (
            rng.normal(0, 1, clusters)[cluster] + rng.normal(0, spread, len(cluster))
            for _ in range(2)
        )
        share = np.full(clusters, 1 / clusters)
        weights = rng.multinomial(clusters, share, 150).astype(float)
        found = correlate("pearson", x, y, x, tail=0.025, cluster=cluster, weights=weights)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
        hits.append((found.p < 0.05, stats.pearsonr(x, y).pvalue < 0.05))
    clustered, naive = pd.DataFrame(hits).mean()
    assert clustered < 0.12
    assert naive > clustered + 0.1
