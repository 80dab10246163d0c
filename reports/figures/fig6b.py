"""Fig. 6b: recovery of models trained from scratch on one dataset, as a heat map."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import trained_models
from reports.style import MM, PAGE_MM, WIDTH, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

_COLUMNS = 2
_MOST_WRITTEN = 12
"""Most datasets for which numbers are written into the cells."""
_APART_MM = 2.8
"""Least distance of the names of datasets beside a map."""
_AROUND_MM = 16.0
"""Height and width of what is around a map."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    recovery = results.statistics("recovery")
    return draw(recovery), caption(recovery)


def matrix(recovery: "pd.DataFrame", method: str) -> "pd.DataFrame":
    """Return recovery in percent: rows are training, columns test datasets; NaN if missing."""
    rows = recovery[(recovery["metric"] == trained_models.METRIC) & (recovery["method"] == method)]
    wide = rows.pivot(index="trained_on", columns="tested_on", values="recovery_percent")
    trained, tested = sorted(wide.index), sorted(wide.columns)
    return wide.reindex(index=trained, columns=tested).astype(float)


def draw(recovery: "pd.DataFrame") -> "Figure":
    """Draw one map per method; frames mark models tested on the dataset they were trained on."""
    import seaborn
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    with styled():
        maps = _maps(recovery)
        if not maps:
            return nothing("No model was trained from scratch (training.models, or analysis.runs).")
        most = max(len(wide) for wide in maps.values())
        columns = min(len(maps), _COLUMNS)
        lines = -(-len(maps) // columns)
        natural = max(24 + most * (8 if most <= _MOST_WRITTEN else 3), 40)
        tall = min(natural, PAGE_MM / lines)
        each = [_every(most, (180 / columns, tall)[side] - _AROUND_MM) for side in (0, 1)]
        figure = Figure(figsize=(WIDTH, tall * lines * MM), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        top = max(120.0, *(float(np.nanmax(wide.to_numpy())) for wide in maps.values()))
        for axes, (method, wide) in zip(panels, maps.items(), strict=False):
            written = len(wide.columns) <= _MOST_WRITTEN
            numbers: Any = {"annot": written, "fmt": ".0f", "annot_kws": {"size": 6}}
            scale: Any = {"cmap": "RdYlBu_r", "norm": TwoSlopeNorm(100, 0, top), "cbar": False}
            # Rasterised, since viewers draw hairlines between vector cells.
            ways: Any = {"xticklabels": each[0], "yticklabels": each[1], "rasterized": True}
            seaborn.heatmap(wide, ax=axes, **scale, **numbers, **ways)
            axes.set_facecolor("#DDDDDD")
            turned = 0 if written and columns == 1 else 90
            axes.tick_params("x", rotation=turned)
            axes.tick_params("y", rotation=0)
            axes.set_title(method, loc="left")
            axes.set(xlabel="Tested on", ylabel="Trained on")
            if written:
                for i, j in np.argwhere(wide.isna().to_numpy()):
                    axes.text(j + 0.5, i + 0.5, "\N{EN DASH}", ha="center", va="center", size=6)
            for i, j in np.argwhere(np.equal.outer(wide.index, wide.columns)):
                axes.add_patch(Rectangle((j, i), 1, 1, fill=False, lw=1.2, ec="black"))
        for axes in panels[len(maps) :]:
            axes.set_visible(False)
        bar: Any = {"location": "bottom", "aspect": 50, "fraction": 0.05, "pad": 0.02}
        figure.colorbar(panels[0].collections[0], ax=list(panels), label="Recovery (%)", **bar)
        return figure


def _every(count: int, room: float) -> int:
    """Return n, such that every n-th of ``count`` names fits into a room in mm."""
    return max(math.ceil(count * _APART_MM / room), 1)


def caption(recovery: "pd.DataFrame") -> str:
    """Return the caption: recovery on the training dataset, and the best on another."""
    maps = _maps(recovery)
    if not maps:
        return "Recovery: none, since the study has no model trained from scratch."
    text = (
        "Recovery: DSC of a model trained from scratch on one dataset, in percent of that of the "
        "general model of the same name. Framed: tested on the dataset that it was trained on. "
        "Pale yellow: as good as the general model."
    )
    known = _known(recovery)
    for method in maps:
        rows = known[known["method"] == method]
        own = rows.loc[rows["own"].astype(bool), "recovery_percent"]
        if len(own):
            text += f" {method}, own dataset: {own.min():.1f} to {own.max():.1f} %."
        other = rows[~rows["own"].astype(bool)]
        if len(other):
            best = other.loc[other["recovery_percent"].idxmax()]
            text += (
                f" {method}, highest on another: {best['recovery_percent']:.1f} % "
                f"({best['trained_on']} to {best['tested_on']})."
            )
    return text


def _maps(recovery: "pd.DataFrame") -> "dict[str, pd.DataFrame]":
    known = _known(recovery)
    return {str(method): matrix(recovery, method) for method in known["method"].unique()}


def _known(recovery: "pd.DataFrame") -> "pd.DataFrame":
    rows = recovery[recovery["metric"] == trained_models.METRIC]
    return rows.dropna(subset=["recovery_percent"])
