"""Classical propagation: a mask on one slice is carried outward slice by slice, without learning.

Both methods estimate from the guiding slice how strongly each grey value indicates the object (the
ratio of two histograms: inside the mask, and around it), walk outward in both directions, and stop
where nothing indicates the object any more. They differ in the step from one slice to the next.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.boxes import insert_axis

if TYPE_CHECKING:
    from benchmark.prompts import Mask2D, Prompt
    from benchmark.volume import Volume

Plane = NDArray[np.bool_]
Grey = NDArray[np.float32]

_BINS = 48
_SMALLEST_SHARE = 0.02  # of the guiding mask's area: a smaller mask ends the walk


@dataclass(frozen=True)
class Appearance:
    """The evidence of each grey value for the object: log ratio of two smoothed histograms."""

    low: float
    high: float
    evidence: Grey

    @classmethod
    def learn(cls, grey: Grey, inside: Plane, around: Plane) -> "Appearance":
        """Estimate the evidence from one slice; ``inside`` and ``around``: bool [y, x]."""
        from scipy import ndimage

        low, high = np.percentile(grey[inside], (2, 98))
        # Values of the object fill the middle third of the bins; the ends collect all others.
        width = max(high - low, 0.5 * float(grey[inside | around].std()), 1e-6)
        centre = (low + high) / 2
        model = cls(centre - 1.5 * width, centre + 1.5 * width, np.zeros(_BINS, np.float32))
        shares = []
        for part in (inside, around):
            counts = np.bincount(model.bins(grey[part]), minlength=_BINS).astype(np.float64)
            smooth = ndimage.gaussian_filter1d(counts, 1.5, mode="nearest")
            shares.append(smooth / max(smooth.sum(), 1.0))
        # A grey value that was never seen counts as background.
        ratio = np.log((shares[0] + 1e-3) / (shares[1] + 1e-3 + 0.1 / _BINS))
        return cls(model.low, model.high, np.clip(ratio, -3, 3).astype(np.float32))

    def bins(self, grey: Grey) -> NDArray[np.intp]:
        """Return the histogram bin of each grey value."""
        scaled = (grey - self.low) * (_BINS / (self.high - self.low))
        found: NDArray[np.intp] = np.clip(scaled, 0, _BINS - 1).astype(np.intp)
        return found

    def of(self, grey: Grey) -> Grey:
        """Return the evidence for the object per pixel: positive for, negative against."""
        found: Grey = self.evidence[self.bins(grey)]
        return found


@dataclass(frozen=True)
class Step:
    """Input of a step from one slice to the next; all images are [y, x] of the same window.

    ``before``, ``after``: grey values of the two slices.
    ``evidence``: smoothed evidence for the object on the next slice.
    ``mask``: on the slice before.
    ``pixel``: in-plane spacing (y, x) in mm.
    ``distance``: distance of the slices in mm.
    """

    before: Grey
    after: Grey
    evidence: Grey
    mask: Plane
    pixel: tuple[float, float]
    distance: float


class SliceWalker(Adapter):
    """Walk outward from the guiding slice; subclasses implement `step`."""

    class Options(Adapter.Options):
        """Options of the walk.

        ``reach_mm``: maximum distance of the walk, in each direction.
        ``margin_mm``: how much around the mask of a slice is considered.
        """

        reach_mm: float = Field(default=200.0, gt=0)
        margin_mm: float = Field(default=25.0, gt=0)

    options: Options

    @abstractmethod
    def step(self, step: Step) -> Plane:
        """Return the mask on the next slice, bool [y, x]; an empty one ends the walk."""

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield the propagated mask of each prompt, cropped to its bounding box."""
        from benchmark.prompts import Mask2D

        for prompt in prompts:
            if not isinstance(prompt, Mask2D):
                raise TypeError(f"{type(self).__name__} takes mask2d prompts, not {prompt.kind}")
            yield self._propagated(volume, prompt)

    def _propagated(self, volume: "Volume", prompt: "Mask2D") -> Prediction:
        if not prompt.mask.voxels:
            return Prediction(failure="the guiding mask is empty")
        stack = np.moveaxis(volume.grey, prompt.axis, 0)
        pixel = tuple(mm for axis, mm in enumerate(volume.spacing) if axis != prompt.axis)
        planes = dict(self._walk(stack, prompt, (pixel[0], pixel[1]), volume.spacing[prompt.axis]))
        first, stop = min(planes), max(planes) + 1
        box = _window(np.any([*planes.values()], axis=0))
        solid = np.stack([planes[index][box] for index in range(first, stop)])
        offset = insert_axis([side.start for side in box], prompt.axis, first)
        return Prediction(np.moveaxis(solid, 0, prompt.axis), offset)

    def _walk(
        self, stack: NDArray[Any], prompt: "Mask2D", pixel: tuple[float, float], distance: float
    ) -> Iterator[tuple[int, Plane]]:
        """Yield index and mask of each slice of ``stack`` (slice, row, column) that is reached."""
        from scipy import ndimage

        guide = prompt.plane
        yield prompt.slice, guide
        margin = [math.ceil(max(self.options.margin_mm / mm, 2)) for mm in pixel]
        window = _window(guide, margin)
        grey = stack[prompt.slice][window].astype(np.float32)
        appearance = Appearance.learn(grey, guide[window], ~guide[window])
        smallest = max(1.0, _SMALLEST_SHARE * guide.sum())
        steps = int(self.options.reach_mm / distance)
        last = min(prompt.slice + steps, len(stack) - 1)
        for direction, end in ((1, last + 1), (-1, max(prompt.slice - steps, 0) - 1)):
            mask = guide
            for index in range(prompt.slice + direction, end, direction):
                window = _window(mask, margin)
                before, after = (
                    stack[i][window].astype(np.float32) for i in (index - direction, index)
                )
                evidence = ndimage.gaussian_filter(appearance.of(after), 0.8, mode="nearest")
                reached = self.step(Step(before, after, evidence, mask[window], pixel, distance))
                if reached.sum() < smallest:
                    break
                mask = np.zeros_like(guide)
                mask[window] = reached
                yield index, mask


def _window(mask: Plane, margin: Sequence[int] = (0, 0)) -> tuple[slice, slice]:
    """Return the box of the true pixels of ``mask``, widened by ``margin`` pixels."""
    spans = []
    for axis in (0, 1):
        filled = np.flatnonzero(mask.any(axis=1 - axis))
        stop = int(filled[-1]) + 1 + margin[axis]
        spans.append(slice(max(int(filled[0]) - margin[axis], 0), min(stop, mask.shape[axis])))
    return spans[0], spans[1]


class RegionGrowth(SliceWalker):
    """Seeded region growing: pixels that look like the object and connect to the previous slice.

    Leaks are limited by a bound on growth between slices (``slope``: mm within the plane per mm
    along the axis), by an opening that cuts thin bridges, and by a pull towards the mask of the
    previous slice, which decides where grey values are inconclusive.
    """

    info = MethodInfo(
        summary="seeded region growth, slice by slice, by the grey values of the guiding mask",
        prompts=("mask2d",),
        licence="Apache-2.0 (this project)",
    )

    class Options(SliceWalker.Options):
        """``slope``: bound on growth; ``pull``: weight of the previous mask against grey values."""

        slope: float = Field(default=1.0, gt=0)
        pull: float = Field(default=0.5, ge=0)

    options: Options

    def step(self, step: Step) -> Plane:
        """Grow into the next slice from pixels under the last mask that look like the object."""
        from scipy import ndimage

        outside = ndimage.distance_transform_edt(~step.mask, sampling=step.pixel)
        inside = ndimage.distance_transform_edt(step.mask, sampling=step.pixel)
        bound = self.options.slope * step.distance + max(step.pixel)
        near = np.clip((inside - outside) / bound, -1, 1)
        candidate = (step.evidence + self.options.pull * near > 0) & (outside <= bound)
        opened = ndimage.binary_opening(candidate)
        seeds = step.mask & (step.evidence > 0)
        # The opening removes objects thinner than its kernel: then keep the bridges.
        allowed = opened if (opened & seeds).any() else candidate
        grown = ndimage.binary_propagation(seeds & allowed, mask=allowed)
        filled: Plane = ndimage.binary_fill_holes(grown)
        return filled


class FlowPropagation(SliceWalker):
    """Dense optical flow (iterative Lucas-Kanade) between slices warps the mask along.

    The shape follows the motion of the image alone. Grey values only decide where it ends: if they
    are evidence against more than ``loss`` of the mask's area. Le Besnerais & Champagnat 2005, as
    in `skimage.registration.optical_flow_ilk`.
    """

    info = MethodInfo(
        summary="the guiding mask warped from slice to slice by dense optical flow",
        prompts=("mask2d",),
        licence="Apache-2.0 (this project)",
        citation="doi:10.1109/ICIP.2005.1529706",
    )

    class Options(SliceWalker.Options):
        """``radius``: of the flow's window, in pixels; ``loss``: share of the area that ends it."""

        radius: int = Field(default=5, ge=1)
        loss: float = Field(default=0.5, gt=0, le=1)

    options: Options

    def step(self, step: Step) -> Plane:
        """Warp the mask along the flow to the next slice."""
        from scipy import ndimage
        from skimage.registration import optical_flow_ilk

        low, high = np.percentile(step.before, (0.5, 99.5))
        scale = max(float(high - low), 1e-6)
        before, after = (
            np.clip((grey - low) / scale, 0, 1).astype(np.float32)
            for grey in (step.before, step.after)
        )
        flow = optical_flow_ilk(after, before, radius=self.options.radius, num_warp=3)
        place: Any = np.indices(step.mask.shape, dtype=np.float32) + flow
        soft = ndimage.map_coordinates(step.mask.astype(np.float32), place, order=1)
        warped: Plane = soft >= 0.5
        against = np.count_nonzero(step.evidence[warped] <= 0)
        if against > self.options.loss * np.count_nonzero(warped):
            return np.zeros_like(warped)
        return warped
