"""Notes below tables and figures: the weights used, their training data, missing weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.collecting.study_record import MethodRecord
    from reports.results import Results

TRAINED_ON = (
    "† The weights of the method were trained on this data, on other data of the same source "
    "collection, or on data with some of the same scans, so the score does not measure how well it "
    "does on new data."
)


def trained_on(by_dataset: "pd.DataFrame") -> str:
    """Say which methods' weights were trained on datasets of ``by_dataset``; empty if none."""
    seen = by_dataset[by_dataset["contaminated"] > 0].groupby("method", sort=False)["dataset"]
    told = [f"{method} on {count}" for method, count in seen.nunique().items()]
    return f"Weights were trained on datasets shown here: {', '.join(told)}." if told else ""


def skipped_in(by_dataset: "pd.DataFrame", methods: Sequence[str]) -> str:
    """Say which of ``methods`` were skipped in some cells, as one that learnt from the others is.

    Their means are over other cells than those of the rest. Empty if there are none.
    """
    rows = by_dataset[by_dataset["method"].isin(list(methods)) & (by_dataset["metric"] == "dsc")]
    sums = rows.groupby("method", sort=False)[["ok", "expected", "skipped"]].sum()
    told = [
        f"{method} ({row['ok']} of {row['expected']} cells scored)"
        for method, row in sums.astype(int).iterrows()
        if row["skipped"] and row["ok"]
    ]
    if not told:
        return ""
    return f"Skipped in some cells, so not to be compared with the others here: {', '.join(told)}."


def unscored(by_dataset: "pd.DataFrame", methods: Sequence[str]) -> str:
    """Name those of ``methods`` that have no score, so that a figure shows nothing of them."""
    scored = set(by_dataset.loc[by_dataset["mean"].notna(), "method"])
    lost = [method for method in methods if method not in scored]
    return f"Without any score: {', '.join(lost)}." if lost else ""


def notes(results: "Results", *, seen: bool = False) -> list[str]:
    """Return the notes on contamination and weights, in the order of the methods.

    ``seen``: whether † stands in the table, as it may if a model of the training runs alone is
    contaminated.
    """
    found = [TRAINED_ON] if seen or results.overall["contaminated"].sum() else []
    for method in results.methods_in_table_order:
        found += _of_method(method, results.method_record(method))
    return found


def weights(results: "Results") -> str:
    """Say with which weights and under which protocol each method ran; empty without weights.

    Captions and tables need this when read outside the report: a method named pam-2dmask need not
    have run with the paper's weights.
    """
    groups: dict[str, list[str]] = {}
    for method, entry in results.method_records.items():
        if entry.weights:
            protocol = entry.options.get("protocol")
            name = entry.weights_name
            what = f"{name} ({entry.weights})" if name else entry.weights
            under = f", under the protocol {protocol}" if protocol else ""
            groups.setdefault(f"{what}{under}", []).append(method)
    told = "; ".join(f"{', '.join(methods)}: {what}" for what, methods in groups.items())
    return f"Weights: {told}." if told else ""


def _of_method(method: str, entry: "MethodRecord") -> list[str]:
    if not entry.weights:
        return []
    found = []
    if entry.weights_state != "ready":
        found.append(
            f"{method}: skipped because its weights are missing. To get them: "
            f"{entry.weights_command or entry.weights_reason}"
        )
    if entry.weights_trained_on is None:
        found.append(
            f"{method}: it is not known what its weights were trained on; † may be missing."
        )
    elif not entry.weights_trained_on_complete:
        found.append(
            f"{method}: the training data of its weights are only partly known; † may be missing."
        )
    return found
