"""Fig. 4a: Dice similarity coefficient (DSC) of all methods on each dataset, as a radar chart."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reports import radar
from reports.cases import links
from reports.formatting import count_noun
from reports.leaders import leaders
from reports.notes import skipped_in, trained_on, unscored
from reports.style import CONTROL_MARKERS, MM, WIDTH, MethodStyle, legend_columns, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

_FEWEST_AXES = 3
_CIRCLE_MM = 108
_MOST_LINES = 6
"""Most methods whose lines can be told apart in one chart; with more, each gets its own chart."""
_COLUMNS, _NAME_MM = 4, 6.5
_BEHIND = MethodStyle("#D8D8D8", "", "-")


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    names = results.dataset_names
    means = results.by_dataset
    figure = draw(means, results.styles, names)
    ranks = results.statistics("ranks_by_dataset")
    text = caption(means, ranks, results.methods, results.controls)
    lows = table(means, results.methods, "low")
    if lows.notna().any(axis=None) and len(table(means, results.methods)) < _FEWEST_AXES:
        text += f" Lines: {results.confidence} interval of a mean, from a bootstrap of patients."
    return figure, text


def table(
    by_dataset: "pd.DataFrame", methods: Sequence[str], value: str = "mean"
) -> "pd.DataFrame":
    """Return mean DSC: one row per dataset in study order, one column per method, NaN if missing.

    ``value`` names the column of ``by_dataset`` with the means.
    """
    rows = by_dataset[by_dataset["metric"] == "dsc"]
    wide = rows.pivot(index="dataset", columns="method", values=value)
    return wide.reindex(index=rows["dataset"].unique(), columns=list(methods)).astype(float)


def draw(
    by_dataset: "pd.DataFrame", styles: Mapping[str, MethodStyle], names: Mapping[str, str]
) -> "Figure":
    """Draw one radar chart, or one small chart per method if there are many.

    With fewer than three datasets, which span no area, draw a dot plot that says so.

    Args:
        by_dataset: see `benchmark.analysis.aggregate.by_dataset`; its intervals, if any, are drawn
            with dots.
        styles: style of each method.
        names: full names of the datasets by id.
    """
    with styled():
        wide = table(by_dataset, list(styles)).dropna(how="all")
        if wide.empty:
            return nothing("No dataset has a score.")
        if len(wide) < _FEWEST_AXES:
            ends = [table(by_dataset, list(styles), e) for e in ("low", "high") if e in by_dataset]
            return _dots(wide, ends, styles, names)
        if sum(style.marker not in CONTROL_MARKERS for style in styles.values()) > _MOST_LINES:
            return _radars(wide, styles)
        splits = by_dataset.drop_duplicates("dataset").set_index("dataset")["split"]
        return _radar(wide, styles, names, [str(splits[name]) for name in wide.index])


def caption(
    by_dataset: "pd.DataFrame",
    ranks: "pd.DataFrame",
    methods: Sequence[str],
    controls: Sequence[str],
    *,
    matched: bool = False,
) -> str:
    """Return the caption: which method leads on how many datasets, and what is missing.

    Args:
        by_dataset: the means that are drawn.
        ranks: the table ``ranks_by_dataset``, whose means are over the cells that all methods have.
        methods: names of the methods shown.
        controls: those of them that are controls.
        matched: whether the means of ``by_dataset`` are those of ``ranks``.
    """
    wide = table(by_dataset, methods)
    ranked = wide[[m for m in methods if m not in controls]].dropna(how="all")
    text = (
        "DSC (Dice similarity coefficient, 0 none to 1 perfect overlap) of "
        f"{count_noun(ranked.shape[1], 'method')} on {count_noun(len(wide), 'dataset')}: "
        "mean over the scans of a structure, then over the structures of a dataset; "
    )
    if matched:
        cells = by_dataset[by_dataset["metric"] == "dsc"].drop_duplicates("dataset")
        text += f"over the {cells['cells'].sum()} of {cells['expected'].sum()} cells that all have."
    else:
        text += "each method over its own scored cells."
    if ranked.shape[1] > _MOST_LINES:
        text += " One chart per method, from 0 in the centre in rings of 0.2; the others in grey."
    compared = table(ranks, list(ranked.columns), "value").dropna(how="all")
    if ranked.shape[1] > 1 and len(compared):
        wins, shared = leaders(compared)
        leads = [f"{method} on {count}" for method, count in wins.items()]
        text += " Highest mean over the cells of a dataset that all methods have: "
        text += f"{', '.join(leads)} of {count_noun(len(compared), 'dataset')}"
        text += f", {shared} of them shared by methods that are equal." if shared else "."
    missing = int(wide.isna().to_numpy().sum())
    if missing:
        text += f" {missing} of {wide.size} points are missing: no scored cell there."
    if told := unscored(by_dataset, methods):
        text += f" {told}"
    if not matched and (told := skipped_in(by_dataset, list(ranked.columns))):
        text += f" {told}"
    shown = by_dataset["method"].isin(list(methods)) & (by_dataset["metric"] == "dsc")
    if told := trained_on(by_dataset[shown]):
        text += f" {told}"
    if controls:
        grey = "Grey" if len(wide) < _FEWEST_AXES else "Dotted grey"
        noun = "control" if len(controls) == 1 else "controls"
        text += f" {grey}: the {noun} {', '.join(controls)}."
    return text


def _radar(
    wide: "pd.DataFrame",
    styles: Mapping[str, MethodStyle],
    names: Mapping[str, str],
    splits: Sequence[str],
) -> "Figure":
    from matplotlib.figure import Figure

    columns = legend_columns(styles, 4)
    arcs = len(set(splits)) > 1
    legend_mm = 4 + 4.2 * -(-(len(styles) + arcs * len(set(splits))) // columns)
    height_mm = _CIRCLE_MM + 28 + legend_mm
    figure = Figure(figsize=(WIDTH, height_mm * MM))
    left, bottom = 0.5 - _CIRCLE_MM / 360, (legend_mm + 14) / height_mm
    box = (left, bottom, _CIRCLE_MM / 180, _CIRCLE_MM / height_mm)
    axes = radar.polar(figure, box, len(wide))
    for method, style in styles.items():
        radar.line(axes, wide[method], style, method, 0.7 if len(wide) > 20 else 1.0)
        radar.link(axes, wide[method], wide.index)
    radar.scale(axes, len(wide))
    for angle, name in zip(radar.angles(len(wide)), wide.index, strict=True):
        radar.name(axes, float(angle), _label(str(name), names, short=len(wide) > 16))
    if arcs:
        radar.arcs(axes, splits)
    figure.legend(loc="lower center", ncols=columns, handlelength=3, columnspacing=1.6)
    return figure


def _radars(wide: "pd.DataFrame", styles: Mapping[str, MethodStyle]) -> "Figure":
    """Draw one small chart per method, with all others in grey behind it."""
    from matplotlib.figure import Figure

    lines = -(-len(styles) // _COLUMNS)
    titles = {method: radar.title(method) for method in styles}
    side, title = 180 / _COLUMNS, 8.0 if "\n" in "".join(titles.values()) else 5.0
    height_mm = lines * (side + title)
    figure = Figure(figsize=(WIDTH, height_mm * MM))
    circle = side - 2 * _NAME_MM
    for place, (method, style) in enumerate(styles.items()):
        row, column = divmod(place, _COLUMNS)
        top = height_mm - row * (side + title)
        box = (
            (column * side + _NAME_MM) / 180,
            (top - title - side + _NAME_MM) / height_mm,
            circle / 180,
            circle / height_mm,
        )
        axes = radar.polar(figure, box, len(wide))
        for other in styles:
            if other != method:
                radar.line(axes, wide[other], _BEHIND, "", 0.4)
        radar.line(axes, wide[method], style, method, 0.7)
        radar.link(axes, wide[method], wide.index)
        for angle, name in zip(radar.angles(len(wide)), wide.index, strict=True):
            radar.turned_name(axes, float(angle), str(name))
        place_mm = ((column + 0.5) * side / 180, (top - title + 0.8) / height_mm)
        figure.text(*place_mm, titles[method], color=style.ink, fontweight="bold", ha="center")
    return figure


def _dots(
    wide: "pd.DataFrame",
    ends: "Sequence[pd.DataFrame]",
    styles: Mapping[str, MethodStyle],
    names: Mapping[str, str],
) -> "Figure":
    """Draw one dot per dataset and method, with a line between the ``ends`` of its interval."""
    from matplotlib.figure import Figure

    rows = len(wide) * len(styles)
    height_mm = 24 + 5 * rows + 5 * len(wide)
    figure = Figure(figsize=(WIDTH, height_mm * MM), layout="constrained")
    axes = figure.subplots()
    labels, places = [], []
    for i, dataset in enumerate(wide.index):
        for j, (method, style) in enumerate(styles.items()):
            place = i * (len(styles) + 1) + j
            labels.append(method)
            places.append(place)
            if ends:
                low, high = (end.loc[dataset, method] for end in ends)
                axes.hlines(place, low, high, color=style.colour, lw=1)
            axes.plot(
                wide.loc[dataset, method],
                place,
                style.marker,
                color=style.colour,
                ms=5,
                url=links.cases(str(dataset)),
            )
        title = _label(str(dataset), names, short=False).replace("\n", " ")
        axes.text(0, i * (len(styles) + 1) - 0.6, title, fontweight="bold", va="bottom")
    axes.set_yticks(places, labels)
    axes.set_ylim(max(places) + 0.7, -1.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("DSC")
    axes.grid(axis="x")
    count = "is only one" if len(wide) == 1 else "are only two"
    axes.set_title(
        f"Dots: a radar chart needs three datasets with scores, and there {count}",
        fontweight="normal",
        loc="left",
    )
    return figure


def _label(dataset: str, names: Mapping[str, str], *, short: bool) -> str:
    name = names.get(dataset, dataset)
    if short or name == dataset:
        return dataset
    return "\n".join(textwrap.wrap(f"{dataset} {name}", 22, max_lines=3, placeholder=" ..."))
