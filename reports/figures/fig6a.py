"""Fig. 6a: DSC of reference methods, general and fine-tuned models, as bars by dataset."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import trained_models
from reports.figures import fig4a
from reports.formatting import count_noun, is_missing, p_statement
from reports.style import (
    CONTROL_MARKERS,
    MM,
    PAGE_MM,
    WIDTH,
    MethodStyle,
    legend_below,
    legend_columns,
    nothing,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reports.results import Results

_MOST_BARS = 150
"""Most bars in one row of the figure, at about a millimetre each."""
_COLUMNS = 4
_HATCHES = ("/////", "\\\\\\\\\\", "xxxxx", ".....", "-----", "|||||")
"""By the place of a control's marker, or the number of parts of another method's line."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    finetuning = results.statistics("finetuning")
    tests = results.statistics("finetuning_tests")
    return draw(finetuning, results.styles), caption(finetuning, tests, results.confidence)


def draw(finetuning: "pd.DataFrame", known: Mapping[str, MethodStyle]) -> "Figure":
    """Draw one group of bars per dataset; ``known`` holds the styles of the study's methods."""
    from matplotlib.figure import Figure

    with styled():
        long = trained_models.scores(finetuning)
        if long.empty:
            return nothing("No model was fine-tuned (training.models, or analysis.runs).")
        names = list(dict.fromkeys(long["method"]))
        wide = fig4a.table(long, names)
        styles = trained_models.styles_of(names, known)
        lines = -(-wide.size // _MOST_BARS)
        each = -(-len(wide) // lines)
        columns = legend_columns(names, _COLUMNS)
        legend = 5 + 4.2 * -(-len(names) // columns)
        height = min(52 * lines + legend, PAGE_MM)
        figure = Figure(figsize=(WIDTH, height * MM), layout="constrained")
        panels = figure.subplots(lines, 1, sharey=True, squeeze=False)[:, 0]
        for line, axes in enumerate(panels):
            _bars(axes, wide.iloc[line * each : (line + 1) * each], styles, each)
        legend_below(figure, panels[0], columns)
        return figure


def _bars(axes: "Axes", wide: "pd.DataFrame", styles: Mapping[str, MethodStyle], room: int) -> None:
    """Draw one group of bars per row of ``wide``; ``room`` is the number of groups that fit."""
    width = 0.84 / len(styles)
    for i, (name, style) in enumerate(styles.items()):
        places = np.arange(len(wide)) + (i - (len(styles) - 1) / 2) * width
        fill: Any = {"color": style.colour, "hatch": _hatch(style), "edgecolor": "white", "lw": 0}
        axes.bar(places, wide[name], width * 0.92, label=name, **fill)
    turned = 90 if room > 24 else 0
    axes.set_xticks(range(len(wide)), [str(name) for name in wide.index], rotation=turned)
    axes.set_xlim(-0.6, room - 0.4)
    axes.set_ylim(0, 1)
    axes.set_ylabel("DSC")
    axes.set_axisbelow(True)
    axes.grid(axis="y")


def _hatch(style: MethodStyle) -> str | None:
    if style.line == "-":
        return None
    control = CONTROL_MARKERS.find(style.marker)
    return _HATCHES[control if control >= 0 else len(style.dash) // 2 - 1]


def caption(finetuning: "pd.DataFrame", tests: "pd.DataFrame", confidence: str) -> str:
    """Return the caption: the gain by fine-tuning, and the gain over each reference.

    ``confidence``: the level of the intervals as text.
    """
    long = trained_models.scores(finetuning)
    if long.empty:
        return "DSC after fine-tuning: none, since the study has no fine-tuned model."
    count = long["dataset"].nunique()
    text = (
        f"DSC of general and fine-tuned models on {count_noun(count, 'dataset')}; a "
        "fine-tuned model was trained on a part of the dataset that it is tested on."
    )
    rows = tests[(tests["metric"] == trained_models.METRIC) & tests["chosen"].astype(bool)]
    for row in rows.to_dict("records"):
        if row["n"]:
            reference = "" if is_missing(row["reference"]) else f" ({row['reference']})"
            told = f"{row['method']}, {row['comparison']}{reference}"
            text += f" {told}: mean {row['difference']:+.3f} ({_verdict(row, confidence)})."
    known = finetuning[finetuning["metric"] == trained_models.METRIC]
    has_score = known["reference_value"].notna().groupby(known["reference"], sort=False).any()
    if absent := [str(name) for name, known in has_score.items() if not known]:
        text += f" Without any score (why: table lost_runs): {', '.join(absent)}."
    return text


def _verdict(row: Mapping[Any, Any], confidence: str) -> str:
    """Return interval, P value and number of datasets of a test."""
    number = f"n = {int(row['n'])}"
    if is_missing(row["p"]):
        return f"P not computable; {number}"
    of = "" if row["test"] == "paired t" else " of the pseudomedian"
    interval = f"{confidence} interval{of} {row['low']:+.3f} to {row['high']:+.3f}"
    return f"{interval}; {p_statement(float(row['p']))}, {row['test']}; {number}"
