"""The configuration of the networks, which can be read without torch."""

import subprocess
import sys

import pytest

from benchmark.errors import UserError
from pam.config import Box2MaskConfig, PropMaskConfig


def test_the_papers_channels() -> None:
    config = PropMaskConfig()
    assert config.widths == (32, 64, 128, 256, 512, 512)
    assert config.attended_widths == (128, 256, 512, 512)
    assert config.multiple == 32


def test_no_stage_attended() -> None:
    assert PropMaskConfig(attended=0).attended_widths == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"attended": 7},
        {"stages": 1},
        {"channels": 0},
        {"mask_encoder": "none"},
        {"scales": 4},
        {"inputs": 3},
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        PropMaskConfig.read(wrong, "a header")


def test_a_mask_has_no_second_window() -> None:
    with pytest.raises(UserError, match="mask_encoder"):
        PropMaskConfig.read({"inputs": 2, "mask_encoder": "shared"}, "a header")


def test_a_plain_network_attends_nothing() -> None:
    with pytest.raises(UserError, match="attended"):
        Box2MaskConfig.read({"attended": 4}, "a header")


def test_no_torch_is_loaded() -> None:
    code = "import sys, pam, pam.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
