"""Radar charts: spokes, lines and arcs on polar axes, large or as small multiples."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from reports.cases import links
from reports.formatting import split_label
from reports.style import CONTROL_MARKERS, SMALL, SPLIT_GREYS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLE_LETTERS = 24

Box = tuple[float, float, float, float]
"""Left, bottom, width and height, as fractions of the figure."""


def polar(figure: "Figure", box: Box, spokes: int) -> Any:
    """Return polar axes from 0 to 1, clockwise from the top, with ``spokes`` spokes."""
    axes: Any = figure.add_axes(box, projection="polar")
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0.2, 0.4, 0.6, 0.8], [])
    axes.set_xticks(angles(spokes), [])
    axes.spines["polar"].set_color("#BBBBBB")
    return axes


def angles(spokes: int) -> Any:
    """Return the angles of the spokes in radians, clockwise from the top."""
    return 2 * np.pi * np.arange(spokes) / spokes


def line(axes: Any, values: ArrayLike, style: MethodStyle, label: str, scale: float = 1.0) -> None:
    """Draw one value per spoke as a closed line; NaN leaves a gap."""
    heights = np.asarray(values, dtype=float)
    axes.plot(
        np.append(angles(len(heights)), 2 * np.pi),
        np.append(heights, heights[0]),
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        linewidth=1.2 * scale,
        markersize=3.6 * scale,
        markeredgewidth=0.8 if style.marker in CONTROL_MARKERS else 0,
        label=label,
        clip_on=False,
    )


def link(axes: Any, values: ArrayLike, datasets: Iterable[object]) -> None:
    """Link the points of a line to the cases of the dataset of each spoke."""
    heights = np.asarray(values, dtype=float)
    links.mark_datasets(axes, angles(len(heights)), heights, datasets)


def scale(axes: Any, spokes: int) -> None:
    """Label the rings, between the first two spokes."""
    axes.set_yticks([0.2, 0.4, 0.6, 0.8], ["0.2", "0.4", "0.6", "0.8"])
    axes.set_rlabel_position(180 / spokes)
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor="#333333", zorder=5)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6})


def name(axes: Any, angle: float, text: str) -> None:
    """Write ``text`` horizontally outside the circle, aligned away from it."""
    across, up = np.sin(angle), np.cos(angle)
    side = "center" if abs(across) < 0.1 else ("left" if across > 0 else "right")
    lift = "bottom" if up > 0.8 else ("top" if up < -0.8 else "center")
    axes.text(angle, 1.1, text, ha=side, va=lift, fontsize=6.5, linespacing=1.1)


def title(text: str) -> str:
    """Return the title of a small chart in at most two lines, as wide as a quarter of a page."""
    return "\n".join(textwrap.wrap(text, _TITLE_LETTERS, max_lines=2, placeholder="..."))


def turned_name(axes: Any, angle: float, text: str) -> None:
    """Write ``text`` along the spoke, which takes the least room around a small circle."""
    degrees = float(np.degrees(np.pi / 2 - angle))
    right = angle <= np.pi
    place: Any = {"rotation": degrees if right else degrees + 180, "rotation_mode": "anchor"}
    side = "left" if right else "right"
    axes.text(angle, 1.06, text, ha=side, va="center", fontsize=SMALL, **place)


def arcs(axes: Any, splits: Sequence[str]) -> None:
    """Mark the split of each spoke by an arc just outside the circle."""
    step = 2 * np.pi / len(splits)
    order = list(dict.fromkeys(splits))
    for i, split in enumerate(splits):
        part = np.linspace((i - 0.5) * step, (i + 0.5) * step, max(8, 120 // len(splits)))
        first = split not in splits[:i]
        axes.plot(
            part,
            np.full(len(part), 1.045),
            color=SPLIT_GREYS[order.index(split) % len(SPLIT_GREYS)],
            linewidth=2.2,
            solid_capstyle="butt",
            clip_on=False,
            label=f"arc: {split_label(split)}" if first else None,
        )
