"""Ranks against values by hand and scipy."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis import frames, ranking
from benchmark.analysis.ranking import _agreement, _beaten
from benchmark.analysis.settings import AnalysisSettings

SETTINGS = AnalysisSettings(resamples=100)


def result(values: dict[str, Any], metric: str = "dsc", scans: int = 2) -> Any:
    rows = [
        {"dataset": f"D{d}", "scan": f"s{s}", "structure": "x", "method": method, metric: value}
        for method, column in values.items()
        for d, value in enumerate(column)
        for s in range(scans)
    ]
    return ranking.analyse({"scores": frames.checked_scores(pd.DataFrame(rows))}, SETTINGS)


def test_by_hand() -> None:
    found = result({"a": [0.9, 0.9, 0.1], "b": [0.7, 0.7, 0.7], "c": [0.6, 0.6, 0.6]})
    rows = found["ranking"][found["ranking"]["split"] == "all"]
    ranks = rows.set_index(["scheme", "method"])["rank"]
    assert [ranks["mean"][m] for m in "abc"] == [2, 1, 3]
    assert [ranks["median"][m] for m in "abc"] == [1, 2, 3]
    assert [ranks["significance"][m] for m in "abc"] == [2, 2, 2]
    wins = found["wins"][found["wins"]["split"] == "all"].set_index(["method_a", "method_b"])
    assert wins.loc[("a", "b"), ["wins", "ties", "losses", "datasets"]].tolist() == [2, 0, 1, 3]
    assert wins.loc[("b", "a"), "wins"] == 1
    shares = found["rank_shares"].groupby(["split", "scheme", "method"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(1)


def test_a_split_is_ranked_by_its_own_datasets() -> None:
    rows = [
        {"dataset": f"{split}{d}", "split": split, "scan": "s", "structure": "x"}
        | {"method": method, "dsc": 0.5 + 0.01 * d + ahead * (method == "a")}
        for split, datasets, ahead in (("internal", 2, 0.1), ("external", 3, -0.3))
        for d in range(datasets)
        for method in "ab"
    ]
    found = ranking.analyse({"scores": frames.checked_scores(pd.DataFrame(rows))}, SETTINGS)
    rows_by_mean = found["ranking"][found["ranking"]["scheme"] == "mean"]
    table: Any = rows_by_mean.set_index(["split", "method"])
    wins: Any = found["wins"].set_index(["split", "method_a"])
    for split, rank, datasets, won in (
        ("internal", 1, 2, 2),
        ("external", 2, 3, 0),
        ("all", 2, 5, 2),
    ):
        row = table.loc[(split, "a")]
        assert row[["rank", "datasets", "cells"]].tolist() == [rank, datasets, datasets]
        assert wins.loc[(split, "a"), ["wins", "datasets"]].tolist() == [won, datasets]


def test_distances_rank_the_other_way() -> None:
    rows = result({"near": [1.0, 2, 3], "far": [2.0, 3, 4]}, "hd95")["ranking"]
    first = rows[(rows["scheme"] == "mean") & (rows["rank"] == 1)]
    assert set(first["method"]) == {"near"}
    assert first["value"].tolist() == [2.0, 2.0]


def test_a_clear_order_is_certain_and_a_method_without_values_has_no_rank() -> None:
    clear = {name: np.linspace(0, 0.01, 8) + 0.1 * i for i, name in enumerate("abcd")}
    found = result({**clear, "none": [np.nan] * 8})
    agreement = found["rank_agreement"]
    assert agreement["tau_mean"].to_numpy() == pytest.approx(1)
    rows = found["ranking"].set_index(["split", "scheme", "method"])
    assert (rows.loc[("all", "mean", "d"), "first_share"], rows["datasets"].max()) == (1, 8)
    assert rows.xs("none", level="method")["reason"].eq("no value").all()


def test_what_a_method_failed_on_is_held_against_no_other() -> None:
    """A is better than B in every cell that both have; B has no value in the hard half."""
    rng = np.random.default_rng(2)
    rows: list[dict[str, Any]] = []
    for d in range(8):
        for s in range(6):
            about = {"dataset": f"D{d}", "scan": f"s{s}", "structure": "x"}
            value = rng.uniform(0.8, 0.9) - 0.4 * (s % 2)
            rows.append({**about, "method": "a", "dsc": value + 0.02})
            rows.append({**about, "method": "b", "dsc": np.nan if s % 2 else value})
    found = ranking.analyse({"scores": frames.checked_scores(pd.DataFrame(rows))}, SETTINGS)
    rows_of_all = found["ranking"][found["ranking"]["split"] == "all"]
    table: Any = rows_of_all.set_index(["scheme", "method"])
    for scheme in ("mean", "median", "significance"):
        assert table.loc[(scheme, "a"), ["rank", "first_share", "high"]].tolist() == [1, 1, 1]
        assert table.loc[(scheme, "b"), "rank"] == 2
    assert table.loc[("significance", "b"), "value"] == 0
    means = table["value"]["mean"].to_dict()
    assert means["a"] == pytest.approx(means["b"] + 0.02)
    assert set(zip(table["datasets"], table["cells"], strict=True)) == {(8, 24)}
    lost = table.loc["mean", ["expected", "failed", "skipped"]]
    assert lost.to_dict("index") == {
        "a": {"expected": 48, "failed": 0, "skipped": 0},
        "b": {"expected": 48, "failed": 24, "skipped": 0},
    }
    wins: Any = found["wins"].set_index(["split", "method_a"]).loc[("all", "b")]
    assert wins[["cells", "expected", "failed_a", "failed_b"]].tolist() == [24, 48, 24, 0]
    inner = found["ranks_by_dataset"].set_index("method")["rank"]
    assert (inner["a"] == 1).all()


def test_another_rank_counts_failures_as_the_worst_value() -> None:
    """By hand: over all cells the means are .45 and .74; over the shared ones .90 and .88."""
    crashes = [0.9] * 4 + [np.nan] * 4
    found = result({"crashes": crashes, "robust": [0.88] * 4 + [0.6] * 4, "dead": [np.nan] * 8})
    table = found["ranking"][found["ranking"]["split"] == "all"].set_index(["scheme", "method"])
    ranks: Any = table.loc["mean", ["rank", "rank_worst"]]
    assert ranks.loc[["crashes", "robust"]].to_numpy().tolist() == [[1, 2], [2, 1]]
    assert ranks.loc["dead", "rank_worst"] == 3
    assert np.isnan(ranks.loc["dead", "rank"])
    distances = result({"a": [1.0, np.nan], "b": [2.0, 3.0]}, "hd95")["ranking"]
    assert distances["rank_worst"].isna().all()


@pytest.mark.parametrize(
    ("datasets", "scans", "known"), [(5, 2, False), (6, 2, True), (1, 5, False), (1, 6, True)]
)
def test_few_units_give_no_interval(datasets: int, scans: int, known: bool) -> None:
    """Of datasets where there are several, of the patients of a single one."""
    values = {m: np.linspace(low, 0.9, datasets) for m, low in (("a", 0.1), ("b", 0.2))}
    found = result(values, scans=scans)
    rows, agreement = (found[n][found[n]["split"] == "all"] for n in ("ranking", "rank_agreement"))
    assert rows[["low", "high"]].notna().to_numpy().ravel().tolist() == [known] * 12
    assert rows[["rank", "first_share"]].notna().all(axis=None)
    untied = agreement[agreement["resamples"] > 0]  # of the significance all methods tie
    assert untied[["tau_low", "tau_high"]].notna().to_numpy().ravel().tolist() == [known] * 4


def nearly(together: int, copies: int, **changed: Any) -> Any:
    """Rows of "all" by the mean; A is better than B by a little more than chance.

    In 8 datasets, ``copies`` of each, so many ``together`` in a collection.
    """
    differences = 0.05 * (np.array([-1.5, -0.8, -0.4, -0.1, 0.1, 0.4, 0.8, 1.5]) + 0.32)
    differences = np.repeat(differences, copies)
    rows = [
        {"dataset": f"D{d}", "scan": "s", "structure": "x", "method": method, "dsc": value}
        | {"collection": f"C{d // together}"}
        for d, difference in enumerate(differences)
        for method, value in (("a", 0.5 + difference), ("b", 0.5))
    ]
    scores = frames.checked_scores(pd.DataFrame(rows))
    settings = AnalysisSettings(**{"resamples": 1000, **changed})
    found = ranking.analyse({"scores": scores}, settings)
    return {
        name: found[name][(found[name]["split"] == "all") & (found[name]["scheme"] == "mean")]
        for name in ("ranking", "rank_agreement")
    }


def test_collections_are_drawn_whole() -> None:
    """Copies of a dataset in its collection tell nothing more, and few collections too little."""
    alone, copied, apart, few = (nearly(*sizes) for sizes in ((1, 1), (4, 4), (1, 4), (8, 4)))
    share = [found["ranking"]["first_share"].iloc[0] for found in (alone, copied, apart)]
    assert share[1] == pytest.approx(share[0], abs=0.05)
    assert share[2] > share[0] + 0.07
    of_two = alone["ranking"]  # without ties the rank of a draw is 1 or 2
    assert of_two["rank_mean"].tolist() == pytest.approx((2 - of_two["first_share"]).tolist())
    (first,) = set(alone["ranking"].loc[alone["ranking"]["rank"] == 1, "high"])
    narrow = nearly(1, 1, resamples=200, confidence=0.55)["ranking"]
    (nearer,) = set(narrow.loc[narrow["rank"] == 1, "high"])
    assert (first, nearer) == (2, 1)  # it is first in four of five draws
    for found, known in ((alone, True), (copied, True), (few, False)):
        assert found["ranking"][["low", "high"]].notna().eq(known).all(axis=None)
        assert found["rank_agreement"][["tau_low", "tau_high"]].notna().eq(known).all(axis=None)


def test_what_weights_were_trained_on_is_counted_over_the_cells_that_are_ranked() -> None:
    """Method b lacks the second scan of each dataset; a was trained on D0 and D1."""
    rows = [
        {"dataset": f"D{d}", "scan": f"s{s}", "structure": "x", "method": method, "modality": "CT"}
        | {"dsc": None if (method, s) == ("b", 1) else 0.5 + 0.1 * (method == "a") + 0.01 * d}
        | {"contaminated": method == "a" and d < 2, "prompt": {"a": "box2d", "b": "mask2d"}[method]}
        for d in range(3)
        for s in range(2)
        for method in "ab"
    ]
    found = ranking.analyse({"scores": frames.checked_scores(pd.DataFrame(rows))}, SETTINGS)
    table: Any = found["ranking"].set_index("method")
    assert set(table["cells"]) == {3}
    assert set(table.loc["a", "contaminated"]) == {2}
    assert set(table.loc["b", "contaminated"]) == {0}
    inner: Any = found["ranks_by_dataset"].set_index(["method", "dataset"])
    assert inner.loc["a", "contaminated"].tolist() == [1, 1, 0]
    assert inner.loc["b", "prompt"].tolist() == ["mask2d"] * 3
    for name, value in (("cells", 1), ("expected", 2), ("modality", "CT")):
        assert set(inner[name]) == {value}


def test_equals_share_the_first_rank() -> None:
    values = [0.8, 0.7, 0.9]
    rows = result({"a": values, "b": values, "c": [0.1, 0.2, 0.3]})["ranking"]
    shares = rows[rows["scheme"] == "mean"].groupby("method")["first_share"].unique()
    assert shares.tolist() == [[0.5], [0.5], [0]]


def test_methods_that_share_no_cell_have_no_rank() -> None:
    rows = result({"a": [0.9, np.nan], "b": [np.nan, 0.8]})["ranking"]
    assert rows["reason"].eq("no cell in which every method has a value").all()
    assert rows["rank"].isna().all()


def test_significance_is_scipys_wilcoxon_after_holm() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal([0, 0.6, 1.0], 1, (30, 3))
    pairs = [(0, 1), (0, 2), (1, 2)]
    p = [stats.wilcoxon(matrix[:, a], matrix[:, b], method="exact").pvalue for a, b in pairs]
    expected = np.zeros(3)
    for rank, place in enumerate(np.argsort(p)):
        if p[place] * (3 - rank) >= 0.05:
            break
        a, b = pairs[place]
        expected[a if np.median(matrix[:, a] - matrix[:, b]) > 0 else b] += 1
    assert _beaten(matrix).tolist() == expected.tolist()


def test_five_datasets_are_too_few_to_be_significant() -> None:
    """The exact P of five differences of one sign is 0.0625; of six it is 0.03125."""
    better = np.linspace(0.1, 0.2, 6)
    assert _beaten(np.stack([better[:5], np.zeros(5)], axis=1)).tolist() == [0, 0]
    assert _beaten(np.stack([better, np.zeros(6)], axis=1)).tolist() == [1, 0]


def test_tau_is_scipys() -> None:
    rng = np.random.default_rng(1)
    whole = np.asarray(rng.permutation(6) + 1.0, dtype=np.float64)
    drawn = stats.rankdata(rng.integers(0, 4, (5, 6)), axis=1)
    theirs = [stats.kendalltau(whole, draw).statistic for draw in drawn]
    found = _agreement(whole, drawn, 0.025)
    assert found["tau_mean"] == pytest.approx(np.mean(theirs))
    assert found["tau_median"] == pytest.approx(np.median(theirs))
