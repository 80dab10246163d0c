"""Fig. 5e: Kaplan-Meier curves by change of area (2D) and of volume (3D), with numbers at risk."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reports.formatting import count_noun, is_missing, p_statement
from reports.style import COLOURS, MM, PAGE_MM, WIDTH, legend_below, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

PANEL_TITLES = {"area": "reader's change of area (2D)", "volume": "change of volume (3D)"}
"""By measure. The area is that of the guiding masks, and so the same for all methods."""
GROUPS = {"low": (COLOURS[0], "at or below the median"), "high": (COLOURS[1], "above")}
SHORT = {"low": "≤ median", "high": "above"}
_REFERENCE = "reference"
_UNITS = ("days", "weeks", "months", "years")
_MARKS = 5
"""Most intervals between the times at which the numbers at risk are shown."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    curves, tests = results.statistics("survival_curves"), results.statistics("survival_tests")
    shown = [m for m in (results.panel_method, _REFERENCE) if m is not None]
    cohorts = results.analysis.cohorts
    units = {name: unit(entry.time) for name, entry in cohorts.items()}
    return draw(curves, tests, shown, units), caption(tests, shown, results.confidence)


def unit(column: str) -> str:
    """Return the unit of the times, taken from the end of the column name; empty if none."""
    return next((name for name in _UNITS if column.lower().endswith(name)), "")


def draw(
    curves: "pd.DataFrame",
    tests: "pd.DataFrame",
    methods: list[str],
    units: Mapping[str, str] | None = None,
) -> "Figure":
    """Draw one row per cohort and method, one column per measure.

    ``units`` holds the unit of the times by cohort.
    """
    from matplotlib.figure import Figure

    units = units or {}
    with styled():
        kept = _shown(curves, methods)
        rows = list(kept[["cohort", "method"]].drop_duplicates().itertuples(index=False))
        if not rows:
            why = _why_not(_shown(tests, methods))
            none = "No cohort with survival times (analysis.cohorts)."
            return nothing(f"No survival curve. {why}" if why else none)
        height = min(8 + 62 * len(rows), PAGE_MM)
        figure = Figure(figsize=(WIDTH, height * MM), layout="constrained")
        ratios = [46, 10] * len(rows)
        panels = figure.subplots(
            2 * len(rows), len(PANEL_TITLES), squeeze=False, height_ratios=ratios
        )
        for i, (cohort, method) in enumerate(rows):
            mine = kept[(kept["cohort"] == cohort) & (kept["method"] == method)]
            line, risks = panels[2 * i], panels[2 * i + 1]
            for axes, risk, (measure, name) in zip(line, risks, PANEL_TITLES.items(), strict=True):
                _panel(axes, risk, mine[mine["measure"] == measure])
                axes.set_xlabel(f"Time ({units[cohort]})" if units.get(cohort) else "Time")
                risk.tick_params(labelleft=axes is line[0])
                of = cohort if measure == "area" else f"{cohort}, {method}"
                axes.set_title(f"{of}: {name}\n{_told(tests, cohort, method, measure)}")
            line[0].set_ylabel("Survival")
        legend_below(figure, panels[0, 0], 2)
        return figure


def caption(tests: "pd.DataFrame", methods: list[str], confidence: str) -> str:
    """Return the caption: hazard ratios, concordance and numbers of patients of what is drawn.

    ``confidence`` is the level of the intervals as text.
    """
    kept = _shown(tests, methods)
    if kept.empty:
        return "Survival: none, since the study names no cohort."
    why = _why_not(kept)
    if kept[["hazard_ratio", "logrank_p"]].isna().all(axis=None):
        return f"Survival: none. {why}"
    text = (
        "Kaplan-Meier curves of the patients whose tumour shrank more (at or below the median "
        f"change) and less, with {confidence} intervals and numbers at risk; P: log-rank test, not "
        "corrected for the number of tests. Hazard ratios are for one standard deviation of the "
        f"change, with {confidence} intervals. Patients who lack a change, a time or an event are "
        "left out; whether they do may itself depend on their outcome."
    )
    by_a_reader = (kept["measure"] == "area") & kept.duplicated(["cohort", "measure"])
    for row in kept[~by_a_reader].to_dict("records"):
        of = row["cohort"] if row["measure"] == "area" else f"{row['cohort']}, {row['method']}"
        ratio, c = float(row["hazard_ratio"]), float(row["concordance"])
        if not is_missing(ratio):
            text += (
                f" {of}, {row['measure']}: hazard ratio {ratio:.2f} "
                f"({row['hr_low']:.2f} to {row['hr_high']:.2f}) per standard deviation, "
                f"concordance {c:.2f}, {row['n']:.0f} of {row['patients']:.0f} patients, "
                f"{count_noun(int(row['events']), 'event')}."
            )
    return f"{text} {why}".rstrip()


def _shown(table: "pd.DataFrame", methods: list[str]) -> "pd.DataFrame":
    return table[table["method"].isin(methods) & table["measure"].isin(PANEL_TITLES)]


def _why_not(tests: "pd.DataFrame") -> str:
    """Return one sentence per cohort and reason for which there are no results."""
    sentences = []
    told = tests[tests["reason"].fillna("") != ""]
    for (cohort, reason), rows in told.groupby(["cohort", "reason"], sort=False):
        whole = len(rows) == int((tests["cohort"] == cohort).sum())
        who = "" if whole else "".join(f", {name}" for name in dict.fromkeys(rows["method"]))
        sentences.append(f"{cohort}{who}: {reason}.")
    return " ".join(sentences)


def _panel(axes: Any, risk: Any, curves: "pd.DataFrame") -> None:
    """Draw the curves, and the numbers at risk below them on the axes ``risk``."""
    end = float(curves["time"].max()) if len(curves) else 1.0
    marks = _round_times(end)
    for line, (group, (colour, name)) in enumerate(GROUPS.items()):
        part = curves[curves["group"] == group].sort_values("time")
        if part.empty:
            continue
        axes.step(part["time"], part["survival"], where="post", color=colour, label=name)
        axes.fill_between(
            part["time"], part["low"], part["high"], step="post", color=colour, alpha=0.15, lw=0
        )
        censored = part[part["censored"] > 0]
        axes.plot(censored["time"], censored["survival"], "|", color=colour, ms=4)
        for mark in marks:
            later = part[part["time"] >= mark]
            count = int(later["at_risk"].iloc[0]) if len(later) else 0
            side = "left" if mark == 0 else "right" if mark > 0.95 * end else "center"
            risk.text(mark, line, str(count), color=colour, ha=side, va="center")
    axes.set_ylim(0, 1.03)
    risk.set_ylim(len(GROUPS) - 0.4, -0.6)
    risk.set_yticks(range(len(GROUPS)), [f"at risk, {name}" for name in SHORT.values()])
    risk.tick_params(length=0)
    risk.spines[:].set_visible(False)
    for panel in (axes, risk):
        panel.set_xlim(0, end)
    axes.set_xticks(marks, [f"{mark:.3g}" for mark in marks])
    risk.set_xticks([])
    axes.grid(axis="y")


def _round_times(end: float) -> "NDArray[np.float64]":
    """Return round times from 0 to at most ``end``."""
    from matplotlib.ticker import MaxNLocator

    marks = np.array(MaxNLocator(_MARKS, steps=[1, 2, 5, 10]).tick_values(0, end))
    return marks[(marks >= 0) & (marks <= end * (1 + 1e-9))]


def _told(tests: "pd.DataFrame", cohort: str, method: str, measure: str) -> str:
    keys = {"cohort": cohort, "method": method, "measure": measure}
    rows = tests
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    if rows.empty or np.isnan(float(rows["logrank_p"].iloc[0])):
        return "log-rank not computable"
    return f"log-rank {p_statement(float(rows['logrank_p'].iloc[0]))}"
