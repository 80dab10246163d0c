"""Synthetic volumes for checking adapters: bright balls in noise, and typical edge cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark import prompts as prompting
from benchmark.masks import Mask
from benchmark.prompt_kinds import PromptKind
from benchmark.prompts import Prompt
from benchmark.volume import Volume

STRUCTURE = "ball"

_SHAPE = (20, 28, 36)
_BALLS = (((9, 10, 11), 6), ((10, 17, 25), 5), ((6, 20, 8), 4))  # centre (z, y, x), radius


@dataclass(frozen=True)
class Scene:
    """A synthetic volume and the masks of its objects; on ``odd`` ones a method may fail."""

    name: str
    volume: Volume
    masks: tuple[Mask, ...]
    odd: bool = False

    def prompts(self, kind: PromptKind, axis: int) -> list[tuple[Prompt, Mask]]:
        """Return the prompt and the mask of each object.

        2D prompts lie on a slice across ``axis``. For ``structure`` there is one prompt, for all
        objects together.
        """
        if kind == "structure":
            shape = self.volume.shape
            row = prompting.structure_prompt_row(STRUCTURE, shape) | {"structure": STRUCTURE}
            return [(prompting.from_row(row, shape), Mask.union(self.masks, shape))]
        return [
            (prompting.from_row(row, mask.shape), mask)
            for mask in self.masks
            for row in prompting.derive(mask, axis, [0.0])
            if row["kind"] == kind
        ]


def scenes() -> Iterator[Scene]:
    """Yield the scenes, the plain one first; their arrays are read-only."""
    balls = [_ball(_SHAPE, centre, radius) for centre, radius in _BALLS]
    yield _scene("plain", _SHAPE, balls)
    yield _scene("whole numbers", _SHAPE, balls, dtype=np.int16)
    flat = [
        _ball((9, 30, 34), centre, r, (5, 1, 1))
        for centre, r in (((4, 9, 10), 8), ((3, 20, 24), 7))
    ]
    yield _scene("anisotropic", (9, 30, 34), flat, spacing=(5, 1, 1))
    corners = [_ball(_SHAPE, (0, 0, 0), 6), _ball(_SHAPE, (19, 27, 35), 6)]
    yield _scene("border", _SHAPE, corners)
    whole = np.ones((6, 9, 8), dtype=bool)
    yield _scene("object fills the grid", whole.shape, [whole], odd=True)
    slab = _ball((1, 28, 36), (0, 13, 16), 7)
    yield _scene("one slice", (1, 28, 36), [slab], odd=True)
    speck = _ball(_SHAPE, (10, 14, 18), 0)
    yield _scene("one voxel", _SHAPE, [speck], odd=True)
    yield _scene("two channels", _SHAPE, balls, channels=("first", "second"), odd=True)
    constant = _scene("constant", _SHAPE, balls, odd=True)
    array = np.zeros_like(constant.volume.array)
    array.flags.writeable = False
    yield replace(constant, volume=replace(constant.volume, array=array))


def _ball(
    shape: tuple[int, ...],
    centre: tuple[int, int, int],
    radius: float,
    spacing: tuple[float, float, float] = (1, 1, 1),
) -> NDArray[np.bool_]:
    axes = ((np.arange(n) - c) * mm for n, c, mm in zip(shape, centre, spacing, strict=True))
    z, y, x = np.ix_(*axes)
    inside: NDArray[np.bool_] = z**2 + y**2 + x**2 <= radius**2
    return inside


def _scene(
    name: str,
    shape: tuple[int, ...],
    objects: Sequence[NDArray[np.bool_]],
    *,
    spacing: tuple[float, float, float] = (2, 2, 2),
    dtype: Any = np.float32,
    channels: tuple[str, ...] = (),
    odd: bool = False,
) -> Scene:
    noise = np.random.default_rng(0).normal(40, 12, (max(len(channels), 1), *shape))
    for item in objects:
        noise[:, item] += 100
    array = noise.astype(dtype) if channels else noise[0].astype(dtype)
    array.flags.writeable = False
    masks = tuple(Mask.of(item) for item in objects)
    return Scene(name, Volume(array, spacing, "CT", channels), masks, odd)
