"""Fig. 5a: segmentations of the best, median and worst object: two slices and the surface."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Box, in_plane
from reports import panels, surface
from reports.cases.loading import Answer, Case
from reports.style import (
    MM,
    PAGE_MM,
    SMALL,
    TRUTH,
    WIDTH,
    MethodStyle,
    border_on_tissue,
    nothing,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.results import Results

_WIDEST_MM, _LEAST_MM = 45.0, 12.0
"""Width of a panel: at most, and where an object can just be made out."""
_MOST_METHODS = 12
"""Most methods: with more, one case of each rank does not fit a page."""
_TITLE_MM, _HEADING_MM, _GAP_MM = 7.0, 8.5, 1.5
"""Height of a case's title and of the headings of its panels, and of the gap between panels."""
_EDGE = {0: "RL", 1: "RL", 2: "AP"}
"""Letters at the left and right edge of a slice perpendicular to each axis of an LPS volume."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    chosen = panels.load(results)
    known = {m: style for m, style in results.styles.items() if m not in results.controls}
    shown = {m: known[m] for m in methods_shown(list(known), results.panel_method)}
    cases = fitting(chosen, 1 + len(shown))
    text = caption(cases, results.panel_method, len(chosen))
    if cases and len(shown) < len(known):
        left_out = ", ".join(method for method in known if method not in shown)
        text += f" No room on the page for: {left_out}."
    return draw(cases, shown), text


def methods_shown(methods: Sequence[str], judge: str | None) -> list[str]:
    """Return the methods that fit a page, in their order: the first ones, ``judge`` among them."""
    kept = sorted(methods, key=lambda method: method != judge)[:_MOST_METHODS]
    return [method for method in methods if method in kept]


def fitting(cases: Sequence[Case], panels: int) -> list[Case]:
    """Return the cases that fit a page, equally many of each rank, and at least one of each.

    These are the very best and worst, and the middle of the median ones. ``panels`` is the number
    of panels of a case; one case of each rank always fits with the most methods that are shown.
    """
    ranks = [list(part) for _, part in itertools.groupby(cases, lambda case: case.rank)]
    for count in range(max(map(len, ranks), default=0), 1, -1):
        kept = [case for part in ranks for case in _extreme(part, count)]
        *_, width = _layout(kept, panels)
        if width > _LEAST_MM:
            return kept
    return [case for part in ranks for case in _extreme(part, 1)]


def _extreme(cases: Sequence[Case], count: int) -> Sequence[Case]:
    """Return ``count`` of the cases of one rank, which are in the order of falling scores."""
    spare = max(len(cases) - count, 0)
    start = {"best": 0, "worst": spare}.get(cases[0].rank, spare // 2)
    return cases[start : start + count]


def draw(cases: Sequence[Case], styles: Mapping[str, MethodStyle]) -> "Figure":
    """Draw one block per case: reference with prompt, then each method, in three views each."""
    from matplotlib.figure import Figure

    with styled():
        if not cases:
            return nothing("No panel: no scored object of a dataset whose licence allows images.")
        beside, columns, width = _layout(cases, 1 + len(styles))
        bands = -(-(1 + len(styles)) // columns)
        lines = [cases[i : i + beside] for i in range(0, len(cases), beside)]
        heights = [max(_height(case, bands, width) for case in line) for line in lines]
        top = sum(heights)
        figure = Figure(figsize=(WIDTH, top * MM))
        for line, height in zip(lines, heights, strict=True):
            for i, case in enumerate(line):
                _block(figure, case, styles, columns, width, (i * 180 / beside, top))
            top -= height
        return figure


def _layout(cases: Sequence[Case], panels: int) -> tuple[int, int, float]:
    """Return cases side by side, columns of a case, and width of a panel in mm.

    Of the layouts that fit a page, it is the one with the widest panels. They are at least
    `_LEAST_MM` wide, so that an object can be made out; the figure is then taller than a page.
    """
    bands = -(-panels // int(180 / (_LEAST_MM + _GAP_MM)))
    columns = -(-panels // bands)
    found = []
    tall = [sum(_ratios(case)) for case in cases]
    for beside in range(1, len(cases) + 1):
        room = min(180 / (beside * columns) - _GAP_MM, _WIDEST_MM)
        lines = [max(tall[i : i + beside]) for i in range(0, len(cases), beside)]
        fits = (PAGE_MM - len(lines) * _height(cases[0], bands, 0)) / (bands * sum(lines))
        if room >= _LEAST_MM:
            found.append((min(room, fits), beside))
    width, beside = max(found)
    return beside, columns, max(width, _LEAST_MM)


def _height(case: Case, bands: int, width: float) -> float:
    """Return the height in mm of a case with ``bands`` of panels of this width in mm."""
    return _TITLE_MM + bands * (_HEADING_MM + 3 * _GAP_MM + width * sum(_ratios(case)))


def caption(cases: Sequence[Case], method: str | None, chosen: int) -> str:
    """Return the caption: the objects, the score they were chosen by, and what the lines mean.

    ``chosen`` is the number of objects that were chosen, of which ``cases`` fit a page.
    """
    if not cases:
        return "Qualitative panels: none, since no scored object may be shown."
    listed = [
        f"{case.rank}: {case.structure} of {case.dataset} (DSC {_score(case.answers, method)})"
        for case in cases
    ]
    fit = "" if chosen == len(cases) else f" {len(cases)} of the {chosen} chosen fit a page."
    return (
        f"Best, median and worst object by the DSC of {method}, among the datasets that may be "
        f"shown; {'; '.join(listed)}.{fit} Yellow: "
        "reference; dashed white: prompt on the guiding slice; coloured: the method. First row: "
        "guiding slice; second: perpendicular cut where the object is largest; third: the surface, "
        "from the front, turned by 30° to the patient's left and seen from 20° above. Letters name "
        "the patient's side (R right, L left, A front, P back). Grey values run from the 0.5th to "
        "the 99.5th percentile of the crop. Only datasets whose licence allows it are shown."
    )


def across(case: Case) -> tuple[int, int]:
    """Return axis and index of the perpendicular slice with the largest reference area.

    The first of equal slices is taken.
    """
    axis = 1 if case.axis == 0 else 0
    areas = case.truth.sum(axis=tuple(a for a in range(3) if a != axis))
    return axis, int(areas.argmax())


def _score(answers: Mapping[str, Answer], method: str | None) -> str:
    answer = answers.get(method or "")
    return f"{answer.dsc:.3f}" if answer and answer.dsc is not None else "none"


def _ratios(case: Case) -> tuple[float, float, float]:
    """Return height over width of the three views; pixels keep their aspect, within bounds."""

    def ratio(axis: int) -> float:
        sizes = np.multiply(case.image.shape, case.spacing)
        rows, across_mm = np.delete(sizes, axis)
        return float(np.clip(rows / across_mm, 0.35, 1.25))

    return ratio(case.axis), ratio(across(case)[0]), 0.8


def _block(
    figure: "Figure",
    case: Case,
    styles: Mapping[str, MethodStyle],
    columns: int,
    width: float,
    corner: tuple[float, float],
) -> None:
    """Draw one case with panels of this width in mm.

    ``corner``: its left and upper edge, in mm from the lower left corner of the figure.
    """
    total = figure.get_figheight() / MM
    edge, top = corner
    heights = [width * ratio for ratio in _ratios(case)]
    band_mm = _HEADING_MM + 3 * _GAP_MM + sum(heights)
    title = f"{case.rank.capitalize()}: {case.structure}, {case.dataset}"
    figure.text(
        (edge + _GAP_MM / 2) / 180,
        (top - 5) / total,
        title,
        fontsize=8,
        fontweight="bold",
        va="bottom",
    )
    low, high = np.percentile(case.image, [0.5, 99.5])
    window = (float(low), float(max(high, low + 1e-6)))
    shown = [case.truth, *(a.mask for a in case.answers.values() if a.mask is not None)]
    place = surface.sphere(shown, case.spacing)
    methods: list[str | None] = [None, *styles]
    for i, method in enumerate(methods):
        band, column = divmod(i, columns)
        upper = top - _TITLE_MM - band * band_mm - _HEADING_MM
        answer = case.answers.get(method) if method else None
        colour = styles[method].colour if method else "black"
        heading = "Reference\nand prompt" if method is None else _heading(method, answer, width)
        left = (edge + column * (width + _GAP_MM) + _GAP_MM / 2) / 180
        ink = styles[method].ink if method else "black"
        figure.text(left, (upper + 0.6) / total, heading, color=ink, fontsize=6, va="bottom")
        bottoms = (upper - heights[0], upper - _GAP_MM - sum(heights[:2]))
        views = ((case.axis, case.index), across(case))
        for (axis, index), bottom, height in zip(views, bottoms, heights[:2], strict=True):
            box = (left, bottom / total, width / 180, height / total)
            axes = figure.add_axes(box)
            _plane(axes, case, axis, index, window)
            if answer is not None and answer.mask is not None:
                _outline(axes, answer.mask.take([index], axis=axis).squeeze(axis), colour, 1.1)
            if method is None and axis == case.axis and case.prompt is not None:
                _prompt(axes, case.prompt, axis)
        mask = case.truth if method is None else answer.mask if answer is not None else None
        if mask is not None and mask.any():
            bottom = (upper - 2 * _GAP_MM - sum(heights)) / total
            axes = figure.add_axes((left, bottom, width / 180, heights[2] / total))
            _surface(axes, surface.shade(mask, case.spacing, *place), colour if method else TRUTH)


def _surface(axes: Any, lit: NDArray[np.float64], colour: str) -> None:
    """Show a shaded surface in the colour of its method, on a transparent background."""
    from matplotlib.colors import to_rgb

    seen = np.isfinite(lit)
    light = np.where(seen, lit, 0.0)[..., None]
    # Darken shadows and whiten highlights, so that pale and dark colours both show depth.
    tone = np.asarray(to_rgb(colour)) * np.minimum(1.4 * light, 1.0)
    tone += (1 - tone) * np.clip(light - 0.75, 0, 1)
    axes.imshow(np.dstack([tone, seen]), interpolation="bilinear")
    axes.set_axis_off()


def _heading(method: str, answer: Answer | None, width: float) -> str:
    """Return the method in at most two lines, and its score or why it has none."""
    letters = int(width * 0.78)
    name = "\n".join(textwrap.wrap(method, letters, max_lines=2, placeholder="..."))
    if answer is not None and answer.dsc is not None:
        return f"{name}\nDSC {answer.dsc:.3f}"
    reason = answer.reason if answer is not None else "not run"
    return f"{name}\n{textwrap.shorten(reason, letters, placeholder='...')}"


def _plane(axes: Any, case: Case, axis: int, index: int, window: tuple[float, float]) -> None:
    """Show a slice in radiological convention: patient's right on the left, head or front up."""
    spacing = np.delete(case.spacing, axis)
    axes.imshow(
        case.image.take(index, axis=axis),
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        aspect=spacing[0] / spacing[1],
        origin="upper" if axis == 0 else "lower",
        interpolation="nearest",
    )
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("NW")
    for spine in axes.spines.values():
        spine.set_visible(False)
    for letter, x, side in zip(_EDGE[axis], (0.02, 0.98), ("left", "right"), strict=True):
        place: Any = {"transform": axes.transAxes, "ha": side, "path_effects": _halo(0.4)}
        axes.text(x, 0.03, letter, fontsize=SMALL, color="white", **place)
    _outline(axes, case.truth.take([index], axis=axis).squeeze(axis), TRUTH, 0.8)


def _outline(axes: Any, plane: NDArray[np.bool_], colour: str, width: float) -> None:
    """Draw the contour of a mask, half-way between inner and outer voxels, closed at the edge."""
    if plane.any():
        rows, columns = plane.shape
        place = (np.arange(-1, columns + 1), np.arange(-1, rows + 1))
        limits = axes.get_xlim(), axes.get_ylim()
        padded = np.pad(plane, 1).astype(float)
        lines = axes.contour(*place, padded, [0.5], colors=[colour], linewidths=width)
        if border := border_on_tissue(colour):
            lines.set_path_effects(_halo(width, border))
        axes.set_xlim(limits[0])
        axes.set_ylim(limits[1])


def _halo(width: float, edge: str = "black") -> list[Any]:
    """Return path effects that give a line a border, to be seen on any tissue."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width + 0.6, foreground=edge), Normal()]


def _prompt(axes: Any, box: Box, axis: int) -> None:
    from matplotlib.patches import Rectangle

    (y0, y1), (x0, x1) = in_plane(box, axis)
    style: Any = {"fill": False, "edgecolor": "white", "linewidth": 0.8, "linestyle": "--"}
    start = (x0 - 0.5, y0 - 0.5)
    axes.add_patch(Rectangle(start, x1 - x0, y1 - y0, path_effects=_halo(0.8), **style))
