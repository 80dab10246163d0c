"""Fig. 4e: time that a person needs to make a prompt, by kind of prompt."""

from typing import TYPE_CHECKING

from benchmark.analysis.paired import WILCOXON
from reports.formatting import is_missing, p_statement
from reports.prompts import TOLD
from reports.style import MM, OTHER, WIDTH, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    summary, tests = results.statistics("interaction"), results.statistics("interaction_tests")
    return draw(summary), caption(summary, tests)


def draw(summary: "pd.DataFrame") -> "Figure":
    """Draw quartiles, median and mean with its interval from the table ``interaction``."""
    from matplotlib.figure import Figure

    with styled():
        if summary.empty:
            return nothing("No interaction times were given (analysis.interaction).")
        figure = Figure(figsize=(WIDTH, (16 + 9 * len(summary)) * MM), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(summary.to_dict("records")):
            axes.barh(
                place,
                row["q3"] - row["q1"],
                height=0.5,
                left=row["q1"],
                color=OTHER,
                alpha=0.3,
            )
            axes.plot([row["median"]] * 2, [place - 0.25, place + 0.25], color="#333333", lw=1.2)
            axes.plot([row["low"], row["high"]], [place, place], color=OTHER, lw=1)
            axes.plot(row["mean"], place, "D", color=OTHER, ms=4)
        names = [TOLD.get(str(p), str(p)) for p in summary["prompt"]]
        labels = [f"{name} (n = {n:,})" for name, n in zip(names, summary["n"], strict=True)]
        axes.set_yticks(range(len(summary)), labels)
        axes.set_ylim(len(summary) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("Seconds for a prompt")
        axes.grid(axis="x")
        if summary["generated"].astype(bool).any():
            title = "Generated times: nobody measured them"
            axes.set_title(title, loc="left", color="#B00020")
        return figure


def caption(summary: "pd.DataFrame", tests: "pd.DataFrame") -> str:
    """Return the caption."""
    if summary.empty:
        return "Time for a prompt: none, since the study names no table of interaction times."
    text = (
        "Time that a person takes for a prompt: bar from the first to the third quartile, line at "
        "the median, diamond at the mean with its interval."
    )
    if summary["generated"].astype(bool).any():
        text += " These times were drawn at random to show the figure; nobody measured them."
    # Readings of one object are not independent: prefer the paired test if it has a P value.
    fit = tests.assign(paired=(tests["test"] == WILCOXON) & tests["p"].notna())
    fit = fit.sort_values("paired", ascending=False, kind="stable")
    for row in fit.drop_duplicates(["prompt_a", "prompt_b"]).sort_index().to_dict("records"):
        a, b = (TOLD.get(str(row[k]), str(row[k])) for k in ("prompt_a", "prompt_b"))
        reduction, p = float(row["reduction_percent"]), float(row["p_holm"])
        if not (is_missing(reduction) or is_missing(p)):
            name = str(row["test"]).replace("wilcoxon", "Wilcoxon")
            text += f" {a[:1].upper()}{a[1:]} against {b}: {abs(reduction):.1f} % "
            text += f"{'less' if reduction >= 0 else 'more'} ({name}, {p_statement(p)} "
            text += "after Holm's correction)."
    return text
