"""PAM from boxes: Box2Mask gives the guiding masks that are carried through the scan."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.adapter import MethodInfo
from benchmark.errors import UserError
from benchmark.machine.precision import in_precision
from benchmark.masks import Mask
from pam import box_presets
from pam.adapters import PAPER, Pam, differing, fitting
from pam.box_presets import Conversion

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume
    from pam.box2mask import Rectangle
    from pam.preprocess import Scan
    from pam.rounds import State


class _PamBox(Pam):
    """The two that start from a box; Box2Mask lies beside PropMask."""

    needs_boxes = True

    class Options(Pam.Options):
        """``box2mask``: single switches of `pam.box_presets.Conversion` over the preset."""

        box2mask: Mapping[str, Any] = {}

        def converting(self, trained: Mapping[str, Any]) -> Conversion:
            """Merge preset, what the weights were ``trained`` for, and single switches."""
            return box_presets.preset(self.protocol, {**trained, **self.box2mask})

        @model_validator(mode="after")
        def _box_switches_exist(self) -> "_PamBox.Options":
            self.converting({})
            return self

    options: Options

    @property
    def conversion(self) -> Conversion:
        """The switches in force."""
        config = self.box_network.config
        return fitting(self.options.converting(config.inference), config.multiple)

    @property
    def departures(self) -> dict[str, Any]:
        """Those of the propagation, and of Box2Mask."""
        options = self.options
        switches = options.converting(self.box_network.config.inference)
        found = differing(switches, box_presets.preset(options.protocol))
        return super().departures | ({"box2mask": found} if found else {})

    def _mask(
        self, scan: "Scan", index: int, rectangle: "Rectangle", settings: Conversion
    ) -> NDArray[np.bool_]:
        from pam.box2mask import guiding_mask

        network, device, batch = self.box_network, self.device, self.batch
        with in_precision(self.options.precision, device):
            return guiding_mask(
                network, scan, index, rectangle, settings, device=device, batch=batch
            )


class Pam2DBox(_PamBox):
    """A box on a slice turned into a mask by Box2Mask, and that carried on as by `Pam2DMask`.

    A mask prompt is reduced to its box. Only under the protocol ``released`` the mask itself stays
    in the result on the guiding slice, since the authors' evaluation script leaves it there.
    """

    info = MethodInfo(
        summary="PAM: a box on a slice turned into a mask by Box2Mask, and carried on as such",
        prompts=("box2d", "mask2d"),
        version=3,
        gpu=True,
        memory_mb=4000,
        licence="Apache-2.0 (this project; github.com/czifan/PAM states none)",
        citation=PAPER,
        weights="pam-small",
    )

    def _states(self, scan: "Scan", axis: int, prompt: "Prompt") -> "list[State]":
        from benchmark.prompts import Box2D, Mask2D
        from pam.rounds import State, checked

        assert isinstance(prompt, Box2D | Mask2D)
        first = None
        if isinstance(prompt, Mask2D):
            truth = checked(scan, prompt.slice, prompt.plane)
            first = truth if self.options.protocol == "released" else None
        y0, y1, x0, x1 = (end for i, end in enumerate(prompt.box) if i // 2 != axis)
        mask = self._mask(scan, prompt.slice, (y0, y1, x0, x1), self.conversion)
        return [State(scan, prompt.slice, mask, self.propagation, first=first)]


class Pam3DBox(_PamBox):
    """A box in space: Box2Mask on several of its slices, each carried through the box, a vote.

    The paper says as much, and not how many slices or which. On most slices the box is larger than
    the object, so that the answer may start once more from where the box is known better: see
    ``docs/pam.md``.
    """

    info = MethodInfo(
        summary="PAM: a box in space, several of its slices carried through it, and a vote",
        prompts=("box3d",),
        version=6,
        gpu=True,
        memory_mb=4000,
        licence="Apache-2.0 (this project; github.com/czifan/PAM states none)",
        citation=PAPER,
        weights="pam-small",
    )

    class Options(_PamBox.Options):
        """``guides``: how many slices of the box start a propagation, evenly spread over the
        middle ``span`` of its depth. ``again``: how many of the slices that the answer fills best
        start anew, from the box of the answer there; by default 3 under the protocol ``rigorous``
        and none under the authors'. ``axis``: what the slices are perpendicular to (0, 1, 2 for
        z, y, x); by default the axis of the largest spacing, the first of equals.
        """

        guides: int = Field(default=5, ge=1)
        span: float = Field(default=0.5, ge=0, le=1)
        again: int | None = Field(default=None, ge=0)
        axis: Literal[0, 1, 2] | None = None

    options: Options

    def _axis(self, volume: "Volume", prompt: "Prompt") -> int:
        if self.options.axis is not None:
            return self.options.axis
        return int(np.argmax(volume.spacing))

    def _states(self, scan: "Scan", axis: int, prompt: "Prompt") -> "list[State]":
        from pam.rounds import State

        order = axis, *(a for a in range(3) if a != axis)
        (low, high), (y0, y1), (x0, x1) = (
            (prompt.box[2 * a], prompt.box[2 * a + 1]) for a in order
        )
        if low >= high:
            raise UserError(f"The box {prompt.box} has no depth. Boxes are half-open.")
        box = (low, high, y0, y1, x0, x1)
        settings = self.conversion.model_copy(update={"tight": False})
        states: list[State] = []
        failures = []
        for index in spread(low, high, self.options.guides, self.options.span):
            try:
                mask = self._mask(scan, index, (y0, y1, x0, x1), settings)
                states.append(State(scan, index, mask, self.propagation, box=box, soft=True))
            except UserError as error:  # nothing starts on a slice of one intensity
                failures.append(error)
        if not states:
            raise failures[0]
        return states

    def _again(self, states: "Sequence[State]") -> "list[State]":
        from pam.rounds import State

        again = self.options.again
        if again is None:
            again = 3 if self.options.protocol == "rigorous" else 0
        if not again:
            return []
        answer, scan, settings = self._merged(states), states[0].scan, self.conversion
        more = []
        for index in fullest(answer, again):
            _, _, y0, y1, x0, x1 = Mask.of(answer[index][None]).box
            with suppress(UserError):  # nothing starts on a slice of one intensity
                mask = self._mask(scan, index, (y0, y1, x0, x1), settings)
                state = State(scan, index, mask, self.propagation, box=states[0].box, soft=True)
                more.append(state)
        return more

    def _merged(self, states: "Sequence[State]") -> NDArray[np.bool_]:
        from pam.rounds import touching

        mask = np.zeros(states[0].scan.volume.shape, np.bool_)
        mask[states[0].region] = voted([state.probability() for state in states])
        connectivity = states[0].settings.connectivity
        if connectivity is None:
            return mask
        seed = np.zeros_like(mask)
        for state in states:
            seed[state.index] |= state.prompt
        return touching(mask, seed, connectivity)


def voted(answers: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Where the mean of probabilities [z, y, x] exceeds one half, slice by slice.

    A propagation has no vote on a slice where it marks nothing: the object is on every slice of its
    box, so that one was lost on the way.
    """
    total = np.zeros_like(answers[0])
    voters = np.zeros(len(total), np.float32)
    for likely in answers:
        marked = (likely > 0.5).any(axis=(1, 2))
        total[marked] += likely[marked]
        voters += marked
    mask: NDArray[np.bool_] = total > voters[:, None, None] / 2
    return mask


def spread(low: int, high: int, guides: int, span: float) -> list[int]:
    """Slices of ``low`` to ``high`` (half-open) evenly spread over their middle ``span``.

    At most ``guides`` of them, each once, in order.
    """
    middle, half = (low + high - 1) / 2, (high - low - 1) / 2 * span
    places = np.linspace(middle - half, middle + half, guides) if guides > 1 else [middle]
    return sorted({int(np.floor(place + 0.5)) for place in places})


def fullest(mask: NDArray[np.bool_], most: int) -> list[int]:
    """Slices of a mask [z, y, x] on which it spans most: where it fills its box in space best.

    ``most`` at most, the fullest first: such as span at least three quarters of what the fullest
    does, none next to another or nearer than a sixth of the mask's depth.
    """
    spans = mask.any(axis=1).sum(axis=1) * mask.any(axis=2).sum(axis=1)
    apart = max(2, int((spans > 0).sum()) // 6)
    chosen: list[int] = []
    for index in np.argsort(-spans, kind="stable").tolist():
        full = spans[index] > 0 and spans[index] >= 0.75 * spans.max()
        if full and len(chosen) < most and all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
    return chosen
