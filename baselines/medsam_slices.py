"""Slices of a scan for a 2D network: embedded once for all objects, decoded for each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.adapter import Prediction
from benchmark.boxes import insert_axis
from benchmark.machine.precision import in_precision

if TYPE_CHECKING:
    from baselines.medsam import MedSAM
    from benchmark.volume import Volume

Plane = NDArray[np.bool_]
Rectangle = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of a slice, the last pixels included, as in the authors' scripts."""


@dataclass
class Job:
    """An object: its rectangle on each slice to segment, and the masks found."""

    rectangles: dict[int, Rectangle]
    planes: dict[int, tuple[tuple[int, int], Plane]] = field(default_factory=dict)

    def keep(self, index: int, plane: Plane) -> None:
        """Store the bounding box of a slice's mask, unless it is empty."""
        rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        if len(rows):
            start = int(rows[0]), int(columns[0])
            part = plane[start[0] : rows[-1] + 1, start[1] : columns[-1] + 1]
            self.planes[index] = start, part.copy()

    def box_on(self, index: int) -> Rectangle | None:
        """Return the tight rectangle of the mask on a slice, None where it is empty."""
        if index not in self.planes:
            return None
        (y, x), part = self.planes[index]
        return float(x), float(y), float(x + part.shape[1] - 1), float(y + part.shape[0] - 1)

    def prediction(self, axis: int) -> Prediction:
        """Stack the masks of the slices along ``axis``."""
        if not self.planes:
            return Prediction.empty()
        first, last = min(self.planes), max(self.planes)
        starts = np.array([start for start, _ in self.planes.values()])
        stops = np.array([np.add(start, part.shape) for start, part in self.planes.values()])
        low = starts.min(axis=0)
        solid = np.zeros((last - first + 1, *(stops.max(axis=0) - low)), dtype=bool)
        for index, (start, part) in self.planes.items():
            y, x = np.subtract(start, low)
            solid[index - first, y : y + part.shape[0], x : x + part.shape[1]] = part
        return Prediction(np.moveaxis(solid, 0, axis), insert_axis(low, axis, first))


class Slices:
    """The slices of a scan as the network sees them."""

    def __init__(self, method: "MedSAM", volume: "Volume", axis: int) -> None:
        """Take network and options from ``method``; nothing is computed yet."""
        self.network, self.device, self.options = method.network, method.device, method.options
        self.batch = method.batches[method.options.batch]
        self.volume, self.axis = volume, axis
        self.size: int = method.network.config.vision_config.image_size

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """The whole volume in 0..255, uint8, slices first."""
        return self.options.grey(self.volume, self.axis)

    def at_once(self, jobs: Sequence[Job]) -> None:
        """Segment every slice by itself, a batch at a time."""
        wanted = sorted({index for job in jobs for index in job.rectangles})
        for part, maps in self.batch.over(wanted, self.embed):
            tasks = [
                (index, job, job.rectangles[index])
                for index in part
                for job in jobs
                if index in job.rectangles
            ]
            self.decode(dict(zip(part, maps, strict=True)), tasks)

    def outward(self, jobs: Sequence[Job]) -> None:
        """Segment each object from its middle slice upward, then downward.

        The embeddings of all slices are kept on the device: 4 MB each at full size.
        """
        wanted = sorted({index for job in jobs for index in job.rectangles})
        embedded = {
            index: one
            for part, maps in self.batch.over(wanted, self.embed)
            for index, one in zip(part, maps, strict=True)
        }
        middles = [(min(job.rectangles) + max(job.rectangles)) // 2 for job in jobs]
        for step, order in ((1, wanted), (-1, wanted[::-1])):
            for index in order:
                self.decode(
                    embedded,
                    [
                        (index, job, self._carried(job, index, step, middle))
                        for job, middle in zip(jobs, middles, strict=True)
                        if index in job.rectangles
                        and (index >= middle if step == 1 else index < middle)
                    ],
                )

    def _carried(self, job: Job, index: int, step: int, middle: int) -> Rectangle:
        """Return the previous mask's widened box, or the given box where there is none."""
        before = job.box_on(index - step) if index != middle else None
        if before is None:
            return job.rectangles[index]
        height, width = self.grey.shape[1:]
        x, y = (self.options.margin * n / self.size for n in (width, height))
        x0, y0, x1, y1 = before
        return max(x0 - x, 0.0), max(y0 - y, 0.0), min(x1 + x, width), min(y1 + y, height)

    def embed(self, indices: Sequence[int]) -> Any:
        """Return the embeddings [n, channels, h, w] of slices."""
        import torch

        from baselines.medsam_preprocess import to_square

        planes = np.stack([to_square(self.grey[index], self.size) for index in indices])
        images = torch.from_numpy(planes).to(self.device)[:, None].expand(-1, 3, -1, -1)
        with torch.inference_mode(), in_precision(self.options.precision, self.device):
            return self.network.get_image_embeddings(images).float()

    def decode(self, embedded: dict[int, Any], tasks: Sequence[tuple[int, Job, Rectangle]]) -> None:
        """Decode rectangles on their slices, a few at a time, and store the masks."""
        import torch
        from torch.nn.functional import interpolate

        height, width = self.grey.shape[1:]
        scale = np.array([width, height, width, height]) / self.size
        for start in range(0, len(tasks), 16):
            part = tasks[start : start + 16]
            corners = np.array([rectangle for _, _, rectangle in part]) / scale
            boxes = torch.from_numpy(corners.astype(np.float32))[:, None].to(self.device)
            with torch.inference_mode(), in_precision("float32", self.device):
                low = self.network(
                    image_embeddings=torch.stack([embedded[index] for index, _, _ in part]),
                    input_boxes=boxes,
                    multimask_output=False,
                ).pred_masks[:, 0]
                # Probabilities are interpolated, not logits.
                soft = interpolate(low.sigmoid(), (height, width), mode="bilinear")
                masks = (soft[:, 0] > 0.5).cpu().numpy()
            for (index, job, _), mask in zip(part, masks, strict=True):
                job.keep(index, mask)
