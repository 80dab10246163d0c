"""Figures at 3 and at 44 datasets: no overlap, nothing off the page, no text too small."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from reports.cases import links
from reports.figures import FIGURES, fig5a
from reports.style import MM, PAGE_MM, SMALL, WIDTH, method_styles, styled
from tests.reports import extremes
from tests.reports.extremes import DRAWN, METHODS, SIZES, case

_INK = 0.7
"""Part of the height of a line that letters fill, and of its width."""
IDS = ("D01", "D02", "D03")
_SLACK = 1.5
"""Pixels that the renderer may be off by, at 100 a inch."""


def written(figure: Figure) -> list[Text]:
    """Texts that a reader sees."""
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    texts = [text for text in found if isinstance(text, Text) and text.get_text().strip()]
    hidden = {id(t) for a in figure.axes if not a.get_visible() for t in a.findobj(Text)}
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:  # made, and not drawn
                hidden |= {id(tick.label1), id(tick.label2)}
    return [text for text in texts if id(text) not in hidden]


def outline(text: Text) -> Any:
    """Corners of what a text covers: its ink, turned as it is."""
    angle = text.get_rotation()
    if text.get_rotation_mode() != "anchor" or angle % 90 == 0:
        box, turn = text.get_window_extent(), Affine2D()
        upright = angle % 180 == 90
    else:
        text.set_rotation(0)
        box = text.get_window_extent()
        text.set_rotation(angle)
        x, y = text.get_transform().transform(text.get_position())
        turn, upright = Affine2D().rotate_deg_around(float(x), float(y), angle), False
    lines = text.get_text().count("\n") + 1
    cut = (1 - _INK) / 2 / lines
    wide, high = (cut, 0.02) if upright else (0.02, cut)
    x0, x1 = box.x0 + wide * box.width, box.x1 - wide * box.width
    y0, y1 = box.y0 + high * box.height, box.y1 - high * box.height
    return turn.transform([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])


@pytest.fixture(scope="module", params=[(n, s) for n in DRAWN for s in SIZES], ids=str)
def drawn(request: pytest.FixtureRequest) -> Figure:
    name, size = request.param
    figure = DRAWN[name](*size)
    figure.set_dpi(100)
    with styled():
        figure.draw_without_rendering()
    return figure


def test_every_figure_is_looked_at() -> None:
    assert set(DRAWN) == set(FIGURES)


def test_a_figure_fits_a_page_and_no_text_is_small(drawn: Figure) -> None:
    width, height = drawn.get_size_inches()
    assert width == pytest.approx(WIDTH)
    assert height <= 240.001 / 25.4
    assert min(float(text.get_fontsize()) for text in written(drawn)) >= SMALL


def test_more_panels_than_fit_a_page_leave_out_the_less_extreme() -> None:
    methods = 4
    ranks = ("best", "median", "worst")
    chosen = [replace(case(r, methods), object=f"{r}{i}") for r in ranks for i in range(5)]
    kept = fig5a.fitting(chosen, 1 + methods)
    count = len(kept) // 3
    assert 1 < count < 5
    middle = (5 - count) // 2
    wanted = [f"best{i}" for i in range(count)]
    wanted += [f"median{middle + i}" for i in range(count)]
    wanted += [f"worst{i}" for i in range(5 - count, 5)]
    assert [found.object for found in kept] == wanted
    styles = method_styles(METHODS[:methods])
    assert fig5a.draw(kept, styles).get_figheight() <= PAGE_MM * MM + 1e-6
    assert f" {len(kept)} of the 15 chosen fit a page." in fig5a.caption(kept, METHODS[0], 15)
    assert fig5a.fitting(chosen[:1], 1 + methods) == chosen[:1]
    assert fig5a.fitting([], 1 + methods) == []


def test_more_methods_than_fit_a_page_leave_out_the_last() -> None:
    methods = [f"method-{i:02d}" for i in range(20)]
    assert fig5a.methods_shown(methods[:3], None) == methods[:3]
    kept = fig5a.methods_shown(methods, methods[19])
    assert kept == [*methods[: len(kept) - 1], methods[19]]
    cases = [case(rank, len(METHODS)) for rank in ("best", "median", "worst")]
    deep = [replace(c, spacing=(9.0, 4.0, 1.0)) for c in cases]  # as tall as panels become
    figure = fig5a.draw(deep, method_styles(kept))
    assert figure.get_figheight() <= PAGE_MM * MM + 1e-6


def test_charts_of_methods_with_long_names_name_their_dataset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = "own-network-with-weights-of-three-hospitals-30-mm"
    monkeypatch.setattr(extremes, "METHODS", [long, "MedSAM"])
    extremes.training.cache_clear()
    titles = {text.get_text().partition(":")[0] for text in DRAWN["fig6c"](3, 2).texts}
    extremes.training.cache_clear()
    assert titles >= set(IDS)


def test_no_text_lies_on_another_or_leaves_the_page(drawn: Figure) -> None:
    places = [(text, outline(text)) for text in written(drawn)]
    width, height = drawn.get_size_inches() * 100
    for text, corners in places:
        low, high = corners.min(axis=0), corners.max(axis=0)
        inside = (low >= -_SLACK).all() and (high <= np.array([width, height]) + _SLACK).all()
        assert inside, f"{text.get_text()!r} leaves the page"
    for (one, a), (other, b) in combinations(places, 2):
        apart = (a.max(axis=0) <= b.min(axis=0)).any() or (b.max(axis=0) <= a.min(axis=0)).any()
        if not apart and Outline(a, closed=True).intersects_path(Outline(b, closed=True)):
            pytest.fail(f"{one.get_text()!r} lies on {other.get_text()!r}")


@pytest.mark.parametrize("name", ["fig4a", "fig4b", "fig4d", "fig6a", "fig6c"])
@pytest.mark.parametrize("methods", [4, 8])
def test_long_names_fit(name: str, methods: int, monkeypatch: pytest.MonkeyPatch) -> None:
    long = [f"{method}-{'with-own-weights-30-mm'[: 30 - len(method)]}" for method in METHODS]
    monkeypatch.setattr(extremes, "METHODS", long)
    figure = DRAWN[name](5, methods)
    figure.set_dpi(100)
    with styled():
        figure.draw_without_rendering()
    test_no_text_lies_on_another_or_leaves_the_page(figure)
    test_legends_lie_beside_the_data(figure)


POINTS = {
    "fig4a": 3 * 2,
    "fig4b": 3 * 2 * 4,
    "fig4c": 3 * 2 + 3,
    "fig4d": 2 * 3 * (1 + 2),
    "fig4f": 3 * 2 * 5,
    "fig4g": 3 * 2 * 5,
    "fig5b": 3 * 4 * 3,
    "fig6d": 3 * 15,
}
"""Points at three datasets and two methods; one device or two; levels, structures, settings."""


@pytest.mark.parametrize("name", POINTS)
def test_every_point_leads_to_the_cases_of_its_dataset(name: str, tmp_path: Path) -> None:
    DRAWN[name](3, 2).savefig(tmp_path / "figure.svg")
    known = {f"case:{d}/o" for d in IDS} | {f"cases:{d}/" for d in IDS}
    known |= {f"cases:{d}/ liver" for d in IDS}
    spots = links.spots((tmp_path / "figure.svg").read_text(encoding="utf-8"), known)
    led = Counter(spot["name"].partition("/")[0] for spot in spots)
    assert led == dict.fromkeys(IDS, POINTS[name] // 3)


def test_legends_lie_beside_the_data(drawn: Figure) -> None:
    holders = [drawn, *(part for part in drawn.subfigs)]
    for legend in (legend for holder in holders for legend in holder.legends):
        box = legend.get_window_extent()
        for axes in drawn.axes:
            assert axes.get_legend() is None
            other = axes.get_window_extent()
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(wide, high) <= _SLACK
