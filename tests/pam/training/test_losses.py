"""Losses against closed-form results."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pam.training.losses import Loss, soft_dice


def _logits(ahead: Tensor) -> Tensor:
    """Two channels whose difference is ``ahead`` [R, h, w]."""
    return torch.stack((torch.zeros_like(ahead), ahead), dim=1)


def test_soft_dice_of_a_constant_probability() -> None:
    truth = torch.zeros(2, 8, 8)
    truth[0, :4] = 1  # 32 of 64 pixels; none in the second
    p = torch.full_like(truth, 0.25)
    batch = 1 - (2 * 0.25 * 32 + 3) / (0.25 * 128 + 32 + 3)
    assert soft_dice(p, truth, "batch", 3.0).item() == pytest.approx(batch)
    first = 1 - (2 * 0.25 * 32 + 3) / (0.25 * 64 + 32 + 3)
    second = 1 - 3 / (0.25 * 64 + 3)
    assert soft_dice(p, truth, "slice", 3.0).item() == pytest.approx((first + second) / 2)


def test_the_smoothing_of_a_coarse_scale_is_its_share_of_the_pixels() -> None:
    """10 pixels of the target are 2.5 of a scale of half the side."""
    target = torch.zeros(1, 8, 8, dtype=torch.bool)
    target[:, :4] = True
    fine, coarse = (_logits(torch.zeros(1, side, side)) for side in (8, 4))
    dice = [1 - (2 * 0.5 * n / 2 + s) / (0.5 * n + n / 2 + s) for n, s in ((64, 10), (16, 2.5))]
    for logits, expected in (([fine], dice[0]), ([coarse], dice[1])):
        assert Loss(smooth=10)(logits, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("scales", ["target", "prediction"])
def test_the_right_answer_costs_nothing_and_the_wrong_one_all(scales: str) -> None:
    target = torch.zeros(3, 16, 16, dtype=torch.bool)
    target[:, :8] = True
    ahead = (target.float() * 2 - 1) * 40
    both = [_logits(ahead), _logits(F.avg_pool2d(ahead[:, None], 2)[:, 0])]
    loss = Loss(scales=scales)  # type: ignore[arg-type]
    # enlarging a coarse scale leaves its edge soft
    assert loss(both, target).item() < (1e-6 if scales == "target" else 0.02)
    assert loss([-x for x in both], target).item() > 0.98


def test_cross_entropy_counts_absent_slices_more() -> None:
    target = torch.zeros(2, 4, 4, dtype=torch.bool)
    target[0] = True
    logits = [_logits(torch.zeros(2, 4, 4))]
    dice = Loss()(logits, target).item()
    for absent in (1.0, 3.0):
        loss = Loss(cross_entropy=0.5, absent=absent)(logits, target).item()
        assert loss - dice == pytest.approx(0.5 * math.log(2) * (1 + absent) / 2)


def test_scales_weigh_the_same_and_the_vote_is_their_mean() -> None:
    torch.manual_seed(0)
    target = torch.rand(2, 8, 8) > 0.5
    fine, coarse = torch.randn(2, 8, 8), torch.randn(2, 4, 4)
    loss = Loss(scales="prediction")
    large = F.interpolate(coarse[:, None], (8, 8), mode="bilinear", align_corners=True)[:, 0]
    one, other = (loss([_logits(x)], target).item() for x in (fine, large))
    both = [_logits(fine), _logits(coarse)]
    assert loss(both, target).item() == pytest.approx((one + other) / 2, rel=1e-5)
    voted = Loss(scales="prediction", vote=2.0)(both, target).item()
    mean = loss([_logits((fine + large) / 2)], target).item()
    assert voted == pytest.approx((one + other) / 2 + 2 * mean, rel=1e-5)
