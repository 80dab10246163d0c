"""A grown network computes the same as the one that it was grown from."""

from typing import Any

import pytest
import torch

from pam.config import Box2MaskConfig, PropMaskConfig
from pam.network import Box2Mask, PropMask
from pam.training.grow import widened_network

SMALL: dict[str, Any] = {"channels": 4, "stages": 3, "max_channels": 8, "attended": 2}


@pytest.mark.parametrize(
    "wider",
    [{}, {"channels": 6}, {"channels": 5, "max_channels": 20}, {"max_channels": 12}, {"inputs": 2}],
)
@torch.inference_mode()
def test_nothing_changes_as_it_grows(wider: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = PropMaskConfig(**SMALL, prior=True)
    first, into = PropMask(config), PropMask(config.model_copy(update=wider))
    image, adjacent = torch.rand(2, 1, 16, 24) * 2 - 1, torch.rand(2, 3, 1, 16, 24) * 2 - 1
    mask, distance = torch.rand(2, 1, 16, 24) > 0.5, torch.rand(2, 3)
    larger = widened_network(first, into)
    assert larger.config == into.config

    def asked(network: PropMask) -> list[torch.Tensor]:
        """New channels of the input are not read either."""
        new = network.config.inputs - 1
        seen = (torch.cat((x, torch.rand_like(x)), dim=-3) if new else x for x in (image, adjacent))
        logits: list[torch.Tensor] = network(next(seen), mask, next(seen), distance=distance)
        return logits

    scales = zip(*(asked(network) for network in (first, larger, into)), strict=True)
    for one, same, other in scales:
        torch.testing.assert_close(one, same)
        assert not torch.allclose(one, other, atol=1e-3)


@torch.inference_mode()
def test_a_box2mask_grows() -> None:
    torch.manual_seed(0)
    first, into = (Box2Mask(Box2MaskConfig(channels=c, stages=3)) for c in (3, 5))
    image = torch.rand(2, 1, 16, 16)
    for one, same in zip(first(image), widened_network(first, into)(image), strict=True):
        torch.testing.assert_close(one, same)


@pytest.mark.parametrize("other", [{"channels": 3}, {"stages": 4}, {"prior": True}, {"inputs": 1}])
def test_what_is_no_larger_network_is_refused(other: dict[str, Any]) -> None:
    small = {**SMALL, "inputs": 2}
    first, into = (PropMask(PropMaskConfig(**{**small, **more})) for more in ({}, other))
    with pytest.raises(ValueError, match="does not grow into"):
        widened_network(first, into)
    with pytest.raises(ValueError, match="does not grow into"):
        widened_network(Box2Mask(Box2MaskConfig(channels=4, stages=3)), first)
