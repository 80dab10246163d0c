"""Fig. 5b-d: change of DSC against box ratio, convex ratio and IRI of the object."""

from typing import TYPE_CHECKING

import numpy as np

from reports.cases import links
from reports.formatting import is_missing, p_statement
from reports.style import MM, MODALITIES, OTHER, WIDTH, legend_below, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

SHAPE_LABELS = {"box_ratio": "Box ratio", "convex_ratio": "Convex ratio", "iri": "IRI"}
DIMENSION = "2d"
"""Shape on the largest slice, as in the paper; the table also has the 3D shapes."""
_MOST_PAIRS = 4


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    values, found = results.statistics("regularity_values"), results.statistics("regularity")
    return draw(values, found), caption(values, found) if pairs(values) else without(results)


def without(results: "Results") -> str:
    """Return the caption of a study without a pair of methods, which says why."""
    controls = {*results.controls, *results.analysis.controls}
    compared = [method for method in results.methods if method not in controls]
    named = results.analysis.reference
    if named in controls:
        why = f"the reference method that the study names, {named}, is a control"
    elif not compared:
        why = "there is no reference method, since every method is a control"
    elif len(compared) == 1:
        why = f"{compared[0]} is the only method that is not a control"
    else:
        why = "no object has a shape and scores of two methods"
    return f"Change of DSC over shape: none, since {why}."


def pairs(values: "pd.DataFrame") -> list[tuple[str, str]]:
    """Return the drawn (method, reference method) pairs, those with the same prompt first."""
    order = values[values["dimension"] == DIMENSION].drop_duplicates(["method", "reference"])
    order = order.sort_values("same_prompt", ascending=False, kind="stable")
    return list(zip(order["method"], order["reference"], strict=True))[:_MOST_PAIRS]


def draw(values: "pd.DataFrame", found: "pd.DataFrame") -> "Figure":
    """Draw one row per pair of methods, one column per shape; points are a dataset's structures."""
    from matplotlib.figure import Figure

    with styled():
        drawn = pairs(values)
        if not drawn:
            return nothing("No pair of methods has scores of objects whose shape is known.")
        figure = Figure(figsize=(WIDTH, (12 + 48 * len(drawn)) * MM), layout="constrained")
        panels = figure.subplots(
            len(drawn), len(SHAPE_LABELS), sharey="row", sharex="col", squeeze=False
        )
        rows = values[values["dimension"] == DIMENSION]
        for line, (method, reference) in zip(panels, drawn, strict=True):
            mine = rows[(rows["method"] == method) & (rows["reference"] == reference)]
            for axes, (shape, name) in zip(line, SHAPE_LABELS.items(), strict=True):
                for modality, part in mine.groupby("modality", sort=False):
                    colour = MODALITIES.get(str(modality), OTHER)
                    axes.plot(
                        part[shape], part["change"], ".", color=colour, ms=3.5, label=str(modality)
                    )
                    names = zip(part["dataset"], part["structure"], strict=True)
                    places = [links.cases(str(d), str(s)) for d, s in names]
                    links.mark(axes, part[shape], part["change"], places)
                both = mine[[shape, "change"]].dropna()
                if len(both) > 2 and both[shape].nunique() > 1:
                    slope, start = np.polyfit(both[shape], both["change"], 1)
                    ends = np.array([both[shape].min(), both[shape].max()])
                    axes.plot(ends, start + slope * ends, color="#333333", lw=0.8)
                axes.axhline(0, color="#999999", lw=0.5)
                axes.set_title(_told(found, method, reference, shape), fontweight="normal")
                if line is panels[-1]:
                    axes.set_xlabel(name)
            line[0].set_ylabel(f"DSC of {method}\nminus {reference}")
        legend_below(figure, panels[0, 0])
        return figure


def caption(values: "pd.DataFrame", found: "pd.DataFrame") -> str:
    """Return the caption of at least one pair."""
    drawn = pairs(values)
    total = values[["method", "reference"]].drop_duplicates().shape[0]
    text = (
        "Change of DSC from the reference method by the shape of the object on its largest "
        "slice (1: regular); each point is a structure of a dataset. r: Pearson's correlation."
    )
    shown = [
        rows
        for method, reference in drawn
        for shape in SHAPE_LABELS
        if len(rows := _correlation(found, method, reference, shape))
    ]
    if any(rows["p"].notna().any() for rows in shown):
        text += " P: from draws of collections of datasets, not corrected for the panels."
    reasons = {str(why) for rows in shown for why in rows.loc[rows["p"].isna(), "reason"].dropna()}
    if reasons:
        text += f" Without P: {'; '.join(sorted(reasons))}."
    if total > len(drawn):
        text += f" {len(drawn)} of {total} pairs are drawn; all are in statistics/regularity.csv."
    return text


def _correlation(found: "pd.DataFrame", method: str, reference: str, shape: str) -> "pd.DataFrame":
    """Return the row of the correlation that a panel shows; empty without one."""
    keys = {"method": method, "reference": reference, "shape": shape, "dimension": DIMENSION}
    keys |= {"unit": "structure", "modality": "all", "correlation": "pearson"}
    rows = found
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    return rows


def _told(found: "pd.DataFrame", method: str, reference: str, shape: str) -> str:
    rows = _correlation(found, method, reference, shape)
    if rows.empty or rows["r"].isna().all():
        return "r not computable"
    row = rows.iloc[0]
    r = f"{row['r']:.2f}".replace("-", "\N{MINUS SIGN}")
    if is_missing(row["p"]):
        return f"r = {r} (n = {int(row['n'])})"
    return f"r = {r}, {p_statement(float(row['p']))} (n = {int(row['n'])})"
