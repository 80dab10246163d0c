"""Fig. 4d: inference time by method, as box plots on a logarithmic axis."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.efficiency import total
from reports.cases import links
from reports.style import MM, WIDTH, MethodStyle, dodge, legend_columns, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from reports.results import Results

_ENOUGH_DATASETS = 5


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    times = results.times[~results.times["method"].isin(list(results.controls))]
    return draw(times, results.styles), caption(times)


def unit(times: "pd.DataFrame") -> str:
    """Return what a point is: "dataset" (its mean, as in the paper) from five on, else "object"."""
    return "dataset" if times["dataset"].nunique() >= _ENOUGH_DATASETS else "object"


def table(times: "pd.DataFrame") -> "pd.DataFrame":
    """Return seconds from reading the scan to the result of one object, the paper's definition.

    ``times`` holds rows of ``times.parquet``. The result has one row per point, with the columns
    method, device, dataset, object and seconds.
    """
    if unit(times) == "dataset":
        return by_dataset(times).assign(object=None)
    columns = ["method", "device", "dataset", "object", "seconds"]
    return _taken(times)[columns].reset_index(drop=True)


def _taken(times: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of the base variant with a positive time, in the column ``seconds``.

    The axis is logarithmic, so that a time of 0 cannot be drawn.
    """
    rows = times.assign(seconds=total(times))
    return rows[(rows["variant"] == "") & (rows["seconds"] > 0)]


def by_dataset(times: "pd.DataFrame") -> "pd.DataFrame":
    """Return mean seconds by (method, device, dataset); see `table`."""
    keys = ["method", "device", "dataset"]
    return _taken(times).groupby(keys, sort=False)["seconds"].mean().reset_index()


def draw(times: "pd.DataFrame", styles: Mapping[str, MethodStyle]) -> "Figure":
    """Draw a box and its points for each method and device, in the order of ``styles``.

    With several datasets, a second panel shows the mean of each.
    """
    from matplotlib.figure import Figure

    with styled():
        points = table(times)
        groups = [
            (method, str(device), group["seconds"].to_numpy(dtype=float), _places(group))
            for method in styles
            for device, group in points[points["method"] == method].groupby("device", sort=False)
        ]
        if not groups:
            return nothing("No object was timed.")
        means = by_dataset(times)
        columns = legend_columns(styles, 5)
        lower = 52 + 4.2 * -(-len(styles) // columns)
        tall = [14 + 7 * len(groups)] + [lower] * (means["dataset"].nunique() > 1)
        figure = Figure(figsize=(WIDTH, (sum(tall) + 12) * MM), layout="constrained")
        upper, *below = figure.subfigures(len(tall), 1, height_ratios=tall, squeeze=False)[:, 0]
        axes = upper.subplots()
        for place, (method, _, seconds, places) in enumerate(groups):
            _box(axes, place, seconds, styles[method].colour)
            links.mark(axes, seconds, place + _spread(len(seconds)), places)
        axes.set_xscale("log")
        _time_axis(axes.xaxis, [second for _, _, seconds, _ in groups for second in seconds])
        labels = [f"{method} ({device}, n = {len(s)})" for method, device, s, _ in groups]
        axes.set_yticks(range(len(groups)), labels)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        what = "the mean of a dataset" if unit(times) == "dataset" else "one object"
        axes.set_xlabel(f"Time from scan to result (logarithmic; a point is {what})")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        for part in below:
            _each(part.subplots(), means, styles)
            part.legend(loc="outside lower center", ncols=columns)
        return figure


def _box(axes: "Axes", place: int, seconds: NDArray[np.float64], colour: str) -> None:
    """Draw a horizontal box and its points."""
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
    axes.plot(seconds, place + _spread(len(seconds)), "o", color=colour, ms=2.4, alpha=0.6)


def _places(points: "pd.DataFrame") -> list[str]:
    """Return the link of each point: the case of an object, or the cases of a dataset."""
    pairs = zip(points["dataset"].astype(str), points["object"], strict=True)
    return [links.case(d, o) if isinstance(o, str) else links.cases(d) for d, o in pairs]


def _each(axes: "Axes", means: "pd.DataFrame", styles: Mapping[str, MethodStyle]) -> None:
    """Draw the mean of each method on each dataset, hollow if not on the first device."""
    first = means["device"].iloc[0]
    datasets = list(dict.fromkeys(means["dataset"]))
    shown = [method for method in styles if method in set(means["method"])]
    for shift, method in zip(dodge(len(shown)), shown, strict=True):
        mine = means[means["method"] == method]
        for i, (device, part) in enumerate(mine.groupby("device", sort=False)):
            places = [datasets.index(name) + shift for name in part["dataset"]]
            style = styles[method]
            axes.plot(
                places,
                part["seconds"],
                style.marker,
                color=style.colour,
                markersize=3.2,
                markerfacecolor=style.colour if device == first else "white",
                markeredgewidth=0.6,
                label=None if i else method,
            )
            links.mark_datasets(axes, places, part["seconds"], part["dataset"])
    for place in range(1, len(datasets)):
        axes.axvline(place - 0.5, color="#EEEEEE", lw=0.6, zorder=0)
    axes.set_yscale("log")
    _time_axis(axes.yaxis, list(means["seconds"]))
    axes.set_xticks(range(len(datasets)), datasets, rotation=90 * (len(datasets) > 16))
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(datasets) - 0.4)
    axes.set_ylabel("Mean time\n(logarithmic)")
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def caption(times: "pd.DataFrame") -> str:
    """Return the caption: the medians, the unit, and what the time includes."""
    points = table(times)
    if points.empty:
        return "Inference time: no object was timed."
    medians = points.groupby(["method", "device"], sort=False)["seconds"].median().reset_index()
    listed = [
        f"{row['method']} {duration(row['seconds'])} ({row['device']})"
        for row in medians.to_dict("records")
    ]
    below = ""
    if times["dataset"].nunique() > 1:
        devices = list(dict.fromkeys(by_dataset(times)["device"].astype(str)))
        fills = f"; filled: {devices[0]}, hollow: {' or '.join(devices[1:])}" if devices[1:] else ""
        below = f"Below: the mean of each dataset{fills}. "
    return (
        "Time from reading the scan to the result for one object, without loading the model; "
        "measured separately from the scoring run, one object at a time, on a seeded sample. Box: "
        "quartiles and median; whiskers: 1.5 times the interquartile range; each point is one "
        f"{unit(times)}. {below}"
        f"Medians: {'; '.join(listed)}.{_reading(times)}"
    )


def _reading(times: "pd.DataFrame") -> str:
    """State the share of time spent on reading the scan; empty if it was not measured."""
    if "read_s" not in times:
        return ""
    sums = _taken(times).groupby("method")[["read_s", "seconds"]].sum()
    shares = 100 * sums["read_s"] / sums["seconds"]
    low, high = (f"{share:.0f}" for share in (shares.min(), shares.max()))
    told = f"{low} % of it" if low == high else f"{low} to {high} % of it, by method"
    return f" Reading takes {told}."


def duration(seconds: float) -> str:
    """Format a time with three significant digits, in µs, ms or s."""
    unit, factor = next(
        (pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= 0.9999 * pair[1]), ("µs", 1e-6)
    )
    value = float(f"{seconds / factor:.3g}")
    return f"{value:,.10g} {unit}"


def _time_axis(axis: "Axis", seconds: Sequence[float]) -> None:
    """Label a logarithmic time axis, at 1, 2 and 5 of each decade if there are few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if max(seconds) < 300 * min(seconds):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axis.set_minor_formatter(NullFormatter())


def _spread(count: int) -> NDArray[np.floating[Any]]:
    """Return deterministic offsets that separate points."""
    return 0.32 * ((np.arange(count) * 0.618034) % 1 - 0.5)
