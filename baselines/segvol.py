"""SegVol: a 3D network prompted by a 3D box, on the whole scan first, then on full-size windows.

Du et al., NeurIPS 2024, arXiv:2311.13385. Only the box is given; the authors' demonstration also
gives the name of the structure.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.boxes import start
from benchmark.errors import UserError
from benchmark.machine.batch import Batches
from benchmark.machine.precision import in_precision

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume


class SegVol(Adapter):
    """Zoom-out-zoom-in; weights: ``SegVol_v1.pth``, or ``pytorch_model.bin`` of Hugging Face."""

    info = MethodInfo(
        summary="SegVol: a 3D network under a 3D box, zoom-out then zoom-in",
        prompts=("box3d",),
        version=2,
        gpu=True,
        memory_mb=12000,
        licence="Apache-2.0 (this project; github.com/BAAI-DCAI/SegVol is under MIT)",
        citation="arXiv:2311.13385",
        weights="segvol-v1",
    )

    class Options(Adapter.Options):
        """Options of SegVol.

        ``batch``: windows per forward pass; bounds the memory, halved where that of a GPU does not
            suffice.
        ``corrected``: correct two faults of the released code, which are kept by default: the box
            in a window larger than the crop is off by the padding, and windows where zoom-out found
            nothing are segmented with a box outside the window.
        """

        corrected: bool = False
        batch: int = Field(default=4, ge=1)

    options: Options

    def load(self, weights: Path | None, device: str) -> None:
        """Load the network onto ``device``; raises `UserError` for an unsuitable file."""
        from baselines import segvol_network

        self.network = segvol_network.load(self.require_weights(weights)).to(device)
        self.device, self.batches = device, Batches()

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Segment all objects; embeddings that they share are computed once."""
        import torch

        from baselines import segvol_preprocess as preprocess
        from baselines.segvol_windows import positive
        from baselines.segvol_zoom import ZoomOutZoomIn

        try:
            scan = preprocess.prepare(volume.grey)
        except UserError as error:
            for _ in prompts:
                yield Prediction(failure=str(error))
            return
        with torch.inference_mode(), in_precision("float32", self.device):
            zoom = ZoomOutZoomIn(
                self.network,
                scan.image,
                self.network.size.window,
                device=self.device,
                batch=self.batches[self.options.batch],
                corrected=self.options.corrected,
            )
            boxes = [scan.inside(prompt.box) for prompt in prompts]
            for found in zoom.logits(boxes):
                if found is None:
                    yield Prediction.empty()
                    continue
                crop, logits = found
                yield Prediction(np.flip(positive(logits), (1, 2)), start(scan.outside(crop)))
