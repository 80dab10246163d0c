"""An object on its way through a scan: votes so far, and which slices come next."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.errors import UserError
from pam import preprocess
from pam.preprocess import Scan, Square
from pam.presets import Propagation


@dataclass(frozen=True)
class Lane:
    """A guiding slice, the square cut around its mask, and the slices still to be predicted."""

    guide: int
    square: Square
    slices: tuple[int, ...]
    repeats: int = 0  # how many times more the last slice counts


@dataclass
class State:
    """An object on its way through a scan.

    ``index``, ``prompt``: guiding slice and its mask bool [y, x]. ``votes`` uint16 [z, y, x]: how
    often a voxel was foreground, ``counts`` int [z]: of how many predictions, the prompt being
    the first. ``rounds``: the lanes of each round so far.
    """

    scan: Scan
    index: int
    prompt: NDArray[np.bool_]
    settings: Propagation
    votes: NDArray[np.uint16] = field(init=False)
    counts: NDArray[np.int64] = field(init=False)
    rounds: list[tuple[Lane, ...]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Start with the prompt as the first vote."""
        self.prompt = _checked(self.scan, self.index, self.prompt)
        image = self.scan.volume[self.index]
        self.limits = preprocess.window(image, self.prompt, self.scan.modality, self.settings)
        depth = len(self.scan.volume)
        self.reach = self.settings.reach(self.scan.spacing[0]) if depth > 1 else 0
        self.votes = np.zeros(self.scan.volume.shape, np.uint16)
        self.counts = np.zeros(depth, np.int64)
        self.add(self.index, self.prompt)

    def add(
        self, z: int, mask: NDArray[np.bool_], square: Square | None = None, n: int = 1
    ) -> None:
        """Count a prediction of slice ``z`` ``n`` times; ``mask`` fills the slice or the square."""
        where = square.inside(*self.prompt.shape) if square else (slice(None), slice(None))
        part = self.votes[z][where]
        part += (n * mask[: part.shape[0], : part.shape[1]]).astype(np.uint16)
        self.counts[z] += n

    def mask(self, z: int) -> NDArray[np.bool_]:
        """What most predictions of a slice agree on, bool [y, x]."""
        agreed: NDArray[np.bool_] = self.votes[z] > self.counts[z] / 2
        return agreed

    def lanes(self) -> tuple[Lane, ...]:
        """Work of the next round: none if the object or the volume ends on both sides."""
        guides = [(guide, side) for guide, side in self._ends() if self._region(guide).any()]
        lanes = [self._lane(guide, side) for guide, side in guides]
        longest = max((len(lane.slices) for lane in lanes), default=0)
        if self.settings.count_padding:
            lanes = [replace(lane, repeats=longest - len(lane.slices)) for lane in lanes]
        return tuple(lane for lane in lanes if lane.slices)

    def _ends(self) -> list[tuple[int, int]]:
        """Guiding slices of the next round, and the side (-1 or 1) that each stands at."""
        if not self.rounds:
            return [(self.index, -1), (self.index, 1)][: 1 + self.settings.outward]
        seen = self.counts.nonzero()[0]
        low, high = int(seen[0]), int(seen[-1])
        ends = []
        if low > 0 and self._area(low) > self.settings.stop_low:
            ends.append((low, -1))
        if high < len(self.counts) - 1 and self._area(high) > self.settings.stop_high:
            ends.append((high, 1))
        return ends

    def _lane(self, guide: int, side: int) -> Lane:
        around = range(max(guide - self.reach, 0), min(guide + self.reach + 1, len(self.counts)))
        slices = [z for z in around if z != guide]
        if self.settings.outward:  # the nearest first
            slices = [z for z in slices[::side] if (z - guide) * side > 0]
        return Lane(
            guide, preprocess.square_around(self._region(guide), self.settings), tuple(slices)
        )

    def _region(self, z: int) -> NDArray[np.bool_]:
        return self.votes[z] > 0 if self.settings.crop_around == "votes" else self.mask(z)

    def _area(self, z: int) -> int:
        counted = self.votes[z] if self.settings.stop_counts == "votes" else self.mask(z)
        return int(counted.sum(dtype=np.int64))

    def result(self) -> NDArray[np.bool_]:
        """Bool [z, y, x]: the votes merged, components that do not touch the prompt taken out."""
        if self.settings.merge == "union":
            merged = self.votes > 0
        else:
            merged = self.votes > (self.counts / 2)[:, None, None]
        if self.settings.connectivity is None:
            return merged
        found = ndimage.find_objects(merged.view(np.int8))
        if not found:
            return merged
        box = found[0]  # labels take four bytes a voxel
        seed = np.zeros_like(merged)
        seed[self.index] = self.prompt
        diagonal = 1 if self.settings.connectivity == 6 else 3
        labels, _ = ndimage.label(merged[box], ndimage.generate_binary_structure(3, diagonal))
        kept = np.zeros_like(merged)
        kept[box] = merged[box] & np.isin(labels, np.unique(labels[seed[box]]))
        return kept


def _checked(scan: Scan, index: int, prompt: NDArray[Any]) -> NDArray[np.bool_]:
    depth, *plane = scan.volume.shape
    if not 0 <= index < depth:
        raise UserError(
            f"The prompt lies on slice {index} of a volume with slices 0 to {depth - 1}. "
            "Check the axis that the slices are counted along, and that prompt and image match."
        )
    prompt = np.asarray(prompt)
    if prompt.shape != tuple(plane):
        raise UserError(
            f"The prompt is {prompt.shape} pixels, a slice of the volume {tuple(plane)} (y, x). "
            "Draw the prompt on the grid of the image, with its axes in that order."
        )
    if not np.isin(prompt, (0, 1)).all():  # NaN neither
        raise UserError(
            "The prompt holds values other than 0 and 1. Give the mask of one object, for "
            "instance labels == 3."
        )
    if not prompt.any():
        raise UserError(
            f"The prompt on slice {index} is empty; at least one pixel has to be marked. "
            "Check that index and mask belong to the same slice."
        )
    return prompt.astype(np.bool_)
