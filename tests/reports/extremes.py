"""Draws every figure for any number of datasets and methods, from tables of realistic size.

To inspect them: ``python -m tests.reports.extremes FOLDER [FIGURE]`` writes a picture of each.
"""

import sys
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.analysis import generalisation
from benchmark.analysis.settings import AnalysisSettings
from reports import level_boxes
from reports.cases.loading import Answer, Case
from reports.figures import (
    fig3a,
    fig3b,
    fig4a,
    fig4b,
    fig4c,
    fig4d,
    fig4e,
    fig5a,
    fig5b,
    fig5e,
    fig6a,
    fig6b,
    fig6c,
    fig6d,
)
from reports.style import MethodStyle, method_styles

SIZES = [(3, 2), (44, 12)]
"""Numbers of datasets and methods."""

METHODS = (
    *("PAM-2DBox", "MedSAM", "PAM-2DMask", "SegVol", "PAM-3DBox", "nnU-Net", "SAM2-box"),
    *("MedSAM2-mask", "flow-propagation", "nnInteractive-scribble", "ellipsoid", "box-fill"),
)
CONTROLS = ("ellipsoid", "box-fill")
MODALITIES = ("CT", "MR", "PETCT", "SRX")
NAMES = ("Medical Segmentation Decathlon: Hepatic Vessel", "HCC-TACE-Seg", "BraTS 2021")


def dataset(i: int) -> str:
    return f"D{i + 1:02d}"


def split(i: int, count: int) -> str:
    return "external" if i >= count * 3 // 4 else "internal"


def known(methods: int) -> dict[str, MethodStyle]:
    return method_styles(METHODS[:methods], CONTROLS)


def _no_controls(methods: int) -> dict[str, MethodStyle]:
    return {method: style for method, style in known(methods).items() if method not in CONTROLS}


def names(datasets: int) -> dict[str, str]:
    return {dataset(i): NAMES[i % len(NAMES)] for i in range(datasets)}


def by_dataset(datasets: int, methods: int) -> pd.DataFrame:
    rng = np.random.default_rng(datasets)
    rows = []
    for i, method in product(range(datasets), METHODS[:methods]):
        for metric in ("dsc", "sensitivity", "nsd", "hd95", "asd"):
            scale = 40 if metric in ("hd95", "asd") else 1
            about: dict[str, Any] = {"dataset": dataset(i), "method": method}
            about |= {"split": split(i, datasets)}
            rows.append(about | {"metric": metric, "mean": scale * rng.uniform(0.2, 0.98)})
    return pd.DataFrame(rows)


def ranks(datasets: int, methods: int) -> pd.DataFrame:
    return by_dataset(datasets, methods).rename(columns={"mean": "value"})


def object_types(datasets: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"dataset": dataset(i), "split": split(i, datasets), "modality": MODALITIES[i % 4]}
        | {"structure": f"type{t}", "objects": int(rng.lognormal(5, 2.5)) + 1}
        for i in range(datasets)
        for t in range(104 if i == 7 else 1 + 3 * i % 7)
    ]
    return pd.DataFrame(rows)


def fingerprint(datasets: int) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"dataset": [dataset(i) for i in range(datasets)]})
    table["modality"] = [MODALITIES[i % 4] for i in range(datasets)]
    for name in fig3b.NAMES:
        table[name] = rng.integers(1, 100, datasets)
        table[f"z_{name}"] = rng.normal(size=datasets)
    return table


def times(datasets: int, methods: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [
        {"dataset": dataset(i), "object": "o", "method": method, "variant": "", "device": device}
        | {"segment_s": float(np.exp(rng.normal(m / 2 - 2, 0.8)))}
        for i in range(datasets)
        for m, method in enumerate(METHODS[:methods])
        for device in (("cpu", "NVIDIA H100 80GB HBM3") if m % 2 else ("cpu",))
    ]
    return pd.DataFrame(rows)


def interaction() -> pd.DataFrame:
    table = pd.DataFrame({"prompt": ["box2d", "mask2d", "box3d"], "generated": True, "n": 1200})
    for place, name in enumerate(("q1", "median", "low", "mean", "high", "q3")):
        table[name] = 2.0 + place + np.arange(3)
    return table


def level_tables(datasets: int, methods: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(1)
    steps = (0.0, 0.05, 0.1, 0.15, 0.2)
    values = [
        {"method": m, "selection": "all", "level": step, "dataset": dataset(d)}
        | {"mean": rng.uniform(0.4, 0.99)}
        for m in METHODS[:methods]
        for step in steps
        for d in range(datasets)
    ]
    tests: list[dict[str, Any]] = []
    for method in METHODS[:methods]:
        tests.append({"method": method, "selection": "all", "test": "one-way ANOVA", "p": 0.25})
        tost = {"method": method, "selection": "effective", "test": "TOST", "p": 0.01}
        tost |= {"margin": 0.02, "unaffected": 7}
        tests += [tost | {"level": step, "equivalent": step < 0.12} for step in steps[1:]]
    return pd.DataFrame(values), pd.DataFrame(tests)


def regularity(datasets: int, methods: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(2)
    values, found = [], []
    shapes = list(fig5b.SHAPE_LABELS)
    for method in METHODS[1:methods]:
        pair = {"method": method, "reference": METHODS[0], "dimension": "2d"}
        for d, _ in product(range(datasets), range(4)):
            about: dict[str, Any] = pair | {"modality": MODALITIES[d % 4]}
            about |= {"dataset": dataset(d), "structure": "liver", "same_prompt": True}
            about |= {"change": rng.normal(0, 0.1)}
            values.append(about | dict(zip(shapes, rng.uniform(0.2, 1, 3), strict=True)))
        about = pair | {"unit": "structure", "modality": "all", "correlation": "pearson"}
        found += [about | {"shape": s, "r": -0.5, "p": 1e-5, "n": 4 * datasets} for s in shapes]
    return pd.DataFrame(values), pd.DataFrame(found)


def survival() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    groups = (("low", 0.02), ("high", 0.04))
    for cohort, method in product(("P11", "P12"), (METHODS[0], "reference")):
        for measure in fig5e.PANEL_TITLES:
            about = {"cohort": cohort, "method": method, "measure": measure}
            told = {"hazard_ratio": 2.5, "hr_low": 1.5, "hr_high": 4.0, "concordance": 0.7}
            tests.append(about | told | {"logrank_p": 0.0001, "reason": None})
            for (group, step), i in product(groups, range(25)):
                line = {"group": group, "time": 2.5 * i, "survival": 1 - step * i}
                line |= {"low": 0.9 - step * i * 0.9, "high": 1 - step * i * 0.9}
                rows.append(about | line | {"at_risk": 120 - 4 * i, "censored": i % 2})
    return pd.DataFrame(rows), pd.DataFrame(tests)


def case(rank: str, methods: int) -> Case:
    truth = np.zeros((20, 48, 60), dtype=bool)
    truth[4:15, 12:36, 18:42] = True
    image = np.arange(truth.size, dtype=np.float32).reshape(truth.shape)
    answers = {m: Answer(np.roll(truth, i, 2), 0.75) for i, m in enumerate(METHODS[:methods])}
    answers[METHODS[1]] = Answer(None, None, "out of memory: 80 GiB asked for, 79 GiB there")
    place: Any = {"spacing": (3.0, 1.0, 1.0), "axis": 0, "index": 9, "answers": answers}
    about: Any = {"rank": rank, "dataset": "D01", "structure": "hepatic vessel", "object": "s/1"}
    return Case(image=image, truth=truth, prompt=(9, 10, 12, 36, 18, 42), **about, **place)


@cache
def training(datasets: int, methods: int) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(5)
    models = METHODS[: max(1, methods // 4)]
    ids = [dataset(i) for i in range(datasets)]
    rows: list[dict[str, Any]] = []
    for model, tested in product(models, ids):
        about = {"method": model, "tested_on": tested}
        rows.append(about | {"kind": "general"})
        for trained in ids:
            rows.append(about | {"kind": "scratch", "trained_on": trained})
            rows.append(about | {"kind": "finetuned", "trained_on": trained})
        for ablation, settings in ABLATIONS.items():
            for (i, setting), seed in product(enumerate(settings), (0, 1)):
                what = {"kind": "ablation", "ablation": ablation, "setting": setting}
                cost = {"flops": 333.3e9 * 4.44**i, "seconds": 0.1234 * 5**i}
                rows.append(about | what | cost | {"default": i == 0, "seed": seed})
    for other, tested in product(METHODS[len(models) : methods], ids):
        rows.append({"kind": "reference", "method": other, "tested_on": tested})
    table = pd.DataFrame(rows).assign(metric="dsc").fillna({"seed": 0})
    table["value"] = rng.uniform(0.3, 0.95, len(table))
    return generalisation.analyse({"runs": table}, AnalysisSettings())


ABLATIONS = {
    "normalisation": ("dynamic", "soft tissue", "lung", "bone", "brain"),
    "guiding prompt": ("Box2Mask", "full box", "adaptive threshold", "manual"),
    "mask encoder": ("separate", "shared"),
    "scales": ("R4", "R3", "R2", "R1"),
}


def _levels(datasets: int, methods: int, axis: str, name: Callable[[float], str]) -> Figure:
    return level_boxes.draw(*level_tables(datasets, methods), known(methods), axis, name)


def _training(figure: Any, *tables: str) -> Callable[[int, int], Figure]:
    def draw(datasets: int, methods: int) -> Figure:
        found = training(datasets, methods)
        given = [found[name] for name in tables]
        more = {fig6a: (known(methods),), fig6c: (known(methods), names(datasets))}
        drawn: Figure = figure.draw(*given, *more.get(figure, ()))
        return drawn

    return draw


DRAWN: dict[str, Callable[[int, int], Figure]] = {
    "fig3a": lambda d, m: fig3a.draw(object_types(d)),
    "fig3b": lambda d, m: fig3b.draw(fingerprint(d)),
    "fig4a": lambda d, m: fig4a.draw(by_dataset(d, m), known(m), names(d)),
    "fig4b": lambda d, m: fig4b.draw(by_dataset(d, m), _no_controls(m)),
    "fig4c": lambda d, m: fig4c.draw(
        by_dataset(d, m), ranks(d, m), known(m), names(d), METHODS[:2]
    ),
    "fig4d": lambda d, m: fig4d.draw(times(d, m), _no_controls(m)),
    "fig4e": lambda d, m: fig4e.draw(interaction()),
    "fig4f": lambda d, m: _levels(d, m, "Deviation of the guiding slice", "{:.0%}".format),
    "fig4g": lambda d, m: _levels(d, m, "Thickness (mm)", "{:g}".format),
    "fig5a": lambda d, m: fig5a.draw([case(r, m) for r in ("best", "median", "worst")], known(m)),
    "fig5b": lambda d, m: fig5b.draw(*regularity(d, m)),
    "fig5e": lambda d, m: fig5e.draw(*survival(), [METHODS[0], "reference"]),
    "fig6a": _training(fig6a, "finetuning"),
    "fig6b": _training(fig6b, "recovery"),
    "fig6c": _training(fig6c, "transfer"),
    "fig6d": _training(fig6d, "ablation", "ablation_overall", "ablation_tests"),
}
"""Functions that draw each figure, given numbers of datasets and methods."""

if __name__ == "__main__":
    from reports.style import styled

    for figure_name in sys.argv[2:] or DRAWN:
        for size in SIZES:
            drawn = DRAWN[figure_name](*size)
            path = Path(sys.argv[1]) / f"{figure_name}-{size[0]}.png"
            with styled():
                drawn.savefig(path, dpi=130)
            print(path)
