"""Fig. 4g: DSC by thickness of a propagation step, as box plots."""

from typing import TYPE_CHECKING

from reports import level_boxes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.results import Results


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    values, tests = results.statistics("thickness_values"), results.statistics("thickness_tests")
    figure = level_boxes.draw(values, tests, results.styles, "Thickness (mm)", "{:g}".format)
    return figure, level_boxes.caption(values, tests, "thickness")
