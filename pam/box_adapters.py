"""PAM from boxes: Box2Mask converts them to the guiding masks that are propagated."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.adapter import MethodInfo
from benchmark.boxes import extent, in_plane
from benchmark.errors import UserError
from benchmark.masks import Mask
from pam import box_presets
from pam.adapters import LICENCE, PAPER, Pam, overrides, require_valid_size
from pam.box_presets import Conversion

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume
    from pam.box2mask import Rectangle
    from pam.preprocess import Scan
    from pam.rounds import ObjectState


class _PamBox(Pam):
    """Base of the two adapters that start from a box; they load Box2Mask along with PropMask."""

    needs_boxes = True

    class Options(Pam.Options):
        """``box2mask``: switches of `pam.box_presets.Conversion` that override the preset."""

        box2mask: Mapping[str, Any] = {}

        def box2mask_settings(self, weights_settings: Mapping[str, Any]) -> Conversion:
            """Merge preset, ``weights_settings`` and the user's switches; the last wins."""
            return box_presets.preset(self.protocol, {**weights_settings, **self.box2mask})

        @model_validator(mode="after")
        def _box_switches_exist(self) -> "_PamBox.Options":
            self.box2mask_settings({})
            return self

    options: Options

    @property
    def conversion(self) -> Conversion:
        """The switches of Box2Mask in force."""
        config = self.box_network.config
        return require_valid_size(self.options.box2mask_settings(config.inference), config.multiple)

    @property
    def protocol_overrides(self) -> dict[str, Any]:
        """Switches of the propagation, and those of Box2Mask, that differ from the preset."""
        options = self.options
        switches = options.box2mask_settings(self.box_network.config.inference)
        found = overrides(switches, box_presets.preset(options.protocol))
        return super().protocol_overrides | ({"box2mask": found} if found else {})

    def _mask(
        self, scan: "Scan", index: int, rectangle: "Rectangle", settings: Conversion
    ) -> NDArray[np.bool_]:
        from pam.box2mask import guiding_mask

        return guiding_mask(
            self.box_network,
            scan,
            index,
            rectangle,
            settings,
            device=self.device,
            batch=self.batch,
            precision=self.options.precision,
        )


class Pam2DBox(_PamBox):
    """Convert a box on a slice to a mask with Box2Mask and propagate that like `Pam2DMask`.

    A mask prompt is reduced to its box. Only the protocol ``released`` keeps the prompted mask
    itself in the result on the guiding slice, as the authors' evaluation script does.
    """

    info = MethodInfo(
        summary="PAM: a box on a slice turned into a mask by Box2Mask, and carried on as such",
        prompts=("box2d", "mask2d"),
        version=4,
        gpu=True,
        memory_mb=4000,
        licence=LICENCE,
        citation=PAPER,
        weights="pam-small",
    )

    def _states(self, scan: "Scan", axis: int, prompt: "Prompt") -> "list[ObjectState]":
        from benchmark.prompts import Box2D, Mask2D
        from pam.rounds import ObjectState, validated_prompt

        assert isinstance(prompt, Box2D | Mask2D)
        first_vote = None
        if isinstance(prompt, Mask2D):
            truth = validated_prompt(scan, prompt.slice, prompt.plane)
            first_vote = truth if self.options.protocol == "released" else None
        (y0, y1), (x0, x1) = in_plane(prompt.box, axis)
        mask = self._mask(scan, prompt.slice, (y0, y1, x0, x1), self.conversion)
        return [ObjectState(scan, prompt.slice, mask, self.propagation, first_vote=first_vote)]


class Pam3DBox(_PamBox):
    """Convert a 3D box on several of its slices, propagate each within the box, and vote.

    The paper does not say how many slices are used, or which. On most slices the box is larger than
    the object, so propagation may start again from slices where the first answer gives a tighter
    box: see ``docs/pam.md``.
    """

    info = MethodInfo(
        summary="PAM: a box in space, several of its slices carried through it, and a vote",
        prompts=("box3d",),
        version=7,
        gpu=True,
        memory_mb=4000,
        licence=LICENCE,
        citation=PAPER,
        weights="pam-small",
    )

    class Options(_PamBox.Options):
        """Options of the 3D box.

        ``guides``: number of slices of the box that start a propagation, spread evenly over the
            middle ``span`` of its depth.
        ``restarts``: number of slices, those which the first answer fills best, that start a second
            propagation from the answer's box there; by default 3 under the protocol ``rigorous``,
            else 0.
        ``axis``: array axis that the slices are perpendicular to (0, 1, 2 for z, y, x); by default
            that of the largest spacing, the first one in a tie.
        """

        guides: int = Field(default=5, ge=1)
        span: float = Field(default=0.5, ge=0, le=1)
        restarts: int | None = Field(default=None, ge=0)
        axis: Literal[0, 1, 2] | None = None

    options: Options

    def _axis(self, volume: "Volume", prompt: "Prompt") -> int:
        if self.options.axis is not None:
            return self.options.axis
        return int(np.argmax(volume.spacing))

    def _states(self, scan: "Scan", axis: int, prompt: "Prompt") -> "list[ObjectState]":
        from pam.rounds import ObjectState

        low, high = extent(prompt.box, axis)
        (y0, y1), (x0, x1) = in_plane(prompt.box, axis)
        if low >= high:
            raise UserError(f"The box {prompt.box} has no depth. Boxes are half-open.")
        box = (low, high, y0, y1, x0, x1)
        settings = self.conversion.model_copy(update={"tight": False})
        states: list[ObjectState] = []
        failures = []
        for index in spread(low, high, self.options.guides, self.options.span):
            try:
                mask = self._mask(scan, index, (y0, y1, x0, x1), settings)
                states.append(
                    ObjectState(
                        scan, index, mask, self.propagation, box=box, keep_probabilities=True
                    )
                )
            except UserError as error:  # a slice of constant intensity cannot start one
                failures.append(error)
        if not states:
            raise failures[0]
        return states

    def _restarts(self, states: "Sequence[ObjectState]") -> "list[ObjectState]":
        from pam.rounds import ObjectState

        count = self.options.restarts
        if count is None:
            count = 3 if self.options.protocol == "rigorous" else 0
        if not count:
            return []
        answer, scan, settings = self._voted(states), states[0].scan, self.conversion
        low, y, x = (side.start for side in states[0].region)
        plane = (1, *scan.volume.shape[1:])
        more = []
        for depth in fullest(answer, count):
            index = low + depth
            _, _, y0, y1, x0, x1 = Mask.of(answer[depth][None], offset=(0, y, x), shape=plane).box
            with suppress(UserError):  # a slice of constant intensity cannot start one
                mask = self._mask(scan, index, (y0, y1, x0, x1), settings)
                state = ObjectState(
                    scan, index, mask, self.propagation, box=states[0].box, keep_probabilities=True
                )
                more.append(state)
        return more

    def _merged(self, states: "Sequence[ObjectState]") -> NDArray[np.bool_]:
        mask = np.zeros(states[0].scan.volume.shape, np.bool_)
        mask[states[0].region] = self._voted(states)
        return mask

    def _voted(self, states: "Sequence[ObjectState]") -> NDArray[np.bool_]:
        """Return the common answer of ``states`` in their box, bool [z, y, x] of its region."""
        from pam.rounds import touching

        mask = voted(state.probability() for state in states)  # each as large as the box
        connectivity = states[0].settings.connectivity
        if connectivity is None:
            return mask
        seed = np.zeros_like(mask)
        for state in states:
            seed[state.index - state.depths.start] |= state.prompt[state.plane]
        return touching(mask, seed, connectivity)


def voted(answers: Iterable[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Return where the mean of probability maps [z, y, x] exceeds 0.5, slice by slice.

    A propagation that marks nothing on a slice is left out of the mean there: the object is on
    every slice of its box, so the propagation must have lost it.
    """
    answers = iter(answers)
    first = next(answers)
    total, voters = np.zeros_like(first), np.zeros(len(first), np.float32)
    for likely in chain([first], answers):
        marked = (likely > 0.5).any(axis=(1, 2))
        total[marked] += likely[marked]
        voters += marked
    mask: NDArray[np.bool_] = total > voters[:, None, None] / 2
    return mask


def spread(low: int, high: int, guides: int, span: float) -> list[int]:
    """Return slices of ``low`` to ``high`` (half-open), spread evenly over their middle ``span``.

    They are at most ``guides`` in number, distinct and sorted.
    """
    middle, half = (low + high - 1) / 2, (high - low - 1) / 2 * span
    places = np.linspace(middle - half, middle + half, guides) if guides > 1 else [middle]
    return sorted({int(np.floor(place + 0.5)) for place in places})


def fullest(mask: NDArray[np.bool_], most: int) -> list[int]:
    """Return the slices of a mask [z, y, x] on which its bounding box is largest, largest first.

    At most ``most`` slices are returned. The area of each box is at least 75 % of the largest one,
    and slices are at least 2 slices and a sixth of the mask's depth apart.
    """
    spans = mask.any(axis=1).sum(axis=1) * mask.any(axis=2).sum(axis=1)
    apart = max(2, int((spans > 0).sum()) // 6)
    chosen: list[int] = []
    for index in np.argsort(-spans, kind="stable").tolist():
        full = spans[index] > 0 and spans[index] >= 0.75 * spans.max()
        if full and len(chosen) < most and all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
    return chosen
