"""How each number of the paper is got from a study's statistics, or why it cannot be.

A quantity is a line of words, such as ``gain PAM-2DBox MedSAM``: a function of this file and its
arguments. The paper's methods are known by their adapter, and PAM by its released weights.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.paper.ledger import Measured, NotHereError

if TYPE_CHECKING:
    from reports.results import Results

ROLES = {
    "PAM-2DBox": "pam-2dbox",
    "PAM-2DMask": "pam-2dmask",
    "PAM-3DBox": "pam-3dbox",
    "MedSAM": "medsam",
    "SegVol": "segvol",
    "nnU-Net": "nnunet",
}
RELEASED = "pam-released"
DATASETS = {"internal": 34, "external": 10, "all": 44}


def measure(quantity: str, results: "Results") -> Measured:
    """Our value of a ``quantity``; `NotHereError` where the study cannot give it."""
    name, *arguments = quantity.split()
    return _QUANTITIES[name](results, *arguments)


def _method(results: "Results", role: str) -> str:
    """Name in the study of the paper's method ``role``."""
    known: Mapping[str, Any] = results.record.get("methods", {})
    ours = {name: facts for name, facts in known.items() if facts["adapter"] == ROLES[role]}
    if not ours:
        raise NotHereError(f"{role} is not in this study")
    if role.startswith("PAM"):
        ours = {n: facts for n, facts in ours.items() if facts.get("weights") == RELEASED}
        if not ours:
            raise NotHereError(f"{role} runs here with other weights than the paper's")
    return next(iter(ours))


def _covered(results: "Results", method: str, split: str) -> None:
    """Refuse where ``method`` has not every dataset of the paper's ``split``."""
    table = results.by_dataset
    rows = table[(table["method"] == method) & (table["metric"] == "dsc") & (table["n"] > 0)]
    rows = rows[rows["split"].isin(["internal", "external"] if split == "all" else [split])]
    if len(rows) < DATASETS[split]:
        raise NotHereError(f"{method}: {len(rows)} of the paper's {DATASETS[split]} datasets")


def _table(results: "Results", name: str, **where: Any) -> "pd.DataFrame":
    table = results.statistics(name)
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def _one(table: "pd.DataFrame", column: str, **more: str) -> Measured:
    """The value of the only row of ``table``; ``more``: columns of the interval and of n."""
    if table.empty:
        raise NotHereError("there is no such row in the statistics")
    row = table.iloc[0]
    if row[column] != row[column]:
        raise NotHereError(str(row.get("reason") or "it has no value"))
    found = {field: row[name] for field, name in more.items()}
    return Measured(float(row[column]), **found)


def _pair(results: "Results", a: str, b: str, **where: Any) -> tuple["pd.DataFrame", float]:
    """Rows of the comparison of two methods, and the sign that makes them a less b."""
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        rows = _table(results, "comparison", method_a=first, method_b=second, **where)
        if len(rows):
            return rows, sign
    raise NotHereError(f"{a} and {b} were not compared")


def _mean(results: "Results", role: str, metric: str, split: str) -> Measured:
    method = _method(results, role)
    _covered(results, method, split)
    rows = _table(results, "overall", split=split, method=method, metric=metric)
    return _one(rows, "mean", low="low", high="high", n="n")


def _gain(results: "Results", role: str, other: str) -> Measured:
    a, b = _method(results, role), _method(results, other)
    for method in (a, b):
        _covered(results, method, "all")
    rows, sign = _pair(results, a, b, split="all", metric="dsc", test="paired t")
    found = _one(rows, "difference", low="low", high="high", n="n")
    ends = sorted(100 * sign * end for end in (found.low, found.high))
    return Measured(100 * sign * found.value, ends[0], ends[1], found.n)


def _wins(results: "Results", split: str) -> Measured:
    """Datasets on which both PAM are above both MedSAM and SegVol."""
    names = [_method(results, r) for r in ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")]
    for name in names:
        _covered(results, name, split)
    rows = _table(results, "by_dataset", split=split, metric="dsc")
    wide = rows.pivot(index="dataset", columns="method", values="mean")[names]
    won = wide[names[:2]].min(axis=1) > wide[names[2:]].max(axis=1)
    return Measured(int(won.sum()), n=len(wide))


def _p(results: "Results", metrics: str) -> Measured:
    """The largest P of the paired t-tests between PAM and MedSAM or SegVol, external datasets."""
    ps = []
    for role in ("PAM-2DBox", "PAM-2DMask"):
        for other in ("MedSAM", "SegVol"):
            a, b = _method(results, role), _method(results, other)
            for method in (a, b):
                _covered(results, method, "external")
            for metric in metrics.split(","):
                where = {"split": "external", "metric": metric, "test": "paired t"}
                ps.append(_one(_pair(results, a, b, **where)[0], "p").value)
    return Measured(max(ps), n=DATASETS["external"])


def _structure(results: "Results", structure: str, dataset: str, *roles: str) -> Measured:
    """Mean DSC of a structure, the best over ``roles``; interval from the sd over scans."""
    rows = _table(results, "by_structure", metric="dsc")
    rows = rows[rows["method"].isin([_method(results, role) for role in roles])]
    named = rows["structure"].str.contains(structure, case=False, regex=False)
    rows = rows[named | (structure == "*")]
    rows = rows[(rows["dataset"] == dataset) | (dataset == "all")].dropna(subset="mean")
    if rows.empty:
        raise NotHereError(f"no score of it in {dataset}")
    best = rows.loc[rows["mean"].idxmax()]
    half = 1.96 * float(best["sd"]) / float(best["n"]) ** 0.5
    where = f"{best['structure']} of {best['dataset']}"
    value = float(best["mean"])
    return Measured(value, value - half, value + half, int(best["n"]), where)


def _anova(results: "Results", factor: str, role: str) -> Measured:
    method = _method(results, role)
    _covered(results, method, "all")
    rows = _table(results, f"{factor}_tests", method=method, selection="all", test="one-way ANOVA")
    return _one(rows, "p", n="n")


def _time_p(results: "Results") -> Measured:
    """The largest P of the rank-sum tests of times between PAM and MedSAM or SegVol."""
    roles = [_method(results, r) for r in ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")]
    for method in roles:
        _covered(results, method, "all")
    rows = _table(results, "times_tests", phase="total", test="wilcoxon rank-sum")
    pam, others = set(roles[:2]), set(roles[2:])
    across = [
        len({a, b} & pam) == 1 and len({a, b} & others) == 1
        for a, b in zip(rows["method_a"], rows["method_b"], strict=True)
    ]
    rows = rows[pd.Series(across, index=rows.index, dtype=bool)].dropna(subset="p")
    if rows.empty:
        raise NotHereError("the times of these methods were not compared")
    return Measured(float(rows["p"].max()), n=int(rows["n"].min()))


def _interaction(results: "Results", what: str, a: str, b: str) -> Measured:
    rows = _table(results, "interaction_tests", test="wilcoxon rank-sum")
    pairs = zip(rows["prompt_a"], rows["prompt_b"], strict=True)
    rows = rows[pd.Series([{x, y} == {a, b} for x, y in pairs], index=rows.index, dtype=bool)]
    if rows.empty:
        raise NotHereError("no interaction times were brought (analysis.interaction)")
    if bool(rows["generated"].iloc[0]):
        raise NotHereError("the interaction times of this study are generated, not measured")
    if what == "p":
        return _one(rows, "p", n="n_a")
    if rows["prompt_a"].iloc[0] != a:
        raise NotHereError(f"the reduction was taken the other way, {b} against {a}")
    return _one(rows, "reduction_percent", low="low", high="high", n="n_a")


def _regularity(results: "Results") -> Measured:
    """The largest Pearson r of both PAM against MedSAM over the three 2D shapes."""
    medsam = _method(results, "MedSAM")
    pam = [_method(results, role) for role in ("PAM-2DBox", "PAM-2DMask")]
    for method in (medsam, *pam):
        _covered(results, method, "all")
    where = {"reference": medsam, "dimension": "2d", "unit": "structure", "modality": "all"}
    rows = _table(results, "regularity", correlation="pearson", **where)
    rows = rows[rows["method"].isin(pam)].dropna(subset="r")
    if rows.empty:
        raise NotHereError("analysis.reference is not MedSAM")
    last = rows.loc[rows["r"].idxmax()]
    return Measured(float(last["r"]), float(last["low"]), float(last["high"]), int(last["n"]))


def _finetuning(results: "Results") -> Measured:
    rows = _table(results, "finetuning_tests", test="paired t", metric="dsc")
    if rows.empty:
        raise NotHereError("no runs of fine-tuning were brought (analysis.runs)")
    return _one(rows, "p", n="n")


def _recovery(results: "Results", trained: str, tested: str = "") -> Measured:
    """Percent that training from scratch recovers: the least on its own data, or of one pair."""
    rows = _table(results, "recovery", metric="dsc").dropna(subset="recovery_percent")
    if trained == "own":
        rows = rows[rows["own"].astype(bool)]
    else:
        rows = rows[(rows["trained_on"] == trained) & (rows["tested_on"] == tested)]
    if rows.empty:
        raise NotHereError("no such runs from scratch were brought (analysis.runs)")
    return Measured(float(rows["recovery_percent"].min()), n=len(rows))


def _ablation(results: "Results", ablation: str) -> Measured:
    rows = _table(results, "ablation_tests", ablation=ablation, metric="dsc")
    if rows.empty:
        raise NotHereError("no such runs were brought (analysis.runs)")
    return _one(rows, "wins_of_default", n="n")


def _parameters(results: "Results", role: str) -> Measured:
    """Millions of parameters."""
    rows = _table(results, "costs", method=_method(results, role))
    found = _one(rows, "parameters")
    return Measured(found.value / 1e6)


def _count(results: "Results", what: str) -> Measured:
    """What was prepared of the paper's datasets, which must all be there."""
    table = _table(results, "fingerprint")
    table = table[table["split"].isin(["internal", "external"])]
    if what == "datasets":
        if table.empty:
            raise NotHereError("no dataset of the paper is here")
        return Measured(len(table), n=len(table))
    if len(table) < DATASETS["all"]:
        raise NotHereError(f"{len(table)} of the paper's {DATASETS['all']} datasets are here")
    samples = _table(results, "training_samples")
    values = {
        "object_types": table["structures"].sum(),
        "objects": table["objects"].sum(),
        "propmask_tasks": samples["tasks"].sum(),
        "box2mask_samples": samples["samples"].sum(),
    }
    value = float(values[what])
    if math.isnan(value):
        raise NotHereError("it has no value")
    return Measured(value, n=len(table))


def _never(reason: str) -> Callable[..., Measured]:
    def refuse(results: "Results", *arguments: str) -> Measured:
        raise NotHereError(reason)

    return refuse


_QUANTITIES: dict[str, Callable[..., Measured]] = {
    "mean": _mean,
    "gain": _gain,
    "wins": _wins,
    "p": _p,
    "structure": _structure,
    "anova": _anova,
    "time-p": _time_p,
    "interaction": _interaction,
    "regularity": _regularity,
    "finetuning": _finetuning,
    "recovery": _recovery,
    "ablation": _ablation,
    "parameters": _parameters,
    "count": _count,
    "private": _never("the paper's cohort is private"),
    "unknown-subset": _never("the paper does not name the ten datasets of its subset"),
    "choice": _never("a choice of the authors, no measurement"),
}
