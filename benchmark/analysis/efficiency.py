"""Efficiency (paper, Fig. 4d, Tables S12 and S13): inference times by phase, and costs.

The paper measures from reading the input to writing the result; loading the model is reported
separately. Its test, the rank-sum test over dataset means, treats the same datasets under two
methods as independent samples, so the signed-rank test is given as well.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.paired import holm, mean_interval, rank_tests

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

PHASES = ("read", "segment", "write", "total", "load", "total_with_load")
TESTED = ("segment", "total", "total_with_load")

TIME_COLUMNS = (
    *("method", "device", "phase", "unit", "n", "objects", "mean", "sd", "median", "q1", "q3"),
    *("low", "high"),
)
BY_DATASET_COLUMNS = ("method", "device", "phase", "dataset", "objects", "seconds")
TEST_COLUMNS = (
    *("method_a", "device_a", "method_b", "device_b", "phase", "unit", "n", "matched_by"),
    *("matches", "mean_a", "mean_b", "ratio", "test", "statistic", "p", "p_holm", "family"),
    *("family_of", "reason"),
)
COST_COLUMNS = (
    *("method", "device", "parameters", "flops", "peak_memory_mb", "peak_gpu_mb", "objects"),
)

_METHOD = ["method", "device"]
_OBJECT = ["dataset", "scan", "object"]


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Summarise ``tables["times"]``: times, times_by_dataset, times_tests, costs."""
    times = tables["times"]
    long = _by_phase(times[times["variant"] == ""])
    datasets = (
        long.groupby([*_METHOD, "phase", "dataset"], sort=False)["seconds"]
        .agg(["size", "mean"])
        .reset_index()
        .rename(columns={"size": "objects", "mean": "seconds"})
    )
    found = [
        row
        for unit, table in (("dataset", datasets), ("object", long.assign(objects=1)))
        for row in _summaries(table, unit, settings)
    ]
    return {
        "times": pd.DataFrame(found, columns=list(TIME_COLUMNS)),
        "times_by_dataset": datasets.reindex(columns=list(BY_DATASET_COLUMNS)),
        "times_tests": _tests(long, settings),
        "costs": _costs(times[times["variant"] == ""]),
    }


def _by_phase(times: pd.DataFrame) -> pd.DataFrame:
    """Return one row per object and phase; phases that were not timed have none."""
    taken = [p for p in ("read", "segment", "write", "load") if f"{p}_s" in times]
    seconds = {p: times[f"{p}_s"].astype(float) for p in taken}
    seconds["total"] = total(times)
    if "load" in taken:
        seconds["total_with_load"] = seconds["total"] + seconds["load"]
    keys = times[[*_METHOD, *_OBJECT]]
    parts = [keys.assign(phase=p, seconds=seconds[p]) for p in PHASES if p in seconds]
    return pd.concat(parts, ignore_index=True).dropna(subset="seconds")


def total(times: pd.DataFrame) -> "pd.Series[float]":
    """Return the seconds of each row from reading the input to the result.

    Phases without a column are left out of the sum; a missing time makes the sum missing.
    """
    taken = [f"{p}_s" for p in ("read", "segment", "write") if f"{p}_s" in times]
    return times[taken].astype(float).sum(axis=1, skipna=False)


def _summaries(
    table: pd.DataFrame, unit: str, settings: "AnalysisSettings"
) -> Iterator[dict[str, Any]]:
    for (method, device, phase), rows in table.groupby([*_METHOD, "phase"], sort=False):
        values = rows["seconds"].to_numpy(dtype=np.float64)
        q1, median, q3 = np.quantile(values, (0.25, 0.5, 0.75))
        # Objects of one dataset take alike, so that only datasets count as independent.
        low, high = mean_interval(values, settings.tail) if unit == "dataset" else (np.nan, np.nan)
        yield {
            **{"method": method, "device": device, "phase": phase, "unit": unit},
            **{"n": len(values), "objects": int(rows["objects"].sum()), "mean": values.mean()},
            "sd": values.std(ddof=1) if len(values) > 1 else np.nan,
            **{"median": median, "q1": q1, "q3": q3, "low": low, "high": high},
        }


def _tests(long: pd.DataFrame, settings: "AnalysisSettings") -> pd.DataFrame:
    """Test each pair of methods over dataset means of the objects timed with both.

    ``long`` is the result of `_by_phase`. A method that fails on large objects has no times for
    them, so without matching it would look fast. Methods without a common object (because one
    segments whole structures) are matched by scan.
    """
    kept = long[~long["method"].isin(settings.controls)]
    found = []
    for phase in TESTED:
        rows = kept[kept["phase"] == phase]
        objects = rows.pivot(index=_OBJECT, columns=_METHOD, values="seconds")
        objects = objects[list(dict.fromkeys(zip(rows["method"], rows["device"], strict=True)))]
        for a, b in combinations(objects.columns, 2):
            both, matched_by = objects[[a, b]].dropna(), "object"
            if both.empty:
                scans = objects[[a, b]].groupby(level=["dataset", "scan"]).mean()
                both, matched_by = scans.dropna(), "scan"
            about = {"method_a": a[0], "device_a": a[1], "method_b": b[0], "device_b": b[1]}
            matched = {"phase": phase, "matched_by": matched_by, "matches": len(both)}
            means = both.groupby(level="dataset").mean().to_numpy(dtype=np.float64)
            found += [{**about, **matched, **row} for row in _pair(means)]
    table = pd.DataFrame(found, columns=list(TEST_COLUMNS))
    return holm(table, ["phase", "test"], "pairs of methods within phase and test")


def _pair(both: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    means = both.mean(axis=0) if len(both) else np.full(2, np.nan)
    numbers = {"unit": "dataset", "n": len(both), "mean_a": means[0], "mean_b": means[1]}
    numbers["ratio"] = means[0] / means[1] if means[1] else np.nan
    missing = {} if len(both) else {"reason": "no object and no scan was timed with both"}
    for row in rank_tests(both[:, 0], both[:, 1], both[:, 0] - both[:, 1], unit="dataset"):
        yield {**numbers, **row, **missing}


def _costs(times: pd.DataFrame) -> pd.DataFrame:
    """Return the costs of each method: mean FLOPs per object, and peak memory over its jobs."""
    wanted = ("parameters", "flops", "peak_memory_mb", "peak_gpu_mb")
    filled = times.reindex(columns=[*times.columns, *(c for c in wanted if c not in times)])
    groups = filled.groupby(_METHOD, sort=False)
    table = groups[list(wanted)].max().assign(flops=groups["flops"].mean(), objects=groups.size())
    return table.reset_index().reindex(columns=list(COST_COLUMNS))
