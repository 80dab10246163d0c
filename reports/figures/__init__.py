"""The figures of the paper that are drawn: one file each, a function from tables to a figure."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reports.style import Look, looks, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.results import Results

Made = tuple["Figure", str]


def make(results: "Results", data: Path, root: Path, only: str | None = None) -> list[Path]:
    """Draw the figures of a study into its folder ``figures``; returns their paths, less suffix.

    ``data``, ``root``: the folders of the datasets and of all results, for the panels' pixels.
    """
    made = []
    for name, draw in FIGURES.items():
        if only in (None, name):
            figure, caption = draw(results, data, root)
            stem = results.folder / "figures" / name
            save(figure, stem, caption)
            made.append(stem)
    return made


def _fig4a(results: "Results", data: Path, root: Path) -> Made:
    from reports.figures import fig4a

    names = {i: str(entry.get("name") or i) for i, entry in results.datasets.items()}
    figure = fig4a.draw(results.by_dataset, _looks(results), names)
    return figure, fig4a.caption(results.by_dataset, results.methods, results.controls)


def _fig4d(results: "Results", data: Path, root: Path) -> Made:
    from reports.figures import fig4d

    times = results.times[~results.times["method"].isin(list(results.controls))]
    return fig4d.draw(times, _looks(results)), fig4d.caption(times)


def _fig5a(results: "Results", data: Path, root: Path) -> Made:
    from reports import panels
    from reports.figures import fig5a

    cases = panels.load(results, data, root)
    shown = {m: look for m, look in _looks(results).items() if m not in results.controls}
    return fig5a.draw(cases, shown), fig5a.caption(cases, results.panel_method)


def _looks(results: "Results") -> dict[str, Look]:
    return looks(results.methods, results.controls, results.report.get("colours"))


FIGURES: dict[str, Callable[["Results", Path, Path], Made]] = {
    "fig4a": _fig4a,
    "fig4d": _fig4d,
    "fig5a": _fig5a,
}
"""By the name of the figure in the paper."""
