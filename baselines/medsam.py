"""MedSAM: a 2D network on the slices of a 3D box (Ma et al. 2024, Nature Communications 15:654).

As in the paper of PAM, each slice of the box is segmented by itself with the same rectangle, and
the masks are stacked. A slice is embedded once for all objects of the scan; only the small mask
decoder runs per object.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from baselines.medsam_preprocess import WindowOptions
from baselines.medsam_slices import Job, Rectangle, Slices
from benchmark import boxes
from benchmark.adapter import Adapter, MethodInfo, Prediction, ReferenceAdapter
from benchmark.machine.batch import Batches
from benchmark.machine.precision import Precision

if TYPE_CHECKING:
    from benchmark.boxes import Box
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume

_THICK = 1.5  # the slices' axis must have a spacing this many times that of the others


class MedSAM(Adapter):
    """MedSAM slice by slice, prompted by one 3D box."""

    info = MethodInfo(
        summary="MedSAM: a 2D network on each slice of the 3D box",
        prompts=("box3d",),
        version=4,
        gpu=True,
        memory_mb=8000,
        licence="Apache-2.0 (this project, and github.com/bowang-lab/MedSAM)",
        citation="doi:10.1038/s41467-024-44824-z",
        weights="medsam-vit-b",
    )

    class Options(WindowOptions):
        """Options; the defaults are what the paper of PAM describes.

        ``slice_box``: ``3d`` gives every slice the rectangle of the 3D box; ``propagate`` gives it
            to the middle slice only, and each next slice outward the box of the previous mask,
            widened by ``margin`` pixels of the network's image (the authors' LiteMedSAM script).
        ``axis``: array axis of the slices; null is z, or the axis with by far the thickest slices.
        ``batch``: slices embedded at a time, halved where they do not fit into GPU memory.
        ``precision``: of the embedding.
        """

        slice_box: Literal["3d", "propagate"] = "3d"
        margin: float = Field(default=5.0, ge=0)
        axis: Literal[0, 1, 2] | None = None
        batch: int = Field(default=4, ge=1)
        precision: Precision = "float32"

    options: Options

    def load(self, weights: Path | None, device: str) -> None:
        """Load the network onto ``device``; raises `UserError` for an unsuitable file."""
        from baselines import medsam_network

        self.network = medsam_network.load(self.require_weights(weights)).to(device)
        self.device, self.batches = device, Batches()

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Segment all objects; a slice that several of them need is embedded once."""
        axis = slice_axis(volume, self.options.axis)
        jobs = [Job(dict(self.rectangles(prompt, axis))) for prompt in prompts]
        slices = Slices(self, volume, axis)
        if self.options.slice_box == "3d":
            slices.at_once(jobs)
        else:
            slices.outward(jobs)
        for job in jobs:
            yield job.prediction(axis)

    def rectangles(self, prompt: "Prompt", axis: int) -> Iterator[tuple[int, Rectangle]]:
        """Yield the slices to segment for a prompt, and the rectangle of each."""
        for index in range(*boxes.extent(prompt.box, axis)):
            yield index, _rectangle(prompt.box, axis)


class MedSAMPerSlice(ReferenceAdapter, MedSAM):
    """MedSAM with the reference's tight box on every slice, which no user draws: an upper bound.

    The authors' comparison scripts do this, visiting only slices that contain the object.
    """

    info = replace(
        MedSAM.info,
        summary="MedSAM under the true box of every slice: an upper bound",
        control=True,
        sees_reference=True,
    )

    def rectangles(self, prompt: "Prompt", axis: int) -> Iterator[tuple[int, Rectangle]]:
        """Yield the slices that contain the object, and its tight rectangle on each."""
        reference = self.reference(prompt)
        first, _ = boxes.extent(reference.box, axis)
        (y, _), (x, _) = boxes.in_plane(reference.box, axis)
        for index, plane in enumerate(np.moveaxis(reference.crop, axis, 0)):
            rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
            if len(rows):
                (y0, y1), (x0, x1) = rows[[0, -1]], columns[[0, -1]]
                tight = float(x + x0), float(y + y0), float(x + x1), float(y + y1)
                yield first + index, tight


def slice_axis(volume: "Volume", chosen: int | None) -> int:
    """Return the array axis of the slices: z, or the one whose slices are by far the thickest."""
    if chosen is not None:
        return chosen
    thickest = int(np.argmax(volume.spacing))
    others = [mm for axis, mm in enumerate(volume.spacing) if axis != thickest]
    return thickest if volume.spacing[thickest] >= _THICK * max(others) else 0


def _rectangle(box: "Box", axis: int) -> Rectangle:
    """Return the rectangle on its slices of a half-open 3D box."""
    (y0, y1), (x0, x1) = boxes.in_plane(box, axis)
    return float(x0), float(y0), float(x1 - 1), float(y1 - 1)
