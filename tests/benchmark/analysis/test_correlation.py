"""Correlations against scipy, closed forms and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis import frames, regularity
from benchmark.analysis.correlation import correlate
from benchmark.analysis.settings import AnalysisSettings

RNG = np.random.default_rng(6)
SIZE = RNG.normal(0, 1, 60)
X = SIZE + RNG.normal(0, 1, 60)
Y = 0.5 * SIZE - 0.3 * X + RNG.normal(0, 1, 60)


def test_pearson_and_spearman_are_scipys() -> None:
    found = correlate("pearson", X, Y, SIZE, tail=0.025)
    theirs = stats.pearsonr(X, Y)
    assert (found.r, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    ranked = correlate("spearman", X, Y, SIZE, tail=0.025)
    rank = stats.spearmanr(X, Y)
    assert (ranked.r, ranked.p) == pytest.approx((rank.statistic, rank.pvalue))


def test_partial_is_the_correlation_of_residuals() -> None:
    left = [v - np.polyval(np.polyfit(SIZE, v, 1), SIZE) for v in (X, Y)]
    found = correlate("partial", X, Y, SIZE, tail=0.025)
    assert found.r == pytest.approx(stats.pearsonr(*left).statistic)


def test_clusters_count_once() -> None:
    """Ten copies of each point change neither r nor its interval, where copies are a cluster."""
    weights = RNG.multinomial(60, np.full(60, 1 / 60), 400).astype(float)
    once = correlate("pearson", X, Y, SIZE, tail=0.025, cluster=np.arange(60), weights=weights)
    often = [np.repeat(v, 10) for v in (X, Y, SIZE)]
    cluster = np.repeat(np.arange(60), 10)
    copied = correlate("pearson", *often, tail=0.025, cluster=cluster, weights=weights)
    assert vars(copied) == pytest.approx(vars(once))
    assert correlate("pearson", *often, tail=0.025).p < once.p / 10
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
            objects[-1] |= {f"{shape}_2d": X[d] for shape in regularity.SHAPES}
            objects[-1] |= {f"{shape}_3d": X[d] for shape in regularity.SHAPES}
            cell = {**at, "scan": "s", "structure": str(s), "level": "object", "split": "internal"}
            scores += [
                {**cell, "method": method, "dsc": value}
                for method, value in (("reference", 0.5), ("m", 0.5 + Y[d] / 100))
            ]
    tables = {"scores": frames.scores(pd.DataFrame(scores)), "objects": pd.DataFrame(objects)}
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


@pytest.mark.parametrize("kind", ["pearson", "spearman", "partial"])
def test_what_cannot_be_computed(kind: str) -> None:
    assert correlate(kind, X[:3], Y[:3], SIZE[:3], tail=0.025).reason.startswith("n = 3")
    assert correlate(kind, X * 0, Y, SIZE, tail=0.025).reason == "a variable has no variance"
    assert correlate("partial", X, Y, X, tail=0.025).reason.startswith("a variable follows")


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
        hits.append((found.p < 0.05, correlate("pearson", x, y, x, tail=0.025).p < 0.05))
    clustered, naive = pd.DataFrame(hits).mean()
    assert clustered < 0.12
    assert naive > clustered + 0.1
