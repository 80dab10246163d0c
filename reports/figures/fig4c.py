"""Fig. 4c: methods with the same 3D box, nnU-Net as reference; PAM-3DBox minus PAM-2DBox."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmark.analysis.matching import require_same_prompt
from benchmark.storage.tables import read_table
from reports.cases import links
from reports.figures import fig4a
from reports.style import MM, MethodStyle, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

SAME_PROMPT, SUPERVISED = "box3d", "structure"
BOXES = ("pam-3dbox", "pam-2dbox")
"""Adapters whose difference, first minus second, is drawn as bars."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption.

    A supervised method is scored only on what it did not learn from. With one, the means are over
    the cells that all methods have, and controls, which are not among these, are left out. Controls
    alone are not drawn.
    """
    methods = results.methods_in_table_order
    told = {method: results.method_record(method).prompt for method in methods}
    shown = [m for m in methods if told[m] in (SAME_PROMPT, SUPERVISED)]
    require_same_boxes(results, [m for m in shown if told[m] == SAME_PROMPT])
    means, ranks = results.by_dataset, results.statistics("ranks_by_dataset")
    matched = any(told[method] == SUPERVISED for method in shown)
    if matched:
        means = ranks.rename(columns={"value": "mean"})
        shown = [method for method in shown if method not in results.controls]
    if fig4a.table(means, [m for m in shown if m not in results.controls]).isna().all(axis=None):
        shown = []
    styles = {method: results.styles[method] for method in shown}
    adapters = {results.method_record(m).adapter: m for m in reversed(methods)}
    pair = tuple(adapters[name] for name in BOXES if name in adapters)
    figure = draw(means, ranks, styles, results.dataset_names, pair)
    return figure, caption(means, ranks, shown, results.controls, pair, matched=matched)


def require_same_boxes(results: "Results", methods: list[str]) -> None:
    """Raise a `UserError` that names the first object for which the methods' boxes differ."""
    columns = ["dataset", "scan", "object", "deviation", "method", "prompt", "prompt_hash"]
    scores = read_table(results.folder / "scores.parquet", [*columns, "level", "status"])
    scores = scores[scores["status"] == "ok"]
    scored = [method for method in methods if method in set(scores["method"])]
    if len(scored) > 1:
        require_same_prompt(scores, scored)


def draw(
    by_dataset: "pd.DataFrame",
    ranks: "pd.DataFrame",
    styles: Mapping[str, MethodStyle],
    names: Mapping[str, str],
    pair: tuple[str, ...],
) -> "Figure":
    """Draw the radar chart of the methods in ``styles``.

    If both methods of ``pair`` have scores, bars below it show the first minus the second.
    """
    with styled():
        wide = fig4a.table(by_dataset, list(styles)).dropna(how="all").dropna(axis=1, how="all")
        if wide.empty:
            return nothing("No method with a 3D box has a score.")
        rows = by_dataset[by_dataset["method"].isin(wide.columns)]
        figure = fig4a.draw(rows, {m: styles[m] for m in wide.columns}, names)
        change = difference(ranks, pair)
        if change is not None:
            _bars(figure, change, pair)
        return figure


def difference(ranks: "pd.DataFrame", pair: tuple[str, ...]) -> "pd.Series[float] | None":
    """Return DSC of the first of ``pair`` minus the second by dataset; None if one has no score.

    ``ranks``: the table ``ranks_by_dataset``, whose means are over the cells that all methods have.
    """
    if len(pair) < len(BOXES):
        return None
    wide = fig4a.table(ranks, pair, "value")
    change = (wide[pair[0]] - wide[pair[1]]).dropna()
    return change if len(change) else None


def caption(
    by_dataset: "pd.DataFrame",
    ranks: "pd.DataFrame",
    methods: list[str],
    controls: tuple[str, ...],
    pair: tuple[str, ...],
    *,
    matched: bool = False,
) -> str:
    """Return the caption; see `fig4a.caption`."""
    if fig4a.table(by_dataset, methods).isna().all(axis=None):
        return "DSC of methods with a 3D box: none, since no such method has a score."
    grey = [control for control in controls if control in methods]
    radar = fig4a.caption(by_dataset, ranks, methods, grey, matched=matched)
    text = f"Methods with the same 3D box, and supervised ones without a prompt. {radar}"
    change = difference(ranks, pair)
    if change is None:
        return f"{text} No bars: the study lacks scores of {' or '.join(BOXES)}."
    better = int((change > 0).sum())
    return (
        f"{text} Bars: DSC of {pair[0]} minus {pair[1]}, over the cells of a dataset that all "
        f"methods have, mean {change.mean():+.3f}; greater than 0 on {better} of {len(change)} "
        "datasets."
    )


def _bars(figure: "Figure", change: "pd.Series[float]", pair: tuple[str, ...]) -> None:
    """Extend the figure downward and draw the bars there."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    places = [(axes, axes.get_position(original=True)) for axes in figure.axes]
    texts = [(text, text.get_position()) for text in figure.texts]
    extra = 42 * MM
    width, height = figure.get_size_inches()
    share = height / (height + extra)
    figure.set_size_inches(width, height + extra)
    for axes, box in places:
        axes.set_position((box.x0, 1 - share + box.y0 * share, box.width, box.height * share))
    for text, (x, y) in texts:
        text.set_position((x, 1 - share + y * share))
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0.5, 1 - share), transform=figure.transFigure)
        legend.set_loc("lower center")
    axes = figure.add_axes((0.09, 0.28 * (1 - share), 0.89, 0.6 * (1 - share)))
    axes.bar(range(len(change)), change.to_numpy(), color="#555555", width=0.7)
    links.mark_datasets(axes, range(len(change)), change / 2, change.index)
    axes.axhline(0, color="#222222", lw=0.6)
    axes.set_xlim(-0.6, len(change) - 0.4)
    axes.set_xticks(range(len(change)), list(change.index), rotation=90 * (len(change) > 14))
    axes.set_ylabel(f"DSC: {pair[0]}\nminus {pair[1]}")
    axes.set_axisbelow(True)
    axes.grid(axis="y")
