"""Fig. 4b: sensitivity, NSD, HD95 and ASD on each external dataset, with distances normalised.

Controls are left out, since the distances of an empty mask would compress those of all methods.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics.definitions import METRICS
from reports import scoring
from reports.cases import links
from reports.formatting import count_noun
from reports.leaders import leaders
from reports.notes import skipped_in, trained_on, unscored
from reports.style import (
    MM,
    WIDTH,
    MethodStyle,
    dodge,
    legend_below,
    legend_columns,
    nothing,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

SHOWN = ("sensitivity", "nsd", "hd95", "asd")
NORMALISED = ("hd95", "asd")


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    rows = chosen(results.by_dataset)
    styles = {m: style for m, style in results.styles.items() if m not in results.controls}
    ranks = chosen(results.statistics("ranks_by_dataset"))
    text = caption(rows, ranks, list(styles))
    rules = scoring.nsd_tolerance(results), scoring.empty_rule(results)
    return draw(rows, styles), " ".join(filter(None, (text, *rules)))


def chosen(by_dataset: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of the external datasets, or of all if the study has no external one."""
    external = by_dataset[by_dataset["split"] == "external"]
    return external if len(external) else by_dataset


def metric_name(metric: str) -> str:
    """Return the label of a metric without its unit."""
    return METRICS[metric].label.partition(" (")[0]


def table(
    by_dataset: "pd.DataFrame", metric: str, methods: Sequence[str], value: str = "mean"
) -> "pd.DataFrame":
    """Return means of ``metric``: one row per dataset, one column per method.

    As in the paper, distances are divided by the largest value of the dataset (if it is not 0), so
    that datasets with large and with small objects fit on one axis.
    """
    rows = by_dataset[by_dataset["metric"] == metric]
    wide = rows.pivot(index="dataset", columns="method", values=value)
    wide = wide.reindex(index=rows["dataset"].unique(), columns=list(methods)).astype(float)
    if metric not in NORMALISED:
        return wide
    return wide.div(wide.max(axis=1).replace(0.0, 1.0), axis=0)


def draw(by_dataset: "pd.DataFrame", styles: Mapping[str, MethodStyle]) -> "Figure":
    """Draw one panel per metric, with the datasets along x and one point per method."""
    from matplotlib.figure import Figure

    with styled():
        shown = [m for m in SHOWN if not table(by_dataset, m, list(styles)).isna().all(axis=None)]
        if not shown:
            return nothing("No dataset has a score.")
        columns = legend_columns(styles, 5)
        legend = 5 + 4.2 * -(-len(styles) // columns)
        figure = Figure(figsize=(WIDTH, (14 + 34 * len(shown) + legend) * MM), layout="constrained")
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, metric in zip(panels, shown, strict=True):
            wide = table(by_dataset, metric, list(styles))
            spread = dodge(len(styles))
            for shift, (method, style) in zip(spread, styles.items(), strict=True):
                axes.plot(
                    np.arange(len(wide)) + shift,
                    wide[method].to_numpy(),
                    style.marker,
                    color=style.colour,
                    markersize=3.4,
                    markeredgewidth=0,
                    label=method,
                )
                links.mark_datasets(axes, np.arange(len(wide)) + shift, wide[method], wide.index)
            for place in range(1, len(wide)):
                axes.axvline(place - 0.5, color="#EEEEEE", lw=0.6, zorder=0)
            better = "higher" if METRICS[metric].higher_is_better else "lower"
            relative = ", share of the dataset's maximum" if metric in NORMALISED else ""
            axes.set_title(f"{metric_name(metric)}{relative} ({better} is better)", loc="left")
            axes.set_ylim(-0.04, 1.04)
            axes.set_xlim(-0.6, len(wide) - 0.4)
            axes.grid(axis="y")
            axes.set_xticks(range(len(wide)), list(wide.index), rotation=90 * (len(wide) > 20))
            axes.tick_params(axis="x", length=0)
        legend_below(figure, panels[0], columns)
        return figure


def caption(by_dataset: "pd.DataFrame", ranks: "pd.DataFrame", methods: Sequence[str]) -> str:
    """Return the caption: what is shown, and which methods lead.

    ``ranks``: the table ``ranks_by_dataset``, whose means are over the cells that all methods have.
    """
    external = set(by_dataset["split"]) == {"external"}
    count = by_dataset["dataset"].nunique()
    what = count_noun(count, "external dataset" if external else "dataset")
    what += "" if external else " (the study has no external one)"
    text = f"Sensitivity, NSD, HD95 and ASD on {what}: means of a "
    text += (
        "dataset, each method over its own scored cells; HD95 and ASD as a share of the greatest "
        "mean of the dataset."
    )
    if len(methods) == 1:
        text += " With a single method, that share is 1 on every dataset."
    best = []
    for metric in SHOWN:
        wide = table(ranks, metric, methods, "value").dropna(how="all")
        if wide.shape[1] > 1 and len(wide):
            wins, _ = leaders(wide, higher=bool(METRICS[metric].higher_is_better))
            most = " and ".join(map(str, wins.index[wins == wins.iloc[0]]))
            best.append(f"{metric_name(metric)}, {most} ({wins.iloc[0]} of {len(wide)})")
    if best:
        text += " Best mean most often, over the cells of a dataset that all methods have: "
        text += f"{'; '.join(best)}."
    shown = by_dataset["method"].isin(list(methods)) & by_dataset["metric"].isin(SHOWN)
    about = (
        unscored(by_dataset, methods),
        skipped_in(by_dataset, methods),
        trained_on(by_dataset[shown]),
    )
    return " ".join(filter(None, (text, *about)))
