"""Definitions of the metrics: name, formula, direction, unit, range, empty masks and source."""

from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Literal, NamedTuple

Family = Literal["overlap", "distance", "shape"]


class IfEmpty(NamedTuple):
    """Value of a metric for empty masks, before `fill_empty`.

    NaN means that the metric is undefined, None that its formula gives a number.
    """

    reference: float | None
    prediction: float | None
    both: float | None


@dataclass(frozen=True)
class Metric:
    """Definition of a metric, as used by tables, figures and the command line."""

    name: str  # column of the score table
    label: str  # as printed in tables
    formula: str
    higher_is_better: bool | None  # None: no direction (descriptive, or best at 1 or 0)
    unit: str | None  # "mm", "1/mm", "mL", or None
    range: tuple[float, float]
    needs_spacing: bool
    family: Family
    source: str
    if_empty: IfEmpty

    @property
    def sign(self) -> float:
        """-1 if lower is better, else 1; the best value has the largest product with it."""
        return -1.0 if self.higher_is_better is False else 1.0


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def _overlap(
    name: str,
    label: str,
    formula: str,
    source: str,
    if_empty: IfEmpty,
    *,
    top: float = 1.0,
    higher_is_better: bool | None = True,
) -> Metric:
    span = (0.0, top)
    return Metric(
        name, label, formula, higher_is_better, None, span, False, "overlap", source, if_empty
    )


def _distance(name: str, label: str, formula: str, source: str) -> Metric:
    undefined = IfEmpty(nan, nan, nan)
    return Metric(
        name, label, formula, False, "mm", (0.0, inf), True, "distance", source, undefined
    )


_PAPER = "paper, section 5.3.4"
_LIBRARY = "as computed by google-deepmind/surface-distance"
_NO_OVERLAP = IfEmpty(0.0, 0.0, nan)
_NO_REFERENCE = IfEmpty(nan, 0.0, nan)

METRICS = _by_name(
    _overlap("dsc", "DSC", "2 TP / (2 TP + FP + FN)", f"{_PAPER}; Dice 1945", _NO_OVERLAP),
    _overlap("jaccard", "Jaccard", "TP / (TP + FP + FN)", "Jaccard 1912", _NO_OVERLAP),
    _overlap("sensitivity", "Sensitivity", "TP / (TP + FN)", _PAPER, _NO_REFERENCE),
    _overlap(
        "specificity",
        "Specificity",
        "TN / (TN + FP), TN over the whole scan",
        _PAPER,
        IfEmpty(None, 1.0, 1.0),
    ),
    _overlap("precision", "Precision", "TP / (TP + FP)", "standard", IfEmpty(0.0, nan, nan)),
    _overlap(
        "volume_ratio",
        "Volume ratio",
        "(TP + FP) / (TP + FN): predicted over reference volume, best at 1",
        "standard",
        _NO_REFERENCE,
        top=inf,
        higher_is_better=None,
    ),
    Metric(
        name="volume_difference",
        label="Volume difference (mL)",
        formula="(FP - FN) * volume of a voxel: predicted less reference volume, best at 0",
        higher_is_better=None,
        unit="mL",
        range=(-inf, inf),
        needs_spacing=True,
        family="overlap",
        source="standard",
        if_empty=IfEmpty(None, None, 0.0),
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
        if_empty=_NO_OVERLAP,
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
    _distance(
        "assd",
        "ASSD (mm)",
        "area-weighted mean of the surface distances of both directions together",
        f"Heimann et al. 2009, doi 10.1109/TMI.2009.2013851; distances {_LIBRARY}",
    ),
    _distance(
        "asd_to_reference",
        "ASD to reference (mm)",
        "area-weighted mean distance of the predicted surface to that of the reference",
        _LIBRARY,
    ),
    _distance(
        "asd_to_prediction",
        "ASD to prediction (mm)",
        "area-weighted mean distance of the reference's surface to the predicted one",
        _LIBRARY,
    ),
)
"""Metrics of a prediction by name, in the order of tables and of `benchmark.metrics.score`."""

PROMPT_REGION_METRICS = _by_name(
    _overlap(
        "sensitivity_in_prompt",
        "Sensitivity in the prompt",
        "TP / (TP + FN) in the region of the prompt",
        "this project",
        _NO_REFERENCE,
    ),
    _overlap(
        "specificity_in_prompt",
        "Specificity in the prompt",
        "TN / (TN + FP) in the region of the prompt: its box; for a 2D prompt, on all slices",
        "this project",
        IfEmpty(None, 1.0, 1.0),
    ),
)
"""Metrics of a prediction within the region of its prompt, computed if the study asks for them."""


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
    undefined = IfEmpty(nan, nan, nan)  # `benchmark.metrics.shape` refuses an empty mask
    return Metric(
        name, label, formula, None, unit, (0.0, top), needs_spacing, "shape", source, undefined
    )


SHAPE_METRICS = _by_name(
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
"""Shape metrics of an object by name, as computed by `benchmark.metrics.shape`."""

_DIRECTION = {True: "higher", False: "lower", None: ""}


def metric_rows() -> list[dict[str, str]]:
    """Describe each metric as a row of strings, for the documentation and the command line."""
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
            "reference empty": _text(metric.if_empty.reference),
            "prediction empty": _text(metric.if_empty.prediction),
            "both empty": _text(metric.if_empty.both),
            "source": metric.source,
        }
        for metric in (*METRICS.values(), *PROMPT_REGION_METRICS.values(), *SHAPE_METRICS.values())
    ]


def metrics_markdown() -> str:
    """Format `metric_rows` as the Markdown table of docs/metrics.md."""
    rows = metric_rows()
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _text(value: float | None) -> str:
    if value is None:
        return "by formula"
    return "undefined" if isnan(value) else f"{value:g}"
