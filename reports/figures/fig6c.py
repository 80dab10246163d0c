"""Fig. 6c: DSC of models trained from scratch and fine-tuned, as a radar chart."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports import models
from reports.figures import fig4a
from reports.style import MM, WIDTH, Look, note, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.figures import Folders
    from reports.results import Results


def make(results: "Results", folders: "Folders") -> "tuple[Figure, str]":
    """Draw the figure of a study, and write its caption."""
    recovery, finetuning = results.statistics("recovery"), results.statistics("finetuning")
    names = {i: str(entry.get("name") or i) for i, entry in results.datasets.items()}
    return draw(recovery, finetuning, results.looks, names), caption(recovery, finetuning)


def draw(
    recovery: "pd.DataFrame",
    finetuning: "pd.DataFrame",
    known: Mapping[str, Look],
    names: Mapping[str, str],
) -> "Figure":
    """Draw a line a model; each was trained, or fine-tuned, on the dataset of the spoke."""
    from matplotlib.figure import Figure

    long = models.own(recovery, finetuning)
    if long.empty:
        with styled():
            figure = Figure(figsize=(WIDTH, 40 * MM))
            note(figure, "No model was trained from scratch or fine-tuned (analysis.runs).")
            return figure
    order = list(dict.fromkeys(long["method"]))
    return fig4a.draw(long, models.looks_of(order, known), names)


def caption(recovery: "pd.DataFrame", finetuning: "pd.DataFrame") -> str:
    """Caption from the numbers: on how many datasets fine-tuning beats training from scratch."""
    long = models.own(recovery, finetuning)
    if long.empty:
        return "Scratch against fine-tuned: none, since the study has no such models."
    text = (
        f"DSC on {long['dataset'].nunique()} datasets of models trained from scratch, and of the "
        "general model after fine-tuning, each on the dataset that it is tested on."
    )
    wide = long.pivot(index="dataset", columns="method", values="mean")
    for method in dict.fromkeys([*recovery["method"], *finetuning["method"]]):
        pair = [models.finetuned(method), models.scratch(method)]
        if not set(pair) <= set(wide.columns):
            continue
        change = (wide[pair[0]] - wide[pair[1]]).dropna()
        if len(change):
            text += (
                f" {pair[0]} less {pair[1]}: mean {change.mean():+.3f}, greater than 0 on "
                f"{int((change > 0).sum())} of {len(change)} datasets."
            )
    return text
