"""Fig. 6c: DSC of models trained from scratch and of fine-tuned ones, as radar charts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports import radar, trained_models
from reports.figures import fig4a
from reports.formatting import count_noun
from reports.style import MM, PAGE_MM, WIDTH, MethodStyle, legend_columns, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

_MOST = 12
"""Most charts; if there are more, the first are drawn."""
_NAME_MM = 6.5
_FEWEST_SPOKES = 3


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    transfer = results.statistics("transfer")
    names = results.dataset_names
    return draw(transfer, results.styles, names), caption(transfer)


def charts(transfer: "pd.DataFrame") -> "list[tuple[str, str, pd.DataFrame]]":
    """Return (method, training dataset, DSC) of each chart.

    DSC has one row per test dataset and one column per model. Charts with fewer than three test
    datasets are left out, such as those of models tested only on their own dataset.
    """
    found = []
    for (method, dataset), part in trained_models.trained(transfer).groupby(
        ["method", "trained_on"], sort=False
    ):
        wide = part.pivot(index="tested_on", columns="model", values="mean")
        if len(wide) >= _FEWEST_SPOKES:
            order = list(dict.fromkeys(part["model"]))
            found.append((str(method), str(dataset), wide.sort_index()[order]))
    return found


def draw(
    transfer: "pd.DataFrame", known: Mapping[str, MethodStyle], names: Mapping[str, str]
) -> "Figure":
    """Draw one chart per training dataset, with one spoke per test dataset.

    Circles mark the training dataset. If the models were tested only on their own datasets, draw
    one chart of all datasets.
    """
    from matplotlib.figure import Figure

    with styled():
        drawn = charts(transfer)[:_MOST]
        names_of_models = list(dict.fromkeys(trained_models.trained(transfer)["model"]))
        styles = trained_models.styles_of(names_of_models, known)
        if not styles:
            return nothing(
                "No model was trained or fine-tuned (training.models, or analysis.runs)."
            )
        if not drawn:
            return fig4a.draw(trained_models.own(transfer), styles, names)
        columns = 3 if max(len(wide) for *_, wide in drawn) > 24 else 4
        columns = min(columns, len(drawn))
        entries = legend_columns(styles, 4)
        lines, legend = -(-len(drawn) // columns), max(9.0, 4.2 * -(-len(styles) // entries))
        titles = [radar.title(f"{dataset}: {method}") for method, dataset, _ in drawn]
        title = 9.0 if "\n" in "".join(titles) else 6.0
        side = min(180 / max(columns, 3), (PAGE_MM - legend) / lines - title)
        height = lines * (side + title) + legend
        figure = Figure(figsize=(WIDTH, height * MM))
        circle = side - 2 * _NAME_MM
        for place, (_, dataset, wide) in enumerate(drawn):
            row, column = divmod(place, columns)
            left = (180 - columns * side) / 2 + column * side
            top = height - row * (side + title)
            bottom = top - title - side + _NAME_MM
            shares = (circle / 180, circle / height)
            box = ((left + _NAME_MM) / 180, bottom / height, *shares)
            _chart(figure, box, dataset, wide, styles)
            middle = ((left + side / 2) / 180, (top - title + 1.5) / height)
            figure.text(*middle, titles[place], ha="center", fontweight="bold")
        handles = {
            text: handle
            for axes in figure.axes
            for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles, loc="lower center", ncols=entries, handlelength=3)
        return figure


def _chart(
    figure: "Figure",
    box: radar.Box,
    dataset: str,
    wide: "pd.DataFrame",
    styles: Mapping[str, MethodStyle],
) -> None:
    axes = radar.polar(figure, box, len(wide))
    for model in wide:
        radar.line(axes, wide[model], styles[str(model)], str(model), 0.7)
    for angle, name in zip(radar.angles(len(wide)), wide.index, strict=True):
        radar.turned_name(axes, float(angle), str(name))
        if name == dataset:
            ring = {"mfc": "none", "mec": "black", "mew": 0.8, "ms": 6, "ls": ""}
            angles = [float(angle)] * wide.shape[1]
            axes.plot(angles, wide.loc[name], "o", clip_on=False, label="trained on it", **ring)


def caption(transfer: "pd.DataFrame") -> str:
    """Return the caption: fine-tuning against training from scratch, and what it costs elsewhere.

    The latter, on datasets other than the model's own, is in comparison with the general model.
    """
    long = trained_models.own(transfer)
    if long.empty:
        return "Scratch against fine-tuned: none, since the study has no such models."
    found = charts(transfer)
    count = long["dataset"].nunique()
    of = f"{'one of ' * (count > 1)}{count_noun(count, 'dataset')}"
    text = f"DSC of models that learned from {of}: {_tests(transfer)}."
    if found:
        text += " From 0 in the centre in rings of 0.2."
        text += " Circles: the dataset that they were trained on."
    if len(found) > _MOST:
        text += f" {_MOST} of {len(found)} are drawn; all are in statistics/transfer.csv."
    wide = long.pivot(index="dataset", columns="method", values="mean")
    for method in dict.fromkeys(transfer["method"]):
        pair = [trained_models.finetuned(method), trained_models.scratch(method)]
        if not set(pair) <= set(wide.columns):
            continue
        change = (wide[pair[0]] - wide[pair[1]]).dropna()
        if len(change):
            text += (
                f" On its own dataset, {pair[0]} minus {pair[1]}: mean {change.mean():+.3f}, "
                f"greater than 0 on {int((change > 0).sum())} of {len(change)} datasets."
            )
    return text + _elsewhere(transfer)


def _tests(transfer: "pd.DataFrame") -> str:
    """Say how the models were trained, and whether they were tested on other datasets too."""
    rows = trained_models.trained(transfer)
    others = set(rows.loc[~rows["own"].astype(bool), "kind"])
    trained = {"scratch": "trained from scratch", "finetuned": "fine-tuned from the general model"}
    told = [
        f"{text}, {'tested on each' if kind in others else 'each tested on its own dataset'}"
        for kind, text in trained.items()
        if kind in set(rows["kind"])
    ]
    return "; ".join(told)


def _elsewhere(transfer: "pd.DataFrame") -> str:
    """Compare fine-tuned models with the general one on datasets that they did not learn from."""
    rows = trained_models.trained(transfer)
    rows = rows[(rows["kind"] == "finetuned") & ~rows["own"].astype(bool)]
    text = ""
    for (method, model), part in rows.groupby(["method", "model"], sort=False):
        change = (part["mean"] - part["general"]).dropna()
        if len(change):
            text += (
                f" On other datasets, {model} minus {method}: mean {change.mean():+.3f}, "
                f"greater than 0 in {int((change > 0).sum())} of {len(change)} tests."
            )
    return text
