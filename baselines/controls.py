"""Controls: results without a method, which bound every table from below and above."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark import boxes
from benchmark.adapter import Adapter, MethodInfo, Prediction, ReferenceAdapter

if TYPE_CHECKING:
    from benchmark.masks import Mask
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume


class Oracle(ReferenceAdapter):
    """The reference itself: the score of a perfect method, and a check of the scoring."""

    info = MethodInfo(
        summary="the reference mask itself: the ceiling",
        prompts=("box2d", "mask2d", "box3d"),
        control=True,
        licence="Apache-2.0 (this project)",
        sees_reference=True,
    )

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield the reference of each prompt's object."""
        for prompt in prompts:
            reference = self.reference(prompt)
            yield Prediction(reference.crop, boxes.start(reference.box))


class Empty(Adapter):
    """An empty mask: the floor."""

    info = MethodInfo(
        summary="an empty mask: the floor",
        prompts=("box2d", "mask2d", "box3d"),
        control=True,
        licence="Apache-2.0 (this project)",
    )

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield an empty mask per prompt."""
        for _ in prompts:
            yield Prediction.empty()


class BoxFill(Adapter):
    """Every voxel of the 3D box."""

    info = MethodInfo(
        summary="every voxel of the 3D box",
        prompts=("box3d",),
        control=True,
        licence="Apache-2.0 (this project)",
    )

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield the filled box of each prompt."""
        for prompt in prompts:
            yield Prediction(np.ones(boxes.size(prompt.box), dtype=bool), boxes.start(prompt.box))


class Ellipsoid(Adapter):
    """The ellipsoid inscribed in the 3D box; it contains the voxels whose centres lie inside."""

    info = MethodInfo(
        summary="the ellipsoid inscribed in the 3D box",
        prompts=("box3d",),
        control=True,
        licence="Apache-2.0 (this project)",
    )

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield the inscribed ellipsoid of each prompt's box."""
        for prompt in prompts:
            yield Prediction(inscribed_ellipsoid(boxes.size(prompt.box)), boxes.start(prompt.box))


class CopyMask(ReferenceAdapter):
    """Extrusion: the guiding mask on every slice of the object's true extent along its axis.

    The extent is taken from the reference, so this control shows what the shape of one slice is
    worth when the ends are known, too.
    """

    info = MethodInfo(
        summary="the guiding mask on every slice of the object's true extent: extrusion",
        prompts=("mask2d",),
        control=True,
        licence="Apache-2.0 (this project)",
        sees_reference=True,
    )

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Yield the guiding mask of each prompt, copied along its axis."""
        from benchmark.prompts import Mask2D

        for prompt in prompts:
            if not isinstance(prompt, Mask2D):
                raise TypeError(f"copy-mask takes mask2d prompts, not {prompt.kind}")
            yield _extruded(prompt.mask, self.reference(prompt), prompt.axis)


def inscribed_ellipsoid(size: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return the mask [z, y, x] of the ellipsoid inscribed in a box of ``size`` voxels."""
    squares = [((np.arange(n) + 0.5) / (n / 2) - 1) ** 2 for n in size]
    z, y, x = np.ix_(*squares)
    inside: NDArray[np.bool_] = z + y + x <= 1
    return inside


def _extruded(guide: "Mask", reference: "Mask", axis: int) -> Prediction:
    first, stop = boxes.extent(reference.box, axis)
    corner = [low for low, _ in boxes.in_plane(guide.box, axis)]
    copies = np.repeat(guide.crop, stop - first, axis=axis)
    return Prediction(copies, boxes.insert_axis(corner, axis, first))
