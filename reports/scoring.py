"""How the scores were made, as far as it changes what they mean, and where nothing was predicted.

The rules in force are read from the study's record; without them nothing is said.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.results import Results

_DISTANCE = {
    "diagonal": "HD95 and ASD are the diagonal of the scan",
    "leave-out": "HD95 and ASD have no value, and their means leave the cell out",
}


def told(results: "Results") -> list[str]:
    """Sentences on empty predictions, their number, the tolerance of NSD, and spacings."""
    sentences = (empty(results), counted(results), tolerance(results), *spacing(results))
    return [sentence for sentence in sentences if sentence]


def empty(results: "Results") -> str:
    """What the metrics are where a method predicted nothing for an object that is there."""
    distance = _DISTANCE.get(str(_rules(results).get("empty", {}).get("distance")))
    if distance is None:
        return ""
    return (
        "If a method predicted nothing for an object that is there, its DSC, sensitivity and "
        f"NSD are 0, and its {distance}."
    )


def counted(results: "Results") -> str:
    """How often each method predicted nothing, controls apart; empty where nobody can tell."""
    counts = {m: n for m, n in results.empty.items() if m not in results.controls}
    if not counts:
        return ""
    some = [f"{m} in {n} of {cells} scored cells" for m, (n, cells) in counts.items() if n]
    if not some:
        return "Every scored cell has a prediction."
    return f"Nothing was predicted by {', by '.join(some)}."


def tolerance(results: "Results") -> str:
    """How near the surfaces must be for NSD."""
    rules = _rules(results)
    if "nsd_tolerance_mm" not in rules:
        return ""
    own: Mapping[str, float] = rules.get("tolerances") or {}
    values = [f"{rules['nsd_tolerance_mm']:g} mm", *(f"{mm:g} mm for {s}" for s, mm in own.items())]
    return (
        f"The tolerance of NSD is {', '.join(values)}; the entry of a dataset may set its own "
        "for a structure."
    )


def spacing(results: "Results") -> list[str]:
    """What is to be known of the spacing of scored datasets, and so of their NSD, HD95 and ASD."""
    scored = {name: entry for name, entry in results.datasets.items() if entry.get("scans")}
    notes = {name: entry.get("spacing_note") for name, entry in scored.items()}
    return [f"{name}: {note}" for name, note in notes.items() if note]


def _rules(results: "Results") -> dict[str, Any]:
    return dict(results.record.get("scoring") or {})
