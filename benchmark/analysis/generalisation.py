"""Generalisation and ablation (paper, Fig. 6), from a table of training runs.

Each row of ``tables["runs"]`` is the mean score of one trained model on one dataset;
``docs/analyses.md`` describes its columns.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.analysis import frames
from benchmark.analysis.groups import anovas
from benchmark.analysis.paired import paired_tests
from benchmark.metrics.definitions import METRICS

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

_CELLS = ("matched", "expected")
"""Numbers of held-out cells: those that the mean is over, and those that exist."""
RECOVERY = (
    *("method", "trained_on", "tested_on", "metric", "scratch", "scratch_sd", "general"),
    *("recovery_percent", "own", "runs", "contaminated", *_CELLS),
)
TRANSFER = (
    *("method", "kind", "trained_on", "tested_on", "metric", "mean", "general", "own", "runs"),
    *("contaminated", *_CELLS),
)
FINETUNING = (
    *("method", "reference", "dataset", "metric", "general", "finetuned", "finetuned_sd"),
    *("reference_value", "gain", "gain_over_reference", "runs"),
    *("contaminated_general", "contaminated_finetuned", "contaminated_reference"),
    *(*_CELLS, "matched_finetuned", "matched_reference"),
)
FINETUNING_TESTS = (
    *("method", "reference", "comparison", "metric", "n", "difference", "low", "high"),
    *("test", "chosen", "normality_p", "statistic", "p", "effect", "effect_name", "reason"),
)
GAIN = "fine-tuned minus general"
GAIN_OVER_REFERENCE = "general minus reference"
BETWEEN_GAINS = "gain by fine-tuning minus gain over the reference"
"""The paper's comparison; the others are of each of the two gains with zero."""
ABLATION = (
    *("ablation", "setting", "method", "dataset", "metric", "mean", "sd", "runs", "default"),
    *("best", "contaminated", *_CELLS, *frames.COST_COLUMNS, frames.COST_OBJECTS),
)
ABLATION_OVERALL = (
    *("ablation", "setting", "method", "metric", "default", "mean", "sd_datasets", "sd_runs"),
    *("datasets", "runs", "contaminated", *_CELLS, *frames.COST_COLUMNS, frames.COST_OBJECTS),
)
ABLATION_TESTS = (
    *("ablation", "method", "metric", "test", "groups", "n", "statistic", "df1", "df2", "p"),
    *("epsilon", "default", "wins_of_default", "reason"),
)

LOST_RUNS = (
    *("kind", "method", "ablation", "setting", "trained_on", "runs", "ok", "expected", "reason"),
)


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Summarise ``tables["runs"]``; without it, all resulting tables are empty."""
    runs = tables.get("runs", pd.DataFrame(columns=list(frames.RUN_COLUMNS)))
    runs = runs.reindex(columns=list(dict.fromkeys([*runs.columns, *frames.RUN_COLUMNS])))
    runs = runs.assign(contaminated=runs["contaminated"].eq(True))
    general = _means(runs[runs["kind"] == "general"], ["method", "metric", "tested_on"])
    recovery = _recovery(runs, general)
    finetuning = _finetuning(runs, general)
    ablation = _ablation(runs)
    tests = [
        {"method": method, "metric": metric, **row}
        for (method, metric), part in finetuning.groupby(["method", "metric"], sort=False)
        if part["finetuned"].notna().any()
        for row in _gains(part, settings)
    ]
    return {
        "recovery": recovery,
        "transfer": _transfer(runs, general),
        "finetuning": finetuning,
        "finetuning_tests": pd.DataFrame(tests, columns=list(FINETUNING_TESTS)),
        "ablation": ablation,
        "ablation_overall": _overall(runs, ablation),
        "ablation_tests": pd.DataFrame(_ablation_tests(ablation), columns=list(ABLATION_TESTS)),
        "lost_runs": _lost_runs(runs),
    }


def _means(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return mean and sample standard deviation over the runs (seeds) of each model.

    ``runs`` counts the runs with a value; the numbers of cells are the largest of any run, which is
    ``contaminated`` if any is.
    """
    groups = runs.groupby(keys, sort=False)
    found = groups["value"].agg(["mean", "std", "count"]).join(groups[list(_CELLS)].max())
    found = found.join(groups["contaminated"].any())
    named = {"mean": "value", "std": "sd", "count": "runs"}
    return found.rename(columns=named).reset_index()


def _recovery(runs: pd.DataFrame, general: pd.DataFrame) -> pd.DataFrame:
    """Express the scores of models trained from scratch as percentages of the general model's."""
    keys = ["method", "metric", "trained_on", "tested_on"]
    named = {"value": "scratch", "sd": "scratch_sd"}
    scratch = _means(runs[runs["kind"] == "scratch"], keys).rename(columns=named)
    joined = _with_general(scratch, general)
    percent = 100 * joined["scratch"] / joined["general"].where(joined["general"] > 0)
    own = joined["trained_on"] == joined["tested_on"]
    seen = joined["contaminated"] | joined["contaminated_general"].eq(True)
    return joined.assign(recovery_percent=percent, own=own, contaminated=seen).reindex(
        columns=list(RECOVERY)
    )


def _with_general(means: pd.DataFrame, general: pd.DataFrame) -> pd.DataFrame:
    """Add the score of the general model on the tested dataset as the column ``general``.

    Also add ``contaminated_general``.
    """
    keys = ["method", "metric", "tested_on"]
    named = {"value": "general", "contaminated": "contaminated_general"}
    known = general[[*keys, *named]].rename(columns=named)
    return means.merge(known, on=keys, how="left")


def _transfer(runs: pd.DataFrame, general: pd.DataFrame) -> pd.DataFrame:
    """Return the scores, on every tested dataset, of models trained or fine-tuned on one."""
    keys = ["method", "kind", "metric", "trained_on", "tested_on"]
    means = _means(runs[runs["kind"].isin(["scratch", "finetuned"])], keys)
    means = _with_general(means.rename(columns={"value": "mean"}), general)
    own = means["trained_on"] == means["tested_on"]
    return means.assign(own=own).reindex(columns=list(TRANSFER))


def _finetuning(runs: pd.DataFrame, general: pd.DataFrame) -> pd.DataFrame:
    """Compare the gain by fine-tuning with the gain of the general model over a reference.

    General models that were not fine-tuned are included on the datasets for fine-tuning.
    """
    own = runs[(runs["kind"] == "finetuned") & (runs["trained_on"] == runs["tested_on"])]
    named = {"value": "finetuned", "sd": "finetuned_sd", "contaminated": "contaminated_finetuned"}
    tuned = _means(own, ["method", "metric", "tested_on"]).drop(columns="expected")
    tuned = tuned.rename(columns={**named, "matched": "matched_finetuned"})
    named = {"value": "reference_value", "contaminated": "contaminated_reference"}
    other = _means(runs[runs["kind"] == "reference"], ["method", "metric", "tested_on"])
    other = other.drop(columns=["runs", "sd", "expected"])
    other = other.rename(columns={**named, "method": "reference", "matched": "matched_reference"})
    named = {"value": "general", "runs": "runs_general", "contaminated": "contaminated_general"}
    known = general.drop(columns="sd").rename(columns=named)
    known = known.merge(tuned[["metric", "tested_on"]].drop_duplicates())
    joined = known.merge(tuned, on=["method", "metric", "tested_on"], how="left")
    joined["runs"] = joined["runs"].fillna(joined["runs_general"]).astype(int)
    joined = joined.merge(other, on=["metric", "tested_on"], how="left")
    marks = [name for name in FINETUNING if name.startswith("contaminated")]
    return joined.assign(
        **{name: joined[name].eq(True) for name in marks},
        dataset=joined["tested_on"],
        gain=joined["finetuned"] - joined["general"],
        gain_over_reference=joined["general"] - joined["reference_value"],
    ).reindex(columns=list(FINETUNING))


def _gains(part: pd.DataFrame, settings: "AnalysisSettings") -> Iterator[dict[str, Any]]:
    """Test over datasets the gains of a method in one metric, whose rows are ``part``."""
    gains = part.drop_duplicates("dataset")["gain"]  # repeated for each reference
    compared: list[tuple[str | None, str, pd.Series[float]]] = [(None, GAIN, gains)]
    for name, rows in part.groupby("reference", sort=False):
        over = rows["gain_over_reference"]
        compared.append((str(name), GAIN_OVER_REFERENCE, over))
        compared.append((str(name), BETWEEN_GAINS, rows["gain"] - over))
    for reference, comparison, values in compared:
        differences = np.asarray(values.dropna(), dtype=np.float64)
        numbers = {
            **{"reference": reference, "comparison": comparison, "n": len(differences)},
            "difference": differences.mean() if len(differences) else np.nan,
        }
        for row in paired_tests(differences, unit="dataset", tail=settings.tail):
            yield {**numbers, **row}


def _ablation(runs: pd.DataFrame) -> pd.DataFrame:
    part = runs[runs["kind"] == "ablation"]
    keys = ["ablation", "setting", "method", "metric", "tested_on"]
    of_settings = part.groupby(keys, sort=False)
    costs = of_settings[list(frames.COST_COLUMNS)].mean()
    costs = costs.join(of_settings[frames.COST_OBJECTS].max())
    means = _means(part, keys).merge(costs.reset_index(), on=keys)
    means = means.rename(columns={"value": "mean", "tested_on": "dataset"})
    default = part.drop_duplicates(["ablation", "setting"])[["ablation", "setting", "default"]]
    means = means.merge(default, on=["ablation", "setting"])
    means["good"] = means["mean"] * means["metric"].map(_sign).astype(float)
    groups = means.groupby(["ablation", "method", "metric", "dataset"], sort=False)["good"]
    return means.assign(best=means["good"] == groups.transform("max")).reindex(
        columns=list(ABLATION)
    )


def _sign(metric: str) -> float:
    """Return 1 if higher is better, -1 if lower is, NaN for no direction or an unknown metric."""
    known = METRICS.get(metric)
    return known.sign if known and known.higher_is_better is not None else np.nan


def _overall(runs: pd.DataFrame, ablation: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting: mean over datasets, and its standard deviation between runs.

    The latter uses only the datasets that all runs of a setting share, since the mean of a run also
    depends on which datasets it covers.
    """
    keys = ["ablation", "setting", "method", "metric"]
    part = runs[runs["kind"] == "ablation"].dropna(subset="value")
    counts = part.groupby(keys, sort=False)["seed"].nunique().rename("runs")
    here = part.groupby([*keys, "tested_on"], sort=False)["seed"].transform("nunique")
    shared = part[here == part.groupby(keys, sort=False)["seed"].transform("nunique")]
    of_runs = shared.groupby([*keys, "seed"], sort=False)["value"].mean()
    spread = of_runs.groupby(keys, sort=False).std().rename("sd_runs")
    groups = ablation.groupby(keys, sort=False)
    found = groups["mean"].agg(["mean", "std", "count"]).join(counts).join(spread)
    found["runs"] = found["runs"].fillna(0).astype(int)
    found = found.join(groups[[*frames.COST_COLUMNS]].mean()).join(groups["default"].first())
    found = found.join(groups[[*_CELLS, frames.COST_OBJECTS]].sum(min_count=1))
    found = found.join(groups["contaminated"].any())
    found = found.rename(columns={"std": "sd_datasets", "count": "datasets"}).reset_index()
    return found.reindex(columns=list(ABLATION_OVERALL))


def _ablation_tests(ablation: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for key, part in ablation.groupby(["ablation", "method", "metric"], sort=False):
        wide = part.pivot(index="dataset", columns="setting", values="mean")
        wide = wide.dropna(axis=1, how="all").dropna()
        default = part.loc[part["default"].astype(bool), "setting"].unique().tolist()
        about = {
            **dict(zip(("ablation", "method", "metric"), key, strict=True)),
            **{"groups": wide.shape[1], "n": len(wide)},
            "default": default[0] if len(default) == 1 else None,
        }
        sign = _sign(str(key[-1]))
        if len(wide) and len(default) == 1 and default[0] in wide and np.isfinite(sign):
            good = sign * wide
            about["wins_of_default"] = int((good[default[0]] == good.max(axis=1)).sum())
        for test, outcome in anovas(wide.to_numpy(dtype=np.float64)):
            yield {**about, "test": test, **vars(outcome)}


def _lost_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the models without a score for some cells, and why, joined over tests and seeds."""
    keys = ["kind", "method", "ablation", "setting", "trained_on", "reason"]
    runs = runs.drop_duplicates([name for name in frames.RUN_KEY if name != "metric"])
    lost = runs[runs["ok"] < runs["expected"]].fillna(dict.fromkeys(keys, ""))
    groups = lost.groupby(keys, sort=False)
    found = groups[["ok", "expected"]].sum().join(groups.size().rename("runs"))
    return found.reset_index().reindex(columns=list(LOST_RUNS))
