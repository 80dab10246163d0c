"""Fig. 6b: recovery of models trained from scratch on one dataset, as a heat map."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports import models
from reports.style import MM, WIDTH, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.figures import Folders
    from reports.results import Results

_COLUMNS = 2
_MOST_WRITTEN = 12
"""Datasets up to which the number is written in each cell."""
_MOST_BESIDE = 22
"""Datasets up to which two maps stand side by side."""


def make(results: "Results", folders: "Folders") -> "tuple[Figure, str]":
    """Draw the figure of a study, and write its caption."""
    recovery = results.statistics("recovery")
    return draw(recovery), caption(recovery)


def matrix(recovery: "pd.DataFrame", method: str) -> "pd.DataFrame":
    """Percent: a row a dataset trained on, a column a dataset tested on, NaN for no value."""
    rows = recovery[(recovery["metric"] == models.METRIC) & (recovery["method"] == method)]
    wide = rows.pivot(index="trained_on", columns="tested_on", values="recovery_percent")
    trained, tested = sorted(wide.index), sorted(wide.columns)
    return wide.reindex(index=trained, columns=tested).astype(float)


def draw(recovery: "pd.DataFrame") -> "Figure":
    """Draw a map a method; frames mark models tested on the dataset that they were trained on."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    with styled():
        maps = _maps(recovery)
        if not maps:
            return nothing("No model was trained from scratch (training.models, or analysis.runs).")
        most = max(len(wide) for wide in maps.values())
        columns = min(len(maps), _COLUMNS if most <= _MOST_BESIDE else 1)
        lines = -(-len(maps) // columns)
        tall = max(24 + most * (8 if most <= _MOST_WRITTEN else 3), 40)
        figure = Figure(figsize=(WIDTH, tall * lines * MM), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        top = max(100.0, *(float(np.nanmax(wide.to_numpy())) for wide in maps.values()))
        for axes, (method, wide) in zip(panels, maps.items(), strict=False):
            shown = axes.imshow(wide, cmap="RdYlBu_r", vmin=0, vmax=top, aspect="auto")
            axes.set_facecolor("#DDDDDD")
            turned = 90 if len(wide.columns) > _MOST_WRITTEN or columns > 1 else 0
            axes.set_xticks(range(wide.shape[1]), list(wide.columns), rotation=turned)
            axes.set_yticks(range(wide.shape[0]), list(wide.index))
            axes.set_title(method, loc="left")
            axes.set_xlabel("Tested on")
            axes.set_ylabel("Trained on")
            for i, trained in enumerate(wide.index):
                for j, tested in enumerate(wide.columns):
                    value = float(wide.iloc[i, j])  # type: ignore[arg-type]
                    if wide.shape[1] <= _MOST_WRITTEN:
                        dark = value == value and not 0.15 < value / top < 0.88
                        text = f"{value:.0f}" if value == value else "\N{EN DASH}"
                        colour = "white" if dark else "#222222"
                        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=6)
                    if trained == tested:
                        frame = Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, lw=1.2, ec="black")
                        axes.add_patch(frame)
        for axes in panels[len(maps) :]:
            axes.set_visible(False)
        bar: Any = {"location": "bottom", "aspect": 50, "fraction": 0.05, "pad": 0.02}
        figure.colorbar(shown, ax=list(panels), label="Recovery (%)", **bar)
        return figure


def caption(recovery: "pd.DataFrame") -> str:
    """Caption from the numbers: recovery on the own dataset, and the best on another."""
    maps = _maps(recovery)
    if not maps:
        return "Recovery: none, since the study has no model trained from scratch."
    text = (
        "Recovery: DSC of a model trained from scratch on one dataset, in percent of that of the "
        "general model of the same name. Framed: tested on the dataset that it was trained on."
    )
    known = recovery[recovery["metric"] == models.METRIC].dropna(subset=["recovery_percent"])
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
    known = recovery[recovery["metric"] == models.METRIC].dropna(subset=["recovery_percent"])
    return {str(method): matrix(recovery, method) for method in known["method"].unique()}
