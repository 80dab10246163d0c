"""Letters beyond those of matplotlib's own font, such as names in Chinese or Japanese."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from numpy.typing import NDArray
from PIL import Image

from reports import style


@pytest.fixture(autouse=True)
def without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with the fonts of matplotlib alone."""
    own = [font for font in fontManager.ttflist if font.name.startswith(("DejaVu", "STIX"))]
    monkeypatch.setattr(fontManager, "ttflist", own)
    style._tell_missing.cache_clear()


def saved(stem: Path, letters: str) -> NDArray[Any]:
    with style.styled():
        figure = Figure(figsize=(2, 1))
        figure.text(0.2, 0.5, f"liver {letters}")
        figure.canvas.draw()
    style.save(figure, stem, "caption")
    return np.asarray(Image.open(stem.with_suffix(".png")))


def test_letters_of_no_font_are_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    for stem in ("a", "b"):
        saved(tmp_path / stem, "\u809d\u65e5")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "boxes in place of the letters \u65e5\u809d" in told
    assert "fonts-noto-cjk" in told
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_letters_come_from_another_font(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = "\u1d81"  # which STIX has and DejaVu Sans has not
    boxes = saved(tmp_path / "boxes", letter)
    assert "boxes in place" in capsys.readouterr().err
    monkeypatch.setattr(style, "_FALLBACK", ("not installed", "STIXGeneral"))
    letters = saved(tmp_path / "letters", letter)
    assert capsys.readouterr().err == ""
    assert letters.shape == boxes.shape
    assert (letters != boxes).any()
