"""Notes on the scoring rules in force and on empty predictions.

The rules are read from the study's record; without them the notes are empty.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.storage.tables import read_table

if TYPE_CHECKING:
    from reports.results import Results

_DISTANCE = {
    "diagonal": "HD95 and ASD are the diagonal of the scan",
    "leave-out": "HD95 and ASD have no value, and their means leave the cell out",
}


def notes(results: "Results") -> list[str]:
    """Return notes on empty predictions and their number, the NSD tolerance, and spacings."""
    sentences = (
        empty_rule(results),
        empty_counts(results),
        nsd_tolerance(results),
        below_voxel(results),
        *spacing_notes(results),
    )
    return [sentence for sentence in sentences if sentence]


def empty_rule(results: "Results") -> str:
    """Say how metrics are scored where a method predicts nothing for an object."""
    distance = _DISTANCE.get(str(_rules(results).get("empty", {}).get("distance")))
    if distance is None:
        return ""
    return (
        "If a method predicted nothing for an object that is there, its DSC, sensitivity and "
        f"NSD are 0, and its {distance}."
    )


def empty_counts(results: "Results") -> str:
    """Say how often each method, except controls, predicted nothing; empty if unknown."""
    counts = {m: n for m, n in results.empty_predictions.items() if m not in results.controls}
    if not counts:
        return ""
    some = [f"{m} in {n} of {cells} scored cells" for m, (n, cells) in counts.items() if n]
    if not some:
        return "Every scored cell has a prediction."
    return f"Nothing was predicted by {', by '.join(some)}."


def nsd_tolerance(results: "Results") -> str:
    """State the tolerance of NSD in mm, with what entries of datasets set; empty if unknown."""
    rules = _rules(results)
    if "nsd_tolerance_mm" not in rules:
        return ""
    own: Mapping[str, float] = rules.get("tolerances") or {}
    usual = float(rules["nsd_tolerance_mm"])
    text = ", ".join([f"{usual:g} mm", *(f"{mm:g} mm for {name}" for name, mm in own.items())])
    scored = results.nsd_tolerances
    differing = [
        f"{row['tolerance_mm']:g} mm for {row['structure']} of {row['dataset']}"
        for row in scored.to_dict("records")
        if row["tolerance_mm"] != own.get(row["structure"], usual)
    ]
    if differing:
        text += f"; set by entries of datasets: {', '.join(differing)}"
    return f"The tolerance of NSD is {text}."


def below_voxel(results: "Results") -> str:
    """Name the datasets whose voxels are larger than the tolerance of NSD; empty if none are.

    A dataset counts if the smallest spacing of most of its scans exceeds the tolerance. Tolerances
    of single structures are not looked at.
    """
    tolerance = _rules(results).get("nsd_tolerance_mm")
    if tolerance is None:
        return ""
    images = read_table(
        results.folder / "images.parquet", ["dataset", *(f"spacing_{axis}" for axis in "zyx")]
    )
    smallest = images.set_index("dataset").min(axis=1)
    medians = smallest.groupby(level="dataset", sort=False).median()
    coarse = [f"{name} ({mm:g} mm)" for name, mm in medians[medians > tolerance].items()]
    if not coarse:
        return ""
    return (
        f"Voxels are larger than the tolerance of NSD in {', '.join(coarse)}: there, only parts of "
        "the surface that are hit exactly count, and NSD is lower than its name suggests."
    )


def spacing_notes(results: "Results") -> list[str]:
    """Return the caveats on the spacing of datasets with scans, which affect NSD, HD95 and ASD."""
    return [
        f"{name}: {entry.spacing_note}"
        for name, entry in results.dataset_records.items()
        if entry.scans and entry.spacing_note
    ]


def _rules(results: "Results") -> dict[str, Any]:
    return dict(results.record.get("scoring") or {})
