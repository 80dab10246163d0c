"""Computes the paper's quantities from a study's statistics, or says why that is impossible.

A quantity is an expression such as ``gain PAM-2DBox MedSAM``: the key of a function of this module,
then its arguments.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from benchmark.analysis.generalisation import BETWEEN_GAINS
from benchmark.metrics.definitions import METRICS
from reports.paper.measured import Measured, NotAvailableError
from reports.paper.scope import (
    DATASETS,
    catalogue_id,
    contamination_note,
    contamination_of,
    method_in_role,
    paired_rows,
    require_all_datasets,
    require_paper_datasets,
    require_same_datasets,
    rows_of,
    single_value,
)

if TYPE_CHECKING:
    from reports.results import Results

_NORMALISATIONS = 5
"""Number of settings: dynamic normalisation and four fixed windows (paper, Table S18)."""
_FROM = "training.models, or analysis.runs"
"""Keys of the study file that training runs come from."""
_LEVELS = {"stability": 5, "thickness": 4}
"""Number of levels: deviations of 0 to 20 % in steps of 5 %, regardless of sign (Table S15), and
thicknesses of 10 to 40 mm (Table S16).
"""


def evaluate(quantity: str, results: "Results") -> Measured:
    """Return our value of a quantity; raises `NotAvailableError` if the study cannot give it."""
    name, *arguments = quantity.split()
    return QUANTITIES[name](results, *arguments)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _mean(results: "Results", role: str, metric: str, split: str) -> Measured:
    method = method_in_role(results, role)
    require_same_datasets(results, method, split)
    rows = rows_of(results, "overall", split=split, method=method, metric=metric)
    found = single_value(rows, "mean", low="low", high="high", n="n")
    return replace(found, note=contamination_note(results, [method], split))


def _sd(results: "Results", role: str, metric: str, split: str) -> Measured:
    """Return the standard deviation over datasets, without an interval."""
    mean = _mean(results, role, metric, split)
    where = {"split": split, "method": method_in_role(results, role), "metric": metric}
    found = single_value(rows_of(results, "overall", **where), "sd")
    return Measured(found.value, n=mean.n, note=mean.note)


def _gain(results: "Results", role: str, other: str) -> Measured:
    a, b = method_in_role(results, role), method_in_role(results, other)
    for method in (a, b):
        require_same_datasets(results, method, "all")
    rows, sign = paired_rows(results, a, b, split="all", metric="dsc", test="paired t")
    found = single_value(rows, "difference", low="low", high="high", n="n")
    ends = sorted(100 * sign * end for end in (found.low, found.high))
    note = contamination_note(results, (a, b), "all")
    return Measured(100 * sign * found.value, ends[0], ends[1], found.n, note=note)


def _wins(results: "Results", split: str) -> Measured:
    """Count the datasets on which both PAM methods have a higher DSC than MedSAM and SegVol."""
    names = [method_in_role(results, r) for r in ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")]
    for name in names:
        require_same_datasets(results, name, split)
    rows = rows_of(results, "by_dataset", split=split, metric="dsc")
    rows = rows[rows["method"].isin(names)]
    wide = rows.pivot(index="dataset", columns="method", values="mean")[names]
    won = wide[names[:2]].min(axis=1) > wide[names[2:]].max(axis=1)
    lacking = bool((rows["cells"] < rows["expected"]).any())
    note = "cells are missing: each mean is over its own scored cells" if lacking else ""
    note = _joined(note, contamination_note(results, names, split))
    return Measured(int(won.sum()), n=len(wide), note=note)


def _p(results: "Results", metrics: str) -> Measured:
    """Return the largest P of the paired t-tests of PAM against MedSAM and SegVol.

    The tests are over the external datasets; in the paper, PAM is better in each.
    """
    ps, opposite_sign = [], []
    for role in ("PAM-2DBox", "PAM-2DMask"):
        for other in ("MedSAM", "SegVol"):
            a, b = method_in_role(results, role), method_in_role(results, other)
            for method in (a, b):
                require_same_datasets(results, method, "external")
            for metric in metrics.split(","):
                where = {"split": "external", "metric": metric, "test": "paired t"}
                rows, sign = paired_rows(results, a, b, **where)
                ps.append(single_value(rows, "p").value)
                gain = sign * float(rows.iloc[0]["difference"])
                if not (gain > 0 if METRICS[metric].higher_is_better else gain < 0):
                    label = METRICS[metric].label.partition(" (")[0]
                    opposite_sign.append(f"{label} of {a} and {b}")
    n = len(DATASETS["external"])
    roles = ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")
    note = contamination_note(
        results, [method_in_role(results, role) for role in roles], "external"
    )
    return Measured(max(ps), n=n, note=note, opposite_sign=", ".join(opposite_sign))


def _structure(results: "Results", structure: str, dataset: str, *roles: str) -> Measured:
    """Return the best mean DSC of a structure over ``roles``, with its t interval over scans.

    ``structure`` matches as a part of names; with ``dataset`` "all", the best over all datasets.
    """
    from scipy import stats

    methods = [method_in_role(results, role) for role in roles]
    if dataset == "all":
        for method in methods:
            require_same_datasets(results, method, "all")
    rows = rows_of(results, "by_structure", metric="dsc")
    rows = rows[rows["method"].isin(methods)]
    rows = rows[rows["structure"].str.contains(structure, case=False, regex=False)]
    here = rows["dataset"].map(catalogue_id) == dataset
    rows = rows[here | (dataset == "all")].dropna(subset="mean")
    if rows.empty:
        raise NotAvailableError(f"no score of it in {dataset}")
    best = rows.loc[rows["mean"].idxmax()]
    scans = int(best["n"])
    tail = (1 - results.analysis.confidence) / 2
    half = float(stats.t.isf(tail, scans - 1)) * float(best["sd"]) / scans**0.5
    where = f"{best['structure']} of {best['dataset']}"
    where = _joined(where, contamination_of(rows[rows.index == best.name]))
    value = float(best["mean"])
    return Measured(value, value - half, value + half, scans, "scans", where)


def _anova(results: "Results", factor: str, role: str) -> Measured:
    method = method_in_role(results, role)
    require_same_datasets(results, method, "all")
    rows = rows_of(results, f"{factor}_tests", method=method, selection="all", test="one-way ANOVA")
    found = single_value(rows, "p", n="n")
    if (groups := int(rows.iloc[0]["groups"])) != _LEVELS[factor]:
        raise NotAvailableError(
            f"{groups} levels of {factor}, where the paper has {_LEVELS[factor]}"
        )
    require_all_datasets(found.n, f"{factor} of {method}")
    return replace(found, note=contamination_note(results, [method], "all"))


def _time_p(results: "Results") -> Measured:
    """Return the largest P of the rank-sum tests of times of PAM against MedSAM and SegVol.

    In the paper, PAM is faster in each.
    """
    roles = [method_in_role(results, r) for r in ("PAM-2DBox", "PAM-2DMask", "MedSAM", "SegVol")]
    for method in roles:
        require_same_datasets(results, method, "all")
    table = rows_of(results, "times_tests", phase="total", test="wilcoxon rank-sum")
    table = table[table["device_a"] == table["device_b"]]
    rows, opposite_sign = [], []
    for pam in roles[:2]:
        for other in roles[2:]:
            for a, b, sign in ((pam, other, 1), (other, pam, -1)):
                part = table[(table["method_a"] == a) & (table["method_b"] == b)]
                part = part.dropna(subset="p")
                rows.append(part)
                if (sign * (part["mean_a"] - part["mean_b"]) >= 0).any():
                    opposite_sign.append(f"times of {pam} and {other}")
            if not len(rows[-1]) + len(rows[-2]):
                raise NotAvailableError(f"{pam} and {other} were not timed on one device")
    found = pd.concat(rows)
    p, n = float(found["p"].max()), int(found["n"].min())
    require_all_datasets(n, "times")
    return Measured(p, n=n, opposite_sign=", ".join(opposite_sign))


def _interaction(results: "Results", what: str, a: str, b: str) -> Measured:
    """Return the rank-sum P or the ``reduction`` of the times of two prompts.

    ``what`` is ``p``, ``p-less`` (a P with the first prompt the faster one) or ``reduction``.
    """
    rows = rows_of(results, "interaction_tests", test="wilcoxon rank-sum")
    pairs = zip(rows["prompt_a"], rows["prompt_b"], strict=True)
    rows = rows[pd.Series([{x, y} == {a, b} for x, y in pairs], index=rows.index, dtype=bool)]
    if rows.empty:
        raise NotAvailableError("no interaction times were brought (analysis.interaction)")
    if bool(rows["generated"].iloc[0]):
        raise NotAvailableError("the interaction times of this study are generated, not measured")
    if what in ("p", "p-less"):
        found = single_value(rows, "p", n="n_a")
        row = rows.iloc[0]
        seconds = {row["prompt_a"]: row["mean_a"], row["prompt_b"]: row["mean_b"]}
        kept = what == "p" or seconds[a] < seconds[b]
        return replace(found, opposite_sign="" if kept else f"times of {a} and {b}")
    if rows["prompt_a"].iloc[0] != a:
        raise NotAvailableError(f"the reduction was taken the other way, {b} against {a}")
    found = single_value(rows, "reduction_percent", low="low", high="high", n="n_a")
    return replace(found, over="objects")


def _regularity(results: "Results") -> Measured:
    """Return the largest Pearson r of both PAM methods against MedSAM, over the three 2D shapes."""
    medsam = method_in_role(results, "MedSAM")
    pam = [method_in_role(results, role) for role in ("PAM-2DBox", "PAM-2DMask")]
    for method in (medsam, *pam):
        require_same_datasets(results, method, "all")
    where = {"reference": medsam, "dimension": "2d", "unit": "structure", "modality": "all"}
    rows = rows_of(results, "regularity", correlation="pearson", **where)
    rows = rows[rows["method"].isin(pam)].dropna(subset="r")
    if rows.empty:
        raise NotAvailableError("analysis.reference is not MedSAM")
    last = rows.loc[rows["r"].idxmax()]
    note = contamination_note(results, (medsam, *pam), "all")
    r, low, high = (float(last[name]) for name in ("r", "low", "high"))
    return Measured(r, low, high, int(last["n"]), note=note)


def _finetuning(results: "Results") -> Measured:
    """Return P of the gain by fine-tuning against the gain over MedSAM.

    In the paper, the gain by fine-tuning is the smaller one.
    """
    about = {
        "method": method_in_role(results, "PAM-2DMask"),
        "reference": method_in_role(results, "MedSAM"),
    }
    what = {"comparison": BETWEEN_GAINS, "test": "paired t", "metric": "dsc"}
    rows = rows_of(results, "finetuning_tests", **what, **about)
    if rows.empty:
        raise NotAvailableError(f"no fine-tuned runs of PAM-2DMask beside MedSAM ({_FROM})")
    gains = rows_of(results, "finetuning", metric="dsc", **about)
    gains = gains.dropna(subset=["gain", "gain_over_reference"])
    require_paper_datasets(gains["dataset"], "external", "fine-tuning")
    smaller = float(rows.iloc[0]["difference"]) < 0
    found = single_value(rows, "p", n="n")
    return replace(
        found, opposite_sign="" if smaller else "the gain by fine-tuning is not the smaller"
    )


def _recovery(results: "Results", trained: str, tested: str = "") -> Measured:
    """Return the recovery of training from scratch, in percent.

    ``trained`` "own" asks for the least over models tested on their own dataset; else it is the
    dataset trained on, and ``tested`` that tested on.
    """
    method = method_in_role(results, "PAM-2DMask")
    rows = rows_of(results, "recovery", metric="dsc", method=method)
    rows = rows.dropna(subset="recovery_percent")
    if trained == "own":
        rows = rows[rows["own"].astype(bool)]
        rows = rows[rows["tested_on"].map(catalogue_id).isin(DATASETS["external"])]
    else:
        rows = rows[rows["trained_on"].map(catalogue_id) == trained]
        rows = rows[rows["tested_on"].map(catalogue_id) == tested]
    if rows.empty:
        raise NotAvailableError(f"no such runs from scratch of PAM-2DMask ({_FROM})")
    if trained == "own":
        require_paper_datasets(rows["tested_on"], "external", "from scratch")
    return Measured(float(rows["recovery_percent"].min()), n=len(rows))


def _ablation(results: "Results", ablation: str) -> Measured:
    about = {"ablation": ablation, "metric": "dsc", "method": method_in_role(results, "PAM-2DMask")}
    rows = rows_of(results, "ablation_tests", **about)
    if rows.empty:
        raise NotAvailableError("no such runs of PAM-2DMask (training.ablations, or analysis.runs)")
    if (groups := int(rows.iloc[0]["groups"])) != _NORMALISATIONS:
        raise NotAvailableError(f"{groups} settings, where the paper has {_NORMALISATIONS}")
    known = rows_of(results, "ablation", **about).dropna(subset="mean")
    settings = known.groupby("dataset", sort=False)["setting"].nunique()
    require_paper_datasets(
        settings.index[settings == groups], "external", f"ablation of {ablation}"
    )
    return single_value(rows, "wins_of_default", n="n")


def _parameters(results: "Results", role: str) -> Measured:
    """Return the number of parameters, in millions."""
    rows = rows_of(results, "costs", method=method_in_role(results, role))
    found = single_value(rows, "parameters")
    return Measured(found.value / 1e6)


def _count(results: "Results", what: str) -> Measured:
    """Count what was prepared of the paper's datasets, all of which must be there."""
    table = rows_of(results, "fingerprint")
    table = table[table["dataset"].map(catalogue_id).isin(DATASETS["all"])]
    require_paper_datasets(table["dataset"], "all", "prepared")
    samples = rows_of(results, "training_samples")
    samples = samples[samples["dataset"].isin(table["dataset"])]
    types = rows_of(results, "object_types")
    types = types[types["dataset"].isin(table["dataset"])]
    values = {
        "datasets": len(table),
        "object_types": types["structure"].str.casefold().nunique(),
        "objects": table["objects"].sum(),
        "propmask_tasks": samples["tasks"].sum(),
        "box2mask_samples": samples["samples"].sum(),
    }
    value = float(values[what])
    if math.isnan(value):
        raise NotAvailableError("it has no value")
    note = (
        "structures of one name in the catalogue are one type; the paper does not say how it counts"
        if what == "object_types"
        else ""
    )
    return Measured(value, n=len(table), note=note)


def _never(reason: str) -> Callable[..., Measured]:
    def refuse(results: "Results", *arguments: str) -> Measured:
        raise NotAvailableError(reason)

    return refuse


QUANTITIES: dict[str, Callable[..., Measured]] = {
    "mean": _mean,
    "sd": _sd,
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
