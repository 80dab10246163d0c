"""Propagate the mask of a guiding slice to the whole object (paper, Algorithm 1).

A round predicts the slices within reach; its outermost predicted slices become the next guiding
slices, until the volume or the object ends on both sides.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmark.machine.batch import Batch
from benchmark.machine.precision import Precision, in_precision
from pam import preprocess
from pam.preprocess import Scan, View
from pam.presets import RIGOROUS, Propagation
from pam.rounds import ObjectState, Sweep

Guide = tuple[Tensor, ...]
Device = str | torch.device


class Network(Protocol):
    """What `propagate` needs of a network; `pam.network.PropMask` implements it."""

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        """Encode B guiding slices in -1..1 [B, C, H, W] and their masks of 0 and 1 [B, 1, H, W].

        Returns tensors [B, ...], which are concatenated with those of other guides.
        """

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        """Map slices [B, N, C, H, W] to logits [B, N, 2, h, w] at any number of scales.

        A network that has ``priors`` also receives ``distance``, see `pam.network.PropMask.decode`.
        """


class Remembering(Network, Protocol):
    """What ``memory: prompt`` additionally needs of a network."""

    def remember(self, guide: Guide, earlier: Guide) -> Guide:
        """Combine two encoded guiding slices of the same objects into one input of `decode`."""


def propagate(
    network: Network,
    scan: Scan,
    index: int,
    prompt: NDArray[np.bool_],
    settings: Propagation = RIGOROUS,
    *,
    device: Device = "cpu",
    batch: int = 8,
    precision: Precision = "float32",
) -> NDArray[np.bool_]:
    """Segment an object in 3D from its mask on one slice; returns bool [z, y, x].

    ``index``: guiding slice along the first axis. ``prompt``: its mask [y, x], 0 or 1. ``device``:
    that of the network. ``batch``: slices per forward pass, both directions together; it bounds the
    memory, is halved where that does not suffice on a GPU, and changes the result by rounding only.
    ``precision``: of the network's arithmetic; tf32 and bfloat16 are faster on hardware that
    supports them, and move the border of the mask by a pixel in places.

    A volume of one slice gives its prompt. Raises `UserError` for a prompt that is empty, of
    another shape or outside the volume, and for slices further apart than the thickness.
    """
    state = ObjectState(scan, index, prompt, settings)
    propagate_many(network, [state], device=device, batch=batch, precision=precision)
    return state.result()


def propagate_many(
    network: Network,
    states: Sequence[ObjectState],
    *,
    device: Device = "cpu",
    batch: int | Batch = 8,
    precision: Precision = "float32",
) -> None:
    """Propagate any number of masks of one scan, with equal settings, together to their end."""
    batch, going = Batch.of(batch), list(states)
    while going:
        going = advance(network, going, device=device, batch=batch, precision=precision)


@torch.no_grad()  # in inference mode autocast casts the weights anew on every call
def advance(
    network: Network,
    states: Sequence[ObjectState],
    *,
    device: Device = "cpu",
    batch: int | Batch = 8,
    precision: Precision = "float32",
) -> list[ObjectState]:
    """Do one round of each of ``states``; returns the states that had slices left to predict.

    All sweeps of all objects are batched together, and those that finish are replaced by waiting
    ones. A guiding slice is encoded once. Raises ValueError for states of different scans
    or settings, and for a ``batch`` below 1.
    """
    batch = Batch.of(batch)
    going = []
    waiting: deque[_Run] = deque()
    for state in states:
        if sweeps := state.next_sweeps():
            going.append(state)
            waiting.extend(_Run(state, sweep) for sweep in sweeps)
            state.rounds.append(sweeps)  # only now, since `ObjectState.guiding` depends on it
    if not going:
        return going
    work = _Work(network, going, device)
    with in_precision(precision, device):  # once per round, since it caches the cast weights
        work.do(waiting, batch)
    return going


class _Run:
    """A sweep of an object within a round: its mask, and the slices left to predict."""

    guide: Guide  # set by _Work.encode

    def __init__(self, state: ObjectState, sweep: Sweep) -> None:
        self.state, self.sweep, self.slices = state, sweep, sweep.slices
        self.mask = state.guiding(sweep.guide)
        self.source = id(state), sweep.guide

    def view(self, slices: Sequence[int]) -> View:
        return View(slices, self.sweep.square, self.state.limits)

    def distance(self, number: int) -> NDArray[np.float32]:
        sweep = self.sweep
        spacing = self.state.scan.spacing
        return preprocess.distance(sweep.guide, self.slices[:number], sweep.square, spacing)

    def count(self, masks: NDArray[np.bool_], shares: NDArray[np.float32] | None) -> None:
        """Count masks [N, side, side] of the sweep's next slices, which cover its square."""
        state, square = self.state, self.sweep.square
        settings = state.settings
        done, self.slices = self.slices[: len(masks)], self.slices[len(masks) :]
        for i, z in enumerate(done):
            last = not self.slices and i == len(done) - 1
            times = 1 + (self.sweep.repeats if last else 0)
            cut = settings.outward and settings.recrop and state.cut_off(masks[i], square)
            if not cut or z == self.sweep.slices[0]:
                state.add_votes(z, masks[i], None if shares is None else shares[i], square, times)
            if cut or (
                settings.outward
                and (not state.mask(z).any() or state.moved(masks[i], self.mask, square))
            ):
                self.slices = ()
                return


class _Work:
    """What all sweeps of a round share: network, scan and settings."""

    def __init__(self, network: Network, states: Sequence[ObjectState], device: Device) -> None:
        self.network, self.device = network, device
        self.scan, self.settings = states[0].scan, states[0].settings
        if any(s.scan is not self.scan or s.settings != self.settings for s in states):
            raise ValueError("masks are propagated together on one scan with the same settings")
        # the other states ignore probabilities
        self.keep_probabilities = any(state.keep_probabilities for state in states)

    def do(self, waiting: deque[_Run], batch: Batch) -> None:
        """Predict all slices of the waiting sweeps, at most ``batch`` sweeps at a time."""
        active: list[_Run] = []
        guide: Guide = ()
        while waiting or active:
            most = batch.size
            with batch.attempt():
                if waiting and len(active) <= most // 2:
                    free = min(len(waiting), most - len(active))
                    entering = [waiting.popleft() for _ in range(free)]
                    active += entering
                    self.encode(entering)
                    guide = _together(active)
                number = min(max(most // len(active), 1), *(len(run.slices) for run in active))
                self.predict(active, guide, number)
            if batch.size < most:  # nothing of this pass was counted: all enter again
                waiting.extendleft(reversed(active))
                active, guide = [], ()
                for run in waiting:
                    run.guide = ()
            if not all(run.slices for run in active):
                active = [run for run in active if run.slices]
                guide = _together(active)

    def images(self, views: Sequence[View]) -> Tensor:
        return preprocess.images(self.scan, views, self.settings, self.device)

    def encode(self, runs: Sequence[_Run]) -> None:
        """Encode the guiding slices; both directions of a prompt share one."""
        sources = {run.source: run for run in runs}
        places = {source: i for i, source in enumerate(sources)}
        images = self.images([run.view((run.sweep.guide,)) for run in sources.values()])[:, 0]
        masks = torch.stack(
            [
                preprocess.prompt_image(run.mask, run.sweep.square, self.settings)
                for run in sources.values()
            ]
        )
        guide = self.network.encode_guide(images, masks.to(self.device))
        for run in runs:
            i = places[run.source]
            run.guide = tuple(part[i : i + 1] for part in guide)
            if self.settings.memory == "prompt":
                # In the first round both are the same slice: attending twice changes nothing.
                run.state.memory = run.state.memory or run.guide
                run.guide = cast(Remembering, self.network).remember(run.guide, run.state.memory)

    def predict(self, runs: Sequence[_Run], guide: Guide, number: int) -> None:
        """Predict the next ``number`` slices of all sweeps; ``guide``: their joined guides."""
        settings, size = self.settings, self.settings.size
        adjacent = self.images([run.view(run.slices[:number]) for run in runs])
        more: dict[str, Any] = {}
        if getattr(self.network, "priors", None):
            apart = np.stack([run.distance(number) for run in runs])
            more["distance"] = torch.from_numpy(apart).to(self.device)
        margin = foreground_margin(
            self.network.decode(adjacent, guide, **more), (size, size), settings.average
        )
        sides = [run.sweep.square.side for run in runs]
        back = preprocess.resize_to_crop(margin, sides, settings)
        masks = (back > 0).cpu().numpy()
        shares = (
            probability(back, settings.average).cpu().numpy() if self.keep_probabilities else None
        )
        for i, (run, side) in enumerate(zip(runs, sides, strict=True)):
            own = i, slice(None), slice(side), slice(side)
            run.count(masks[own], None if shares is None else shares[own])


def _together(runs: Sequence[_Run]) -> Guide:
    if not runs:
        return ()
    return tuple(torch.cat(parts) for parts in zip(*(run.guide for run in runs), strict=True))


def foreground_margin(logits: Sequence[Tensor], size: tuple[int, int], average: str) -> Tensor:
    """Return by how much the foreground leads, averaged over the scales; float [B, N, *size].

    ``logits``: [B, N, 2, h, w] per scale. The margin is the difference of the ``logits`` (released
    code), or the foreground probability minus 0.5 (``probabilities``; paper, soft voting). Above 0
    is foreground; a tie is background.
    """
    scales = []
    for scale in logits:
        difference = (scale[:, :, 1] - scale[:, :, 0]).float()
        if average == "probabilities":
            difference = difference.sigmoid() - 0.5
        if difference.shape[-2:] != size:
            difference = F.interpolate(difference, size, mode="bilinear", align_corners=True)
        scales.append(difference)
    return torch.stack(scales).mean(dim=0)


def probability(margin: Tensor, average: str) -> Tensor:
    """Convert a result of `foreground_margin` to the probability of the foreground."""
    return margin.sigmoid() if average == "logits" else margin + 0.5
