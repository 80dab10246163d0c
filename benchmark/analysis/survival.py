"""Survival (paper, Fig. 5e): is the change of a tumour during treatment prognostic?

The change from before to after treatment is that of three measures: diameter and area on the
guiding slice (2D), and volume of the segmentation (3D). Each is analysed both split at its median
(Kaplan-Meier curves, log-rank test) and as a continuous variable (Cox model, concordance). Most of
the estimators are those of lifelines.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis import frames, response
from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import generator, interval, multiplicities
from benchmark.analysis.concordance import concordances
from benchmark.analysis.paired import constant, tidy
from benchmark.errors import UserError
from benchmark.storage.tables import records

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

SIZE_OF_MEASURE = {"diameter": "diameter_mm", "area": "area_mm2", "volume": "volume_mm3"}
COVARIATE = "covariate_"
"""Prefix of the columns of a table of patients that enter the adjusted Cox model."""

_KEY = ("cohort", "method")
PATIENTS = (
    *_KEY,
    *("patient", "time", "event"),
    *(f"{measure}_{when}" for measure in SIZE_OF_MEASURE for when in ("pre", "post", "change")),
    *("recist", "volumetric", "status", "reason"),
)
CURVES = (
    *_KEY,
    *("measure", "group", "time", "survival", "low", "high", "at_risk", "events", "censored"),
)
TEST_COLUMNS = (
    *_KEY,
    *("measure", "unit", "patients", "n", "events", "cut", "n_low", "n_high"),
    *("logrank_statistic", "logrank_p", "hazard_ratio", "hr_low", "hr_high", "cox_p", "ph_p"),
    *("concordance", "c_low", "c_high", "reason"),
)
COX = (
    *_KEY,
    *("measure", "term", "hazard_ratio", "low", "high", "z", "p", "ph_p", "n", "events", "reason"),
)
DIFFERENCE = (
    *_KEY,
    *("measure_a", "measure_b", "n", "concordance_a", "concordance_b", "difference"),
    *("low", "high", "p", "reason"),
)
RESPONSE = (*_KEY, "criterion", "response", "n", "events", "median_time")

_FEW = 10
"""Smallest number of complete patients for a test."""


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Relate ``tables["measures"]`` (sizes by scan) to ``tables["cohorts"]`` (patients).

    Rows of measures without a scan give the reason why a cohort has no scans. The resulting tables
    are described in ``docs/analyses.md``. Raise a `UserError` if there is no measure of a cohort's
    datasets.
    """
    cohorts = tables.get("cohorts", pd.DataFrame(columns=list(frames.COHORT_COLUMNS)))
    measures = tables.get("measures", pd.DataFrame(columns=list(frames.MEASURE_COLUMNS)))
    found: dict[str, list[Any]] = {name: [] for name in _TABLES}
    for cohort, patients in cohorts.groupby("cohort", sort=False):
        mine = measures[measures["dataset"].isin(patients["dataset"].unique())]
        if mine.empty:
            raise UserError(_no_measures(str(cohort), patients["dataset"], measures["dataset"]))
        for method in mine["method"].unique():
            rows = _joined(patients, mine[mine["method"] == method])
            about = {"cohort": cohort, "method": method}
            found["survival_patients"] += rows.assign(**about).to_dict("records")
            for name, row in _one(rows, settings, str(cohort)):
                found[name].append({**about, **row})
    for row in records(measures[measures["scan"].isna()]):
        nobody = {"cohort": row["dataset"], "method": row["method"], "reason": row["reason"]}
        nobody |= {"unit": "patient", "n": 0, "events": 0}
        found["survival_tests"] += [{**nobody, "measure": measure} for measure in SIZE_OF_MEASURE]
    return {name: pd.DataFrame(found[name], columns=list(c)) for name, c in _TABLES.items()}


_TABLES = {
    "survival_patients": PATIENTS,
    "survival_curves": CURVES,
    "survival_tests": TEST_COLUMNS,
    "survival_cox": COX,
    "survival_difference": DIFFERENCE,
    "survival_response": RESPONSE,
}


def _no_measure(when: str, scan: str | float) -> str:
    return f"no {when} scan" if pd.isna(scan) else f"no measure of the {when} scan {scan}"


def _no_measures(cohort: str, wanted: "pd.Series[str]", known: "pd.Series[str]") -> str:
    ours, theirs = (", ".join(sorted(set(names))) for names in (wanted, known))
    return (
        f"The cohort {cohort} has no measures: its patients are of the dataset {ours}, and the "
        f"measures of {theirs or 'none'}. Likely only one of the two tables has a column "
        "'dataset', or they spell it differently. Name the same dataset in both."
    )


def _joined(patients: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return one row per patient: measures before and after, relative changes, and responses."""
    rows = patients.reset_index(drop=True)
    by_scan = measured.dropna(subset="scan").set_index(["dataset", "scan"])
    for when in ("pre", "post"):
        key = pd.MultiIndex.from_frame(rows[["dataset", f"{when}_scan"]])
        values = by_scan.reindex(key)
        for measure, column in SIZE_OF_MEASURE.items():
            rows[f"{measure}_{when}"] = values[column].to_numpy(dtype=np.float64)
        rows[f"reason_{when}"] = [
            reason
            if isinstance(reason, str) and reason
            else ("" if status == "ok" else _no_measure(when, scan))
            for status, reason, (_, scan) in zip(
                values["status"], values["reason"], key, strict=True
            )
        ]
    for measure in SIZE_OF_MEASURE:
        pre, post = rows[f"{measure}_pre"], rows[f"{measure}_post"]
        rows[f"{measure}_change"] = ((post - pre) / pre.where(pre > 0)).astype(float)
    # An empty mask of a lesion that was prompted is a failure, not a complete response.
    missed = (rows["volume_post"] == 0) & (rows["area_post"] > 0)
    rows["volume_change"] = rows["volume_change"].mask(missed)
    rows["recist"] = response.recist(rows["diameter_pre"], rows["diameter_post"])
    rows["volumetric"] = response.volumetric(rows["volume_pre"], rows["volume_post"].mask(missed))
    reasons = rows["reason_pre"].where(rows["reason_pre"] != "", rows["reason_post"])
    no_size = (rows["volume_pre"] == 0) & (reasons == "")
    reasons = reasons.mask(no_size, "nothing was segmented before treatment")
    reasons = reasons.mask(missed & (reasons == ""), "nothing was segmented after treatment")
    lacking = {f"{measure}_change": f"no change of {measure}" for measure in SIZE_OF_MEASURE}
    for name, missing in {"time": "no time", "event": "no event", **lacking}.items():
        reasons = reasons.mask(rows[name].isna() & (reasons == ""), missing)
    rows["reason"] = reasons
    rows["status"] = np.where(rows["reason"] == "", "ok", "failed")
    return rows


def _one(
    rows: pd.DataFrame, settings: "AnalysisSettings", cohort: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (table name, row) of all tables but survival_patients, for one cohort and method."""
    names = [f"{measure}_change" for measure in SIZE_OF_MEASURE]
    known = rows.dropna(subset=[*names, "time", "event"]).reset_index(drop=True)
    time, event = known["time"].to_numpy(np.float64), known["event"].to_numpy(bool)
    base = {"n": len(known), "events": int(event.sum()), "unit": "patient"}
    reason = _why_not(known)
    rng = generator(settings.seed, "survival", cohort)
    weights = multiplicities(rng, len(known), settings.resamples)
    drawn: dict[str, tuple[float, Array]] = {}
    for measure, name in zip(SIZE_OF_MEASURE, names, strict=True):
        change = tidy(known[name].to_numpy(np.float64))
        about = {"measure": measure, "patients": len(rows), **base}
        why = reason or ("no patient differs from another" if constant(change) else "")
        if why:
            yield "survival_tests", {**about, "reason": why}
            continue
        drawn[measure] = concordances(time, event, change, weights)
        low, high = interval(drawn[measure][1], settings.tail)
        concordance = {"concordance": drawn[measure][0], "c_low": low, "c_high": high}
        cut, curves, tested = _cut(time, event, change, settings)
        cox = list(_cox(known, measure, settings))
        yield "survival_tests", {**about, **cut, **tested, **_first(cox), **concordance}
        for row in curves:
            yield "survival_curves", {"measure": measure, **row}
        for row in cox:
            yield "survival_cox", {"measure": measure, **base, **row}
    for a, b in combinations(SIZE_OF_MEASURE, 2):
        yield "survival_difference", _difference(a, b, drawn, len(known), reason, settings)
    yield from _responses(rows)


def _why_not(known: pd.DataFrame) -> str:
    if len(known) < _FEW:
        return f"n = {len(known)}: fewer than {_FEW} patients with all measures"
    if known["event"].sum() < 2:
        return f"{int(known['event'].sum())} events: nothing can be told of survival"
    if ((known["event"] == 1) == (known["time"] == known["time"].max())).all():
        return "all events are at the last time: no patient is known to have outlived another"
    return ""


def _cut(
    time: Array, event: NDArray[np.bool_], change: Array, settings: "AnalysisSettings"
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Split at the median change; return the cut, the rows of both curves and the log-rank test.

    The arrays are (patients,).
    """
    from lifelines import KaplanMeierFitter

    median = float(np.median(change))
    high = change > median
    cut: dict[str, Any] = {"cut": median, "n_low": int((~high).sum()), "n_high": int(high.sum())}
    curves: list[dict[str, Any]] = []
    for group, members in (("low", ~high), ("high", high)):
        if not members.any():
            continue
        km = KaplanMeierFitter(alpha=2 * settings.tail).fit(time[members], event[members])
        ends = km.confidence_interval_
        table = km.event_table
        for at in km.survival_function_.index:
            curves.append(
                {
                    **{"group": group, "time": float(at)},
                    "survival": float(km.survival_function_.loc[at].iloc[0]),
                    **{"low": float(ends.loc[at].iloc[0]), "high": float(ends.loc[at].iloc[1])},
                    "at_risk": int(table.at[at, "at_risk"]),
                    "events": int(table.at[at, "observed"]),
                    "censored": int(table.at[at, "censored"]),
                }
            )
    return cut, curves, _logrank(time, event, high)


def _logrank(time: Array, event: NDArray[np.bool_], high: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare the patients in ``high`` with the others by the log-rank test, if both exist."""
    from lifelines.statistics import logrank_test

    if high.all() or not high.any():
        return {"reason": "the median cuts nothing: all changes lie on one side"}
    found = logrank_test(time[high], time[~high], event[high], event[~high])
    tested = {"logrank_statistic": float(found.test_statistic), "logrank_p": float(found.p_value)}
    return {**tested, "reason": ""}


def _cox(
    known: pd.DataFrame, measure: str, settings: "AnalysisSettings"
) -> Iterator[dict[str, Any]]:
    """Fit Cox models of the change in standard deviations, without and with the covariates."""
    from benchmark.analysis.cox import fit

    covariates = [c for c in known if str(c).startswith(COVARIATE)]
    name = f"{measure}_change"
    data = known[[name, "time", "event"]].assign(**{name: known[name] / known[name].std(ddof=1)})
    models = [("", data)]
    if covariates:
        models.append((" (adjusted)", pd.concat([data, known[covariates]], axis=1)))
    for suffix, table in models:
        for row in fit(table, settings.tail):
            yield {**row, "term": str(row["term"]).removeprefix(COVARIATE) + suffix}


def _first(cox: list[dict[str, Any]]) -> dict[str, Any]:
    row = cox[0]
    names = {"hazard_ratio": "hazard_ratio", "hr_low": "low", "hr_high": "high"}
    names |= {"cox_p": "p", "ph_p": "ph_p"}
    return {ours: row.get(theirs, np.nan) for ours, theirs in names.items()}


def _difference(
    a: str,
    b: str,
    drawn: Mapping[str, tuple[float, Array]],
    n: int,
    reason: str,
    settings: "AnalysisSettings",
) -> dict[str, Any]:
    """Subtract the concordance of ``a`` from that of ``b``, with paired bootstrap draws.

    ``drawn`` has the concordance of each measure: that of all patients, and that of each draw.
    """
    about = {"measure_a": a, "measure_b": b, "n": n}
    if a not in drawn or b not in drawn:
        return {**about, "reason": reason or "a measure does not differ between patients"}
    (first, of_a), (second, of_b) = drawn[a], drawn[b]
    differences = of_b - of_a
    differences = differences[np.isfinite(differences)]
    low, high = interval(differences, settings.tail)
    below = (1 + (differences <= 0).sum()) / (1 + len(differences))
    above = (1 + (differences >= 0).sum()) / (1 + len(differences))
    numbers = {"concordance_a": first, "concordance_b": second, "difference": second - first}
    ends = {"low": float(low), "high": float(high), "p": min(1.0, 2 * min(below, above))}
    return {**about, **numbers, **ends, "reason": ""}


def _responses(rows: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    from lifelines import KaplanMeierFitter

    for criterion in ("recist", "volumetric"):
        for name in response.CLASSES:
            part = rows[(rows[criterion] == name) & rows["time"].notna() & rows["event"].notna()]
            median = np.nan
            if len(part):
                median = KaplanMeierFitter().fit(part["time"], part["event"]).median_survival_time_
            row = {"criterion": criterion, "response": name, "n": len(part)}
            row |= {"events": int(part["event"].sum())}
            yield "survival_response", {**row, "median_time": median}
