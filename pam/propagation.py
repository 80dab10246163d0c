"""From one guiding slice to the whole object (paper, Algorithm 1).

The mask goes to the slices within reach; the outermost predicted slices become the next guiding
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

from benchmark.machine.precision import Precision, in_precision
from pam import preprocess
from pam.preprocess import Scan, View
from pam.presets import RIGOROUS, Propagation
from pam.rounds import Lane, State

Guide = tuple[Tensor, ...]
Device = str | torch.device


class Network(Protocol):
    """What `propagate` asks of a network; `pam.network.PropMask` is one."""

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        """Read B guiding slices in -1..1 and their masks of 0 and 1, [B, 1, H, W] each.

        Returns tensors [B, ...], which are put together with those of other guides.
        """

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        """Logits [B, N, 2, h, w] at any number of scales for slices [B, N, 1, H, W].

        One that has ``priors`` is also given ``distance``, see `pam.network.PropMask.decode`.
        """


class Remembering(Network, Protocol):
    """What ``memory: prompt`` asks of it besides."""

    def remember(self, guide: Guide, earlier: Guide) -> Guide:
        """Put together what `decode` is to see of two guiding slices of the same objects."""


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
    """Segment an object in 3-D from its mask on one slice; returns bool [z, y, x].

    ``index``: guiding slice, counted on the first axis. ``prompt``: its mask [y, x], 0 or 1.
    ``device``: where the network is. ``batch``: how many slices pass the network at a time, both
    directions together; it bounds the memory and changes the result by rounding alone.
    ``precision``: of the network's arithmetic; tf32 and bfloat16 are faster where the hardware has
    them, and move the border of the mask here and there by a pixel.

    A volume of one slice gives its prompt. Raises `UserError` for a prompt that is empty, of
    another shape or outside the volume, and for slices further apart than the thickness.
    """
    state = State(scan, index, prompt, settings)
    carry(network, [state], device=device, batch=batch, precision=precision)
    return state.result()


def carry(
    network: Network,
    states: Sequence[State],
    *,
    device: Device = "cpu",
    batch: int = 8,
    precision: Precision = "float32",
) -> None:
    """Carry any number of masks of a scan, with the same settings, as far as they go, together."""
    going = list(states)
    while going:
        going = advance(network, going, device=device, batch=batch, precision=precision)


@torch.no_grad()  # in inference mode torch casts the weights anew at each call
def advance(
    network: Network,
    states: Sequence[State],
    *,
    device: Device = "cpu",
    batch: int = 8,
    precision: Precision = "float32",
) -> list[State]:
    """Do one round of each of ``states``; returns those that had something left to do.

    All directions of all objects are batched together. As many come to their end, the next ones
    take their places; a guiding slice is encoded once. Raises ValueError for states of several
    scans or settings.
    """
    if batch < 1:
        raise ValueError(f"batch {batch}; at least one slice has to pass the network at a time")
    going = []
    waiting: deque[_Run] = deque()
    for state in states:
        if lanes := state.lanes():
            going.append(state)
            waiting.extend(_Run(state, lane) for lane in lanes)
            state.rounds.append(lanes)  # from here on its guides are those of the next round
    if not going:
        return going
    work = _Work(network, going, device)
    with in_precision(precision, device):  # once a round, as it keeps the weights that it casts
        work.do(waiting, batch)
    return going


class _Run:
    """A lane of an object on its way through a round."""

    guide: Guide  # set by _Work.encode

    def __init__(self, state: State, lane: Lane) -> None:
        self.state, self.lane, self.slices = state, lane, lane.slices
        self.mask = state.guiding(lane.guide)
        self.source = id(state), lane.guide

    def view(self, slices: Sequence[int]) -> View:
        return View(slices, self.lane.square, self.state.limits)

    def distance(self, number: int) -> NDArray[np.float32]:
        lane = self.lane
        spacing = self.state.scan.spacing
        return preprocess.distance(lane.guide, self.slices[:number], lane.square, spacing)

    def count(self, masks: NDArray[np.bool_], shares: NDArray[np.float32] | None) -> None:
        """Count the next slices of the lane, which fill its square, [N, side, side] each."""
        state, square = self.state, self.lane.square
        settings = state.settings
        done, self.slices = self.slices[: len(masks)], self.slices[len(masks) :]
        for i, z in enumerate(done):
            last = not self.slices and i == len(done) - 1
            times = 1 + (self.lane.repeats if last else 0)
            cut = settings.outward and settings.recrop and state.cut_off(masks[i], square)
            if not cut or z == self.lane.slices[0]:
                state.add(z, masks[i], None if shares is None else shares[i], square, times)
            if cut or (
                settings.outward
                and (not state.mask(z).any() or state.moved(masks[i], self.mask, square))
            ):
                self.slices = ()
                return


class _Work:
    """What all lanes of a round have in common: a network, a scan and the settings."""

    def __init__(self, network: Network, states: Sequence[State], device: Device) -> None:
        self.network, self.device = network, device
        self.scan, self.settings = states[0].scan, states[0].settings
        if any(s.scan is not self.scan or s.settings != self.settings for s in states):
            raise ValueError("masks are carried together on one scan with the same settings")
        self.soft = any(state.soft for state in states)  # others drop what they are given

    def do(self, waiting: deque[_Run], batch: int) -> None:
        """Take lanes on, ``batch`` at most at a time, and predict all of their slices."""
        active: list[_Run] = []
        guide: Guide = ()
        while waiting or active:
            if waiting and len(active) <= batch // 2:
                free = min(len(waiting), batch - len(active))
                entering = [waiting.popleft() for _ in range(free)]
                self.encode(entering)
                active += entering
                guide = _together(active)
            number = min(max(batch // len(active), 1), *(len(run.slices) for run in active))
            self.predict(active, guide, number)
            if not all(run.slices for run in active):
                active = [run for run in active if run.slices]
                guide = _together(active)

    def images(self, views: Sequence[View]) -> Tensor:
        return preprocess.images(self.scan, views, self.settings, self.device)

    def encode(self, runs: Sequence[_Run]) -> None:
        """Read the guiding slices; both directions of a prompt have the same."""
        sources = {run.source: run for run in runs}
        places = {source: i for i, source in enumerate(sources)}
        images = self.images([run.view((run.lane.guide,)) for run in sources.values()])[:, 0]
        masks = torch.stack(
            [
                preprocess.prompt_image(run.mask, run.lane.square, self.settings)
                for run in sources.values()
            ]
        )
        guide = self.network.encode_guide(images, masks.to(self.device))
        for run in runs:
            i = places[run.source]
            run.guide = tuple(part[i : i + 1] for part in guide)
            if self.settings.memory == "prompt":
                # In the first round both are one slice, and attending twice changes nothing.
                run.state.memory = run.state.memory or run.guide
                run.guide = cast(Remembering, self.network).remember(run.guide, run.state.memory)

    def predict(self, runs: Sequence[_Run], guide: Guide, number: int) -> None:
        """Predict the next ``number`` slices of all lanes, whose guides lie together."""
        settings, size = self.settings, self.settings.size
        adjacent = self.images([run.view(run.slices[:number]) for run in runs])
        more: dict[str, Any] = {}
        if getattr(self.network, "priors", None):
            apart = np.stack([run.distance(number) for run in runs])
            more["distance"] = torch.from_numpy(apart).to(self.device)
        ahead = lead(self.network.decode(adjacent, guide, **more), (size, size), settings.average)
        sides = [run.lane.square.side for run in runs]
        back = preprocess.brought_back(ahead, sides, settings)
        masks = (back > 0).cpu().numpy()
        shares = probability(back, settings.average).cpu().numpy() if self.soft else None
        for i, (run, side) in enumerate(zip(runs, sides, strict=True)):
            own = i, slice(None), slice(side), slice(side)
            run.count(masks[own], None if shares is None else shares[own])


def _together(runs: Sequence[_Run]) -> Guide:
    if not runs:
        return ()
    return tuple(torch.cat(parts) for parts in zip(*(run.guide for run in runs), strict=True))


def lead(logits: Sequence[Tensor], size: tuple[int, int], average: str) -> Tensor:
    """Merge the scales [B, N, 2, h, w] of a network: by how much the foreground leads, on average.

    Float [B, N, *size], of the ``logits`` or of the ``probabilities``. Above 0 is foreground, a
    tie is background. Source: paper, soft voting; released code for the logits.
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


def probability(ahead: Tensor, average: str) -> Tensor:
    """Turn what `lead` gives into the probability of the foreground."""
    return ahead.sigmoid() if average == "logits" else ahead + 0.5
