"""Fig. 4d: inference time by method, as box plots on a logarithmic axis."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reports.cases import links
from reports.style import MM, WIDTH, Look, note, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reports.figures import Folders
    from reports.results import Results

_ENOUGH_DATASETS = 5


def make(results: "Results", folders: "Folders") -> "tuple[Figure, str]":
    """Draw the figure of a study, and write its caption."""
    times = results.times[~results.times["method"].isin(list(results.controls))]
    return draw(times, results.looks), caption(times)


def unit(times: "pd.DataFrame") -> str:
    """What a point is: a "dataset" (its mean, as in the paper) from five on, else an "object"."""
    return "dataset" if times["dataset"].nunique() >= _ENOUGH_DATASETS else "object"


def table(times: "pd.DataFrame") -> "pd.DataFrame":
    """Seconds to segment one object: columns method, device, dataset, object, seconds.

    A row is a point. ``times``: rows of ``times.parquet``. The base variant counts, and what has a
    positive time (a logarithm needs one). Devices are kept apart.
    """
    rows = times[(times["variant"] == "") & (times["segment_s"] > 0)]
    rows = rows.rename(columns={"segment_s": "seconds"})
    columns = ["method", "device", "dataset"]
    if unit(times) == "dataset":
        means = rows.groupby(columns, sort=False)["seconds"].mean().reset_index()
        return means.assign(object=None)
    return rows[[*columns, "object", "seconds"]].reset_index(drop=True)


def draw(times: "pd.DataFrame", looks: Mapping[str, Look]) -> "Figure":
    """Draw a box and its points for each method (and device); methods in the order of ``looks``."""
    from matplotlib.figure import Figure

    with styled():
        points = table(times)
        groups = [
            (method, str(device), group["seconds"].to_numpy(dtype=float), _places(group))
            for method in looks
            for device, group in points[points["method"] == method].groupby("device", sort=False)
        ]
        if not groups:
            figure = Figure(figsize=(WIDTH, 40 * MM))
            note(figure, "No object was timed.")
            return figure
        figure = Figure(figsize=(WIDTH, (20 + 8 * len(groups)) * MM), layout="constrained")
        axes = figure.subplots()
        for place, (method, _, seconds, places) in enumerate(groups):
            colour = looks[method].colour
            axes.boxplot(
                seconds,
                positions=[place],
                orientation="horizontal",
                widths=0.55,
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": "white", "edgecolor": colour},
                medianprops={"color": colour, "linewidth": 1.8},
                whiskerprops={"color": colour},
                capprops={"color": colour},
            )
            height = place + _spread(len(seconds))
            axes.plot(seconds, height, "o", color=colour, ms=2.4, alpha=0.6)
            links.mark(axes, seconds, height, places)
        _time_axis(axes, [second for _, _, seconds, _ in groups for second in seconds])
        labels = [f"{method} ({device}, n = {len(s)})" for method, device, s, _ in groups]
        axes.set_yticks(range(len(groups)), labels)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        what = "the mean of a dataset" if unit(times) == "dataset" else "one object"
        axes.set_xlabel(f"time to segment an object (logarithmic; a point is {what})")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        return figure


def _places(points: "pd.DataFrame") -> list[str]:
    """Where the points lead: to the case of an object, or to those of a dataset."""
    pairs = zip(points["dataset"].astype(str), points["object"], strict=True)
    return [links.case(d, o) if isinstance(o, str) else links.cases(d) for d, o in pairs]


def caption(times: "pd.DataFrame") -> str:
    """Caption from the numbers: the medians, the unit and what is not in the time."""
    points = table(times)
    if points.empty:
        return "Inference time: no object was timed."
    medians = points.groupby(["method", "device"], sort=False)["seconds"].median().reset_index()
    listed = [
        f"{row['method']} {duration(row['seconds'])} ({row['device']})"
        for row in medians.to_dict("records")
    ]
    return (
        "Time to segment one object, measured apart from the scoring run, one object at a time, "
        "on a seeded sample; loading the model and reading the image are not in it. Box: quartiles "
        f"and median; whiskers: 1.5 times the interquartile range; a point is one {unit(times)}. "
        f"Medians: {'; '.join(listed)}."
    )


def duration(seconds: float) -> str:
    """Print a time with three significant places, in µs, ms or s."""
    unit, factor = next(
        (pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= 0.9999 * pair[1]), ("µs", 1e-6)
    )
    value = float(f"{seconds / factor:.3g}")
    return f"{value:,.10g} {unit}"


def _time_axis(axes: "Axes", seconds: Sequence[float]) -> None:
    """Logarithmic axis with units of time; 1, 2 and 5 of each decade where decades are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    if max(seconds) < 300 * min(seconds):
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _spread(count: int) -> NDArray[np.floating[Any]]:
    """Offsets that keep points apart, always the same ones: no chance in a figure."""
    return 0.32 * ((np.arange(count) * 0.618034) % 1 - 0.5)
