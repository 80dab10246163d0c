"""What is said below numbers: weights, what they were trained on, missing ones."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

TRAINED_ON = (
    "† The weights of the method were trained on this data, or on other data of the same source "
    "collection, so the score does not measure how well it does on new data."
)


def trained_on(by_dataset: "pd.DataFrame") -> str:
    """Say whose weights were trained on datasets of ``by_dataset``; empty where none were."""
    seen = by_dataset[by_dataset["contaminated"] > 0].groupby("method", sort=False)["dataset"]
    told = [f"{method} on {count}" for method, count in seen.nunique().items()]
    return f"Weights were trained on datasets shown here: {', '.join(told)}." if told else ""


def notes(results: "Results") -> list[str]:
    """One sentence or two a matter, in the order of the methods."""
    known = results.record.get("methods", {})
    found = [TRAINED_ON] if results.overall["contaminated"].sum() else []
    for method in results.columns:
        found += _of_method(method, known.get(method, {}))
    return found


def weights(results: "Results") -> str:
    """Say with which weights, and under which protocol, methods ran; empty where none has any.

    For what is read apart from the report, which names them at its head: a name such as pam-2dmask
    is the paper's, whatever it ran with.
    """
    groups: dict[str, list[str]] = {}
    for method, entry in results.record.get("methods", {}).items():
        if entry.get("weights"):
            protocol = (entry.get("options") or {}).get("protocol")
            name = entry.get("weights_name")
            what = f"{name} ({entry['weights']})" if name else entry["weights"]
            under = f", under the protocol {protocol}" if protocol else ""
            groups.setdefault(f"{what}{under}", []).append(method)
    told = "; ".join(f"{', '.join(methods)}: {what}" for what, methods in groups.items())
    return f"Weights: {told}." if told else ""


def _of_method(method: str, entry: dict[str, Any]) -> list[str]:
    if not entry.get("weights"):
        return []
    found = []
    if entry.get("weights_state", "ready") != "ready":
        found.append(
            f"{method}: skipped because its weights are missing. To get them: "
            f"{entry.get('weights_command') or entry.get('weights_reason')}"
        )
    if entry.get("weights_trained_on") is None:
        found.append(
            f"{method}: it is not known what its weights were trained on; † may be missing."
        )
    elif not entry.get("weights_trained_on_complete", True):
        found.append(
            f"{method}: the training data of its weights are only partly known; † may be missing."
        )
    return found
