"""PAM as a method of a study."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.errors import UserError
from pam.presets import Propagation, preset

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume
    from pam.preprocess import Scan


class Pam2DMask(Adapter):
    """The guiding mask carried through the scan by PropMask (paper, Algorithm 1).

    Weights: the authors' ``.pth`` file, or a safetensors file of `pam.checkpoints.save`.
    """

    info = MethodInfo(
        summary="PAM: the guiding mask carried from slice to slice by cross-attention",
        prompts=("mask2d",),
        gpu=True,
        memory_mb=4000,
        citation="doi:10.1038/s41746-025-02087-y",
    )

    class Options(Adapter.Options):
        """``protocol``: the preset of the propagation, by default that of the study.

        ``propagation``: single switches of `pam.presets.Propagation` over the preset. ``chunk``:
        how many slices of each direction pass the network at a time; it bounds the memory.
        """

        protocol: Literal["paper", "released", "rigorous"] = "rigorous"
        propagation: Mapping[str, Any] = {}
        chunk: int = Field(default=4, ge=1)

        @property
        def settings(self) -> Propagation:
            """The preset with the single switches."""
            content = preset(self.protocol).model_dump() | dict(self.propagation)
            return Propagation.read(content, "options.propagation")

        @model_validator(mode="after")
        def _switches_exist(self) -> "Pam2DMask.Options":
            _ = self.settings
            return self

    options: Options

    def load(self, weights: Path | None, device: str) -> None:
        """Read the network onto ``device``; a `UserError` tells what is wrong with the file."""
        from pam import checkpoints
        from pam.network import PropMask

        if weights is None:
            raise UserError("PAM needs weights: say weights: pam-propmask in the study file.")
        released = weights.suffix != ".safetensors"
        read = checkpoints.load_released if released else checkpoints.load
        self.network: PropMask = read(weights, PropMask).to(device)
        self.device = device

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Segment prompt by prompt; slices are read once for all prompts of a view."""
        from benchmark.prompts import Mask2D
        from pam.propagation import propagate

        scans: dict[int, Scan] = {}
        for prompt in prompts:
            assert isinstance(prompt, Mask2D)
            axis = prompt.axis
            try:
                if axis not in scans:
                    scans[axis] = _along(volume, axis)
                mask = propagate(
                    self.network,
                    scans[axis],
                    prompt.slice,
                    prompt.plane,
                    self.options.settings,
                    device=self.device,
                    chunk=self.options.chunk,
                )
            except UserError as error:
                yield Prediction(failure=str(error))
            else:
                yield Prediction(np.moveaxis(mask, 0, axis))


def _along(volume: "Volume", axis: int) -> "Scan":
    """Give the scan with the slices of the view first."""
    from pam.preprocess import Scan

    z, y, x = (volume.spacing[axis], *(mm for a, mm in enumerate(volume.spacing) if a != axis))
    return Scan(np.moveaxis(volume.grey, axis, 0), (z, y, x), volume.modality)
