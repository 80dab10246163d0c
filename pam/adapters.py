"""The adapter of PAM from a guiding mask; those from boxes are in `pam.box_adapters`."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.errors import UserError
from benchmark.machine.batch import Batch, Batches
from benchmark.machine.precision import Precision
from pam import presets
from pam.box_presets import Conversion
from pam.presets import Propagation, Protocol

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume
    from pam.preprocess import Scan
    from pam.rounds import ObjectState

S = TypeVar("S", Propagation, Conversion)
PAPER = "doi:10.1038/s41746-025-02087-y"
LICENCE = "Apache-2.0 (this project; github.com/czifan/PAM states none)"


class Pam(Adapter):
    """Base of PAM's adapters: propagate the prompts of each view of a scan in batches."""

    needs_boxes: ClassVar[bool] = False

    class Options(Adapter.Options):
        """Options of all PAM methods.

        ``protocol``: preset of all switches, the study's by default.
        ``propagation``: switches of `pam.presets.Propagation` that override the preset.
        ``batch``: slices per forward pass, by default 8 on a CPU and 64 on a GPU; bounds the
            memory. Halved for the rest of the job where it does not fit into that of a GPU.
        ``objects``: how many objects of a scan are propagated together.
        ``precision``: of the network's arithmetic.
        """

        protocol: Protocol = "rigorous"
        propagation: Mapping[str, Any] = {}
        batch: int | None = Field(default=None, ge=1)
        objects: int = Field(default=8, ge=1)
        precision: Precision = "float32"

        def propagation_settings(self, weights_settings: Mapping[str, Any]) -> Propagation:
            """Merge preset, ``weights_settings`` and the user's switches; the last wins."""
            return presets.preset(self.protocol, {**weights_settings, **self.propagation})

        @model_validator(mode="after")
        def _switches_exist(self) -> "Pam.Options":
            self.propagation_settings({})
            return self

    options: Options

    def load(self, weights: Path | None, device: str) -> None:
        """Load the networks onto ``device``; raises `UserError` if weights are missing or unfit."""
        from pam.network import Box2Mask, PropMask
        from pam.weight_files import read_network

        folder = self.require_weights(
            weights,
            "set weights: pam-small in the study file for those that ship with the project, or "
            "weights: pam-released for those of its authors.",
        )
        self.device = device
        self.batches = Batches()
        self.network: PropMask = read_network(folder, PropMask).to(device)
        if self.needs_boxes:
            self.box_network: Box2Mask = read_network(folder, Box2Mask).to(device)

    @property
    def batch(self) -> Batch:
        """Slices per forward pass, at first as the options say."""
        return self.batches[self.options.batch or (8 if self.device == "cpu" else 64)]

    @property
    def propagation(self) -> Propagation:
        """The propagation switches in force.

        Raises `UserError` for a ``size`` or ``context`` that does not suit the network.
        """
        config = self.network.config
        settings = self.options.propagation_settings(config.inference)
        if bool(settings.context) != (config.inputs == 2):
            seen = "one window; leave it at 0" if config.inputs == 1 else "two; set it above 0"
            raise UserError(f"context {settings.context:g}; these weights see a slice in {seen}.")
        return require_valid_size(settings, config.multiple)

    @property
    def protocol_overrides(self) -> dict[str, Any]:
        """Switches in force, set by the weights or the options, that differ from the preset."""
        options = self.options
        switches = options.propagation_settings(self.network.config.inference)
        found = overrides(switches, presets.preset(options.protocol))
        return {"propagation": found} if found else {}

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Segment prompts of the same view together, so that its slices are prepared once."""
        from pam.preprocess import Scan

        scans: dict[int, Scan] = {}
        for axis, group in groupby(prompts, key=lambda prompt: self._axis(volume, prompt)):
            same_view = list(group)
            for start in range(0, len(same_view), self.options.objects):
                part = same_view[start : start + self.options.objects]
                try:
                    if axis not in scans:
                        scans[axis] = Scan.along(volume, axis)
                except UserError as error:
                    yield from (Prediction(failure=str(error)) for _ in part)
                else:
                    yield from self._segment_batch(scans[axis], axis, part)

    def _segment_batch(
        self, scan: "Scan", axis: int, prompts: Sequence["Prompt"]
    ) -> Iterator[Prediction]:
        answers: list[list[ObjectState] | UserError] = []
        for prompt in prompts:
            try:
                answers.append(self._states(scan, axis, prompt))
            except UserError as error:
                answers.append(error)
        self._propagate([a for a in answers if not isinstance(a, UserError)])
        again = [[] if isinstance(a, UserError) else self._restarts(a) for a in answers]
        self._propagate(again)
        for answer, more in zip(answers, again, strict=True):
            if isinstance(answer, UserError):
                yield Prediction(failure=str(answer))
            else:
                yield Prediction(np.moveaxis(self._merged(more or answer), 0, axis))

    def _propagate(self, answers: "Sequence[Sequence[ObjectState]]") -> None:
        """Propagate all states to their end, in one batch."""
        from pam.propagation import propagate_many

        propagate_many(
            self.network,
            [state for answer in answers for state in answer],
            device=self.device,
            batch=self.batch,
            precision=self.options.precision,
        )

    def _axis(self, volume: "Volume", prompt: "Prompt") -> int:
        from benchmark.prompts import Box2D, Mask2D

        assert isinstance(prompt, Box2D | Mask2D)
        return prompt.axis

    @abstractmethod
    def _states(self, scan: "Scan", axis: int, prompt: "Prompt") -> "list[ObjectState]":
        """Return the initial states of a prompt; raises `UserError` if it cannot be propagated."""

    def _restarts(self, states: "Sequence[ObjectState]") -> "list[ObjectState]":
        """Return new states that replace the finished ``states``; none by default."""
        return []

    def _merged(self, states: "Sequence[ObjectState]") -> NDArray[np.bool_]:
        (state,) = states
        return state.result()


class Pam2DMask(Pam):
    """Propagate the guiding mask through the scan with PropMask (paper, Algorithm 1).

    The weights of PropMask are the authors' ``.pth`` or a safetensors file of
    `pam.checkpoints.save`.
    """

    info = MethodInfo(
        summary="PAM: the guiding mask carried from slice to slice by cross-attention",
        prompts=("mask2d",),
        version=4,
        gpu=True,
        memory_mb=4000,
        licence=LICENCE,
        citation=PAPER,
        weights="pam-small",
    )

    def _states(self, scan: "Scan", axis: int, prompt: "Prompt") -> "list[ObjectState]":
        from benchmark.prompts import Mask2D
        from pam.rounds import ObjectState

        assert isinstance(prompt, Mask2D)
        return [ObjectState(scan, prompt.slice, prompt.plane, self.propagation)]


def require_valid_size(settings: S, multiple: int) -> S:
    """Return ``settings`` if their image size suits the network; raise `UserError` otherwise."""
    if settings.size % multiple or settings.size < 2 * multiple:
        raise UserError(
            f"size {settings.size}; these weights need a multiple of {multiple} pixels, and at "
            f"least {2 * multiple}. Leave the size out to take the one that they were trained at."
        )
    return settings


def overrides(settings: S, preset: S) -> dict[str, Any]:
    """Return the switches of ``settings`` that differ from ``preset``, as JSON values."""
    usual = preset.model_dump(mode="json")
    return {k: v for k, v in settings.model_dump(mode="json").items() if v != usual[k]}
