"""The tables of the report: rows of text made from the statistics and the record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparison import COMPARED
from benchmark.analysis.frames import ALL
from reports import main_tables, prompts
from reports.formatting import (
    NONE,
    format_p,
    interval,
    is_missing,
    marked,
    mean_cell,
    plain_text,
    split_title,
)

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.collecting.study_record import MethodRecord
    from reports.results import Results

_FEW_PATIENTS = 3
"""Fewer held-back patients than this are pointed out."""


def blocks(results: "Results") -> list[dict[str, Any]]:
    """Return Table 1 as one block per split; each cell has its text and whether it is the best."""
    numbers = main_tables.table1(results.overall, results.methods, results.controls)
    if numbers.empty:
        return []
    rows = main_tables.table1_cells(numbers, lambda text: f"*{text}")
    blocks: dict[str, dict[str, Any]] = {}
    for number, row in zip(numbers.to_dict("records"), rows, strict=True):
        title = split_title(str(number["split"]))
        block = blocks.setdefault(title, {"title": title, "rows": []})
        block["rows"].append(
            {
                "control": number["control"],
                "cells": [{"text": c.removeprefix("*"), "best": c.startswith("*")} for c in row],
            }
        )
    return list(blocks.values())


def per_dataset(results: "Results") -> list[dict[str, Any]]:
    """Return DSC by dataset: one row per dataset, one cell per method."""
    names = {i: entry.name for i, entry in results.dataset_records.items()}
    rows: dict[str, dict[str, Any]] = {}
    table = main_tables.per_dataset(results.by_dataset, results.methods_in_table_order)
    for found in table.to_dict("records"):
        dataset = str(found["dataset"])
        start = {
            "dataset": dataset,
            "name": names.get(dataset, ""),
            "split": found["split"],
            "modality": found["modality"],
            "expected": found["expected"],
            "cells": {},
        }
        mean = float(found["dsc_mean"])
        counts = (int(found[key]) for key in ("cells", "expected", "contaminated"))
        text = mean_cell(mean, *counts)
        rows.setdefault(dataset, start)["cells"][found["method"]] = {
            "text": text,
            "interval": interval(found["dsc_low"], found["dsc_high"]),
            "value": "" if is_missing(mean) else f"{mean:.6f}",
        }
    return list(rows.values())


def comparison(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the comparison of DSC over all datasets: one row per pair, with both tests' P values.

    P values are Holm-corrected.
    """
    rows = table[(table["split"] == ALL) & (table["metric"] == COMPARED[0])]
    rows = rows[rows["unit"] == "dataset"]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows.to_dict("records"):
        pair = (str(row["method_a"]), str(row["method_b"]))
        a, b = (
            marked(name, row[f"contaminated_{which}"])
            for name, which in zip(pair, "ab", strict=True)
        )
        start = {"a": a, "b": b, "n": row["n"]}
        lost = row["cells"] < row["expected"]
        start["cells"] = f"{row['cells']} of {row['expected']}" if lost else str(row["cells"])
        start["same_prompt"] = bool(row["same_prompt"])
        difference = float(row["difference"])
        start["difference"] = NONE if is_missing(difference) else f"{difference:+.3f}"
        p = float(row["p_holm"])
        text = f"not computable: {row['reason']}" if is_missing(p) else format_p(p)
        found.setdefault(pair, start)[str(row["test"]).split()[0]] = text
    return list(found.values())


def failures(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Group failures by stage, method, dataset and reason, the most frequent first.

    ``count`` is the number of rows, ``where`` the distinct objects, or scans if there is no object.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in table.to_dict("records"):
        method = row["method"] if isinstance(row["method"], str) else "(data)"
        key = (str(row["stage"]), method, str(row["dataset"]), str(row["reason"]))
        start = dict(zip(("stage", "method", "dataset", "reason"), key, strict=True))
        group = found.setdefault(key, {**start, "count": 0, "where": []})
        group["count"] += 1
        named: Sequence[Any] = (row["object"], row["scan"])
        place = next((name for name in named if isinstance(name, str)), None)
        if place is not None and place not in group["where"]:
            group["where"].append(place)
    return sorted(found.values(), key=lambda group: -group["count"])


def datasets(results: "Results") -> list[dict[str, Any]]:
    """Return the facts about each dataset, with the reason if it is not available."""
    table = results.failures
    whole = table[table["scan"].isna() & table["method"].isna()]
    reasons = {str(row["dataset"]): str(row["reason"]) for row in whole.to_dict("records")}
    found = []
    for name, entry in results.dataset_records.items():
        homepage = entry.homepage or ""
        found.append(
            {
                "id": name,
                "name": "" if entry.name == name else entry.name,
                "state": entry.state,
                "licence": entry.licence or "unknown",
                "images": "not for passing on"
                if name in results.restricted_images_shown
                else "allowed"
                if entry.redistributable
                else "no",
                "homepage": homepage if homepage.startswith(("https://", "http://")) else "",
                "reason": entry.reason or reasons.get(name) or "no reason recorded",
                "split": entry.split,
                "modality": entry.modality,
                "scans": NONE if entry.scans is None else entry.scans,
                "objects": NONE if entry.objects is None else entry.objects,
                "published": entry.published or NONE,
                "quirks": entry.quirks,
            }
        )
    return found


def held_back(results: "Results") -> list[str]:
    """Return notes on the patients of each dataset that are held back from methods that learn."""
    told = {
        name: (entry.held_back, entry.patients)
        for name, entry in results.dataset_records.items()
        if entry.held_back is not None and entry.patients
    }
    if not told:
        return []
    listed = ", ".join(f"{name} {kept} of {count}" for name, (kept, count) in told.items())
    notes = [f"Patients held back from methods that learn: {listed}."]
    if few := [name for name, (kept, _) in told.items() if kept < _FEW_PATIENTS]:
        notes.append(
            f"Fewer than {_FEW_PATIENTS} patients are held back of {', '.join(few)}: the means of "
            "such methods there are of one or two people."
        )
    return notes


def weights_of(entry: "MethodRecord") -> str:
    """Describe the weights of a method: name, training data, licence and hash, where recorded."""
    if not entry.weights:
        return "none"
    parts = [entry.weights_name or entry.weights]
    if entry.weights_trained_on:
        more = "" if entry.weights_trained_on_complete else " and more"
        parts.append(f"trained on {', '.join(entry.weights_trained_on)}{more}")
    else:
        parts.append("training data not known")
    if entry.weights_licence:
        parts.append(f"licence: {entry.weights_licence}")
    if entry.weights_sha256:
        parts.append(f"SHA-256 {entry.weights_sha256[:12]}")
    return ", ".join(parts)


def methods(results: "Results") -> list[dict[str, Any]]:
    """Return a description of each method: prompt and its cost, weights, options, licence."""
    costs = {row[0]: row[3:] for row in prompts.printed(prompts.table(results))}
    found = []
    for method in results.methods_in_table_order:
        entry = results.method_record(method)
        found.append(
            {
                "name": method,
                "summary": entry.summary,
                "prompt": prompts.describe_prompt(entry),
                "views": costs[method][0],
                "clicks": costs[method][1],
                "weights": weights_of(entry),
                "options": plain_text(entry.options),
                "protocol_overrides": plain_text(entry.protocol_overrides),
                "licence": entry.licence or "none",
                "control": method in results.controls,
            }
        )
    return found


def on_the_cpu(results: "Results") -> list[str]:
    """Return sentences on the methods that can use a GPU and were computed on the CPU instead."""
    found: dict[str, list[str]] = {}
    for method in results.methods_in_table_order:
        entry = results.method_record(method)
        if entry.gpu and (there := entry.shards_on.get("cpu")):
            shards = sum(entry.shards_on.values())
            part = "" if there == shards else f" in {there} of {shards} shards"
            found.setdefault(part, []).append(method)
    return [
        f"{', '.join(methods)} ran on the CPU{part}, though {'they' if methods[1:] else 'it'} can "
        "use a GPU."
        for part, methods in found.items()
    ]


def of_mixed_source(results: "Results") -> list[str]:
    """Return a sentence on each method of a user that was edited between its shards."""
    records = {method: results.method_record(method) for method in results.methods_in_table_order}
    return [
        f"The masks of {method} were made by different states of {', '.join(entry.mixed_source)}, "
        "so its numbers are of no one method: raise its version and run again."
        for method, entry in records.items()
        if entry.mixed_source
    ]
