"""What a network is asked in training: slices of a case as it sees them, and the targets."""

from dataclasses import dataclass
from functools import cache
from typing import Literal, Self

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import ndimage
from torch import Tensor

from benchmark.masks import Mask
from benchmark.settings import Settings
from benchmark.weights import store
from pam import box_presets, preprocess
from pam.box2mask import guiding_mask
from pam.box_presets import Conversion
from pam.network import Box2Mask
from pam.presets import Propagation
from pam.resize import resize_linear, resize_nearest
from pam.training.cases import Case
from pam.training.ranges import Percentiles, Ratios
from pam.weight_files import read_network

Plane = NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """One task, or a batch of them with an additional first axis B.

    ``image``: uint8 [C, S, S], the guiding slice (for Box2Mask the image); C is 1, or 2 with
        ``context``.
    ``mask``: bool [1, S, S], its prompt.
    ``adjacent``: uint8 [N, C, S, S], the slices asked for, nearest first.
    ``distance``: float32 [N], their distance from the guiding slice over the side of the crop,
        negative for slices before it.
    ``target``: bool [N, S, S], their true masks (for Box2Mask [1, S, S]).

    For Box2Mask ``mask``, ``adjacent`` and ``distance`` are empty.
    """

    image: Tensor
    mask: Tensor
    adjacent: Tensor
    distance: Tensor
    target: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, in the order of the fields."""
        return self.image, self.mask, self.adjacent, self.distance, self.target

    @classmethod
    def stack(cls, tasks: list[Self]) -> Self:
        """Stack tasks into a batch."""
        return cls(*(torch.stack(parts) for parts in zip(*(t.tensors for t in tasks), strict=True)))


class PropTasks(Settings):
    """Tasks of PropMask: propagate the mask of a guiding slice to ``queries`` other slices.

    What the network sees:
    ``size``: side of its image, in pixels.
    ``percentiles``: of the window, from the pixels under the mask (released code 0.5 and 99.5,
        paper 5 and 95).
    ``context``, ``stretch``, ``integer_ct_window``, ``arithmetic``, ``flat_window``,
        ``resampling``, ``min_crop``, ``last_pixel``, ``border``: as in `pam.presets.Propagation`.
    ``window_of_largest``: share of tasks with the window of the object's largest slice, as in later
        rounds of a propagation.
    ``crop_ratio``: range of the crop's side over the longer side of the mask's bounding box.

    Which slices are used, by share of the tasks:
    ``largest``: the guiding slice is the object's largest; otherwise it is any on which the object
        has at least ``least_area`` of that area.
    ``near``: slices within ``near_slices`` are asked for.
    ``ends``: slices around an end of the object, where it is absent on some, are asked for. In all
        other tasks they are any within ``reach_mm`` and ``reach_slices``, as in the paper.
    ``boxed``: the guiding mask is what the Box2Mask of ``box_weights`` makes of the box of the true
        one, and crop and window follow from it, as in `pam-2dbox`.
    ``damaged``: of the other tasks, the guiding mask is as wrong as a prediction may be.

    ``box_weights``: an entry of the weights' catalogue or a file, on this machine.
    """

    size: int = Field(default=224, ge=16, le=1024)
    percentiles: Percentiles = (0.5, 99.5)
    context: float = Field(default=0.0, ge=0, le=10)
    stretch: Literal["slice", "window"] = "window"
    integer_ct_window: bool = False
    arithmetic: Literal["float32", "native"] = "float32"
    flat_window: Literal["blank", "slice"] = "slice"
    resampling: Literal["nearest", "smooth"] = "nearest"
    window_of_largest: float = Field(default=0.0, ge=0, le=1)
    crop_ratio: Ratios = (1.0, 2.0)
    min_crop: int = Field(default=64, ge=2)
    last_pixel: bool = True
    border: Literal["pad", "shift"] = "shift"
    queries: int = Field(default=4, ge=1)
    largest: float = Field(default=0.0, ge=0, le=1)
    least_area: float = Field(default=0.0, ge=0, le=1)
    reach_mm: float = Field(default=20.0, gt=0)
    reach_slices: int = Field(default=40, ge=1)
    near: float = Field(default=0.0, ge=0, le=1)
    near_slices: int = Field(default=3, ge=1)
    ends: float = Field(default=0.0, ge=0, le=1)
    boxed: float = Field(default=0.0, ge=0, le=1)
    damaged: float = Field(default=0.0, ge=0, le=1)
    box_weights: str = "pam-small"

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.near + self.ends > 1:
            raise ValueError(f"near {self.near} and ends {self.ends} are more than all tasks")
        return self

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        if self.percentiles[0] == self.percentiles[1]:
            raise ValueError(f"percentiles {self.percentiles}; need first < second")
        return self

    def check(self) -> None:
        """Raise `UserError` if the weights of Box2Mask are needed and not here."""
        if self.boxed:
            _box2mask(self.box_weights)

    def draw(self, case: Case, rng: Generator) -> Task:
        """Draw a task from a case; raises `UserError` as `pam.preprocess.window` does."""
        found = case.objects[int(rng.integers(len(case.objects)))]
        areas = found.crop.sum(axis=(1, 2))
        first = found.box[0]
        largest = first + int(areas.argmax())
        filled = first + np.flatnonzero(areas)
        large = first + np.flatnonzero(areas >= self.least_area * areas.max())
        guide = largest if rng.random() < self.largest else int(rng.choice(large))
        guide, around = self._around(case, guide, filled, rng)
        choice = _within(around, guide, len(case.scan.volume))
        slices = rng.choice(choice, self.queries, replace=len(choice) < self.queries).tolist()
        slices.sort(key=lambda z: abs(z - guide))
        truth = _planes(found, [guide, largest, *slices])
        # Where the share is 0 no random number is drawn, so that recipes without it keep their
        # batches.
        boxed = self.boxed > 0 and rng.random() < self.boxed
        if boxed:
            truth[0] = _mask_in_box(case, guide, truth[0], self.box_weights)
        ratio = float(rng.uniform(*self.crop_ratio))
        same = PropTasks.model_fields.keys() & Propagation.model_fields.keys()
        shown = {name: getattr(self, name) for name in same}
        settings = Propagation.model_validate({**shown, "crop_ratio": ratio})
        window_slice, window_mask = guide, truth[0]
        if not boxed and rng.random() < self.window_of_largest:
            window_slice, window_mask = largest, truth[1]
        limits = preprocess.window(
            case.scan.volume[window_slice], window_mask, case.scan.modality, settings
        )
        square = preprocess.square_around(truth[0], settings)
        view = preprocess.View([guide, *slices], square, limits)
        (images,) = preprocess.images(case.scan, [view], settings)
        masks = [preprocess.prompt_image(t, square, settings) > 0 for t in (truth[0], *truth[2:])]
        prompt = masks[0]
        if not boxed and rng.random() < self.damaged:
            prompt = perturb_mask(prompt, rng)
        grey = (images * 127.5 + 127.5).round().to(torch.uint8)
        return Task(
            grey[0],
            prompt,
            grey[1:],
            torch.from_numpy(
                preprocess.distance(guide, slices, square, case.spacing)
                * np.sign(np.array(slices) - guide).astype(np.float32)
            ),
            torch.cat(masks[1:]),
        )

    def _around(
        self, case: Case, guide: int, filled: NDArray[np.intp], rng: Generator
    ) -> tuple[int, range]:
        """Return the guiding slice and the range of slices to ask for."""
        chance = rng.random()
        reach = int(np.clip(self.reach_mm / case.spacing[0], 1, self.reach_slices))
        if chance < self.near:
            reach = self.near_slices
        elif chance < self.near + self.ends:  # from just inside an end to beyond it
            reach = self.near_slices + 2
            if rng.random() < 0.5:
                guide = int(rng.choice(filled[: self.near_slices + 1]))
                return guide, range(guide - reach, guide)
            guide = int(rng.choice(filled[-self.near_slices - 1 :]))
            return guide, range(guide + 1, guide + reach + 1)
        return guide, range(guide - reach, guide + reach + 1)


class BoxTasks(Settings):
    """Tasks of Box2Mask: segment the object in its box, which is resized to a square.

    ``whole``: share of tasks with the box of the object in space, in which its mask may be small
        and off-centre, as in `pam-3dbox`; otherwise it is the box of the slice.
    ``box_ratio``: range of the factor by which each side of the box is enlarged.
    ``centred``: enlarge both ends alike; otherwise at random.
    ``window``: from percentiles of the whole ``box``, drawn from ``low`` and ``high`` (paper); from
        ``percentiles`` of the ``object``; or either at random (``both``), as the two passes see
        them.
    ``largest``: share of tasks on the object's largest slice.
    ``least_pixels``: minimum size of the object on the slice (paper: more than 100); for objects
        that are smaller everywhere, the largest slice is used.
    """

    size: int = Field(default=224, ge=16, le=1024)
    whole: float = Field(default=0.0, ge=0, le=1)
    box_ratio: Ratios = (1.0, 1.25)
    centred: bool = False
    window: Literal["box", "object", "both"] = "both"
    low: Percentiles = (5.0, 20.0)
    high: Percentiles = (90.0, 95.0)
    percentiles: Percentiles = (5.0, 95.0)
    largest: float = Field(default=0.0, ge=0, le=1)
    least_pixels: int = Field(default=1, ge=1)

    def draw(self, case: Case, rng: Generator) -> Task:
        """Draw a task from a case."""
        found = case.objects[int(rng.integers(len(case.objects)))]
        areas = found.crop.sum(axis=(1, 2))
        filled = np.flatnonzero(areas >= min(self.least_pixels, areas.max()))
        inner = int(areas.argmax()) if rng.random() < self.largest else int(rng.choice(filled))
        truth = _planes(found, [found.box[0] + inner])[0]
        boxed = truth
        if self.whole and rng.random() < self.whole:
            boxed = np.zeros_like(truth)
            boxed[found.box[2] : found.box[3], found.box[4] : found.box[5]] = True
        rows, columns = (self._drawn_out(np.asarray(boxed.any(axis=a)), rng) for a in (1, 0))
        values = case.scan.volume[found.box[0] + inner][rows, columns]
        first = self.window == "box" or (self.window == "both" and rng.random() < 0.5)
        ends = (rng.uniform(*self.low), rng.uniform(*self.high)) if first else self.percentiles
        pixels = values if first else values[truth[rows, columns]]
        low, high = np.percentile(pixels, ends)
        grey = ((values.clip(low, high) - low) / (high - low + 1e-8) * 255).astype(np.uint8)
        image = resize_linear(torch.from_numpy(grey), self.size)[None]
        target = resize_nearest(torch.from_numpy(truth[rows, columns]), self.size)[None]
        none = torch.zeros(0)
        return Task(image, none, none, none, target)

    def _drawn_out(self, hit: Plane, rng: Generator) -> slice:
        """Return the span of the true values, randomly enlarged and clipped to the image."""
        where = np.flatnonzero(hit)
        first, stop = int(where[0]), int(where[-1]) + 1
        more = round((stop - first) * (float(rng.uniform(*self.box_ratio)) - 1))
        before = (more + 1) // 2 if self.centred else int(rng.integers(0, more + 1))
        return slice(max(first - before, 0), min(stop + more - before, len(hit)))


def _within(around: range, guide: int, depth: int) -> list[int]:
    """Return the slices of ``around`` in the volume; if none, those mirrored at the guide."""
    for candidates in (around, [2 * guide - z for z in around]):
        if choice := [z for z in candidates if z != guide and 0 <= z < depth]:
            return choice
    return [guide]  # a volume of one slice


def _planes(found: Mask, slices: list[int]) -> list[Plane]:
    """Return an object's masks on whole slices, bool [y, x] each; empty where it is absent."""
    z0, z1, y0, y1, x0, x1 = found.box
    planes = []
    for z in slices:
        plane = np.zeros(found.shape[1:], np.bool_)
        if z0 <= z < z1:
            plane[y0:y1, x0:x1] = found.crop[z - z0]
        planes.append(plane)
    return planes


def perturb_mask(mask: Tensor, rng: Generator) -> Tensor:
    """Displace the outline of a mask, bool [1, S, S], at random, as in a wrong prediction."""
    size = mask.shape[-1]
    soft = ndimage.gaussian_filter(mask[0].numpy().astype(np.float32), size * 0.03)
    bumps = ndimage.gaussian_filter(
        rng.standard_normal((size, size), np.float32), size * rng.uniform(0.03, 0.1)
    )
    bumps *= rng.uniform(0.05, 0.35) / max(float(bumps.std()), 1e-6)
    wrong = soft + bumps * (soft > 0.02) + rng.uniform(-0.12, 0.12) * (soft > 0.02) > 0.5
    return torch.from_numpy(wrong)[None] if wrong.any() else mask


def _mask_in_box(case: Case, index: int, truth: Plane, weights: str) -> Plane:
    """Return the mask [y, x] that Box2Mask makes of the box of the mask ``truth`` on a slice."""
    network, settings = _box2mask(weights)
    _, _, *box = Mask.of(truth[None]).box
    rectangle = box[0], box[1], box[2], box[3]
    return guiding_mask(network, case.scan, index, rectangle, settings, precision="bfloat16")


@cache
def _box2mask(weights: str) -> tuple[Box2Mask, Conversion]:
    """Read a Box2Mask once per process, with the switches of its header."""
    network = read_network(store.locate(weights, download=False)[0], Box2Mask)
    return network, box_presets.preset("rigorous", network.config.inference)
