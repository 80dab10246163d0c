"""What each metric is: name, formula, direction, unit, range, source."""

from dataclasses import dataclass
from math import inf
from typing import Literal

Family = Literal["overlap", "distance", "shape"]


@dataclass(frozen=True)
class Metric:
    """One metric, as tables, figures and the command line describe it."""

    name: str  # column of the score table
    label: str  # as printed in tables
    formula: str
    higher_is_better: bool | None  # None: no direction (a description, or best at 1)
    unit: str | None  # "mm", "1/mm", or None
    range: tuple[float, float]
    needs_spacing: bool
    family: Family
    source: str


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def _overlap(name: str, label: str, formula: str, source: str) -> Metric:
    return Metric(name, label, formula, True, None, (0.0, 1.0), False, "overlap", source)


def _distance(name: str, label: str, formula: str, source: str) -> Metric:
    return Metric(name, label, formula, False, "mm", (0.0, inf), True, "distance", source)


_PAPER = "paper, section 5.3.4"
_LIBRARY = "as computed by google-deepmind/surface-distance"

METRICS = _by_name(
    _overlap("dsc", "DSC", "2 TP / (2 TP + FP + FN)", f"{_PAPER}; Dice 1945"),
    _overlap("jaccard", "Jaccard", "TP / (TP + FP + FN)", "Jaccard 1912"),
    _overlap("sensitivity", "Sensitivity", "TP / (TP + FN)", _PAPER),
    _overlap("specificity", "Specificity", "TN / (TN + FP), TN over the whole scan", _PAPER),
    _overlap("precision", "Precision", "TP / (TP + FP)", "standard"),
    Metric(
        name="volume_ratio",
        label="Volume ratio",
        formula="(TP + FP) / (TP + FN): predicted over reference volume, best at 1",
        higher_is_better=None,
        unit=None,
        range=(0.0, inf),
        needs_spacing=False,
        family="overlap",
        source="standard",
    ),
    Metric(
        name="nsd",
        label="NSD",
        formula="area of both surfaces within the tolerance of the other / area of both surfaces",
        higher_is_better=True,
        unit=None,
        range=(0.0, 1.0),
        needs_spacing=True,
        family="distance",
        source=f"{_PAPER}; Nikolov et al. 2021, doi 10.2196/26151; {_LIBRARY}",
    ),
    _distance(
        "hd95",
        "HD95 (mm)",
        "larger of the two directed area-weighted 95th percentiles of surface distance",
        f"{_PAPER}; {_LIBRARY}",
    ),
    _distance(
        "hd",
        "HD (mm)",
        "larger of the two directed maxima of surface distance",
        f"Hausdorff distance; {_LIBRARY}",
    ),
    _distance(
        "asd",
        "ASD (mm)",
        "mean of the two directed area-weighted mean surface distances",
        f"{_PAPER}; {_LIBRARY}",
    ),
)
"""Metrics of a prediction, in the order of the tables; the keys of `benchmark.metrics.score`."""


def _shape(
    name: str,
    label: str,
    formula: str,
    source: str,
    *,
    unit: str | None = None,
    top: float = 1.0,
    needs_spacing: bool = True,
) -> Metric:
    return Metric(name, label, formula, None, unit, (0.0, top), needs_spacing, "shape", source)


SHAPES = _by_name(
    _shape(
        "box_ratio",
        "Box ratio",
        "|M| / |tightest box of M|",
        f"{_PAPER}, after BiomedParse",
        needs_spacing=False,
    ),
    _shape(
        "convex_ratio",
        "Convex ratio",
        "|M| / |convex hull of M's voxel corners|",
        f"{_PAPER}, after BiomedParse",
        needs_spacing=False,
    ),
    _shape(
        "iri",
        "IRI",
        "rotational inertia of the disc (3D: ball) of M's size / that of M about its centroid",
        f"2D: {_PAPER}, after BiomedParse; 3D: extension by this project",
    ),
    _shape(
        "elongation",
        "Elongation",
        "sqrt(smallest / largest principal second moment)",
        "standard",
    ),
    _shape(
        "surface_to_volume",
        "Surface to volume (1/mm)",
        "marching-cubes area / volume (3D only)",
        f"standard; areas as in surface distances, {_LIBRARY}",
        unit="1/mm",
        top=inf,
    ),
)
"""Descriptions of one object, not of a prediction; the keys of `benchmark.metrics.shape`."""

_DIRECTION = {True: "higher", False: "lower", None: ""}


def table() -> list[dict[str, str]]:
    """One row a metric, all text, for the documentation and the command line."""
    return [
        {
            "name": metric.name,
            "label": metric.label,
            "family": metric.family,
            "better": _DIRECTION[metric.higher_is_better],
            "unit": metric.unit or "",
            "range": f"{metric.range[0]:g} to {metric.range[1]:g}",
            "spacing": "yes" if metric.needs_spacing else "no",
            "formula": metric.formula,
            "source": metric.source,
        }
        for metric in (*METRICS.values(), *SHAPES.values())
    ]
