"""Augmentation of a task: flips and rotations, of its images together or apart; grey values."""

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from pydantic import Field
from torch import Tensor

from benchmark.settings import Settings
from pam.training.tasks import Task


class Augmentation(Settings):
    """Options of the augmentation.

    ``flip``: probability of a flip, of each axis.
    ``turn``: probability of a rotation by up to ``degrees``.
    ``fill``: what a rotation brings in from outside: ``black`` and background (paper), or image and
        mask ``mirrored`` about their outermost pixels (released code).
    ``grey``: maximum relative change of contrast about mid-grey.
    ``brightness``: maximum change of brightness as a share of the range, by default half of
        ``grey``.
    ``gamma``: maximum change of the exponent of grey values, by default ``grey``.
    ``shaded``: probability that grey values change at all; they change alike in all images of a
        task.
    ``apart``: flip and rotate each image of a task independently (paper and released code);
        otherwise the slices of a task stay aligned.
    """

    flip: float = Field(default=0.5, ge=0, le=1)
    turn: float = Field(default=0.5, ge=0, le=1)
    degrees: float = Field(default=45.0, ge=0, le=180)
    fill: Literal["black", "mirrored"] = "black"
    grey: float = Field(default=0.0, ge=0, lt=1)
    brightness: float | None = Field(default=None, ge=0, lt=1)
    gamma: float | None = Field(default=None, ge=0, lt=1)
    shaded: float = Field(default=1.0, ge=0, le=1)
    apart: bool = True

    def __call__(self, task: Task, rng: Generator) -> Task:
        """Return the augmented task."""
        if not len(task.adjacent):  # Box2Mask: one image and its answer
            image, target = self._moved([task.image, task.target], rng)
            return Task(self._shaded(image, rng), task.mask, task.adjacent, task.distance, target)
        guide, prompt = task.image, task.mask
        adjacent, target = task.adjacent, task.target
        if self.apart:
            guide, prompt = self._moved([guide, prompt], rng)
            pairs = [self._moved([a, t[None]], rng) for a, t in zip(adjacent, target, strict=True)]
            adjacent = torch.stack([a for a, _ in pairs])
            target = torch.cat([t for _, t in pairs])
        else:
            flat = [guide, prompt, adjacent.flatten(0, 1), target]
            guide, prompt, rows, target = self._moved(flat, rng)
            adjacent = rows.reshape(adjacent.shape)
        both = self._shaded(torch.cat((guide[None], adjacent)), rng)
        return Task(both[0], prompt, both[1:], task.distance, target)

    def _moved(self, images: list[Tensor], rng: Generator) -> list[Tensor]:
        """Flip and rotate stacks [n, S, S], all in the same way."""
        for axis in (-1, -2):
            if rng.random() < self.flip:
                images = [x.flip(axis) for x in images]
        if self.degrees and rng.random() < self.turn:
            angle = math.radians(float(rng.uniform(-self.degrees, self.degrees)))
            images = [_turned(x, angle, self.fill == "mirrored") for x in images]
        return images

    def _shaded(self, grey: Tensor, rng: Generator) -> Tensor:
        brightness = self.grey / 2 if self.brightness is None else self.brightness
        gamma = self.grey if self.gamma is None else self.gamma
        most = np.array([self.grey, brightness, gamma])
        # With a probability of 1 no random number is drawn, so that recipes written before
        # `shaded` existed keep their batches.
        if not most.any() or (self.shaded < 1 and rng.random() >= self.shaded):
            return grey
        contrast, brightness, gamma = rng.uniform(-most, most).tolist()
        x = (grey.float() / 255) ** (1 + gamma)
        x = ((x - 0.5) * (1 + contrast) + 0.5 + brightness).clamp(0, 1)
        shaded: Tensor = (x * 255).round().to(torch.uint8)
        return shaded


def _turned(x: Tensor, angle: float, mirrored: bool) -> Tensor:
    """Rotate a stack [n, S, S] about its centre; masks by nearest neighbour."""
    c, s = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[[c, -s, 0], [s, c, 0]]])
    # For a square image both give the same rotation; with aligned corners the reflection is about
    # the centres of the outermost pixels.
    grid = F.affine_grid(matrix, [1, 1, *x.shape[-2:]], align_corners=mirrored)
    turned = F.grid_sample(
        x[None].float(),
        grid,
        mode="nearest" if x.dtype == torch.bool else "bilinear",
        padding_mode="reflection" if mirrored else "zeros",
        align_corners=mirrored,
    )[0]
    return turned.round().to(x.dtype) if x.dtype != torch.bool else turned > 0.5
