"""Computes the paper's quantities from a study's statistics, or says why that is impossible.

A quantity is an expression such as ``gain PAM-2DBox MedSAM``: the key of a function of this module,
then its arguments. The paper's methods are identified by their adapters (PAM also by its released
weights), its datasets by their ids.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.metrics.definitions import METRICS
from reports.paper.measured import Measured, NotHereError

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
_IDS = tuple(f"D{number:02d}" for number in range(1, 45))
DATASETS = {"internal": _IDS[:34], "external": _IDS[34:], "all": _IDS}
_NORMALISATIONS = 5
"""Number of settings: dynamic normalisation and four fixed windows (paper, Table S18)."""
_FROM = "training.models, or analysis.runs"
"""Keys of the study file that training runs come from."""
_LEVELS = {"stability": 5, "thickness": 4}
"""Number of levels: deviations of 0 to 20 % in steps of 5 %, regardless of sign (Table S15), and
thicknesses of 10 to 40 mm (Table S16).
"""


def measure(quantity: str, results: "Results") -> Measured:
    """Return our value of a ``quantity``; raises `NotHereError` if the study cannot give it."""
    name, *arguments = quantity.split()
    return _QUANTITIES[name](results, *arguments)


def _method(results: "Results", role: str) -> str:
    """Return the study's name of the paper's method ``role``."""
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
    """Raise `NotHereError` unless ``method`` has a DSC on exactly the datasets of ``split``."""
    table = results.by_dataset
    rows = table[(table["method"] == method) & (table["metric"] == "dsc") & (table["n"] > 0)]
    rows = rows if split == "all" else rows[rows["split"] == split]
    _the_papers(rows["dataset"], split, method)


def _the_papers(datasets: Iterable[str], split: str, of: str) -> None:
    """Raise `NotHereError` unless ``datasets`` are exactly those of the paper's ``split``."""
    wanted, found = DATASETS[split], set(datasets)
    ours = {_id(name) for name in found} & set(wanted)
    if len(ours) < len(wanted):
        raise NotHereError(f"{of}: {len(ours)} of the paper's {len(wanted)} datasets")
    if len(found) > len(wanted):
        more = ", ".join(sorted(found - set(wanted)))
        raise NotHereError(f"{of}: beside the paper's {len(wanted)} datasets also {more}")


def _all_of_them(n: int, of: str) -> None:
    """Raise `NotHereError` if a test is over fewer datasets than the paper has."""
    if n < len(DATASETS["all"]):
        raise NotHereError(f"{of}: {n} of the paper's {len(DATASETS['all'])} datasets")


def _id(dataset: str) -> str:
    """Return the catalogue id; D34-released is D34 as the authors' scripts read it."""
    return dataset.removesuffix("-released")


def _trained_on(results: "Results", methods: Iterable[str], split: str) -> str:
    """Say how many cells behind the means of ``methods`` are contaminated; empty if none."""
    table = results.by_dataset
    rows = table[table["method"].isin(list(methods)) & (table["metric"] == "dsc")]
    return _contaminated(rows if split == "all" else rows[rows["split"] == split])


def _contaminated(rows: "pd.DataFrame") -> str:
    count, of = int(rows["contaminated"].sum()), int(rows["expected"].sum())
    return f"{count} of {of} cells were trained on; the paper's are held out" if count else ""


def _notes(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _table(results: "Results", name: str, **where: Any) -> "pd.DataFrame":
    table = results.statistics(name)
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def _one(table: "pd.DataFrame", column: str, **more: str) -> Measured:
    """Return the value of the only row of ``table``.

    ``more`` maps fields of `Measured`, such as ``low``, to columns. Raises `NotHereError` without a
    row or a value.
    """
    if table.empty:
        raise NotHereError("there is no such row in the statistics")
    row = table.iloc[0]
    if row[column] != row[column]:
        raise NotHereError(str(row.get("reason") or "it has no value"))
    found = {field: row[name] for field, name in more.items()}
    return Measured(float(row[column]), **found)


def _pair(results: "Results", a: str, b: str, **where: Any) -> tuple["pd.DataFrame", float]:
    """Return the comparison rows of two methods, and the sign that makes differences a minus b."""
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        rows = _table(results, "comparison", method_a=first, method_b=second, **where)
        if len(rows):
            return rows, sign
    raise NotHereError(f"{a} and {b} were not compared")


def _mean(results: "Results", role: str, metric: str, split: str) -> Measured:
    method = _method(results, role)
    _covered(results, method, split)
    rows = _table(results, "overall", split=split, method=method, metric=metric)
    found = _one(rows, "mean", low="low", high="high", n="n")
    return replace(found, note=_trained_on(results, [method], split))


def _gain(results: "Results", role: str, other: str) -> Measured:
    a, b = _method(results, role), _method(results, other)
    for method in (a, b):
        _covered(results, method, "all")
    rows, sign = _pair(results, a, b, split="all", metric="dsc", test="paired t")
    found = _one(rows, "difference", low="low", high="high", n="n")
    ends = sorted(100 * sign * end for end in (found.low, found.high))
    note = _trained_on(results, (a, b), "all")
    return Measured(100 * sign * found.value, ends[0], ends[1], found.n, note=note)


def _wins(results: "Results", split: str) -> Measured:
    """Count the datasets on which both PAM methods have a higher DSC than MedSAM and SegVol."""
    names = [_method(results, r) for r in ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")]
    for name in names:
        _covered(results, name, split)
    rows = _table(results, "by_dataset", split=split, metric="dsc")
    rows = rows[rows["method"].isin(names)]
    wide = rows.pivot(index="dataset", columns="method", values="mean")[names]
    won = wide[names[:2]].min(axis=1) > wide[names[2:]].max(axis=1)
    lacking = bool((rows["cells"] < rows["expected"]).any())
    note = "cells are missing: each mean is over its own scored cells" if lacking else ""
    note = _notes(note, _trained_on(results, names, split))
    return Measured(int(won.sum()), n=len(wide), note=note)


def _p(results: "Results", metrics: str) -> Measured:
    """Return the largest P of the paired t-tests of PAM against MedSAM and SegVol.

    The tests are over the external datasets; in the paper, PAM is better in each.
    """
    ps, other_way = [], []
    for role in ("PAM-2DBox", "PAM-2DMask"):
        for other in ("MedSAM", "SegVol"):
            a, b = _method(results, role), _method(results, other)
            for method in (a, b):
                _covered(results, method, "external")
            for metric in metrics.split(","):
                where = {"split": "external", "metric": metric, "test": "paired t"}
                rows, sign = _pair(results, a, b, **where)
                ps.append(_one(rows, "p").value)
                gain = sign * float(rows.iloc[0]["difference"])
                if not (gain > 0 if METRICS[metric].higher_is_better else gain < 0):
                    label = METRICS[metric].label.partition(" (")[0]
                    other_way.append(f"{label} of {a} and {b}")
    n = len(DATASETS["external"])
    roles = ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")
    note = _trained_on(results, [_method(results, role) for role in roles], "external")
    return Measured(max(ps), n=n, note=note, other_way=", ".join(other_way))


def _structure(results: "Results", structure: str, dataset: str, *roles: str) -> Measured:
    """Return the best mean DSC of a structure over ``roles``, with its 95 % interval over scans.

    ``structure`` matches as a part of names; with ``dataset`` "all", the best over all datasets.
    """
    methods = [_method(results, role) for role in roles]
    if dataset == "all":
        for method in methods:
            _covered(results, method, "all")
    rows = _table(results, "by_structure", metric="dsc")
    rows = rows[rows["method"].isin(methods)]
    rows = rows[rows["structure"].str.contains(structure, case=False, regex=False)]
    here = rows["dataset"].map(_id) == dataset
    rows = rows[here | (dataset == "all")].dropna(subset="mean")
    if rows.empty:
        raise NotHereError(f"no score of it in {dataset}")
    best = rows.loc[rows["mean"].idxmax()]
    half = 1.96 * float(best["sd"]) / float(best["n"]) ** 0.5
    where = f"{best['structure']} of {best['dataset']}"
    where = _notes(where, _contaminated(rows[rows.index == best.name]))
    value = float(best["mean"])
    return Measured(value, value - half, value + half, int(best["n"]), "scans", where)


def _anova(results: "Results", factor: str, role: str) -> Measured:
    method = _method(results, role)
    _covered(results, method, "all")
    rows = _table(results, f"{factor}_tests", method=method, selection="all", test="one-way ANOVA")
    found = _one(rows, "p", n="n")
    if (groups := int(rows.iloc[0]["groups"])) != _LEVELS[factor]:
        raise NotHereError(f"{groups} levels of {factor}, where the paper has {_LEVELS[factor]}")
    _all_of_them(found.n, f"{factor} of {method}")
    return replace(found, note=_trained_on(results, [method], "all"))


def _time_p(results: "Results") -> Measured:
    """Return the largest P of the rank-sum tests of times of PAM against MedSAM and SegVol.

    In the paper, PAM is faster in each.
    """
    roles = [_method(results, r) for r in ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")]
    for method in roles:
        _covered(results, method, "all")
    table = _table(results, "times_tests", phase="total", test="wilcoxon rank-sum")
    table = table[table["device_a"] == table["device_b"]]
    rows, other_way = [], []
    for pam in roles[:2]:
        for other in roles[2:]:
            for a, b, sign in ((pam, other, 1), (other, pam, -1)):
                part = table[(table["method_a"] == a) & (table["method_b"] == b)]
                part = part.dropna(subset="p")
                rows.append(part)
                if (sign * (part["mean_a"] - part["mean_b"]) >= 0).any():
                    other_way.append(f"times of {pam} and {other}")
            if not len(rows[-1]) + len(rows[-2]):
                raise NotHereError(f"{pam} and {other} were not timed on one device")
    found = pd.concat(rows)
    p, n = float(found["p"].max()), int(found["n"].min())
    _all_of_them(n, "times")
    return Measured(p, n=n, other_way=", ".join(other_way))


def _interaction(results: "Results", what: str, a: str, b: str) -> Measured:
    """Return the rank-sum P or the ``reduction`` of the times of two prompts.

    ``what`` is ``p``, ``p-less`` (a P with the first prompt the faster one) or ``reduction``.
    """
    rows = _table(results, "interaction_tests", test="wilcoxon rank-sum")
    pairs = zip(rows["prompt_a"], rows["prompt_b"], strict=True)
    rows = rows[pd.Series([{x, y} == {a, b} for x, y in pairs], index=rows.index, dtype=bool)]
    if rows.empty:
        raise NotHereError("no interaction times were brought (analysis.interaction)")
    if bool(rows["generated"].iloc[0]):
        raise NotHereError("the interaction times of this study are generated, not measured")
    if what in ("p", "p-less"):
        found = _one(rows, "p", n="n_a")
        row = rows.iloc[0]
        seconds = {row["prompt_a"]: row["mean_a"], row["prompt_b"]: row["mean_b"]}
        kept = what == "p" or seconds[a] < seconds[b]
        return replace(found, other_way="" if kept else f"times of {a} and {b}")
    if rows["prompt_a"].iloc[0] != a:
        raise NotHereError(f"the reduction was taken the other way, {b} against {a}")
    found = _one(rows, "reduction_percent", low="low", high="high", n="n_a")
    return replace(found, over="objects")


def _regularity(results: "Results") -> Measured:
    """Return the largest Pearson r of both PAM methods against MedSAM, over the three 2D shapes."""
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
    note = _trained_on(results, (medsam, *pam), "all")
    r, low, high = (float(last[name]) for name in ("r", "low", "high"))
    return Measured(r, low, high, int(last["n"]), note=note)


def _finetuning(results: "Results") -> Measured:
    """Return P of the gain by fine-tuning against the gain over MedSAM.

    In the paper, the gain by fine-tuning is the smaller one.
    """
    about = {"method": _method(results, "PAM-2DMask"), "reference": _method(results, "MedSAM")}
    rows = _table(results, "finetuning_tests", test="paired t", metric="dsc", **about)
    if rows.empty:
        raise NotHereError(f"no fine-tuned runs of PAM-2DMask beside MedSAM ({_FROM})")
    gains = _table(results, "finetuning", metric="dsc", **about)
    gains = gains.dropna(subset=["gain", "gain_over_reference"])
    _the_papers(gains["dataset"], "external", "fine-tuning")
    smaller = float(rows.iloc[0]["difference"]) < 0
    found = _one(rows, "p", n="n")
    return replace(found, other_way="" if smaller else "the gain by fine-tuning is not the smaller")


def _recovery(results: "Results", trained: str, tested: str = "") -> Measured:
    """Return the recovery of training from scratch, in percent.

    ``trained`` "own" asks for the least over models tested on their own dataset; else it is the
    dataset trained on, and ``tested`` that tested on.
    """
    method = _method(results, "PAM-2DMask")
    rows = _table(results, "recovery", metric="dsc", method=method)
    rows = rows.dropna(subset="recovery_percent")
    if trained == "own":
        rows = rows[rows["own"].astype(bool)]
        rows = rows[rows["tested_on"].map(_id).isin(DATASETS["external"])]
    else:
        rows = rows[rows["trained_on"].map(_id) == trained]
        rows = rows[rows["tested_on"].map(_id) == tested]
    if rows.empty:
        raise NotHereError(f"no such runs from scratch of PAM-2DMask ({_FROM})")
    if trained == "own":
        _the_papers(rows["tested_on"], "external", "from scratch")
    return Measured(float(rows["recovery_percent"].min()), n=len(rows))


def _ablation(results: "Results", ablation: str) -> Measured:
    about = {"ablation": ablation, "metric": "dsc", "method": _method(results, "PAM-2DMask")}
    rows = _table(results, "ablation_tests", **about)
    if rows.empty:
        raise NotHereError("no such runs of PAM-2DMask (training.ablations, or analysis.runs)")
    if (groups := int(rows.iloc[0]["groups"])) != _NORMALISATIONS:
        raise NotHereError(f"{groups} settings, where the paper has {_NORMALISATIONS}")
    known = _table(results, "ablation", **about).dropna(subset="mean")
    settings = known.groupby("dataset", sort=False)["setting"].nunique()
    _the_papers(settings.index[settings == groups], "external", f"ablation of {ablation}")
    return _one(rows, "wins_of_default", n="n")


def _parameters(results: "Results", role: str) -> Measured:
    """Return the number of parameters, in millions."""
    rows = _table(results, "costs", method=_method(results, role))
    found = _one(rows, "parameters")
    return Measured(found.value / 1e6)


def _count(results: "Results", what: str) -> Measured:
    """Count what was prepared of the paper's datasets.

    All of them must be there, except for the count of ``datasets`` itself.
    """
    table = _table(results, "fingerprint")
    table = table[table["dataset"].map(_id).isin(DATASETS["all"])]
    if what == "datasets":
        if table.empty:
            raise NotHereError("no dataset of the paper is here")
        return Measured(len(table), n=len(table))
    _the_papers(table["dataset"], "all", "prepared")
    samples = _table(results, "training_samples")
    samples = samples[samples["dataset"].isin(table["dataset"])]
    types = _table(results, "object_types")
    types = types[types["dataset"].isin(table["dataset"])]
    values = {
        "object_types": types["structure"].str.casefold().nunique(),
        "objects": table["objects"].sum(),
        "propmask_tasks": samples["tasks"].sum(),
        "box2mask_samples": samples["samples"].sum(),
    }
    value = float(values[what])
    if math.isnan(value):
        raise NotHereError("it has no value")
    note = "names of structures are matched as spelled" if what == "object_types" else ""
    return Measured(value, n=len(table), note=note)


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
