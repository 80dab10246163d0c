"""Settings of the propagation: presets, validation, reach."""

from typing import get_args

import pytest

from benchmark.errors import UserError
from pam import box_presets
from pam.presets import PAPER, PRESETS, RELEASED, RIGOROUS, TUTORIAL, Propagation, Protocol, preset


def test_presets_differ_where_their_sources_do() -> None:
    def differing(a: Propagation, b: Propagation) -> set[str]:
        return {k for k, v in a.model_dump().items() if v != b.model_dump()[k]}

    assert {preset(name) == PRESETS[name] for name in get_args(Protocol)} == {True}
    assert preset("released") == RELEASED
    assert differing(RELEASED, TUTORIAL) == {"arithmetic", "crop_ratio", "max_slices", "stop_low"}
    assert differing(PAPER, TUTORIAL) == {
        *("percentiles", "integer_ct_window", "stretch", "crop_around", "last_pixel"),
        *("stop_high", "stop_counts", "count_padding", "average", "connectivity"),
    }
    assert RIGOROUS.stop_low == RIGOROUS.stop_high


def test_what_the_text_of_the_paper_states() -> None:
    """Methods (Dynamic image normalization, soft voting, Algorithm 1) and Results (thickness)."""
    assert PAPER.percentiles == (5, 95)
    assert (PAPER.average, PAPER.thickness, PAPER.memory) == ("probabilities", 20, "guide")
    assert PAPER.stop_low == PAPER.stop_high > 0
    assert PAPER.stop_counts == "mask"
    box = box_presets.PAPER
    assert (box.lower[0], box.lower[-1]) == (5, 20)
    assert (box.upper[0], box.upper[-1]) == (90, 95)
    assert (box.percentiles, box.final, box.average) == ((5, 95), "pass", "probabilities")


def test_an_unknown_preset_is_told_its_neighbour() -> None:
    with pytest.raises(UserError, match="rigorous"):
        preset("rigourous")


@pytest.mark.parametrize(
    ("spacing", "slices"), [(0.4, 40), (0.5, 40), (3.0, 6), (6.67, 2), (20.0, 1)]
)
def test_reach(spacing: float, slices: int) -> None:
    assert TUTORIAL.reach(spacing) == slices
    assert RELEASED.reach(spacing) == min(slices, 10)
    assert TUTORIAL.model_copy(update={"max_slices": 10}).reach(spacing) == min(slices, 10)


def test_slices_further_apart_than_the_thickness() -> None:
    assert RIGOROUS.reach(25.0) == 1
    for settings in (RELEASED, PAPER):
        with pytest.raises(UserError, match=r"25 mm apart.*`thickness`"):
            settings.reach(25.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"percentiles": [95, 5]}, "need 0 <= first < second"),
        ({"min_slices": 5, "max_slices": 4}, "min_slices 5 above"),
        ({"thickness": float("inf")}, "finite"),
        ({"crop_ration": 2}, "crop_ratio"),
    ],
)
def test_settings_that_make_no_sense(content: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Propagation.read(content, "here")
