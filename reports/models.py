"""Models of the training runs (paper, Fig. 6a-c): their names, looks, and DSC by dataset."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reports.style import COLOURS, Look, looks

if TYPE_CHECKING:
    import pandas as pd

METRIC = "dsc"
COLUMNS = ("dataset", "split", "method", "metric", "mean")


def finetuned(method: str) -> str:
    """Name of the fine-tuned model of a method, as in the paper."""
    return f"{method}-Finetuned"


def scratch(method: str) -> str:
    """Name of the model of a method trained from scratch, as in the paper."""
    return f"{method}-Scratch"


def scores(finetuning: "pd.DataFrame") -> "pd.DataFrame":
    """Give a row a (dataset, model): reference methods, then general and fine-tuned models."""
    rows = finetuning[finetuning["metric"] == METRIC]
    parts = [
        _long(rows, "reference_value", rows["reference"]),
        _long(rows, "general", rows["method"]),
        _long(rows, "finetuned", rows["method"].map(finetuned)),
    ]
    return _joined(parts)


def trained(transfer: "pd.DataFrame") -> "pd.DataFrame":
    """Give the rows of models from scratch and fine-tuned ones, under the paper's names."""
    rows = transfer[transfer["metric"] == METRIC].dropna(subset=["mean"])
    name = {"scratch": scratch, "finetuned": finetuned}
    names = [name[k](m) for k, m in zip(rows["kind"], rows["method"], strict=True)]
    return rows.assign(model=names)


def own(transfer: "pd.DataFrame") -> "pd.DataFrame":
    """Give a row a (dataset, model) of models tested on the dataset that they were trained on."""
    rows = trained(transfer)
    rows = rows[rows["own"].astype(bool)].rename(columns={"tested_on": "dataset"})
    return _joined([_long(rows, "mean", rows["model"])])


def looks_of(models: Sequence[str], known: Mapping[str, Look]) -> dict[str, Look]:
    """Give each model its look: that of the study where it has one, else one that is free."""
    free = [colour for colour in COLOURS if colour not in {look.colour for look in known.values()}]
    ends = (finetuned(""), scratch(""))
    new = [model for model in models if model not in known]
    # Fine-tuned models choose first, so that they have the same colour in both figures.
    new.sort(key=lambda model: [not model.endswith(end) for end in ends])
    own_colours = dict(zip(new, free, strict=False))
    return looks(models, (), own_colours) | {m: known[m] for m in models if m in known}


def _long(rows: "pd.DataFrame", value: str, models: "pd.Series[str]") -> "pd.DataFrame":
    named = rows.assign(method=models, mean=rows[value], split="", metric=METRIC)
    return named[list(COLUMNS)].dropna(subset=["method", "mean"])


def _joined(parts: "list[pd.DataFrame]") -> "pd.DataFrame":
    """Join without repeats: a model stands once for each method that it is held against."""
    import pandas as pd

    there = [part for part in parts if len(part)]
    if not there:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(there).drop_duplicates(["dataset", "method"]).reset_index(drop=True)
