"""Paired comparison of methods: pairing, tests and Holm's correction."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.analysis import comparison, frames
from benchmark.analysis.comparison import COLUMNS
from benchmark.analysis.grid import Grid
from benchmark.analysis.paired import paired_test
from benchmark.analysis.settings import AnalysisSettings

RNG = np.random.default_rng(3)
SCORES = {
    "a": RNG.uniform(0.6, 0.9, 9),
    "b": RNG.uniform(0.5, 0.9, 9),
    "c": RNG.uniform(0.2, 0.7, 9),
}


def rows(scores: dict[str, Any], **more: Any) -> pd.DataFrame:
    found = []
    for method, values in scores.items():
        for i, value in enumerate(values):
            missing = value is None or np.isnan(value)
            found.append(
                {
                    **{"dataset": f"D{i}", "split": "internal", "scan": "1", "structure": "liver"},
                    **{
                        "patient": "1",
                        "method": method,
                        "prompt": "box2d",
                        "dsc": value,
                        "modality": "CT",
                    },
                    **{"status": "failed" if missing else "ok", "contaminated": False},
                    **more,
                }
            )
    return pd.DataFrame(found)


def grid_of(table: pd.DataFrame, metrics: list[str], *, without: Any = ()) -> Grid:
    if "collection" not in table:
        table = table.assign(collection=table["dataset"])
    return Grid.of(table, metrics, without=without)


def compare(table: pd.DataFrame, controls: Any = ()) -> pd.DataFrame:
    return comparison.compare(grid_of(table, ["dsc"], without=controls))


def one(table: pd.DataFrame, a: str, b: str, test: str, unit: str = "dataset") -> dict[str, Any]:
    pick = (table["method_a"] == a) & (table["method_b"] == b) & (table["split"] == "all")
    pick &= table["unit"] == unit
    found = table[pick & table["test"].str.startswith(test)].to_dict("records")
    assert len(found) == 1
    return {str(key): value for key, value in found[0].items()}


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("a", "c"), ("b", "c")])
def test_p_values_are_those_of_scipy(a: str, b: str) -> None:
    table = compare(rows(SCORES))
    wilcoxon = stats.wilcoxon(SCORES[a], SCORES[b])
    paired = stats.ttest_rel(SCORES[a], SCORES[b])
    assert one(table, a, b, "wilcoxon")["p"] == pytest.approx(wilcoxon.pvalue, rel=1e-9)
    assert one(table, a, b, "wilcoxon")["statistic"] == pytest.approx(wilcoxon.statistic)
    found = one(table, a, b, "paired t")
    assert found["p"] == pytest.approx(paired.pvalue, rel=1e-6)
    assert found["statistic"] == pytest.approx(paired.statistic, rel=1e-6)
    assert found["difference"] == pytest.approx(SCORES[a].mean() - SCORES[b].mean())
    assert (found["n"], found["unit"]) == (9, "dataset")


def test_holm_in_closed_form() -> None:
    table = compare(rows(SCORES))
    family = table[(table["split"] == "all") & (table["test"] == "paired t")]
    family = family[family["unit"] == "dataset"].sort_values("p")
    raw = family["p"].tolist()
    first = min(1, 3 * raw[0])
    second = max(first, min(1, 2 * raw[1]))
    assert family["p_holm"].tolist() == pytest.approx([first, second, max(second, raw[2])])
    assert family["family"].tolist() == [3, 3, 3]


def both_metrics() -> pd.DataFrame:
    """Three methods, two metrics, two datasets of nine patients in a split each."""
    rng = np.random.default_rng(8)
    tables = []
    for dataset, split in (("D", "internal"), ("E", "external")):
        about: dict[str, Any] = {"split": split, "dataset": dataset, "structure": "x"}
        about |= {"modality": "CT", "prompt": "box2d", "status": "ok", "contaminated": False}
        tables += [
            {**about, "scan": f"{p}", "patient": f"{p}", "method": method}
            | {"dsc": rng.normal(mean, 0.1), "nsd": rng.normal(mean, 0.2)}
            for method, mean in (("a", 0.8), ("b", 0.75), ("c", 0.7))
            for p in range(9)
        ]
    return pd.DataFrame(tables)


@pytest.mark.parametrize("over", ["datasets", "patients"])
def test_families_are_those_that_the_table_names(over: str) -> None:
    table = both_metrics()
    if over == "patients":
        found = comparison.compare_samples(grid_of(table, ["dsc", "nsd"]))
        family, size = ["metric"], 6
        named = "pairs of methods and datasets within metric and test"
    else:
        table["dataset"] += table["scan"]
        found = comparison.compare(grid_of(table, ["dsc", "nsd"]))
        family, size = ["split", "metric", "unit"], 3
        named = "pairs of methods within split, metric, unit and test"
    assert found["p"].notna().all()
    for _, rows in found.groupby([*family, "test"]):
        right = multipletests(rows["p"], method="holm")[1]
        assert rows["p_holm"].to_numpy() == pytest.approx(right)
        assert set(rows["family"]) == {len(rows)} == {size}
        assert set(rows["family_of"]) == {named}
    for _, rows in found[found["chosen"]].groupby(family):
        right = multipletests(rows["p"], method="holm")[1]
        assert rows["p_holm_chosen"].to_numpy() == pytest.approx(right)


def test_intervals_are_of_the_confidence_of_the_study() -> None:
    table = both_metrics().drop(columns="nsd")
    table = frames.checked_scores(table.assign(dsc=table["dsc"] - 0.3))  # none above 1
    found = comparison.analyse({"scores": table}, AnalysisSettings(confidence=0.9))
    wide = table.pivot(index=["dataset", "scan"], columns="method", values="dsc")
    scans = wide["a"] - wide["b"]
    for name, group, values in (
        ("comparison", "all", scans.groupby("dataset").mean()),
        ("comparison_by_dataset", "D", scans["D"]),
    ):
        rows = found[name]
        pick = (rows["metric"] == "dsc") & (rows["test"] == "paired t")
        pick &= (rows["method_a"] == "a") & (rows["method_b"] == "b")
        row = rows[pick & rows.iloc[:, 0].eq(group)].iloc[0]
        theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert (row["low"], row["high"]) == pytest.approx(tuple(theirs))


def test_pairs_know_their_prompts_and_what_their_weights_were_trained_on() -> None:
    table = rows({"a": [0.9, 0.8, 0.7], "b": [0.7, 0.6, None], "c": [0.5, 0.4, 0.3]})
    table["prompt"] = table["method"].map({"a": "box2d", "b": "box2d", "c": "mask2d"})
    table["contaminated"] = (table["method"] == "b") & (table["dataset"] != "D0")
    found = compare(table)
    pair = ["prompt_a", "prompt_b", "same_prompt", "cells", "contaminated_a", "contaminated_b"]
    for a, b, told in (
        ("a", "b", ["box2d", "box2d", True, 2, 0, 1]),
        ("a", "c", ["box2d", "mask2d", False, 3, 0, 0]),
        ("b", "c", ["box2d", "mask2d", False, 2, 1, 0]),
    ):
        row = one(found, a, b, "paired t")
        assert [row[key] for key in pair] == told


def test_the_chosen_tests_are_a_family_of_their_own() -> None:
    """One pair has an outlier, so that its Wilcoxon P stands beside the t of the others."""
    odd = SCORES["a"] + np.array([-3.0, *np.linspace(0.01, 0.05, 8)])
    table = compare(rows({**SCORES, "odd": odd}))
    family = table[(table["split"] == "all") & (table["unit"] == "dataset") & table["chosen"]]
    assert set(family["test"]) == set(table["test"])
    right = multipletests(family["p"], method="holm")[1]
    assert family["p_holm_chosen"].to_numpy() == pytest.approx(right)
    assert table.loc[~table["chosen"], "p_holm_chosen"].isna().all()


def test_only_cells_that_both_have_are_averaged() -> None:
    table = compare(rows({"a": [0.9, 0.8, 0.1], "b": [0.7, 0.7, None]}))
    found = one(table, "a", "b", "paired t")
    assert (found["n"], found["cells"]) == (2, 2)
    assert (found["mean_a"], found["mean_b"]) == pytest.approx((0.85, 0.7))


def test_scans_and_structures_are_averaged_before_the_test() -> None:
    first = rows({"a": [0.9, 0.5], "b": [0.5, 0.4]})
    second = rows({"a": [0.7, 0.5], "b": [0.5, 0.4]}, scan="2")
    third = rows({"a": [0.2, 0.1], "b": [0.1, 0.0]}, structure="tumour")
    found = one(compare(pd.concat([first, second, third])), "a", "b", "paired t")
    assert (found["n"], found["cells"]) == (2, 6)
    assert found["mean_a"] == pytest.approx(((0.8 + 0.2) / 2 + (0.5 + 0.1) / 2) / 2)


@pytest.mark.parametrize(("metric", "wins"), [("dsc", (3, 1)), ("hd95", (1, 3)), ("asd", (1, 3))])
def test_who_wins_is_who_is_better_by_the_metric(metric: str, wins: tuple[int, int]) -> None:
    values = {"a": [0.9, 0.8, 0.7, 0.4, 0.3], "b": [0.7, 0.7, 0.5, 0.6, 0.3]}
    table = rows(values).rename(columns={"dsc": metric})
    found = one(comparison.compare(grid_of(table, [metric])), "a", "b", "paired t")
    assert (found["wins_a"], found["ties"], found["wins_b"]) == (wins[0], 1, wins[1])
    assert found["difference"] == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("a", "b", "test", "reason"),
    [
        ([0.5], [0.4], "wilcoxon", "n = 1"),
        ([None], [0.4], "paired t", "n = 0"),
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], "wilcoxon", "all differences are zero"),
        ([0.5, 0.6, 0.7], [0.4, 0.5, 0.6], "paired t", "all differences are equal"),
    ],
)
def test_what_cannot_be_computed_says_why(a: Any, b: Any, test: str, reason: str) -> None:
    found = one(compare(rows({"a": a, "b": b})), "a", "b", test)
    assert np.isnan(found["p"])
    assert np.isnan(found["p_holm"])
    assert found["reason"].startswith(reason)
    assert found["family"] == 0


def test_controls_take_no_part() -> None:
    table = compare(rows(SCORES), controls=["c"])
    assert set(table["method_a"]) | set(table["method_b"]) == {"a", "b"}


def test_scans_of_a_patient_are_averaged_before_the_test() -> None:
    """Three scans of each of six patients in one dataset, one scan of each of 18 in another."""
    base, noise = RNG.normal(0.03, 0.05, 6), RNG.normal(0, 0.005, (6, 3))
    about: dict[str, Any] = {"split": "internal", "structure": "x", "modality": "CT"}
    about |= {"prompt": "box2d", "status": "ok", "contaminated": False}
    cells = [
        {**about, "dataset": dataset, "scan": f"s{p}-{s}", "method": method, "dsc": value}
        | {"patient": f"p{p}" if dataset == "several" else f"p{p}-{s}"}
        for dataset in ("one", "several")
        for p in range(6)
        for s in range(3)
        for method, value in (("a", 0.7 + base[p] + noise[p, s]), ("b", 0.7))
    ]
    found = comparison.compare_samples(grid_of(pd.DataFrame(cells), ["dsc"]))
    table: Any = found.set_index(["dataset", "test"])
    patients = (base[:, None] + noise).mean(axis=1)
    for test, theirs in (
        ("paired t", stats.ttest_1samp(patients, 0)),
        ("wilcoxon signed-rank", stats.wilcoxon(patients)),
    ):
        row = table.loc[("several", test)]
        assert (row["unit"], row["n"], row["cells"]) == ("patient", 6, 18)
        assert row["p"] == pytest.approx(theirs.pvalue)
    scans = (base[:, None] + noise).ravel()
    row = table.loc[("one", "paired t")]
    assert (row["unit"], row["n"]) == ("scan", 18)
    assert row["p"] == pytest.approx(stats.ttest_1samp(scans, 0).pvalue)


def test_one_method_gives_an_empty_table_with_columns() -> None:
    assert compare(rows({"a": [0.5]})).columns.tolist() == list(COLUMNS)


def test_datasets_of_a_collection_are_one_observation() -> None:
    """Nine datasets of six collections; one collection has a dataset in either split."""
    names = np.array(["K", "K", "K", "L", "L", "M", "N", "O", "P"])
    table = rows(SCORES)
    place = table["dataset"].str[1:].astype(int)
    table["collection"] = names[place]
    table["split"] = np.where(place == 4, "external", "internal")
    found = compare(table)
    difference = pd.Series(SCORES["a"] - SCORES["b"])
    for split, known in (("all", difference), ("internal", difference.drop(4))):
        means = known.groupby(names[known.index]).mean()
        right = stats.ttest_1samp(means, 0)
        part = found[(found["split"] == split) & (found["method_a"] == "a")]
        part = part[(part["method_b"] == "b") & (part["unit"] == "collection")]
        row = part.set_index("test").loc["paired t"]
        assert (row["n"], row["wins_a"]) == (6, (means > 0).sum())
        assert (row["difference"], row["p"]) == pytest.approx((means.mean(), right.pvalue))
        assert part["p"].tolist()[0] == pytest.approx(stats.wilcoxon(means).pvalue)
    assert one(found, "a", "b", "paired t")["n"] == 9


def test_collections_of_one_dataset_are_the_datasets() -> None:
    found = compare(rows(SCORES)).drop(columns=["reason"])
    first, second = (
        found[found["unit"] == unit].drop(columns="unit").reset_index(drop=True)
        for unit in ("dataset", "collection")
    )
    pd.testing.assert_frame_equal(first, second)


def test_what_each_method_failed_or_skipped_is_counted() -> None:
    table = rows({"a": [0.9, 0.8, None, 0.6], "b": [0.7, None, None, 0.5]})
    table.loc[(table["method"] == "b") & (table["dataset"] == "D2"), "status"] = "skipped"
    found = compare(table)
    row = one(found, "a", "b", "paired t")
    names = ["cells", "expected", "failed_a", "failed_b", "skipped_a", "skipped_b"]
    assert [row[name] for name in names] == [2, 4, 1, 1, 0, 1]
    within = comparison.compare_samples(grid_of(table, ["dsc"]))
    of_one = within.loc[within["dataset"] == "D1", names]
    assert of_one.to_numpy().tolist() == [[0, 1, 0, 1, 0, 0]] * 2


def test_splits_are_tested_apart_and_together() -> None:
    inner = rows(SCORES)
    outer = inner.assign(split="external", dataset="X" + inner["dataset"])
    table = compare(pd.concat([inner, outer]))
    sizes = table[table["method_a"] == "a"].groupby("split", sort=False)["n"].max()
    assert sizes.to_dict() == {"internal": 9, "external": 9, "all": 18}


def test_noise_of_summation_is_no_difference() -> None:
    found = paired_test("wilcoxon signed-rank", np.array([1e-17, -2e-17]), unit="dataset")
    assert found.reason == "all differences are zero"
