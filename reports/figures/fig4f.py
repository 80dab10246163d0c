"""Fig. 4f: DSC by deviation of the guiding slice, as box plots."""

from typing import TYPE_CHECKING

from reports import level_boxes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.results import Results


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    values, tests = results.statistics("stability_values"), results.statistics("stability_tests")
    what = "deviation of the guiding slice"
    figure = level_boxes.draw(values, tests, results.styles, what.capitalize(), _share)
    return figure, level_boxes.caption(values, tests, what)


def _share(deviation: float) -> str:
    """Format a deviation, which is to either side."""
    return f"±{deviation:.0%}" if deviation else "0%"
