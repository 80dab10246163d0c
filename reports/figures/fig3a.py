"""Fig. 3a: number of objects of each type in each dataset, as bars around a circle."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.formatting import count_noun, split_label
from reports.style import MM, MODALITIES, OTHER, SMALL, SPLIT_GREYS, WIDTH, nothing, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from reports.results import Results

_CIRCLE_MM = 164
INNER, _REACH = 1.5, 1.0
"""Inner radius of the bars, and length of the longest bar."""
_LEAST = 0.064
"""Minimum angle of a dataset in radians, needed for its name."""
_SCALE = 0.16
"""Angle in radians left free at the top for the scale's labels."""
_BEHIND = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.5}
_GAP = 0.012
"""Angle in radians between two datasets."""


def make(results: "Results") -> "tuple[Figure, str]":
    """Return the figure of a study and its caption."""
    types = results.statistics("object_types")
    return draw(types), caption(types)


def draw(types: "pd.DataFrame") -> "Figure":
    """Draw one bar per object type of a dataset; ``types`` is the table ``object_types``."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with styled():
        if types.empty:
            return nothing("No dataset was prepared.")
        figure = Figure(figsize=(WIDTH, (_CIRCLE_MM + 16) * MM))
        box = (0.5 - _CIRCLE_MM / 360, 16 / (_CIRCLE_MM + 16), _CIRCLE_MM / 180, 1)
        axes: Any = figure.add_axes(
            (*box[:2], box[2], _CIRCLE_MM / (_CIRCLE_MM + 16)), projection="polar"
        )
        axes.set_theta_offset(np.pi / 2)
        axes.set_theta_direction(-1)
        axes.axis("off")
        groups = list(types.groupby("dataset", sort=False))
        width = bar_width([len(rows) for _, rows in groups])
        decades = max(1.0, float(np.log10(types["objects"].max())))
        splits = list(dict.fromkeys(types["split"]))
        angle = _SCALE / 2
        for dataset, rows in groups:
            ordered = rows.sort_values("objects", ascending=False)
            span = max(width * len(rows), _LEAST)
            middles = angle + span / 2 + width * (np.arange(len(rows)) + 0.5 - len(rows) / 2)
            colour = MODALITIES.get(str(rows["modality"].iloc[0]), OTHER)
            heights = np.log10(ordered["objects"].to_numpy(float).clip(1)) / decades * _REACH
            axes.bar(middles, heights + 0.02, width * 0.85, bottom=INNER, color=colour, lw=0)
            grey = SPLIT_GREYS[splits.index(rows["split"].iloc[0]) % len(SPLIT_GREYS)]
            for radius, shade in ((INNER - 0.05, colour), (INNER - 0.10, grey)):
                axes.bar(angle + span / 2, 0.04, span, bottom=radius, color=shade, lw=0)
            _name(axes, angle + span / 2, f"{dataset} ({len(rows)})")
            angle += span + _GAP
        _rings(axes, decades)
        axes.set_ylim(0, INNER + _REACH + 0.12)
        modalities = list(dict.fromkeys(map(str, types["modality"])))
        handles = [Patch(color=MODALITIES.get(m, OTHER), label=m) for m in modalities]
        handles += [
            Patch(color=SPLIT_GREYS[i % len(SPLIT_GREYS)], label=split_label(str(s)))
            for i, s in enumerate(splits)
        ]
        figure.legend(handles=handles, loc="lower center", ncols=min(len(handles), 6))
        return figure


def bar_width(counts: Sequence[int]) -> float:
    """Return the angle of a bar in radians, such that the datasets fill the circle.

    ``counts`` holds the number of object types of each dataset.
    """
    room = 2 * np.pi - _SCALE - _GAP * len(counts)
    low, high = 0.0, room / sum(counts)
    for _ in range(40):
        width = (low + high) / 2
        filled = sum(max(width * count, _LEAST) for count in counts)
        low, high = (low, width) if filled > room else (width, high)
    return low


def caption(types: "pd.DataFrame") -> str:
    """Return the caption."""
    if types.empty:
        return "Objects by type and dataset: none, since no dataset was prepared."
    splits: Mapping[Any, int] = types.drop_duplicates("dataset")["split"].value_counts().to_dict()
    listed = ", ".join(f"{count} {split_label(str(s))}" for s, count in splits.items())
    different = count_noun(types["structure"].str.casefold().nunique(), "different name")
    return (
        f"{count_noun(int(types['objects'].sum()), 'object')} of "
        f"{count_noun(len(types), 'type')} (a structure of a dataset; {different} as spelled) in "
        f"{count_noun(types['dataset'].nunique(), 'dataset')} ({listed}). Each bar "
        "is a type; its length is the number of objects on a logarithmic scale (dashed rings: "
        "powers of ten). Inner rings: modality and split. In brackets: number of types in the "
        "dataset."
    )


def _rings(axes: Any, decades: float) -> None:
    around = np.linspace(0, 2 * np.pi, 361)
    for power in range(1, int(decades) + 1):
        radius = INNER + 0.02 + power / decades * _REACH
        axes.plot(around, np.full(361, radius), color="#BBBBBB", lw=0.4, ls=(0, (4, 3)), zorder=0)
        text = f"{10**power:,}"
        axes.text(0, radius, text, fontsize=SMALL, color="#444444", ha="center", bbox=_BEHIND)


def _name(axes: Any, angle: float, text: str) -> None:
    """Write ``text`` inside the ring, never upside down."""
    turned = np.degrees(np.pi / 2 - angle)
    right = angle <= np.pi
    axes.text(
        angle,
        INNER - 0.14,
        text,
        rotation=turned if right else turned + 180,
        rotation_mode="anchor",
        ha="right" if right else "left",
        va="center",
        fontsize=SMALL,
    )
