"""Common style of all figures: a method keeps its colour, marker and line everywhere."""

import re
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.storage.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM = 1 / 25.4
WIDTH = 180 * MM
"""Full page width of the journal, in inches."""

PAGE_MM = 240.0
"""Greatest height of a figure that fits a page of the journal."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A3E9D", "#6B4E23")
"""Colour-blind-safe palette of Okabe and Ito, with purple and brown for yellow and black."""

MODALITIES = {
    "CT": "#0072B2",
    "MR": "#E69F00",
    "PETCT": "#009E73",
    "PET": "#009E73",
    "SRX": "#CC79A7",
    "EM": "#7A3E9D",
}
"""Colour of each modality; all others share `OTHER`."""
OTHER = "#6B4E23"

SPLIT_GREYS = ("#222222", "#999999", "#555555", "#C4C4C4")

CONTROL = "#8A8A8A"
TRUTH = "#F0E442"
"""Contour of the reference: the yellow of Okabe and Ito, which no method has."""

_MARKERS = "osD^vPX<>hd*"
CONTROL_MARKERS = "x+1|2_"
"""Markers made of strokes, which need an edge to be visible."""

_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
_DOTTED = (0, (1, 1.5))

NONE_DRAWN = "none-drawn"
"""SVG id of the text that stands in for a figure with nothing to draw."""

_ENTRY_MM, _LETTER_MM = 13.0, 1.4
"""Width of an entry of a legend besides its text, and of a letter of that, on average."""

_CONTRAST = 4.5
"""Least contrast of text, as WCAG 2 asks of small letters."""

_DARK = 0.15
"""Luminance below which a line is lost on dark tissue."""

SMALL = 6.0
"""Smallest font size in any figure, in points."""

_FALLBACK = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC"),
    *("Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("IPAexGothic", "NanumGothic", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS", "Unifont"),
)
"""Fonts for letters that DejaVu Sans lacks, above all Chinese, Japanese and Korean ones."""

_MISSING = re.compile(r"Glyph (\d+) .* missing from font")

_STYLE: Any = {
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 7.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.dpi": 250,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "pambench",
    "text.parse_math": False,  # names may hold dollars, and no figure sets mathematics
}


@dataclass(frozen=True)
class MethodStyle:
    """Colour, marker and line style of a method."""

    colour: str
    marker: str
    line: Any

    @property
    def dash(self) -> list[float]:
        """Dash and gap lengths in units of the line width; empty for a solid line."""
        return [] if isinstance(self.line, str) else list(self.line[1])

    @property
    def ink(self) -> str:
        """The colour for text on white: darkened to a contrast of at least 4.5 (WCAG 2)."""
        from matplotlib.colors import to_hex, to_rgb

        rgb: Any = np.asarray(to_rgb(self.colour))
        while 1.05 / (luminance(to_hex(rgb)) + 0.05) < _CONTRAST:
            rgb = 0.97 * rgb
        return to_hex(rgb)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2), from 0 for black to 1 for white."""
    from matplotlib.colors import to_rgb

    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def border_on_tissue(colour: str) -> str:
    """Return the colour of the border that a contour needs to be seen on tissue; empty if none.

    Purple and brown are as dark as tissue, and the yellow of the reference as light as bone.
    """
    if colour == TRUTH:
        return "black"
    return "white" if luminance(colour) < _DARK else ""


def method_styles(
    methods: Sequence[str], controls: Sequence[str] = (), colours: Mapping[str, str] | None = None
) -> dict[str, MethodStyle]:
    """Assign each of ``methods`` a style by its position in the study.

    ``controls`` are grey and differ by marker. If there are more methods than colours, those of
    the same colour differ by marker and line. ``colours`` overrides the colours of some methods.
    """
    own = colours or {}
    found: dict[str, MethodStyle] = {}
    for i, control in enumerate(controls):
        colour, marker = own.get(control, CONTROL), CONTROL_MARKERS[i % len(CONTROL_MARKERS)]
        found[control] = MethodStyle(colour, marker, _DOTTED)
    for i, method in enumerate(m for m in methods if m not in found):
        colour = own.get(method, COLOURS[i % len(COLOURS)])
        line = _LINES[i // len(COLOURS) % len(_LINES)]
        found[method] = MethodStyle(colour, _MARKERS[i % len(_MARKERS)], line)
    return {method: found[method] for method in methods}


@contextmanager
def styled() -> Iterator[None]:
    """Context manager that applies the figure style and restores matplotlib's settings.

    Letters that no installed font has are drawn as boxes, of which `save` tells.
    """
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    families = ["sans-serif", *(name for name in _FALLBACK if name in installed)]
    with mpl.rc_context({**_STYLE, "font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MISSING.pattern)
        yield


def dodge(count: int) -> NDArray[np.float64]:
    """Return ``count`` offsets that separate points at one position, in units of its width."""
    reach = min(0.32, 0.06 * (count - 1))
    return np.linspace(-reach, reach, count)


def legend_columns(names: Collection[str], most: int) -> int:
    """Return how many columns of a legend with these names fit the page, at most ``most``."""
    longest = max((len(name) for name in names), default=0)
    return max(1, min(most, len(names), int(WIDTH / MM / (_ENTRY_MM + _LETTER_MM * longest))))


def legend_below(figure: "Figure", axes: "Axes", columns: int | None = None) -> None:
    """Draw one legend below all panels, with the entries of one of them, ``axes``.

    ``columns``: by default, all entries are on one line.
    """
    handles, labels = axes.get_legend_handles_labels()
    columns = columns or max(len(labels), 1)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def nothing(text: str) -> "Figure":
    """Return a one-line figure with ``text``, which says why there is nothing to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.4))
    place: Any = {
        "ha": "center",
        "va": "center",
        "wrap": True,
        "gid": NONE_DRAWN,
        "parse_math": False,
    }
    figure.text(0.5, 0.5, text, color="#555555", fontsize=8, **place)
    return figure


def save(figure: "Figure", stem: Path, caption: str) -> None:
    """Write ``stem``.pdf, .svg and .png, and the caption as .txt.

    The files contain no dates, so that equal figures give equal bytes. If letters of the figure are
    in no installed font, a line on stderr says so, once for all figures with the same ones.
    """
    dateless: dict[str, dict[str, None]] = {
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
        "png": {},
    }
    with styled(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for suffix, metadata in dateless.items():
            with atomic(stem.with_name(f"{stem.name}.{suffix}")) as temporary:
                figure.savefig(temporary, metadata=metadata)
    missing = [_MISSING.match(str(warning.message)) for warning in caught]
    for warning, found in zip(caught, missing, strict=True):
        if not found:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if letters := {chr(int(found[1])) for found in missing if found}:
        _tell_missing("".join(sorted(letters)))
    with atomic(stem.with_name(f"{stem.name}.txt")) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")


@cache
def _tell_missing(letters: str) -> None:
    print(
        f"Figures show boxes in place of the letters {letters}, which no installed font has. "
        "Install one, such as Noto Sans CJK (Debian: fonts-noto-cjk), remove matplotlib's cache of "
        "fonts (~/.cache/matplotlib) and draw the figures again.",
        file=sys.stderr,
    )
