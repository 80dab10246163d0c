"""The interface: options are validated, and variants share what was loaded."""

import pytest

from baselines.classical import RegionGrowth
from benchmark.errors import UserError


def test_variants_merge_options_and_share_what_was_loaded() -> None:
    base = RegionGrowth({"reach_mm": 50, "pull": 0})
    setattr(base, "model", model := object())  # noqa: B010 - stands for what load made
    variant = base.with_options({"reach_mm": 20})
    assert (variant.options.reach_mm, variant.options.pull) == (20, 0)
    assert base.options.reach_mm == 50
    assert vars(variant)["model"] is model


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reach": 5}, "Did you mean: reach_mm"), ({"reach_mm": -1}, "reach_mm.*greater than 0")],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RegionGrowth(options)
    with pytest.raises(UserError, match=message):
        RegionGrowth().with_options(options)
