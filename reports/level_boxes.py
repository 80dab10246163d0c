"""Box plots of dataset means by level of a factor (deviation, thickness), a panel per method."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.cases import links
from reports.formatting import count_noun, is_missing, p_statement
from reports.style import MM, WIDTH, MethodStyle, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SELECTION = "all"
"""Objects that the boxes show, as in the paper; equivalence is tested on the affected ones."""
MIN_POINTS_FOR_BOX = 5
"""Points needed to draw a box; with fewer, only their mean is drawn."""
_COLUMNS = 3
_EQUIVALENCE = "TOST"
_ANOVAS = {"one-way ANOVA": "ANOVA", "repeated-measures ANOVA": "repeated measures"}


def draw(
    values: "pd.DataFrame",
    tests: "pd.DataFrame",
    styles: Mapping[str, MethodStyle],
    axis: str,
    name: Callable[[float], str],
) -> "Figure":
    """Draw one panel per method from an analysis's tables of values and tests.

    ``values`` and ``tests`` are the tables ``<analysis>_values`` and ``<analysis>_tests`` of
    stability or thickness. ``axis`` labels the x axis; ``name`` formats the tick label of a level.
    """
    from matplotlib.figure import Figure

    with styled():
        rows = values[values["selection"] == SELECTION]
        methods = [method for method in styles if method in set(rows["method"])]
        if not methods:
            return nothing(f"No method was run at more than one level of: {axis}.")
        lines = -(-len(methods) // _COLUMNS)
        columns = min(_COLUMNS, len(methods))
        figure = Figure(figsize=(WIDTH, (8 + 52 * lines) * MM), layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for axes, method in zip(panels, methods, strict=False):
            part = rows[rows["method"] == method]
            levels = sorted(part["level"].unique())
            of = [part[part["level"] == level].set_index("dataset") for level in levels]
            means = [rows["mean"].dropna() for rows in of]
            boxes(axes, means, [styles[method].colour] * len(levels))
            places = np.arange(1, len(levels) + 1)
            lines_of = part.pivot(index="dataset", columns="level", values="mean")
            lines_of = lines_of.loc[part["dataset"].unique(), levels]  # in the order of the points
            for shift, line in zip(_spread(len(lines_of)), lines_of.to_numpy(), strict=True):
                axes.plot(places + shift, line, color="#999999", lw=0.4, alpha=0.5, zorder=1)
            axes.set_xticks(range(1, len(levels) + 1), [name(float(level)) for level in levels])
            axes.set_title(method, loc="left")
            axes.set_ylim(0, 1.02)
            axes.set_xlabel(f"{axis}\n{verdict(tests, method)}", fontsize=6)
            axes.grid(axis="y")
        for axes in panels[::columns]:
            axes.set_ylabel("DSC")
        for axes in panels[len(methods) :]:
            axes.set_visible(False)
        return figure


def boxes(
    axes: "Axes",
    values: "Sequence[pd.Series[float]]",
    colours: Sequence[str],
    errors: "Sequence[pd.Series[float]] | None" = None,
) -> None:
    """Draw each series of ``values`` at x = 1, 2, ...: its points, and a box or their mean.

    The index of a series names the datasets, to whose cases the points lead. A box needs
    `MIN_POINTS_FOR_BOX` points. ``errors``: half-lengths of the error bars; NaN draws none.
    """
    for place, (points, colour) in enumerate(zip(values, colours, strict=True), start=1):
        if len(points) >= MIN_POINTS_FOR_BOX:
            _box(axes, place, points, colour)
        elif len(points):
            axes.hlines(points.mean(), place - 0.25, place + 0.25, color="#333333", lw=1.0)
        spread = _spread(len(points))
        if errors is not None:
            reach = errors[place - 1].fillna(0.0)
            low, high = points - reach, points + reach
            axes.vlines(place + spread, low, high, color=colour, lw=0.6, alpha=0.6)
        axes.plot(place + spread, points, ".", color=colour, ms=3)
        links.mark_datasets(axes, place + spread, points, points.index)
    axes.set_xlim(0.5, len(values) + 0.5)


def _spread(count: int) -> NDArray[np.float64]:
    return np.linspace(-0.15, 0.15, count) if count > 1 else np.zeros(count)


def _box(axes: "Axes", place: int, points: "pd.Series[float]", colour: str) -> None:
    drawn = axes.boxplot(points, positions=[place], widths=0.6, showfliers=False, patch_artist=True)
    drawn["boxes"][0].set(facecolor=colour, alpha=0.35, linewidth=0.6)
    for line in (*drawn["medians"], *drawn["whiskers"], *drawn["caps"]):
        line.set(color="#333333", linewidth=0.8)


def shapes(count: int) -> str:
    """Explain for a caption what is drawn behind ``count`` points."""
    if count < MIN_POINTS_FOR_BOX:
        return "Bar: their mean."
    return "Box: quartiles and median; whiskers: 1.5 times the interquartile range."


def verdict(tests: "pd.DataFrame", method: str) -> str:
    """Summarise the tests of a method: the paper's ANOVA, one of repeats, and equivalence."""
    mine = tests[tests["method"] == method]
    lines = []
    for test, name in _ANOVAS.items():
        anova = mine[(mine["test"] == test) & (mine["selection"] == SELECTION)]
        for p in anova["p"].astype(float):
            told = "not computable" if is_missing(p) else p_statement(p)
            lines.append(f"{name}: {told}")
    tost = mine[(mine["test"] == _EQUIVALENCE) & (mine["selection"] == "effective")]
    done = tost[tost["p"].notna()]
    if len(done):
        held = int(done["equivalent"].astype(bool).sum())
        margin = float(done["margin"].iloc[0])
        untested = f", {n} not testable" if (n := len(tost) - len(done)) else ""
        lines.append(f"equivalent within {margin:g}: {held} of {len(tost)} levels{untested}")
    else:
        lines.append("equivalence: not computable")
    return "\n".join(lines)


def caption(values: "pd.DataFrame", tests: "pd.DataFrame", what: str) -> str:
    """Return the caption: what a point is, and how many objects a level did not affect."""
    rows = values[values["selection"] == SELECTION]
    if rows.empty:
        return f"DSC by {what}: none, since no method was run at more than one level."
    datasets = rows["dataset"].nunique()
    text = (
        f"DSC by {what} of {count_noun(rows['method'].nunique(), 'method')} on "
        f"{count_noun(datasets, 'dataset')}; each point is the mean of a dataset. "
        f"{shapes(datasets)} Grey lines join the means of a dataset. ANOVA: one-way, as in the "
        "paper, which takes the same datasets at several levels for independent groups; repeated "
        "measures: the same with the datasets as subjects. Finding nothing does not prove "
        "stability. Equivalence: two one-sided paired tests of each "
        "level against the baseline, over the objects that the level affected."
    )
    tost = tests[(tests["test"] == _EQUIVALENCE) & tests["unaffected"].notna()]
    if len(tost):
        least, most = int(tost["unaffected"].min()), int(tost["unaffected"].max())
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}, by method and level"
        text += f" Objects that a level did not affect: {span}."
    return text
