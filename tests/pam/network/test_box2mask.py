"""Box2Mask: sizes."""

import pytest
import torch

from pam.config import Box2MaskConfig
from pam.network import Box2Mask


def test_the_papers_size() -> None:
    with torch.device("meta"):
        network = Box2Mask()
    assert sum(p.numel() for p in network.parameters()) == 20_619_082


def test_logits_at_each_resolution() -> None:
    network = Box2Mask(Box2MaskConfig(channels=2, stages=4))
    logits = network(torch.randn(3, 1, 32, 48))
    assert [x.shape for x in logits] == [(3, 2, 32 >> i, 48 >> i) for i in range(3)]
    sum(x.square().sum() for x in logits).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_size_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        Box2Mask(Box2MaskConfig(channels=2, stages=4))(torch.zeros(1, 1, 32, 36))
