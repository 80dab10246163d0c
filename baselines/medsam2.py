"""SAM 2 and MedSAM2: a prompt on one slice is tracked through the scan, as in PAM.

Slices are the frames of a video: the object is prompted on its guiding slice and tracked forward;
then the model's memory is reset, and the object prompted again and tracked backward (Ma et al.
2025, arXiv:2504.03600; github.com/bowang-lab/MedSAM2, medsam2_infer_3D_CT.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from baselines.medsam_preprocess import WindowOptions
from baselines.medsam_slices import Job
from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.boxes import in_plane
from benchmark.machine.batch import Batches
from benchmark.machine.precision import Precision, default_precision

if TYPE_CHECKING:
    from baselines.medsam2_video import Prompted
    from benchmark.prompts import Box2D, Mask2D, Prompt
    from benchmark.volume import Volume


class Sam2(Adapter):
    """SAM 2.1 tiny as published, trained without medical images."""

    info = MethodInfo(
        summary="SAM 2.1 tiny: one prompted slice followed through the scan as through a video",
        prompts=("box2d", "mask2d"),
        version=5,
        gpu=True,
        memory_mb=12000,
        licence="Apache-2.0 (transformers, and github.com/facebookresearch/sam2)",
        citation="arXiv:2408.00714",
        weights="sam2.1-hiera-tiny",
    )
    image: ClassVar[int] = 1024

    class Options(WindowOptions):
        """Options; the defaults are those of the released script for CT lesions.

        ``reach_mm``: how far to track the object from its guiding slice; null is to both ends of
            the scan.
        ``largest``: keep only the largest connected component.
        ``batch``: slices embedded at a time, halved where they do not fit into GPU memory.
        ``precision``: null is bfloat16 on a GPU, as in the released scripts, and float32 elsewhere.
        """

        reach_mm: float | None = Field(default=None, gt=0)
        largest: bool = True
        batch: int = Field(default=4, ge=1)
        precision: Precision | None = None

    options: Options

    def load(self, weights: Path | None, device: str) -> None:
        """Load the network onto ``device``; raises `UserError` for an unsuitable file."""
        from baselines import medsam2_network

        self.network = medsam2_network.load(self.require_weights(weights), self.image).to(device)
        self.device, self.batches = device, Batches()

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Track each object; slices of a view are embedded once for all objects."""
        from benchmark.prompts import Box2D, Mask2D

        videos: dict[int, _Video] = {}
        on_slices = [prompt for prompt in prompts if isinstance(prompt, Box2D | Mask2D)]
        for prompt in on_slices:
            if prompt.axis not in videos:
                videos[prompt.axis] = _Video(self, volume, prompt.axis)
            videos[prompt.axis].want(prompt.slice)
        for prompt in on_slices:
            yield videos[prompt.axis].follow(prompt)


class MedSam2(Sam2):
    """SAM 2.1 tiny fine-tuned on medical scans, at 512 pixels a side."""

    info = replace(
        Sam2.info,
        summary="MedSAM2: one prompted slice followed through the scan as through a video",
        memory_mb=8000,
        licence="Apache-2.0 (transformers, and github.com/bowang-lab/MedSAM2)",
        citation="arXiv:2504.03600",
        weights="medsam2",
    )
    image = 512


class _Video:
    """The slices of a scan along one axis."""

    def __init__(self, method: Sam2, volume: "Volume", axis: int) -> None:
        from baselines.medsam2_video import Features

        self.options, self.axis = method.options, axis
        self.batch = method.batches[method.options.batch]
        self.size: int = method.network.config.image_size
        precision = self.options.precision or default_precision(method.device)
        self.features = Features(method.network, method.device, precision)
        self.grey = self.options.grey(volume, axis)
        far = self.options.reach_mm
        count = len(self.grey)
        self.reach = count if far is None else int(far / volume.spacing[axis])
        self.wanted: set[int] = set()

    def want(self, index: int) -> None:
        """Record the slices that an object with this guiding slice is tracked through."""
        first = max(index - self.reach, 0)
        self.wanted |= set(range(first, min(index + self.reach + 1, len(self.grey))))

    def embed(self) -> None:
        """Embed the recorded slices that are not embedded yet."""
        from baselines.medsam2_video import to_frames

        def embed(part: list[int]) -> None:
            self.features.embed(part, to_frames(self.grey[part], self.size))

        for _ in self.batch.over(sorted(self.wanted - self.features.maps.keys()), embed):
            pass

    def follow(self, prompt: "Box2D | Mask2D") -> Prediction:
        """Track an object forward and backward from its guiding slice."""
        from baselines.medsam2_video import to_plane, walk

        self.embed()
        height, width = self.grey.shape[1:]
        job = Job({})
        for step in (1, -1):
            prompted = self.prompted(prompt)
            for index, logits in walk(self.features, prompted, len(self.grey), self.reach, step):
                job.keep(index, to_plane(logits, (height, width)))
        found = job.prediction(self.axis)
        if not self.options.largest or found.mask is None:
            return found
        return Prediction(largest_component(found.mask), found.offset)

    def prompted(self, prompt: "Box2D | Mask2D") -> "Prompted":
        """Rescale a prompt to the network's image."""
        import torch
        from torch.nn.functional import interpolate

        from baselines.medsam2_video import Prompted
        from benchmark.prompts import Mask2D

        height, width = self.grey.shape[1:]
        if isinstance(prompt, Mask2D):
            plane = torch.from_numpy(prompt.plane).float()[None, None]
            square = (self.size, self.size)
            scaled = interpolate(plane, square, mode="bilinear", antialias=True)
            return Prompted(prompt.slice, mask=(scaled[0, 0] >= 0.5).float())
        (y0, y1), (x0, x1) = in_plane(prompt.box, prompt.axis)
        corners = torch.tensor([x0, y0, x1 - 1, y1 - 1], dtype=torch.float32)
        scale = torch.tensor([width, height, width, height]) / self.size
        return Prompted(prompt.slice, box=corners / scale)


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest 26-connected component of a mask [z, y, x]."""
    if not mask.any():
        return mask
    import cc3d

    kept: NDArray[np.bool_] = cc3d.largest_k(mask, k=1, connectivity=26) > 0
    return kept
