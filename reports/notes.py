"""What every table says below its numbers: missing weights, and what weights were trained on."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.results import Results

TRAINED_ON = (
    "† The weights of the method were trained on this data, or on other data of the same source "
    "collection: no measure of how it does on new data."
)


def notes(results: "Results") -> list[str]:
    """One sentence or two a matter, in the order of the methods."""
    known = results.record.get("methods", {})
    found = [TRAINED_ON] if results.overall["contaminated"].sum() else []
    for method in results.columns:
        found += _of_method(method, known.get(method, {}))
    return found


def _of_method(method: str, entry: dict[str, Any]) -> list[str]:
    if not entry.get("weights"):
        return []
    found = []
    if entry.get("weights_state", "ready") != "ready":
        found.append(
            f"{method}: skipped, its weights are not there. To get them: "
            f"{entry.get('weights_command') or entry.get('weights_reason')}"
        )
    if entry.get("weights_trained_on") is None:
        found.append(
            f"{method}: nobody has told what its weights were trained on; † may be missing."
        )
    elif not entry.get("weights_trained_on_complete", True):
        found.append(
            f"{method}: not all that its weights were trained on is known; † may be missing."
        )
    return found
