"""Fig. 6d-g: one panel per ablation: DSC by setting over datasets, P value, and cost."""

import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reports import level_boxes, trained_models
from reports.figures.fig4d import duration
from reports.formatting import is_missing, p_statement
from reports.style import COLOURS, CONTROL, MM, PAGE_MM, SMALL, WIDTH, nothing, styled
from reports.supplement import COSTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reports.results import Results

TEST = "repeated-measures ANOVA"
"""The test shown: all settings are evaluated on the same datasets."""
_COLUMNS = 2
_LINE = 8.5
"""Line height of the settings' names, in points."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    names = ("ablation", "ablation_overall", "ablation_tests")
    ablation, overall, tests = (results.statistics(name) for name in names)
    return draw(ablation, overall, tests), caption(ablation, overall)


def draw(ablation: "pd.DataFrame", overall: "pd.DataFrame", tests: "pd.DataFrame") -> "Figure":
    """Draw one panel per ablation and method, with the default setting in colour.

    If the settings differ in cost, the cost of an object is written below each.
    """
    from matplotlib.figure import Figure

    with styled():
        rows = ablation[ablation["metric"] == trained_models.METRIC]
        keys = list(dict.fromkeys(zip(rows["ablation"], rows["method"], strict=True)))
        if not keys:
            return nothing("No ablation was run (training.ablations, or analysis.runs).")
        columns = min(len(keys), _COLUMNS)
        lines = -(-len(keys) // columns)
        told = {key: costs(overall, *key) for key in keys}
        height = min(58 + 6 * any(told.values()), (PAGE_MM - 6) / lines)
        figure = Figure(figsize=(WIDTH, (6 + height * lines) * MM), layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for axes, (name, method) in zip(panels, keys, strict=False):
            part = rows[(rows["ablation"] == name) & (rows["method"] == method)]
            part = part.dropna(subset=["mean"])
            _panel(axes, part, told[name, method])
            axes.set_title(f"{name} ({method})", loc="left", pad=14)
            above: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
            axes.annotate(verdict(tests, name, method), (0, 1), (0, 4), fontsize=6, **above)
        for axes in panels[::columns]:
            axes.set_ylabel("DSC")
        for axes in panels[len(keys) :]:
            axes.set_visible(False)
        return figure


def _panel(axes: "Axes", part: "pd.DataFrame", costs: Mapping[str, str]) -> None:
    settings = list(dict.fromkeys(part["setting"]))
    default = set(part.loc[part["default"].astype(bool), "setting"])
    of = [part[part["setting"] == setting].set_index("dataset") for setting in settings]
    colours = [COLOURS[0] if setting in default else CONTROL for setting in settings]
    level_boxes.boxes(axes, [rows["mean"] for rows in of], colours, [rows["sd"] for rows in of])
    names = [_wrapped(setting) for setting in settings]
    axes.set_xticks(range(1, len(settings) + 1), names)
    below = -(8 + _LINE * max(name.count("\n") + 1 for name in names))
    for place, setting in enumerate(settings, start=1):
        axes.annotate(
            costs.get(setting, ""),
            (place, 0),
            (0, below),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=SMALL,
            color="#555555",
        )
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y")


def costs(overall: "pd.DataFrame", ablation: str, method: str) -> dict[str, str]:
    """Return operations and time per object by setting; empty if all settings cost the same."""
    rows = overall[(overall["ablation"] == ablation) & (overall["method"] == method)]
    rows = rows[rows["metric"] == trained_models.METRIC]
    told = {
        str(row["setting"]): "\n".join(
            printed(row[name]) for name, printed in _COSTS.items() if not is_missing(row[name])
        )
        for row in rows.to_dict("records")
    }
    return told if len(set(told.values())) > 1 else {}


def operations(flops: float) -> str:
    """Format a number of operations with three significant digits and an SI prefix."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter("FLOP")(float(f"{flops:.3g}"))


_COSTS: Mapping[str, Callable[[float], str]] = {"flops": operations, "seconds": duration}


def verdict(tests: "pd.DataFrame", ablation: str, method: str) -> str:
    """State the test's P value, and on how many datasets the default setting is best."""
    rows = tests[(tests["ablation"] == ablation) & (tests["method"] == method)]
    rows = rows[(rows["metric"] == trained_models.METRIC) & (rows["test"] == TEST)]
    if rows.empty or rows["p"].isna().all():
        return "P not computable"
    row = rows.iloc[0]
    text = f"{p_statement(float(row['p']))} (n = {int(row['n'])})"
    if not is_missing(row["wins_of_default"]):
        text += f"; {row['default']} best on {int(row['wins_of_default'])}"
    return text


def caption(ablation: "pd.DataFrame", overall: "pd.DataFrame") -> str:
    """Return the caption: the mean of each setting, and its spread over seeds."""
    rows = ablation[ablation["metric"] == trained_models.METRIC]
    if rows.empty:
        return "Ablations: none, since the study has no runs of them."
    means = overall[overall["metric"] == trained_models.METRIC]
    seeds = int(means["runs"].max())
    text = "DSC by setting; each point is a dataset; the model's own setting is in colour. "
    text += level_boxes.shapes(rows["dataset"].nunique())
    if seeds > 1:
        text += " Line through a point, and ± below: SD over the seeds of a model."
    groups = list(means.groupby(["ablation", "method"], sort=False))
    if any(costs(overall, str(name), str(method)) for (name, method), _ in groups):
        text += f" Below a setting: operations and time per object. {COSTS}"
    text += f" P: {TEST} over the datasets that have all settings."
    for (name, method), part in groups:
        told = ", ".join(_mean(row) for row in part.dropna(subset=["mean"]).to_dict("records"))
        text += f" {name} ({method}): {told}."
    return text


def _mean(row: Mapping[Any, Any]) -> str:
    several = f" ± {row['sd_runs']:.3f} ({int(row['runs'])} seeds)" if row["runs"] > 1 else ""
    return f"{row['setting']} {row['mean']:.3f}{several}"


def _wrapped(setting: object) -> str:
    return "\n".join(textwrap.wrap(str(setting), 12))
