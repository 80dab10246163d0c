"""Interaction (paper, Fig. 4e, Table S14): how long readers take to give each kind of prompt.

The times come from a table of measurements, since the benchmark itself cannot take them. Readings
of one object are not independent, so intervals resample objects with all their readings, and the
signed-rank test compares object means, over readers who prompted the object both ways. The paper's
rank-sum test over all readings is given as well.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.analysis import aggregate, frames
from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import enough, generator, interval, ratio
from benchmark.analysis.paired import holm, rank_tests

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

SUMMARY = (
    *("prompt", "generated", "n", "readers", "objects", "mean", "sd", "median", "q1", "q3"),
    *("low", "high"),
)
TEST_COLUMNS = (
    *("prompt_a", "prompt_b", "generated", "n_a", "n_b", "mean_a", "mean_b"),
    *("reduction_percent", "low", "high", "test", "statistic", "p", "p_holm", "family"),
    *("family_of", "reason"),
)
GAIN = (
    *("method", "prompt", "generated", "dsc", "datasets", "cells", "expected", "seconds"),
    "dsc_per_second",
)

_OBJECT = ["dataset", "object"]
_READING = ["reader", *_OBJECT]


def analyse(
    tables: Mapping[str, pd.DataFrame], settings: "AnalysisSettings"
) -> dict[str, pd.DataFrame]:
    """Summarise ``tables["interaction"]``, and relate it to the DSC in ``tables["scores"]``.

    Either table may be missing; what depends on it is then empty.
    """
    empty = pd.DataFrame(columns=[*_READING, "prompt", "seconds", "generated"])
    measured = tables.get("interaction", empty)
    summary = pd.DataFrame(_summaries(measured, settings), columns=list(SUMMARY))
    tests = pd.DataFrame(_tests(measured, settings), columns=list(TEST_COLUMNS))
    return {
        "interaction": summary,
        "interaction_tests": holm(tests, ["test"], "pairs of prompts within test"),
        "interaction_gain": _gain(summary, tables.get("scores")),
    }


def _summaries(measured: pd.DataFrame, settings: "AnalysisSettings") -> Iterator[dict[str, Any]]:
    for prompt, rows in measured.groupby("prompt", sort=True):
        values = rows["seconds"].to_numpy(dtype=np.float64)
        q1, median, q3 = np.quantile(values, (0.25, 0.5, 0.75))
        low, high = interval(_drawn(rows, settings)[:, 0], settings.tail)
        yield {
            **{"prompt": prompt, "generated": bool(rows["generated"].any()), "n": len(values)},
            "readers": rows["reader"].nunique(),
            "objects": len(rows.drop_duplicates(_OBJECT)),
            **{"mean": values.mean(), "sd": values.std(ddof=1) if len(values) > 1 else np.nan},
            **{"median": median, "q1": q1, "q3": q3, "low": float(low), "high": float(high)},
        }


def _tests(measured: pd.DataFrame, settings: "AnalysisSettings") -> Iterator[dict[str, Any]]:
    for a, b in combinations(sorted(measured["prompt"].unique()), 2):
        part = measured[measured["prompt"].isin([a, b])]
        wide = part.pivot(index=_READING, columns="prompt", values="seconds")
        first, second = (wide[p].dropna().to_numpy(dtype=np.float64) for p in (a, b))
        paired = wide.dropna().groupby(_OBJECT).mean().to_numpy(dtype=np.float64)
        numbers = {
            **{"prompt_a": a, "prompt_b": b, "generated": bool(part["generated"].any())},
            **{"n_a": len(first), "n_b": len(second)},
            **{"mean_a": first.mean(), "mean_b": second.mean()},
        }
        numbers["reduction_percent"] = 100 * (1 - numbers["mean_a"] / numbers["mean_b"])
        drawn = _drawn(part, settings)
        low, high = interval(100 * (1 - drawn[:, 0] / drawn[:, 1]), settings.tail)
        numbers |= {"low": float(low), "high": float(high)}
        for row in rank_tests(first, second, paired[:, 0] - paired[:, 1], unit="object"):
            yield {**numbers, **row}


def _drawn(rows: pd.DataFrame, settings: "AnalysisSettings") -> Array:
    """Return the mean seconds per prompt, (draws, prompts), resampling objects with all readings.

    A value is NaN if the draw contains no reading of the prompt. If a prompt has too few objects,
    return a single draw of NaN.
    """
    readings = rows.groupby([*_OBJECT, "prompt"], sort=True)["seconds"]
    sums, counts = (t.unstack(fill_value=0) for t in (readings.sum(), readings.size()))
    if not all(enough([objects]) for objects in (counts > 0).sum()):
        return np.full((1, sums.shape[1]), np.nan)
    rng = generator(settings.seed, "interaction", *map(str, sums.columns))
    chosen = rng.integers(len(sums), size=(settings.resamples, len(sums)))
    above, below = (t.to_numpy(dtype=np.float64)[chosen].sum(axis=1) for t in (sums, counts))
    return ratio(above, below)


def _gain(summary: pd.DataFrame, scores: pd.DataFrame | None) -> pd.DataFrame:
    """Return the mean DSC over datasets per second of interaction, where the prompt was timed."""
    if scores is None or summary.empty or "dsc" not in scores:
        return pd.DataFrame(columns=list(GAIN))
    rows = frames.base_rows(scores, "structure")
    means = aggregate.dataset_means(rows, ["method", "prompt", "dataset"], ["dsc"]).dropna()
    over = means.groupby(["method", "prompt"], sort=False)["dsc"].agg(["mean", "size"])
    counts = rows.groupby(["method", "prompt"], sort=False)["dsc"].agg(["count", "size"])
    over = over.rename(columns={"mean": "dsc", "size": "datasets"})
    over = over.join(counts.rename(columns={"count": "cells", "size": "expected"})).reset_index()
    timed = summary[["prompt", "generated", "mean"]].rename(columns={"mean": "seconds"})
    joined = over.merge(timed, on="prompt")
    return joined.assign(dsc_per_second=joined["dsc"] / joined["seconds"])[list(GAIN)]
