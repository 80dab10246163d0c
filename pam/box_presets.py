"""All switches of the conversion of a box to its guiding mask, and the named presets.

Imports no torch. Sources: paper (npj Digital Medicine 2025, Methods, Box2Mask module and Dynamic
image normalization); released code (github.com/czifan/PAM at 5f342f0, ``infer/infer.py``).
``docs/pam.md`` tabulates all switches by preset.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from benchmark.errors import UserError, unknown_name
from benchmark.settings import Settings
from pam.presets import Normalisation

Percentile = Annotated[float, Field(ge=0, le=100)]


class Conversion(Settings):
    """How a box on a slice becomes the mask that the propagation starts from.

    ``by``: the network ``box2mask``, or for ablations without it the ``full-box`` or an
    ``adaptive`` threshold (Otsu's; the object is the class that is rarer on the border of the box).

    What the network sees:
    ``size``: height and width in pixels.
    ``last_pixel``: whether the box includes its last row and column.
    ``box_ratio``: side of the crop over side of the box; the mask stays inside the box.
    ``halved``: first round the crop to int16 and resize it to half of ``size``, and take the
        windows from that.
    ``stretch``: what is mapped to 0..255: the ends of the ``window``, or the extremes of the
        ``crop`` after clipping.
    ``integer_window``: truncate windows to an integer centre and width.

    First estimate:
    ``normalisation``: ``dynamic``, the two passes described here, or a fixed clinical window, with
        a single pass.
    ``lower``, ``upper``: percentiles of the crop; every pair is a candidate window.
    ``estimate``: the pixels that lead in the ``vote`` of all candidates and scales, or the ``pool``
        of the foregrounds of all candidates at half the size, with repetitions.
    ``least_pixels``: candidates that find fewer pixels do not enter the pool.

    Final mask:
    ``final``: from another ``pass`` under the window of the estimate, or directly from the ``vote``
        of all candidates.
    ``percentiles``: of the estimate's intensities, as the final window.
    ``empty_estimate``: replacement if nothing was found: the percentiles 5 and 95 of the whole
        ``crop``, or the CT window of the released code (``soft-tissue``, centre 50 and width 350).
    ``average``: average ``logits`` or ``probabilities`` over the scales.
    ``resampling``: ``corners`` resizes each scale to the crop with aligned corners (released code),
        which enlarges a mask; ``smooth`` resizes their mean, aligned by pixel centres.
    ``tight``: threshold the foreground not at 0.5, but as close to it as lets the mask span the
        box.

    If nothing is found in the end, the mask is the whole box.
    """

    by: Literal["box2mask", "full-box", "adaptive"] = "box2mask"
    size: int = Field(default=224, ge=2, le=1024)
    last_pixel: bool = True
    box_ratio: float = Field(default=1.0, ge=1, le=4)
    halved: bool = False
    stretch: Literal["window", "crop"] = "window"
    integer_window: bool = False
    normalisation: Normalisation = "dynamic"
    lower: tuple[Percentile, ...] = Field(default=(5, 10, 15, 20), min_length=1)
    upper: tuple[Percentile, ...] = Field(default=(90, 95), min_length=1)
    estimate: Literal["vote", "pool"] = "vote"
    least_pixels: int = Field(default=1, ge=1)
    final: Literal["pass", "vote"] = "pass"
    tight: bool = False
    percentiles: tuple[Percentile, Percentile] = (0.5, 99.5)
    empty_estimate: Literal["crop", "soft-tissue"] = "crop"
    average: Literal["logits", "probabilities"] = "logits"
    resampling: Literal["corners", "smooth"] = "smooth"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if max(self.lower) >= min(self.upper):
            raise ValueError(f"lower percentiles {self.lower} reach the upper ones {self.upper}")
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"percentiles {self.percentiles}; need first < second")
        if self.estimate == "pool" and not self.halved:
            raise ValueError("estimate pool is taken at half the size: it needs halved")
        return self


RIGOROUS = Conversion()
PAPER = Conversion(
    lower=tuple(range(5, 21)),
    upper=tuple(range(90, 96)),
    percentiles=(5, 95),
    average="probabilities",
    resampling="corners",
)
RELEASED = Conversion(
    last_pixel=False,
    halved=True,
    stretch="crop",
    integer_window=True,
    lower=tuple(range(5, 21)),
    upper=tuple(range(90, 96)),
    estimate="pool",
    least_pixels=10,
    empty_estimate="soft-tissue",
    resampling="corners",
)

# The authors' tutorial takes masks only, so "tutorial" has no rules of its own.
PRESETS = {"paper": PAPER, "released": RELEASED, "tutorial": RELEASED, "rigorous": RIGOROUS}


def preset(name: str, switches: Mapping[str, Any] | None = None) -> Conversion:
    """Return a preset by name; ``switches`` as in `pam.presets.preset`, with the same errors."""
    if name not in PRESETS:
        raise UserError(unknown_name("preset of Box2Mask", name, PRESETS))
    content = PRESETS[name].model_dump() | dict(switches or {})
    return Conversion.read(content, "switches of Box2Mask")
