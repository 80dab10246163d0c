"""All switches of PAM's propagation, and the named presets; imports no torch.

Where the paper (npj Digital Medicine 2025, Methods and Algorithm 1), the code released by its
authors (github.com/czifan/PAM: their evaluation, ``infer/infer.py`` at 5f342f0, and
``tutorials/3d-propagation.ipynb`` at 67af4c9) and good practice differ, a switch selects the
behaviour. ``docs/pam.md`` tabulates all switches by preset.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from benchmark.errors import UserError, unknown_name
from benchmark.settings import Settings

Normalisation = Literal["dynamic", "soft-tissue", "lung", "bone", "brain"]
"""``dynamic``, the paper's window, or a fixed one: a name of `benchmark.windows.CLINICAL`."""


class Propagation(Settings):
    """How a mask is propagated from its guiding slice through a scan; the default is `RIGOROUS`.

    Window, computed once per object from the pixels under the prompt:
    ``normalisation``: ``dynamic``, or a fixed clinical window, which ignores the percentiles,
        ``integer_ct_window`` and ``flat_window``.
    ``percentiles``: the two ends of the window.
    ``context``: above 0, the network sees each slice a second time, as another channel, in a window
        that is wider by this share of its width at both ends, so that tissue is told apart whose
        grey leaves the window; needs a network with two ``inputs``.
    ``integer_ct_window``: in CT, truncate the window to an integer centre and width.
    ``stretch``: what is mapped to 0..255: the ends of the ``window``, or the extremes of each
        ``slice`` after clipping.
    ``arithmetic``: of grey levels: ``float32`` with 1e-8 added to the divisor, or ``native``:
        without it, and in float64 for images of an integer type.
    ``flat_window``: if both ends are equal, use ``blank`` images, or the percentiles of the whole
        guiding ``slice``.

    Crop, a square around the guiding mask:
    ``crop_ratio``: side of the square over the longer side of the mask's bounding box.
    ``min_crop``: minimum side, in pixels.
    ``crop_around``: pixels with any of the ``votes``, or those of the ``mask``, with most votes.
    ``last_pixel``: whether the bounding box includes its last row and column.
    ``border``: where the square leaves the image on the right or at the bottom, ``pad`` it with 0,
        or ``shift`` it inward as far as possible (on the left and at the top it is always shifted).
    ``size``: side of the network's image, in pixels.
    ``resampling``: of masks to that size and back: ``nearest`` neighbours, aligned by pixel corners
        (released code), which moves a mask down and right by half a pixel or more; or ``smooth``,
        aligned by pixel centres, thresholding predictions after they are resized.

    Rounds:
    ``thickness``: reach of a round on either side in mm, converted to a number of slices between
        ``min_slices`` and ``max_slices``.
    ``outward``: predict only away from the prompt, each slice once, and end a side at its first
        empty slice; otherwise predict both sides of each guiding slice.
    ``recrop``: an outward round also ends before the first slice whose mask reaches a side of the
        square with more of the image behind it (after it, if it is the nearest slice), so that the
        next square has room.
    ``overlap``: an outward round also ends after the first slice whose mask has a lower DSC than
        this with that of the guiding slice, so that objects that move or change are followed in
        short rounds; 0 disables it. Pixels outside a 3D box count in the former alone, so that a
        mask that leaves the box ends the round sooner.
    ``memory``: attend to the guiding slice alone (``guide``; paper, released code), or also to the
        ``prompt``'s slice, which is free of propagation errors; needs a network that can
        `PropMask.remember`.
    ``stop_low``, ``stop_high``: a side continues while its last slice has more than this many
        pixels, counted as ``stop_counts``: all ``votes``, or the pixels of the ``mask``.
    ``count_padding``: if the two guiding slices of a round have different numbers of neighbours,
        count the last prediction of the shorter list as often as the released code's batch repeats
        it.

    Result:
    ``average``: average ``logits`` or ``probabilities`` over the network's scales.
    ``merge``: the ``union`` or the ``majority`` of repeated predictions of a slice.
    ``connectivity``: remove components (of 6 or 26 neighbours) that do not touch the prompt; None
        keeps all.
    """

    normalisation: Normalisation = "dynamic"
    percentiles: tuple[float, float] = (0.5, 99.5)
    context: float = Field(default=0.0, ge=0, le=10)
    integer_ct_window: bool = False
    stretch: Literal["slice", "window"] = "window"
    arithmetic: Literal["float32", "native"] = "float32"
    flat_window: Literal["blank", "slice"] = "slice"
    crop_ratio: float = Field(default=1.5, ge=1, le=10)
    min_crop: int = Field(default=16, ge=2)
    crop_around: Literal["votes", "mask"] = "mask"
    last_pixel: bool = True
    border: Literal["pad", "shift"] = "shift"
    size: int = Field(default=224, ge=2, le=1024)
    resampling: Literal["nearest", "smooth"] = "smooth"
    thickness: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    min_slices: int = Field(default=1, ge=0)
    max_slices: int = Field(default=40, ge=1)
    outward: bool = True
    recrop: bool = True
    overlap: float = Field(default=0.0, ge=0, le=1)
    memory: Literal["guide", "prompt"] = "guide"
    stop_low: int = Field(default=0, ge=0)
    stop_high: int = Field(default=0, ge=0)
    stop_counts: Literal["votes", "mask"] = "mask"
    count_padding: bool = False
    average: Literal["logits", "probabilities"] = "logits"
    merge: Literal["union", "majority"] = "majority"
    connectivity: Literal[6, 26] | None = 26

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles {low}, {high}; need 0 <= first < second <= 100")
        if self.min_slices > self.max_slices:
            raise ValueError(f"min_slices {self.min_slices} above max_slices {self.max_slices}")
        return self

    def reach(self, spacing: float) -> int:
        """Return the number of slices predicted on either side; ``spacing``: of slices, in mm.

        Raises `UserError` if the thickness holds no slice and ``min_slices`` is 0.
        """
        slices = max(min(int(self.thickness / spacing), self.max_slices), self.min_slices)
        if slices == 0:
            raise UserError(
                f"Slices {spacing:g} mm apart cannot be reached within a propagation thickness of "
                f"{self.thickness:g} mm: no slice would be predicted. Set `thickness` to at least "
                f"{spacing:g}, or `min_slices` to 1 (as in the preset rigorous)."
            )
        return slices


RIGOROUS = Propagation()
TUTORIAL = Propagation(
    integer_ct_window=True,
    stretch="slice",
    flat_window="blank",
    crop_around="votes",
    last_pixel=False,
    border="pad",
    resampling="nearest",
    min_slices=0,
    outward=False,
    recrop=False,
    stop_low=100,
    stop_counts="votes",
    count_padding=True,
    merge="union",
    connectivity=6,
)
RELEASED = TUTORIAL.model_copy(
    update={"arithmetic": "native", "crop_ratio": 1.25, "max_slices": 10, "stop_low": 0}
)
PAPER = Propagation(
    percentiles=(5.0, 95.0),
    flat_window="blank",
    border="pad",
    resampling="nearest",
    min_slices=0,
    outward=False,
    recrop=False,
    stop_low=100,
    stop_high=100,
    average="probabilities",
    merge="union",
    connectivity=None,
)

PRESETS = {"paper": PAPER, "released": RELEASED, "tutorial": TUTORIAL, "rigorous": RIGOROUS}
Protocol = Literal["paper", "released", "tutorial", "rigorous"]


def preset(name: str, switches: Mapping[str, Any] | None = None) -> Propagation:
    """Return a preset by name; ``switches`` override its own.

    The switches that weights were trained for are ``network.config.inference``. Raises `UserError`,
    listing what exists, for an unknown name or switch.
    """
    if name not in PRESETS:
        raise UserError(unknown_name("preset of the propagation", name, PRESETS))
    content = PRESETS[name].model_dump() | dict(switches or {})
    return Propagation.read(content, "switches of the propagation")
