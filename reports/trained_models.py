"""Models of the training runs (paper, Fig. 6a-c): their names, styles and DSC by dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reports.style import COLOURS, MethodStyle, method_styles

if TYPE_CHECKING:
    import pandas as pd

METRIC = "dsc"
COLUMNS = ("dataset", "split", "method", "metric", "mean")


def finetuned(method: str) -> str:
    """Return the paper's name for the fine-tuned model of a method."""
    return f"{method}-Finetuned"


def scratch(method: str) -> str:
    """Return the paper's name for the model of a method trained from scratch."""
    return f"{method}-Scratch"


_LINES: dict[str, Any] = {finetuned(""): (0, (4, 1, 1, 1)), scratch(""): (0, (1, 1))}
"""By the end of a model's name: its line, where no colour is left; no method has these."""


def scores(finetuning: "pd.DataFrame") -> "pd.DataFrame":
    """Return DSC by (dataset, model): reference methods, then general and fine-tuned models.

    ``finetuning`` is the statistics table of that name; the columns returned are `COLUMNS`.
    """
    rows = finetuning[finetuning["metric"] == METRIC]
    parts = [
        _long(rows, "reference_value", rows["reference"]),
        _long(rows, "general", rows["method"]),
        _long(rows, "finetuned", rows["method"].map(finetuned)),
    ]
    return _joined(parts)


def trained(transfer: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of scratch and fine-tuned models, with the paper's name as ``model``."""
    rows = transfer[transfer["metric"] == METRIC].dropna(subset=["mean"])
    name = {"scratch": scratch, "finetuned": finetuned}
    names = [name[k](m) for k, m in zip(rows["kind"], rows["method"], strict=True)]
    return rows.assign(model=names)


def own(transfer: "pd.DataFrame") -> "pd.DataFrame":
    """Return DSC by (dataset, model) of models tested on the dataset they were trained on."""
    rows = trained(transfer)
    rows = rows[rows["own"].astype(bool)].rename(columns={"tested_on": "dataset"})
    return _joined([_long(rows, "mean", rows["model"])])


def styles_of(models: Sequence[str], known: Mapping[str, MethodStyle]) -> dict[str, MethodStyle]:
    """Return the style of each model: the study's where it has one, else with an unused colour.

    Without an unused colour, it has that of the method it was made from, with a line of its own.
    """
    taken = {style.colour for style in known.values()}
    free = [colour for colour in COLOURS if colour not in taken]
    ends = list(_LINES)
    new = [model for model in models if model not in known]
    # Fine-tuned models choose first, so that they have the same colour in Fig. 6a and 6c.
    new.sort(key=lambda model: [not model.endswith(end) for end in ends])
    own_colours = dict(zip(new, free, strict=False))
    styles = method_styles(models, (), own_colours)
    for model in new[len(free) :]:
        end = next(end for end in ends if model.endswith(end))
        made_from = known.get(model.removesuffix(end))
        if made_from is not None:
            styles[model] = replace(made_from, line=_LINES[end])
    return styles | {m: known[m] for m in models if m in known}


def _long(rows: "pd.DataFrame", value: str, models: "pd.Series[str]") -> "pd.DataFrame":
    named = rows.assign(method=models, mean=rows[value], split="", metric=METRIC)
    return named[list(COLUMNS)].dropna(subset=["method", "mean"])


def _joined(parts: "list[pd.DataFrame]") -> "pd.DataFrame":
    """Concatenate without duplicates: a model appears once per reference in the input."""
    import pandas as pd

    there = [part for part in parts if len(part)]
    if not there:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(there).drop_duplicates(["dataset", "method"]).reset_index(drop=True)
