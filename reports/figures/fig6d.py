"""Fig. 6d-g: ablations, a panel each: DSC by setting over datasets, with the test's P."""

from typing import TYPE_CHECKING

from reports import levels, models
from reports.sections import p_value
from reports.style import COLOURS, CONTROL, MM, WIDTH, note, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.figures import Folders
    from reports.results import Results

TEST = "repeated-measures ANOVA"
"""Every setting is tested on the same datasets."""
_COLUMNS = 2


def make(results: "Results", folders: "Folders") -> "tuple[Figure, str]":
    """Draw the figure of a study, and write its caption."""
    ablation, tests = results.statistics("ablation"), results.statistics("ablation_tests")
    return draw(ablation, tests), caption(ablation, tests)


def draw(ablation: "pd.DataFrame", tests: "pd.DataFrame") -> "Figure":
    """Draw a panel an ablation of a method; the setting of the model as it is has a colour."""
    from matplotlib.figure import Figure

    with styled():
        rows = ablation[ablation["metric"] == models.METRIC]
        keys = list(dict.fromkeys(zip(rows["ablation"], rows["method"], strict=True)))
        if not keys:
            figure = Figure(figsize=(WIDTH, 40 * MM))
            note(figure, "No ablation was run (analysis.runs).")
            return figure
        columns = min(len(keys), _COLUMNS)
        lines = -(-len(keys) // columns)
        figure = Figure(figsize=(WIDTH, (6 + 58 * lines) * MM), layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for axes, (name, method) in zip(panels, keys, strict=False):
            part = rows[(rows["ablation"] == name) & (rows["method"] == method)]
            settings = list(dict.fromkeys(part["setting"]))
            default = set(part.loc[part["default"].astype(bool), "setting"])
            boxes = [part.loc[part["setting"] == s, "mean"].dropna() for s in settings]
            colours = [COLOURS[0] if s in default else CONTROL for s in settings]
            levels.boxes(axes, boxes, colours)
            axes.set_xticks(range(1, len(settings) + 1), [_wrapped(s) for s in settings])
            axes.set_title(f"{name} ({method})", loc="left", pad=14)
            axes.text(0, 1.03, verdict(tests, name, method), transform=axes.transAxes, fontsize=6)
            axes.set_ylim(0, 1.02)
            axes.grid(axis="y")
        for axes in panels[::columns]:
            axes.set_ylabel("DSC")
        for axes in panels[len(keys) :]:
            axes.set_visible(False)
        return figure


def verdict(tests: "pd.DataFrame", ablation: str, method: str) -> str:
    """Say what the test found, and on how many datasets the model as it is does best."""
    rows = tests[(tests["ablation"] == ablation) & (tests["method"] == method)]
    rows = rows[(rows["metric"] == models.METRIC) & (rows["test"] == TEST)]
    if rows.empty or rows["p"].isna().all():
        return "P not computable"
    row = rows.iloc[0]
    p = p_value(float(row["p"]))
    text = f"P {p if p.startswith('<') else f'= {p}'} (n = {int(row['n'])})"
    if row["wins_of_default"] == row["wins_of_default"]:
        text += f"; {row['default']} best on {int(row['wins_of_default'])}"
    return text


def caption(ablation: "pd.DataFrame", tests: "pd.DataFrame") -> str:
    """Caption from the numbers: the mean of each setting."""
    rows = ablation[ablation["metric"] == models.METRIC]
    if rows.empty:
        return "Ablations: none, since the study has no runs of them."
    text = (
        "DSC by setting; a point is a dataset, in colour the setting of the model as it is. "
        f"P: {TEST} over the datasets that have all settings."
    )
    for (name, method), part in rows.groupby(["ablation", "method"], sort=False):
        means = part.groupby("setting", sort=False)["mean"].mean().dropna()
        told = ", ".join(f"{setting} {mean:.3f}" for setting, mean in means.items())
        text += f" {name} ({method}): {told}."
    return text


def _wrapped(setting: object) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(str(setting), 12))
