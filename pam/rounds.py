"""The state of an object during propagation: its votes so far, and the slices to predict next."""

import operator
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
class Sweep:
    """A guiding slice, the square crop around its mask, and the slices to predict from it."""

    guide: int
    square: Square
    slices: tuple[int, ...]
    repeats: int = 0  # additional votes of the last slice


@dataclass
class ObjectState:
    """An object during its propagation through a scan.

    ``index``, ``prompt``: guiding slice and its mask, bool [y, x].
    ``box``: where foreground may be, half-open (z, z, y, y, x, x); the whole volume by default.
    ``first_vote``: mask that replaces the prompt as the first vote.
    ``keep_probabilities``: also keep the sum of probabilities.
    ``region``: the box as an index into the volume.
    ``votes``: uint16 [z, y, x] of the region, how often a voxel was predicted as foreground.
    ``counts``: int64 [z] of the volume, how often a slice was predicted, the prompt being the
        first.
    ``shares``: float32 [z, y, x] of the region, sum of the predicted probabilities, if they are
        kept.
    ``rounds``: the sweeps of each round so far.
    ``memory``: the encoded slice of the prompt, if the settings ask for it.

    Raises `UserError` for an invalid prompt or box, and as `Propagation.reach` does.
    """

    scan: Scan
    index: int
    prompt: NDArray[np.bool_]
    settings: Propagation
    box: tuple[int, int, int, int, int, int] | None = None
    first_vote: NDArray[np.bool_] | None = None
    keep_probabilities: bool = False
    votes: NDArray[np.uint16] = field(init=False)
    shares: NDArray[np.float32] | None = field(init=False, default=None)
    counts: NDArray[np.int64] = field(init=False)
    rounds: list[tuple[Sweep, ...]] = field(init=False, default_factory=list)
    memory: tuple[Any, ...] = field(init=False, default=(), repr=False)

    def __post_init__(self) -> None:
        """Count the prompt as the first vote."""
        depth, height, width = self.scan.volume.shape
        self.index = operator.index(self.index)  # numpy's unsigned ones would wrap
        self.prompt = validated_prompt(self.scan, self.index, self.prompt)
        if self.box is not None:
            _check_box(self.box, self.scan.volume.shape, self.index)
        image = self.scan.volume[self.index]
        if self.settings.arithmetic == "native" and self.scan.integer:
            image = image.astype(np.float64)
        self.limits = preprocess.window(image, self.prompt, self.scan.modality, self.settings)
        self.reach = self.settings.reach(self.scan.spacing[0]) if depth > 1 else 0
        low, high, *plane = self.box or (0, depth, 0, height, 0, width)
        self.depths = range(low, high)
        self.plane = slice(plane[0], plane[1]), slice(plane[2], plane[3])
        self.region = slice(low, high), *self.plane
        inside = len(self.depths), plane[1] - plane[0], plane[3] - plane[2]
        self.votes = np.zeros(inside, np.uint16)
        self.counts = np.zeros(depth, np.int64)
        if self.keep_probabilities:
            self.shares = np.zeros(inside, np.float32)
        first = self.prompt if self.first_vote is None else self.first_vote
        self.add_votes(self.index, first, first)

    def add_votes(
        self,
        z: int,
        mask: NDArray[np.bool_],
        share: NDArray[Any] | None = None,
        square: Square | None = None,
        n: int = 1,
    ) -> None:
        """Count a prediction of slice ``z`` ``n`` times.

        ``mask``, bool, and its probability ``share`` cover ``square``, or the whole slice without
        one.
        """
        height, width = self.prompt.shape
        square = square or Square(0, 0, max(height, width))
        rows, columns = (
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(square.inside(height, width), self.plane, strict=True)
        )
        inner = (
            slice(rows.start - square.y, rows.stop - square.y),
            slice(columns.start - square.x, columns.stop - square.x),
        )
        if rows.start < rows.stop and columns.start < columns.stop:
            y, x = (side.start for side in self.plane)
            here = (
                z - self.depths.start,
                slice(rows.start - y, rows.stop - y),
                slice(columns.start - x, columns.stop - x),
            )
            self.votes[here] += (n * mask[inner]).astype(np.uint16)
            if self.shares is not None and share is not None:
                self.shares[here] += n * share[inner].astype(np.float32)
        self.counts[z] += n

    def mask(self, z: int) -> NDArray[np.bool_]:
        """Return the majority of the predictions of a slice, bool [y, x]."""
        return self._whole(self._counted(z) > self.counts[z] / 2)

    def _counted(self, z: int) -> NDArray[np.uint16]:
        """Return the votes of a slice, [y, x] of the `region`."""
        counted: NDArray[np.uint16] = self.votes[z - self.depths.start]
        return counted

    def _whole(self, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a whole slice [y, x]: ``inside`` in the `region`, and empty around it."""
        plane = np.zeros(self.prompt.shape, np.bool_)
        plane[self.plane] = inside
        return plane

    def guiding(self, z: int) -> NDArray[np.bool_]:
        """Return the mask [y, x] of a guiding slice of the next round: at first the prompt."""
        return self.mask(z) if self.rounds else self.prompt

    def cut_off(self, mask: NDArray[np.bool_], square: Square) -> bool:
        """Whether a mask covering ``square`` touches a side with more of the plane behind it."""
        rows, columns = self.plane
        behind = (
            (square.y > rows.start, mask[0]),
            (square.x > columns.start, mask[:, 0]),
            (square.y + square.side < rows.stop, mask[-1]),
            (square.x + square.side < columns.stop, mask[:, -1]),
        )
        return any(more and side.any() for more, side in behind)

    def moved(self, mask: NDArray[np.bool_], guide: NDArray[np.bool_], square: Square) -> bool:
        """Whether a mask covering ``square`` has too low a DSC with the guide's mask [y, x]."""
        guide = guide[square.inside(*guide.shape)]
        both = int((mask[: guide.shape[0], : guide.shape[1]] & guide).sum())
        return 2 * both < self.settings.overlap * (int(mask.sum()) + int(guide.sum()))

    def probability(self) -> NDArray[np.float32]:
        """Return the mean probability, float32 [z, y, x] of the `region`; 0 if unpredicted."""
        assert self.shares is not None
        counts = np.maximum(self.counts[self.region[0]], 1).astype(np.float32)
        return self.shares / counts[:, None, None]

    def next_sweeps(self) -> tuple[Sweep, ...]:
        """Return the sweeps of the next round; none once both sides have ended."""
        guides = [(guide, side) for guide, side in self._ends() if self._region(guide).any()]
        sweeps = [self._sweep(guide, side) for guide, side in guides]
        longest = max((len(sweep.slices) for sweep in sweeps), default=0)
        if self.settings.count_padding:
            sweeps = [replace(sweep, repeats=longest - len(sweep.slices)) for sweep in sweeps]
        return tuple(sweep for sweep in sweeps if sweep.slices)

    def _ends(self) -> list[tuple[int, int]]:
        """Return the guiding slices of the next round and the side (-1 or 1) on which each lies."""
        if not self.rounds:
            return [(self.index, -1), (self.index, 1)][: 1 + self.settings.outward]
        seen = self.counts.nonzero()[0]
        low, high = int(seen[0]), int(seen[-1])
        ends = []
        if low > self.depths.start and self._area(low) > self.settings.stop_low:
            ends.append((low, -1))
        if high < self.depths.stop - 1 and self._area(high) > self.settings.stop_high:
            ends.append((high, 1))
        return ends

    def _sweep(self, guide: int, side: int) -> Sweep:
        first = max(guide - self.reach, self.depths.start)
        slices = list(range(first, min(guide + self.reach + 1, self.depths.stop)))
        slices.remove(guide)
        if self.settings.outward:  # the nearest first
            slices = [z for z in slices[::side] if (z - guide) * side > 0]
        square = preprocess.square_around(self._region(guide), self.settings)
        return Sweep(guide, square, tuple(slices))

    def _region(self, z: int) -> NDArray[np.bool_]:
        if not self.rounds:
            return self.prompt
        if self.settings.crop_around == "votes":
            return self._whole(self._counted(z) > 0)
        return self.mask(z)

    def _area(self, z: int) -> int:
        counted = self._counted(z) if self.settings.stop_counts == "votes" else self.mask(z)
        return int(counted.sum(dtype=np.int64))

    def result(self) -> NDArray[np.bool_]:
        """Return the merged votes, bool [z, y, x], without components that miss the prompt.

        The time depends on the object: nothing but the box of the votes is written, and of the
        volume around it no page is touched.
        """
        merged = np.zeros(self.scan.volume.shape, np.bool_)
        seen = self.counts.nonzero()[0]
        first, last = seen[0] - self.depths.start, seen[-1] + 1 - self.depths.start
        found = ndimage.find_objects((self.votes[first:last].max(axis=0) > 0).view(np.int8))
        if not found:
            return merged
        rows, columns = found[0]
        votes = self.votes[first:last, rows, columns]
        depths = slice(seen[0], seen[-1] + 1)
        if self.settings.merge == "union":
            inside = votes > 0
        else:
            inside = votes > (self.counts[depths] / 2)[:, None, None]
        if self.settings.connectivity is not None:
            prompt = self.prompt if self.first_vote is None else self.first_vote
            seed = np.zeros_like(inside)
            seed[self.index - seen[0]] = prompt[self.plane][rows, columns]
            inside = touching(inside, seed, self.settings.connectivity)
        merged[self.region][first:last, rows, columns] = inside
        return merged


def touching(
    mask: NDArray[np.bool_], seed: NDArray[np.bool_], connectivity: int
) -> NDArray[np.bool_]:
    """Keep the components (6 or 26 neighbours) of a mask [z, y, x] that overlap ``seed``."""
    found = ndimage.find_objects(mask.view(np.int8))
    if not found:
        return mask
    box = found[0]  # labels take four bytes per voxel, so label only the bounding box
    diagonal = 1 if connectivity == 6 else 3
    labels, _ = ndimage.label(mask[box], ndimage.generate_binary_structure(3, diagonal))
    kept = np.zeros_like(mask)
    kept[box] = mask[box] & np.isin(labels, np.unique(labels[seed[box]]))
    return kept


def _check_box(box: tuple[int, ...], shape: tuple[int, ...], index: int) -> None:
    ends = zip(box[::2], box[1::2], shape, strict=True)
    if not all(0 <= low < high <= length for low, high, length in ends):
        raise UserError(
            f"The box {box} (z, z, y, y, x, x, half-open) is empty or leaves a volume with slices "
            f"0 to {shape[0] - 1} of {shape[1]} x {shape[2]} pixels. Check the order of its ends "
            "and the axis that the slices are counted along, and that box and image match."
        )
    if not box[0] <= index < box[1]:
        raise UserError(
            f"The prompt on slice {index} lies outside its box, slices {box[0]} to {box[1]} "
            "(half-open). A propagation starts inside the box that it is kept in."
        )


def validated_prompt(scan: Scan, index: int, prompt: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a prompt [y, x] as bool; raises `UserError` unless it is a mask on a slice."""
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
    if not np.isin(prompt, (0, 1)).all():  # also refuses NaN
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
