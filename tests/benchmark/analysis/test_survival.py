"""Survival analysis against lifelines, published results of R and simulation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_gbsg2, load_leukemia, load_lung, load_rossi
from lifelines.utils import concordance_index
from scipy import stats

from benchmark.analysis import analyse, read_statistics, response, survival
from benchmark.analysis.concordance import concordances
from benchmark.analysis.cox import fit
from benchmark.analysis.settings import AnalysisSettings
from benchmark.analysis.survival import _cut, _difference, _logrank
from benchmark.errors import UserError
from benchmark.phantoms.cohort import HAZARD_PER_SD, course

SETTINGS = AnalysisSettings(resamples=200)
WHEN = ("pre", "post")


def lung() -> Any:
    return load_lung().rename(columns={"status": "event"})


def test_cox_is_that_of_r_on_lung() -> None:
    """R, coxph(Surv(time, status) ~ sex, lung): HR 0.5880 (0.4237 to 0.816), P 0.00149."""
    (row,) = fit(lung()[["sex", "time", "event"]], 0.025)
    assert row["hazard_ratio"] == pytest.approx(0.5880, abs=5e-5)
    assert (row["low"], row["high"]) == pytest.approx((0.4237, 0.816), abs=5e-4)
    assert row["p"] == pytest.approx(0.00149, abs=5e-6)
    assert row["z"] == pytest.approx(-3.176, abs=5e-4)
    assert 0.05 < row["ph_p"] < 0.15  # cox.zph: 0.091 on its own scale of time


def test_cox_is_that_of_r_on_rossi() -> None:
    """Fox and Weisberg, Cox regression in R: fin 0.684, age 0.944, prio 1.096."""
    table = load_rossi().rename(columns={"week": "time", "arrest": "event"})
    rows = {row["term"]: row for row in fit(table, 0.025)}
    found = [rows[name]["hazard_ratio"] for name in ("fin", "age", "prio")]
    assert found == pytest.approx([0.684, 0.944, 1.096], abs=5e-4)
    # lifelines' documentation (Testing the proportional hazard assumptions), by ranks of time
    assert {name for name, row in rows.items() if row["ph_p"] < 0.05} == {"age", "wexp"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"event": 0}, "no event"),
        ({"sex": 1}, "sex does not differ between patients"),
        ({"age": np.where(np.arange(228) < 3, 50.0 + np.arange(228), np.nan)}, "n = 3: too few"),
    ],
)
def test_a_model_that_cannot_be_fitted(changed: dict[str, Any], reason: str) -> None:
    rows = fit(lung()[["sex", "age", "time", "event"]].assign(**changed), 0.025)
    assert [row["term"] for row in rows] == ["sex", "age"]
    assert all(row["reason"].startswith(reason) and "p" not in row for row in rows)


def test_logrank_is_that_of_r_on_lung() -> None:
    """R, survdiff(Surv(time, status) ~ sex, lung): 10.3 on 1 degree of freedom, P 0.00131.

    It observes 112 events in 138 patients, and 53 in 90.
    """
    table = lung()
    time, event, sex = (table[name].to_numpy(float) for name in ("time", "event", "sex"))
    cut, curves, found = _cut(time, event.astype(bool), sex, SETTINGS)
    assert cut == {"cut": 1, "n_low": 138, "n_high": 90}
    assert found["logrank_p"] == pytest.approx(0.00131, abs=5e-6)
    assert found["logrank_statistic"] == pytest.approx(10.3, abs=0.05)
    groups = pd.DataFrame(curves).groupby("group")
    assert groups["at_risk"].first().to_dict() == {"high": 90, "low": 138}
    assert groups["events"].sum().to_dict() == {"high": 53, "low": 112}
    assert groups["censored"].sum().to_dict() == {"high": 37, "low": 26}


def test_the_first_step_of_a_curve_in_closed_form() -> None:
    """Greenwood's variance on the log(-log) scale, at a confidence of 90 %."""
    time = np.arange(1.0, 21.0)
    settings = AnalysisSettings(confidence=0.9)
    _, curves, _ = _cut(time, np.ones(20, dtype=bool), time, settings)
    step = next(row for row in curves if row["time"] == 1)
    spread = stats.norm.ppf(0.95) * (1 / (10 * 9)) ** 0.5 / abs(np.log(0.9))
    assert step["survival"] == pytest.approx(0.9)
    ends = [0.9 ** np.exp(sign * spread) for sign in (1, -1)]
    assert [step["low"], step["high"]] == pytest.approx(ends)


def test_median_survival_is_that_of_r_on_lung() -> None:
    """R, survfit(Surv(time, status) ~ sex, lung): medians 270 and 426 days."""
    table = lung()
    sex = table["sex"].to_numpy(float)
    curves = pd.DataFrame(
        _cut(table["time"].to_numpy(float), table["event"].to_numpy(bool), sex, SETTINGS)[1]
    )
    median = curves[curves["survival"] <= 0.5].groupby("group")["time"].min()
    assert median.to_dict() == {"low": 270, "high": 426}


@pytest.mark.parametrize(
    ("table", "time", "event", "risk"),
    [
        (load_rossi(), "week", "arrest", "prio"),
        (load_leukemia(), "t", "status", "logWBC"),
        (load_gbsg2(), "time", "cens", "pnodes"),
    ],
)
def test_concordance_is_that_of_lifelines(
    table: pd.DataFrame, time: str, event: str, risk: str
) -> None:
    t, e, r = (table[name].to_numpy(float) for name in (time, event, risk))
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(t), size=len(t))
    weights = np.bincount(chosen, minlength=len(t))[None].astype(float)
    whole, drawn = concordances(t, e.astype(bool), r, weights)
    assert whole == pytest.approx(concordance_index(t, -r, e), abs=1e-12)
    assert drawn[0] == pytest.approx(concordance_index(t[chosen], -r[chosen], e[chosen]), abs=1e-12)


def cohort(effect: float, seed: int, n: int = 40) -> dict[str, pd.DataFrame]:
    """A cohort drawn as the phantoms' are, and its measures without error."""
    rng = np.random.default_rng(seed)
    courses = [course(rng, effect) for _ in range(n)]
    patients = pd.DataFrame(
        {
            **{"cohort": "c", "dataset": "d", "patient": [f"p{i}" for i in range(n)]},
            "time": [c.months for c in courses],
            "event": [float(c.event) for c in courses],
            "pre_scan": [f"p{i}_pre" for i in range(n)],
            "post_scan": [f"p{i}_post" for i in range(n)],
        }
    )
    rows = [
        {"dataset": "d", "scan": scan, "method": "m", "status": "ok", "reason": None}
        | {"diameter_mm": 20 * a**0.5, "area_mm2": 300 * a, "volume_mm3": 4000 * v}
        for i, c in enumerate(courses)
        for scan, a, v in (
            (f"p{i}_pre", 1.0, 1.0),
            (f"p{i}_post", float(np.prod(c.factors[1:])), c.ratio),
        )
    ]
    return {"cohorts": patients, "measures": pd.DataFrame(rows)}


def logrank_p(effect: float, seed: int) -> float:
    """P value for the true change of volume, in a cohort of 40."""
    patients = cohort(effect, seed)
    volume = patients["measures"]["volume_mm3"].to_numpy()[1::2]
    time, event = (patients["cohorts"][name].to_numpy(float) for name in ("time", "event"))
    high = volume > np.median(volume)
    return float(_logrank(time, event.astype(bool), high)["logrank_p"])


def test_volume_tells_where_the_hazard_follows_it_and_nothing_does_where_not() -> None:
    seen = [logrank_p(HAZARD_PER_SD, seed) < 0.05 for seed in range(10)]
    null = [logrank_p(0.0, seed) < 0.05 for seed in range(60)]
    assert np.mean(seen) > 0.8
    assert np.mean(null) < 0.12  # 0.05 but for chance: exceeded in 1 % of such tests


def test_difference_of_concordance() -> None:
    found = survival.analyse(cohort(HAZARD_PER_SD, 1, n=150), SETTINGS)
    both = found["survival_tests"].set_index("measure")["concordance"]
    rows = found["survival_difference"].set_index(["measure_a", "measure_b"])
    row: Any = rows.loc[("area", "volume")]
    assert row["difference"] == pytest.approx(both["volume"] - both["area"])
    alone = [both["area"], both["volume"]]
    assert row[["concordance_a", "concordance_b"]].tolist() == pytest.approx(alone)
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert row["p"] < 0.05
    # The area is the square of the diameter: of the same draws, no difference at all.
    same: Any = rows.loc[("diameter", "area")]
    assert same[["difference", "low", "high", "p"]].tolist() == [0, 0, 0, 1]


def test_the_p_value_of_a_difference_is_twice_the_share_of_draws_beyond_zero() -> None:
    """Draws without a comparable pair, which have no concordance, do not count."""
    draws = np.repeat([-0.1, 0.1, np.nan], [40, 960, 500])
    drawn = {"area": (0.5, np.zeros(1500)), "volume": (0.6, draws)}
    found = _difference("area", "volume", drawn, 50, "", SETTINGS)
    assert found["p"] == pytest.approx(2 * 41 / 1001)
    assert (found["low"], found["high"]) == (-0.1, 0.1)


def test_every_interval_is_of_the_confidence_of_the_study() -> None:
    ends = {
        "survival_tests": (("hr_low", "hr_high"), ("c_low", "c_high")),
        "survival_cox": (("low", "high"),),
        "survival_difference": (("low", "high"),),
    }
    narrow, wide = (
        survival.analyse(cohort(0.5, 8), AnalysisSettings(resamples=100, confidence=confidence))
        for confidence in (0.6, 0.95)
    )
    for name, pairs in ends.items():
        for low, high in pairs:
            inner, outer = (found[name][high] - found[name][low] for found in (narrow, wide))
            kept = outer > 0  # the area is the square of the diameter
            assert kept.sum() > 1
            assert (inner[kept] < outer[kept]).all()


def lung_as_a_cohort() -> dict[str, pd.DataFrame]:
    """Sex of lifelines' lung as the change of area: men 10 %, women 20 %.

    By diameter men have a partial response and women stable disease; by volume all have a partial
    response.
    """
    table = lung()
    names = [f"p{i}" for i in range(len(table))]
    patients = table[["time", "event"]].assign(cohort="c", dataset="d", patient=names)
    patients = patients.assign(**{f"{when}_scan": [f"{n}_{when}" for n in names] for when in WHEN})
    men = table["sex"] == 1
    sizes: dict[str, dict[str, Any]] = {
        "pre": {"diameter_mm": 100.0, "area_mm2": 100.0, "volume_mm3": 100.0},
        "post": {
            "diameter_mm": men.map({True: 65.0, False: 80.0}),
            "area_mm2": men.map({True: 110.0, False: 120.0}),
            "volume_mm3": 30.0,
        },
    }
    measures = [
        pd.DataFrame({"scan": patients[f"{when}_scan"], **sizes[when]}).assign(
            dataset="d", method="m", status="ok", reason=None
        )
        for when in WHEN
    ]
    return {"cohorts": patients, "measures": pd.concat(measures, ignore_index=True)}


def test_hazard_ratios_are_those_of_r_for_a_standard_deviation() -> None:
    """R, coxph(Surv(time, status) ~ sex, lung): HR 0.5880 (0.4237 to 0.816) for a step of sex."""
    rows = survival.analyse(lung_as_a_cohort(), SETTINGS)["survival_tests"].set_index("measure")
    sd = float(lung()["sex"].std(ddof=1))
    for measure in ("area", "diameter"):
        row = rows.loc[measure]
        assert row["hazard_ratio"] == pytest.approx(0.5880**sd, abs=5e-5)
        ends = (row["hr_low"], row["hr_high"])
        assert ends == pytest.approx((0.4237**sd, 0.816**sd), abs=5e-4)
        assert row["cox_p"] == pytest.approx(0.00149, abs=5e-6)


def test_survival_by_response_is_that_of_r() -> None:
    """R, survfit on lung: men 138, 112 events, median 270; women 90, 53, 426; all 228, 165, 310."""
    found = survival.analyse(lung_as_a_cohort(), SETTINGS)
    table = found["survival_response"].set_index(["criterion", "response"])
    rows = table[["n", "events", "median_time"]].T
    assert rows["recist", "partial response"].tolist() == [138, 112, 270]
    assert rows["recist", "stable disease"].tolist() == [90, 53, 426]
    assert rows["volumetric", "partial response"].tolist() == [228, 165, 310]
    others = table[table["n"] == 0]
    assert len(others) == 5
    assert others["median_time"].isna().all()
    women = found["survival_patients"].set_index("recist").loc["stable disease"]
    assert set(women["volumetric"]) == {"partial response"}  # 100 to 80 mm, 100 to 30 mm3


def test_covariates_enter_an_adjusted_model() -> None:
    tables = cohort(HAZARD_PER_SD, 2)
    tables["cohorts"]["covariate_age"] = np.random.default_rng(0).normal(60, 9, 40)
    rows = survival.analyse(tables, SETTINGS)["survival_cox"]
    volume = rows[rows["measure"] == "volume"]
    assert volume["term"].tolist() == [
        *("volume_change", "volume_change (adjusted)", "age (adjusted)"),
    ]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"event": 0.0}, "0 events"),
        ({"time": np.nan}, "n = 0"),
        ({"pre_scan": "nowhere"}, "n = 0"),
        ({"time": 12.0, "event": 1.0}, "all events are at the last time"),
    ],
)
def test_what_cannot_be_computed_says_why(spoil: dict[str, Any], reason: str) -> None:
    tables = cohort(0.0, 3)
    tables["cohorts"] = tables["cohorts"].assign(**spoil)
    found = survival.analyse(tables, SETTINGS)
    assert found["survival_tests"]["reason"].str.startswith(reason).all()
    assert found["survival_difference"]["reason"].str.startswith(reason).all()
    if "pre_scan" in spoil:
        told = found["survival_patients"]["reason"]
        assert told.eq("no measure of the pre scan nowhere").all()


def test_measures_of_another_dataset_are_told() -> None:
    tables = cohort(0.0, 8, n=3)
    with pytest.raises(UserError, match="of the dataset d, and the measures of study"):
        survival.analyse(
            tables | {"measures": tables["measures"].assign(dataset="study")}, SETTINGS
        )


def test_a_patient_without_a_scan_has_no_measure() -> None:
    """Not even if a row of the measures names no scan, either."""
    tables = cohort(0.0, 9, n=3)
    tables["cohorts"].loc[0, "post_scan"] = None
    tables["measures"].loc[1, "scan"] = None
    rows: Any = survival.analyse(tables, SETTINGS)["survival_patients"].set_index("patient")
    assert rows.loc["p0", "reason"] == "no post scan"
    assert np.isnan(rows.loc["p0", "volume_post"])
    assert rows.loc["p1", "status"] == "ok"


@pytest.mark.parametrize(("form", "suffix"), [("{:04}", "csv"), ("{}", "parquet")])
def test_scans_whose_names_are_numbers_are_found(form: str, suffix: str, tmp_path: Path) -> None:
    """Of a parquet file they may be numbers: no zeros are lost there, they have none."""
    tables = cohort(0.0, 5, n=3)
    ends = [f"p{i}_{when}" for i in range(3) for when in ("pre", "post")]
    names = {end: form.format(number) for number, end in enumerate(ends)}
    patients, measures = (tables[name].replace(names) for name in ("cohorts", "measures"))
    inputs = {"cohorts": tmp_path / f"cohorts.{suffix}", "measures": tmp_path / "measures.parquet"}
    if suffix == "csv":
        patients.to_csv(inputs["cohorts"], index=False)
    else:
        patients.astype({"pre_scan": int, "post_scan": int}).to_parquet(inputs["cohorts"])
    measures.to_parquet(inputs["measures"])
    analyse("survival", inputs, tmp_path, SETTINGS)
    found = read_statistics(tmp_path / "survival_patients.csv")
    assert found["status"].tolist() == ["ok"] * 3
    assert found["volume_post"].tolist() == pytest.approx(tables["measures"]["volume_mm3"][1::2])


def test_equal_changes_and_a_scan_that_failed() -> None:
    tables = cohort(0.0, 4)
    measures = tables["measures"].assign(volume_mm3=5.0)
    first = measures.head(1).assign(status="failed", reason="out of memory", volume_mm3=np.nan)
    measures = pd.concat([first, measures.iloc[1:]])
    found = survival.analyse(tables | {"measures": measures}, SETTINGS)
    rows = found["survival_tests"].set_index("measure")
    assert rows.loc["volume", "reason"] == "no patient differs from another"
    assert rows.loc["area", "reason"] == ""
    assert rows["n"].eq(39).all()
    assert found["survival_patients"]["reason"].iloc[0] == "out of memory"


def test_every_patient_that_is_left_out_has_a_reason() -> None:
    tables = cohort(0.0, 7)
    patients, measures = tables["cohorts"], tables["measures"]
    patients["time"] = patients["time"].mask(patients["patient"] == "p0")
    patients["event"] = patients["event"].astype(float).mask(patients["patient"] == "p1")
    measures.loc[measures["scan"] == "p2_pre", "area_mm2"] = 0.0
    found = survival.analyse(tables, SETTINGS)
    reasons = found["survival_patients"].set_index("patient")["reason"]
    assert reasons[["p0", "p1", "p2", "p3"]].tolist() == [
        *("no time", "no event", "no change of area", ""),
    ]
    assert set(found["survival_tests"]["n"]) == {int((reasons == "").sum())}


def test_an_empty_mask_of_a_lesion_that_is_there_is_no_response() -> None:
    tables = cohort(0.0, 6, n=4)
    measures = tables["measures"]
    sizes = ["diameter_mm", "area_mm2", "volume_mm3"]
    measures.loc[measures["scan"] == "p0_post", "volume_mm3"] = 0.0
    measures.loc[measures["scan"] == "p1_post", sizes] = 0.0
    measures.loc[measures["scan"] == "p2_pre", "volume_mm3"] = 0.0
    rows: Any = survival.analyse(tables, SETTINGS)["survival_patients"].set_index("patient")
    missed, gone = rows.loc["p0"], rows.loc["p1"]
    assert missed["reason"] == "nothing was segmented after treatment"
    assert missed["status"] == "failed"
    assert np.isnan(missed["volume_change"])
    assert missed["volumetric"] == ""
    assert np.isfinite(missed["area_change"])
    assert gone[["status", "volume_change"]].tolist() == ["ok", -1.0]
    assert gone[["recist", "volumetric"]].tolist() == ["complete response"] * 2
    assert rows.loc["p2", "reason"] == "nothing was segmented before treatment"
    assert rows.loc["p3", "status"] == "ok"


def test_classes_of_response() -> None:
    pre = pd.Series([100.0, 100, 100, 100, 100, 10, 0, np.nan, 20])
    post = pd.Series([0.0, 70, 71, 119, 120, 14, 5, 5, 25])
    assert response.recist(pre, post).tolist() == [
        *("complete response", "partial response", "stable disease", "stable disease"),
        *("progressive disease", "stable disease", "", "", "progressive disease"),
    ]
    balls = response.volumetric(pre**3, post**3)
    assert balls.tolist()[:5] == response.recist(pre, post).tolist()[:5]
    assert balls[5] == "progressive disease"  # the 5 mm are for diameters
