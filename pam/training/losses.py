"""Soft Dice and cross-entropy over the scales of a network's logits."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from benchmark.settings import Settings


class Loss(Settings):
    """Options of the loss; all scales have equal weight.

    ``scales``: compare each scale with the ``target`` downsampled to it (paper), or the
        ``prediction`` upsampled to the target (released code).
    ``pool``: soft Dice over the whole ``batch`` as one image (paper, released code), or the mean
        over each ``slice``.
    ``smooth``: added to numerator and denominator, in pixels of the target.
    ``cross_entropy``: weight of the cross-entropy relative to Dice.
    ``absent``: weight in the cross-entropy of a slice without the object; others weigh 1.
    ``vote``: weight of the same loss on the mean of all scales, which the propagation thresholds.
    """

    scales: Literal["target", "prediction"] = "target"
    pool: Literal["batch", "slice"] = "batch"
    smooth: float = Field(default=1e-6, gt=0)
    cross_entropy: float = Field(default=0.0, ge=0)
    absent: float = Field(default=1.0, ge=0)
    vote: float = Field(default=0.0, ge=0)

    def __call__(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss of logits [R, 2, h, w] per scale for targets, bool [R, S, S]."""
        truth = target.float()
        margins = [(scale[:, 1] - scale[:, 0]).float() for scale in logits]
        each = []
        for scale in margins:
            if self.scales == "prediction":
                each.append(self._one(_enlarged(scale, truth), truth, truth))
            else:
                small = F.adaptive_avg_pool2d(truth[:, None], (scale.shape[-2], scale.shape[-1]))[
                    :, 0
                ]
                each.append(self._one(scale, small, truth))
        loss = torch.stack(each).mean()
        if self.vote:
            vote = torch.stack([_enlarged(scale, truth) for scale in margins]).mean(dim=0)
            loss = loss + self.vote * self._one(vote, truth, truth)
        return loss

    def _one(self, margin: Tensor, truth: Tensor, full: Tensor) -> Tensor:
        share = margin.shape[-1] * margin.shape[-2] / (full.shape[-1] * full.shape[-2])
        loss = soft_dice(margin.sigmoid(), truth, self.pool, self.smooth * share)
        if self.cross_entropy:
            weight = torch.where(full.any(dim=(1, 2)), 1.0, self.absent)[:, None, None]
            entropy = F.binary_cross_entropy_with_logits(margin, truth, weight.expand_as(margin))
            loss = loss + self.cross_entropy * entropy
        return loss


def soft_dice(
    probability: Tensor, truth: Tensor, pool: Literal["batch", "slice"], smooth: float
) -> Tensor:
    """Return 1 - soft Dice of [R, h, w], (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth)."""
    over = (0, 1, 2) if pool == "batch" else (1, 2)
    both = (probability * truth).sum(dim=over)
    total = probability.sum(dim=over) + truth.sum(dim=over)
    return (1 - (2 * both + smooth) / (total + smooth)).mean()


def _enlarged(scale: Tensor, truth: Tensor) -> Tensor:
    if scale.shape == truth.shape:
        return scale
    size = truth.shape[-2:]
    return F.interpolate(scale[:, None], size, mode="bilinear", align_corners=True)[:, 0]
