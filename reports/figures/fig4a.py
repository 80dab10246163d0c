"""Fig. 4a: Dice similarity coefficient (DSC) of all methods on each dataset, as a radar chart."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.cases import links
from reports.style import CONTROL_MARKERS, MM, SPLIT_GREYS, SPLITS, WIDTH, Look, note, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.figures import Folders
    from reports.results import Results

_FEWEST_AXES = 3
_CIRCLE_MM = 108


def make(results: "Results", folders: "Folders") -> "tuple[Figure, str]":
    """Draw the figure of a study, and write its caption."""
    names = {i: str(entry.get("name") or i) for i, entry in results.datasets.items()}
    figure = draw(results.by_dataset, results.looks, names)
    return figure, caption(results.by_dataset, results.methods, results.controls)


def table(by_dataset: "pd.DataFrame", methods: Sequence[str]) -> "pd.DataFrame":
    """Mean DSC: a row a dataset in the order of the study, a column a method, NaN for no value."""
    rows = by_dataset[by_dataset["metric"] == "dsc"]
    wide = rows.pivot(index="dataset", columns="method", values="mean")
    return wide.reindex(index=rows["dataset"].unique(), columns=list(methods)).astype(float)


def draw(
    by_dataset: "pd.DataFrame", looks: Mapping[str, Look], names: Mapping[str, str]
) -> "Figure":
    """Draw the chart; with fewer than three datasets, which span no area, a dot plot that says so.

    ``by_dataset``: see `benchmark.analysis.aggregate.by_dataset`; ``names``: datasets spelled out.
    """
    from matplotlib.figure import Figure

    with styled():
        wide = table(by_dataset, list(looks)).dropna(how="all")
        if wide.empty:
            figure = Figure(figsize=(WIDTH, 40 * MM))
            note(figure, "No dataset has a score.")
            return figure
        if len(wide) < _FEWEST_AXES:
            return _dots(wide, looks, names)
        splits = by_dataset.drop_duplicates("dataset").set_index("dataset")["split"]
        return _radar(wide, looks, names, [str(splits[name]) for name in wide.index])


def caption(by_dataset: "pd.DataFrame", methods: Sequence[str], controls: Sequence[str]) -> str:
    """Caption from the numbers: who leads on how many datasets, and what is missing."""
    wide = table(by_dataset, methods)
    ranked = wide[[m for m in methods if m not in controls]].dropna(how="all")
    text = (
        "DSC (Dice similarity coefficient, 0 none to 1 perfect overlap) of "
        f"{ranked.shape[1]} methods on {len(wide)} datasets: mean over the scans of a structure, "
        "then over the structures of a dataset."
    )
    if ranked.shape[1] > 1 and len(ranked):
        wins = ranked.idxmax(axis=1).value_counts()
        leads = [f"{method} on {count}" for method, count in wins.items()]
        text += f" Highest mean: {', '.join(leads)} of {len(ranked)} datasets."
    missing = int(wide.isna().to_numpy().sum())
    if missing:
        text += f" {missing} of {wide.size} points are missing: no scored cell there."
    if controls:
        text += f" Dotted grey: the controls {', '.join(controls)}."
    return text


def _radar(
    wide: "pd.DataFrame",
    looks: Mapping[str, Look],
    names: Mapping[str, str],
    splits: Sequence[str],
) -> "Figure":
    from matplotlib.figure import Figure

    columns = min(len(looks), 4)
    legend_mm = 4 + 4.2 * -(-len(looks) // columns)
    height_mm = _CIRCLE_MM + 28 + legend_mm
    figure = Figure(figsize=(WIDTH, height_mm * MM))
    left, bottom = 0.5 - _CIRCLE_MM / 360, (legend_mm + 14) / height_mm
    box = (left, bottom, _CIRCLE_MM / 180, _CIRCLE_MM / height_mm)
    axes: Any = figure.add_axes(box, projection="polar")
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    angles = 2 * np.pi * np.arange(len(wide)) / len(wide)
    around = np.append(angles, 2 * np.pi)
    small = len(wide) > 20
    for method, look in looks.items():
        values = wide[method].to_numpy()
        axes.plot(
            around,
            np.append(values, values[0]),
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            linewidth=0.9 if small else 1.2,
            markersize=2.2 if small else 3.6,
            markeredgewidth=0.8 if look.marker in CONTROL_MARKERS else 0,
            label=method,
            clip_on=False,
        )
    axes.set_ylim(0, 1)
    axes.set_yticks([0.2, 0.4, 0.6, 0.8])
    axes.set_rlabel_position(180 / len(wide))
    axes.tick_params(axis="y", labelsize=5.5, labelcolor="#333333", zorder=5)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6})
    axes.set_xticks(angles, [])
    axes.spines["polar"].set_color("#BBBBBB")
    for angle, name in zip(angles, wide.index, strict=True):
        _spoke_label(axes, float(angle), _label(str(name), names, short=len(wide) > 16))
    if len(set(splits)) > 1:
        _split_arcs(axes, splits)
    figure.legend(loc="lower center", ncols=columns, handlelength=3, columnspacing=1.6)
    return figure


def _spoke_label(axes: Any, angle: float, text: str) -> None:
    """Write outside the circle, on the side that leads away from it."""
    across, up = np.sin(angle), np.cos(angle)
    side = "center" if abs(across) < 0.1 else ("left" if across > 0 else "right")
    lift = "bottom" if up > 0.8 else ("top" if up < -0.8 else "center")
    axes.text(angle, 1.1, text, ha=side, va=lift, fontsize=6.5, linespacing=1.1)


def _split_arcs(axes: Any, splits: Sequence[str]) -> None:
    """Mark which spokes belong to which split by arcs just outside the circle."""
    step = 2 * np.pi / len(splits)
    order = list(dict.fromkeys(splits))
    for i, split in enumerate(splits):
        part = np.linspace((i - 0.5) * step, (i + 0.5) * step, 8)
        first = split not in splits[:i]
        axes.plot(
            part,
            np.full(len(part), 1.045),
            color=SPLIT_GREYS[order.index(split) % len(SPLIT_GREYS)],
            linewidth=2.2,
            solid_capstyle="butt",
            clip_on=False,
            label=f"arc: {SPLITS.get(split, split)}" if first else None,
        )


def _dots(wide: "pd.DataFrame", looks: Mapping[str, Look], names: Mapping[str, str]) -> "Figure":
    from matplotlib.figure import Figure

    rows = len(wide) * len(looks)
    height_mm = 24 + 5 * rows + 5 * len(wide)
    figure = Figure(figsize=(WIDTH, height_mm * MM), layout="constrained")
    axes = figure.subplots()
    labels, places = [], []
    for i, dataset in enumerate(wide.index):
        for j, (method, look) in enumerate(looks.items()):
            place = i * (len(looks) + 1) + j
            labels.append(method)
            places.append(place)
            axes.plot(
                wide.loc[dataset, method],
                place,
                look.marker,
                color=look.colour,
                ms=5,
                url=links.cases(str(dataset)),
            )
        title = _label(str(dataset), names, short=False).replace("\n", " ")
        axes.text(0, i * (len(looks) + 1) - 0.6, title, fontweight="bold", va="bottom")
    axes.set_yticks(places, labels)
    axes.set_ylim(max(places) + 0.7, -1.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("DSC")
    axes.grid(axis="x")
    count = "one dataset" if len(wide) == 1 else "two datasets"
    axes.set_title(
        f"A radar chart needs three datasets; with scores there are {count}, so: dots",
        fontweight="normal",
        loc="left",
    )
    return figure


def _label(dataset: str, names: Mapping[str, str], *, short: bool) -> str:
    import textwrap

    name = names.get(dataset, dataset)
    if short or name == dataset:
        return dataset
    return "\n".join(textwrap.wrap(f"{dataset} {name}", 22, max_lines=3, placeholder=" ..."))
