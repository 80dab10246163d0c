"""Recovery, gains and ablations from a table of training runs, against values by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis import analyse, frames, generalisation, read_statistics
from benchmark.analysis.settings import AnalysisSettings
from benchmark.errors import UserError

DATASETS = ("D35", "D36", "D37", "D38")
GENERAL = dict(zip(DATASETS, (0.8, 0.6, 0.7, 0.5), strict=True))
RNG = np.random.default_rng(9)


def runs() -> pd.DataFrame:
    rows = []
    for name, value in GENERAL.items():
        rows.append({"kind": "general", "method": "pam", "tested_on": name, "value": value})
        own = {"method": "pam", "trained_on": name, "tested_on": name}
        rows.append({**own, "kind": "finetuned", "value": value + 0.02 + RNG.normal(0, 0.001)})
        rows.append(
            {"kind": "reference", "method": "medsam", "tested_on": name, "value": 0.7 * value}
        )
        for seed, shift in ((0, -0.01), (1, 0.01)):
            rows.append({**own, "kind": "scratch", "seed": seed, "value": 0.9 * value + shift})
        for setting, drop in (("dynamic", 0.0), ("fixed", 0.1), ("none", 0.2)):
            noise = RNG.normal(0, 0.01)
            about: dict[str, Any] = {
                "kind": "ablation",
                "ablation": "normalisation",
                "setting": setting,
            }
            about |= {"method": "pam", "default": setting == "dynamic"}
            rows.append({**about, "tested_on": name, "value": value - drop + noise})
    return pd.DataFrame(rows).fillna({"seed": 0})


def result(folder: Path, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    table.to_csv(folder / "runs.csv", index=False)
    analyse("generalisation", {"runs": folder / "runs.csv"}, folder, AnalysisSettings())
    names = ("recovery", "transfer", "finetuning", "finetuning_tests", "ablation", "ablation_tests")
    return {name: read_statistics(folder / f"{name}.csv") for name in names}


def test_by_hand(tmp_path: Path) -> None:
    table = runs()
    found = result(tmp_path, table)
    assert found["recovery"]["recovery_percent"].to_numpy() == pytest.approx(90)
    assert found["recovery"]["runs"].eq(2).all()
    assert found["recovery"]["scratch_sd"].to_numpy() == pytest.approx(0.02 / 2**0.5)
    transfer = found["transfer"].set_index(["kind", "tested_on"])["mean"]
    for name, value in GENERAL.items():
        assert transfer["scratch", name] == pytest.approx(0.9 * value)
        assert transfer["finetuned", name] == pytest.approx(value + 0.02, abs=0.01)
    assert (
        found["transfer"]["general"].tolist()
        == found["transfer"]["tested_on"].map(GENERAL).tolist()
    )
    by_kind = table.set_index(["kind", "tested_on"])["value"]
    gain = (by_kind["finetuned"] - by_kind["general"]).reindex(DATASETS)
    gain_over = (by_kind["general"] - by_kind["reference"]).reindex(DATASETS)
    gains = found["finetuning"].set_index("dataset").reindex(DATASETS)
    assert gains["gain"].to_numpy() == pytest.approx(gain.to_numpy())
    for column, kind in (("general", "general"), ("finetuned", "finetuned")):
        assert gains[column].to_dict() == pytest.approx(by_kind[kind].to_dict())
    assert gains["reference_value"].to_dict() == pytest.approx(by_kind["reference"].to_dict())
    assert gains["gain_over_reference"].to_numpy() == pytest.approx(gain_over.to_numpy())
    tested = found["finetuning_tests"].query("test == 'paired t'").set_index("comparison")
    for comparison, of in (
        ("fine-tuned minus general", gain),
        ("general minus reference", gain_over),
        ("gain by fine-tuning minus gain over the reference", gain - gain_over),
    ):
        row, theirs = tested.loc[comparison], stats.ttest_1samp(of, 0)
        assert (row["n"], row["difference"]) == (4, pytest.approx(of.mean()))
        assert row["p"] == pytest.approx(theirs.pvalue)
        assert (row["low"], row["high"]) == pytest.approx(theirs.confidence_interval(0.95))
    assert tested["reference"].tolist()[1:] == ["medsam", "medsam"]
    wide = found["ablation"].pivot(index="dataset", columns="setting", values="mean")
    tests: Any = found["ablation_tests"].set_index("test")
    theirs = stats.f_oneway(*wide.to_numpy().T)
    assert tests.loc["one-way ANOVA", "p"] == pytest.approx(theirs.pvalue)
    assert tests.loc["repeated-measures ANOVA", "p"] < 0.001
    assert tests["wins_of_default"].eq(4).all()
    assert found["ablation"].loc[found["ablation"]["setting"] == "dynamic", "best"].all()


@pytest.mark.parametrize("references", [0, 2])
def test_the_gain_by_fine_tuning_is_tested_once_whatever_the_references(references: int) -> None:
    """Over the four datasets, by the mean of two seeds each."""
    table = runs().query("kind in ('general', 'finetuned')").assign(metric="dsc")
    again = table.query("kind == 'finetuned'").assign(
        seed=1, value=lambda rows: rows["value"] + 0.02
    )
    others = [
        table.query("kind == 'general'").assign(kind="reference", method=name, value=0.5)
        for name in ("medsam", "segvol")[:references]
    ]
    rows = pd.concat([table, again, *others])
    found = generalisation.analyse({"runs": rows}, AnalysisSettings())
    tests, tuned = found["finetuning_tests"], found["finetuning"]
    assert set(tuned["runs"]) == {2}
    assert tuned["finetuned_sd"].to_numpy() == pytest.approx(0.02 / 2**0.5)
    (row,) = tests[
        tests["comparison"].eq("fine-tuned minus general") & tests["test"].eq("paired t")
    ].to_dict("records")
    values = rows.groupby(["kind", "tested_on"])["value"].mean()
    gain = values["finetuned"] - values["general"]
    assert (row["n"], row["difference"]) == (4, pytest.approx(gain.mean()))
    assert row["p"] == pytest.approx(stats.ttest_1samp(gain, 0).pvalue)
    assert len(tests) == (1 + 2 * references) * tests["test"].nunique()


@pytest.mark.parametrize(
    ("metric", "best", "wins"),
    [("hd95", "near", 2), ("nsd", "far", 0), ("volume_ratio", None, None)],
)
def test_the_best_goes_by_the_direction_of_the_metric(
    metric: str, best: str | None, wins: int | None
) -> None:
    """Settings of 3 and of 9: of a distance the smaller is the best, of a ratio neither."""
    about = {"kind": "ablation", "method": "pam", "ablation": "scales", "metric": metric, "seed": 0}
    rows = [
        {**about, "setting": setting, "value": value, "tested_on": name, "default": value == 3.0}
        for name in DATASETS[:2]
        for setting, value in (("near", 3.0), ("far", 9.0))
    ]
    found = generalisation.analyse({"runs": pd.DataFrame(rows)}, AnalysisSettings())
    table, tests = found["ablation"], found["ablation_tests"]
    assert set(table.loc[table["best"], "setting"]) == ({best} if best else set())
    told = tests["wins_of_default"].dropna().tolist()
    assert told == ([] if wins is None else [wins, wins])


def test_what_was_seen_in_training_is_marked_model_by_model(tmp_path: Path) -> None:
    def marked(*kinds: str) -> dict[str, pd.DataFrame]:
        table = runs()
        seen = table["kind"].isin(kinds) & (table["tested_on"] == "D36")
        return result(tmp_path, table.assign(contaminated=np.where(seen, "true", "")))

    def seen(
        table: pd.DataFrame, column: str = "contaminated", place: str = "tested_on"
    ) -> set[str]:
        return set(table.loc[table[column], place])

    three = [f"contaminated_{name}" for name in ("general", "finetuned", "reference")]
    found = marked("reference")
    assert [seen(found["finetuning"], name, "dataset") for name in three] == [set(), set(), {"D36"}]
    assert not any(seen(found[name]) for name in ("recovery", "transfer"))
    found = marked("general", "finetuned")
    assert [seen(found["finetuning"], name, "dataset") for name in three] == [{"D36"}] * 2 + [set()]
    assert seen(found["recovery"]) == {"D36"}  # a percentage of the general model
    transfer = found["transfer"]
    assert set(transfer.loc[transfer["contaminated"], "kind"]) == {"finetuned"}
    found = marked("ablation")
    assert seen(found["ablation"], place="dataset") == {"D36"}
    assert not result(tmp_path, runs())["ablation"]["contaminated"].any()


def test_models_without_scores_stand_with_the_reason() -> None:
    table = runs().assign(metric="dsc", expected=5)
    reason = table["kind"].map({"reference": "no weights: ask for them"})
    failed = (table["kind"] == "scratch") & (table["tested_on"] == "D36")
    reason = reason.mask(failed, "no model: out of memory")
    value = table["value"].mask(reason.notna())
    table = table.assign(reason=reason, value=value, ok=5 * reason.isna())
    both = pd.concat([table, table.assign(metric="nsd")])
    found = generalisation.analyse({"runs": both}, AnalysisSettings())
    names = ["kind", "method", "trained_on", "runs", "ok", "expected", "reason"]
    assert found["lost_runs"][names].to_numpy().tolist() == [
        ["reference", "medsam", "", 4, 0, 20, "no weights: ask for them"],
        ["scratch", "pam", "D36", 2, 0, 10, "no model: out of memory"],  # two seeds
    ]
    whole = generalisation.analyse({"runs": runs().assign(metric="dsc")}, AnalysisSettings())
    assert whole["lost_runs"].empty


def test_a_setting_without_a_score_takes_no_test_from_the_others(tmp_path: Path) -> None:
    table = runs()
    lost = table["setting"] == "none"
    found = result(tmp_path, table.assign(value=table["value"].mask(lost)))
    tests: Any = found["ablation_tests"].set_index("test")
    by_setting = table[table["setting"].notna() & ~lost].groupby("setting")["value"]
    theirs = stats.f_oneway(*(values for _, values in by_setting))
    assert tests.loc["one-way ANOVA", "p"] == pytest.approx(theirs.pvalue)
    assert tests["groups"].tolist() == [2, 2]
    assert tests["wins_of_default"].tolist() == [4, 4]
    none = result(tmp_path, table.assign(value=table["value"].mask(table["kind"] == "ablation")))
    assert none["ablation_tests"]["wins_of_default"].isna().all()


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    table = runs()
    first, second = (result(tmp_path, t) for t in (table, table.iloc[::-1]))
    for name, one in first.items():
        keys = [str(c) for c in one if one[c].dtype == object]
        ordered = [t.sort_values(keys, ignore_index=True) for t in (one, second[name])]
        pd.testing.assert_frame_equal(ordered[0], ordered[1])


def test_bad_runs_are_told(tmp_path: Path) -> None:
    for table, told in (
        (runs().replace({"kind": {"scratch": "scratsh"}}), "Did you mean: scratch"),
        (pd.concat([runs(), runs()]), "occurs before"),
        (runs().drop(columns="value"), "lacks the column 'value'"),
    ):
        table.to_csv(tmp_path / "runs.csv", index=False)
        with pytest.raises(UserError, match=told):
            frames.read_runs(tmp_path / "runs.csv")


def test_the_spread_of_seeds_is_over_the_datasets_that_all_of_them_have() -> None:
    """Seeds differ by 0.02 on each dataset; one of them lacks the easy dataset."""
    about: dict[str, Any] = {
        "kind": "ablation",
        "method": "pam",
        "ablation": "scales",
        "setting": "R3",
    }
    about |= {"metric": "dsc", "default": True}
    values = {("D35", 0): 0.9, ("D36", 0): 0.3, ("D36", 1): 0.32, ("D35", 1): np.nan}
    about |= {"objects": 3, "seconds": 2.0}
    about["parameters"] = 5
    flops = {"D35": 1.0, "D36": 4.0}
    rows = [
        {**about, "tested_on": d, "seed": s, "value": v, "flops": flops[d]}
        for (d, s), v in values.items()
    ]
    found = generalisation.analyse({"runs": pd.DataFrame(rows)}, AnalysisSettings())
    by_dataset = found["ablation"].set_index("dataset")
    assert by_dataset["flops"].to_dict() == flops
    assert by_dataset["sd"]["D36"] == pytest.approx(np.std([0.3, 0.32], ddof=1))
    (row,) = found["ablation_overall"].to_dict("records")
    assert row["sd_datasets"] == pytest.approx(np.std([0.9, 0.31], ddof=1))
    assert (row["flops"], row["parameters"]) == (2.5, 5)
    assert row["sd_runs"] == pytest.approx(np.std([0.3, 0.32], ddof=1))
    assert (row["mean"], row["runs"], row["datasets"]) == (pytest.approx(0.605), 2, 2)
    assert (row["seconds"], row["objects"]) == (2, 6)  # of both datasets, the same for all seeds
