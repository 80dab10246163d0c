"""Configurations of the networks; imports no torch, so that study files are checked without it."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from benchmark.settings import Settings
from pam.box_presets import Conversion
from pam.presets import Propagation


class UNetConfig(Settings):
    """A plain 2D U-Net; the default is the paper's size.

    ``channels``: of the first stage; they double with each stage up to ``max_channels``.
    ``stages``: number of resolutions of the encoder, each half the one before.
    ``inference``: switches the weights were trained for, such as ``{"size": 96}``; they override
        those of a preset, and the user's options override them.
    """

    switches: ClassVar[type[Settings]]
    channels: int = Field(default=32, ge=1, le=1024)
    stages: int = Field(default=6, ge=2, le=10)
    max_channels: int = Field(default=512, ge=1, le=4096)
    inference: dict[str, Any] = {}

    @model_validator(mode="after")
    def _inference_exists(self) -> Self:
        self.switches.read(self.inference, "inference")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, the finest first."""
        return tuple(min(self.channels << i, self.max_channels) for i in range(self.stages))

    @property
    def multiple(self) -> int:
        """Height and width of an image must be multiples of this number of pixels."""
        return 1 << (self.stages - 1)


class Box2MaskConfig(UNetConfig):
    """A plain U-Net; the default is the paper's Box2Mask (20,619,082 parameters).

    ``inference``: switches of `pam.box_presets.Conversion`.
    """

    switches: ClassVar = Conversion


class PropMaskConfig(UNetConfig):
    """A U-Net with cross-attention; the default is the paper's PropMask (32,482,602 parameters).

    ``attended``: number of encoder stages, counted from the coarsest, that attend to the guiding
        slice; 0 ignores the prompt. 1 to 4 are R1 to R4 of the paper's ablation (Fig. 6g), counted
        as in the released code because the paper does not say from which end it counts.
    ``mask_encoder``: a ``separate`` encoder for the guiding mask, or one ``shared`` with the image
        (Fig. 6f).
    ``inputs``: channels of a slice; 2 (not in the paper) for `pam.presets.Propagation.context`.
    ``prior``: not in the paper. Every stage also sees the guiding slice at the same position, and
        its distance, so that a near slice starts from a copy of the mask.
    ``statistics``: the mean and standard deviation by which the encoder normalises an adjacent
        slice: its ``own`` (paper), or those of its ``guide``.
    ``inference``: switches of `pam.presets.Propagation`.
    """

    switches: ClassVar = Propagation
    attended: int = Field(default=4, ge=0)
    mask_encoder: Literal["separate", "shared"] = "separate"
    inputs: Literal[1, 2] = 1
    prior: bool = False
    statistics: Literal["own", "guide"] = "own"

    @model_validator(mode="after")
    def _stages_suffice(self) -> Self:
        if self.attended > self.stages:
            raise ValueError(f"attended {self.attended} of {self.stages} stages")
        return self

    @model_validator(mode="after")
    def _masks_have_one_channel(self) -> Self:
        if self.mask_encoder == "shared" and self.inputs > 1:
            raise ValueError("a shared mask_encoder takes masks too: inputs 1, as they have")
        return self

    @property
    def attended_widths(self) -> tuple[int, ...]:
        """Channels of the attended stages, the finest first."""
        return self.widths[self.stages - self.attended :]
