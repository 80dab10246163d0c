"""The headline table: mean DSC of each method with its confidence interval, and its rank."""

from typing import TYPE_CHECKING, Any

from benchmark.analysis.bootstrap import MIN_UNITS_FOR_INTERVAL
from benchmark.analysis.frames import ALL
from benchmark.storage.tables import records
from reports import prompts
from reports.formatting import NONE, count_noun, interval, is_missing, mean_cell, split_title

if TYPE_CHECKING:
    from reports.results import Results

METRIC, SCHEME = "dsc", "mean"


def headline(results: "Results") -> dict[str, Any]:
    """Return one row per method, best rank first and controls last, with one cell per split.

    The rank is by mean DSC over the datasets of the last split, over the cells in which every
    ranked method has a score; ``ranked`` says how many these are. Empty without scores.
    """
    scores = results.overall[results.overall["metric"] == METRIC]
    splits = [str(split) for split in scores["split"].unique() if split != ALL]
    if not splits:
        return {}
    splits = [*splits, ALL] if len(splits) > 1 else splits
    values = {(row["split"], row["method"]): row for row in records(scores)}
    ranks = _ranks(results, splits[-1])
    rows = []
    for method in results.methods_in_table_order:
        rank = ranks.get(method, {})
        rows.append(
            {
                "method": method,
                "prompt": prompts.describe_prompt(results.method_record(method)),
                "control": method in results.controls,
                "cells": [_cell(values.get((split, method))) for split in splits],
                "place": rank.get("rank", float("nan")),
                "rank": _rank(rank),
                "first": f"{100 * rank['first_share']:.0f} %" if _known(rank) else NONE,
            }
        )
    return {
        "splits": [split_title(split) for split in splits],
        "rows": sorted(rows, key=_order),
        "confidence": results.confidence,
        "fewest": MIN_UNITS_FOR_INTERVAL,
        "ranked": ranked(next(iter(ranks.values()), {})),
    }


def ranked(rank: dict[str, Any]) -> str:
    """Say over which cells methods are ranked, given a row of the ranking; empty without one."""
    if not rank:
        return ""
    cells = count_noun(int(rank["cells"]), "cell")
    datasets = count_noun(int(rank["datasets"]), "dataset")
    return (
        "Each mean is over all cells in which the method has a score; the rank is by the mean over "
        f"those in which every ranked method has one: {cells} of {datasets}."
    )


def _order(row: dict[str, Any]) -> tuple[bool, float]:
    return row["control"], row["place"] if row["place"] > 0 else float("inf")


def _ranks(results: "Results", split: str) -> dict[str, dict[str, Any]]:
    table = results.statistics("ranking")
    table = table[(table["split"] == split) & (table["metric"] == METRIC)]
    return {row["method"]: row for row in records(table[table["scheme"] == SCHEME])}


def _cell(row: dict[str, Any] | None) -> dict[str, str]:
    if row is None or is_missing(row["mean"]):
        return {"text": NONE, "interval": "", "value": ""}
    counts = (int(row[key]) for key in ("cells", "expected", "contaminated"))
    return {
        "text": mean_cell(row["mean"], *counts),
        "interval": interval(row["low"], row["high"]) or "no interval",
        "value": f"{row['mean']:.6f}",
    }


def _known(rank: dict[str, Any]) -> bool:
    return bool(rank) and not is_missing(rank["first_share"])


def _rank(rank: dict[str, Any]) -> str:
    if not rank or is_missing(rank["rank"]):
        return NONE
    text, low, high = (f"{round(float(rank[key]), 1):g}" for key in ("rank", "low", "high"))
    return text if is_missing(rank["low"]) else f"{text} ({low} to {high})"
