"""What a network is built from; knows no torch, so that a study file can be checked without it."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from benchmark.settings import Settings
from pam.box_presets import Conversion
from pam.presets import Propagation


class UNetConfig(Settings):
    """A plain 2-D U-Net; the default is the paper's size.

    ``channels``: of the first stage; they double with each stage up to ``max_channels``.
    ``stages``: resolutions of the encoder, each half the one before. ``inference``: the switches
    that the weights were trained for, such as ``{"size": 96}``; they go before a preset's, and an
    option of the user before them.
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
        """Height and width of an image are multiples of this number of pixels."""
        return 1 << (self.stages - 1)


class Box2MaskConfig(UNetConfig):
    """The U-Net alone; the default is the paper's Box2Mask (20,619,082 parameters).

    ``inference`` holds switches of `pam.box_presets.Conversion`.
    """

    switches: ClassVar = Conversion


class PropMaskConfig(UNetConfig):
    """The U-Net with cross-attention; the default is the paper's PropMask (32,482,602 parameters).

    ``attended``: how many of the encoder's stages are guided by the prompt, counted from the
    coarsest. 1 to 4 are R1 to R4 of the paper's ablation (Fig. 6g), read by the released code's
    rule, since the paper does not say at which end it counts; 0 ignores the prompt.
    ``mask_encoder``: an encoder of its own for the guiding mask, or the image's (Fig. 6f).
    ``prior``: not in the paper. Every stage also sees the guiding slice at the same place, and how
    far away it is, so that a slice that is near starts from a copy of the mask.
    ``statistics``: which mean and deviation the encoder normalises an adjacent slice by, its
    ``own`` (paper), or those of its ``guide``.
    ``inference`` holds switches of `pam.presets.Propagation`.
    """

    switches: ClassVar = Propagation
    attended: int = Field(default=4, ge=0)
    mask_encoder: Literal["separate", "shared"] = "separate"
    prior: bool = False
    statistics: Literal["own", "guide"] = "own"

    @model_validator(mode="after")
    def _stages_suffice(self) -> Self:
        if self.attended > self.stages:
            raise ValueError(f"attended {self.attended} of {self.stages} stages")
        return self

    @property
    def attended_widths(self) -> tuple[int, ...]:
        """Channels of the attended stages, the finest first."""
        return self.widths[self.stages - self.attended :]
