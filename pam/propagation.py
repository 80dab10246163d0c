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

from pam import preprocess
from pam.preprocess import Scan
from pam.presets import RIGOROUS, Precision, Propagation
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
    ``precision``: of the network's arithmetic; bfloat16 is faster where the hardware has it, and
    moves the border of the mask here and there by a pixel.

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
    """Carry any number of masks, with the same settings, as far as they go, batched together."""
    going = list(states)
    while going:
        with in_precision(precision, device):
            going = advance(network, going, device=device, batch=batch)


def in_precision(precision: Precision, device: Device) -> torch.autocast:
    """Context in which networks on ``device`` compute in ``precision``."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")


@torch.inference_mode()
def advance(
    network: Network, states: Sequence[State], *, device: Device = "cpu", batch: int = 8
) -> list[State]:
    """Do one round of each of ``states``; returns those that had something left to do.

    All directions of all objects are batched together. As one comes to its end, the next one takes
    its place; a guiding slice is encoded once.
    """
    if batch < 1:
        raise ValueError(f"batch {batch}; at least one slice has to pass the network at a time")
    waiting: deque[_Run] = deque()
    going = []
    for state in states:
        if lanes := state.lanes():
            state.rounds.append(lanes)
            going.append(state)
            waiting.extend(_Run(state, lane) for lane in lanes)
    active: list[_Run] = []
    guide: Guide = ()
    while waiting or active:
        if waiting and len(active) < batch:
            entering = [waiting.popleft() for _ in range(min(len(waiting), batch - len(active)))]
            _encode(network, entering, device)
            active += entering
            guide = _together(active)
        number = min(max(batch // len(active), 1), *(len(run.slices) for run in active))
        adjacent = torch.stack([run.images(run.slices[:number], device) for run in active])
        settings = active[0].state.settings
        size = (settings.size, settings.size)
        more: dict[str, Any] = {}
        if getattr(network, "priors", None):
            more["distance"] = torch.stack([run.distance(number, device) for run in active])
        ahead = lead(network.decode(adjacent, guide, **more), size, settings.average)
        for run, leading in zip(active, ahead, strict=True):
            run.count(leading)
        if not all(run.slices for run in active):
            active = [run for run in active if run.slices]
            guide = _together(active)
    return going


class _Run:
    """A lane of an object on its way through a round."""

    guide: Guide  # set by _encode

    def __init__(self, state: State, lane: Lane) -> None:
        self.state, self.lane, self.slices = state, lane, lane.slices
        self.source = id(state), lane.guide

    def images(self, slices: Sequence[int], device: Device) -> Tensor:
        state = self.state
        return preprocess.images(
            state.scan, slices, self.lane.square, state.limits, state.settings, device
        )

    def prompt(self, device: Device) -> Tensor:
        settings = self.state.settings
        return preprocess.prompt_image(self.lane.mask, self.lane.square, settings, device)

    def distance(self, number: int, device: Device) -> Tensor:
        lane = self.lane
        spacing = self.state.scan.spacing
        return preprocess.distance(lane.guide, self.slices[:number], lane.square, spacing, device)

    def count(self, ahead: Tensor) -> None:
        """Count the next slices of the lane; ``ahead``: `lead` of each, [N, size, size]."""
        state, square = self.state, self.lane.square
        settings = state.settings
        back = preprocess.brought_back(ahead, square.side, settings)
        masks = (back > 0).cpu().numpy()
        shares = None
        if state.soft:
            shares = probability(back, settings.average).cpu().numpy()
        done, self.slices = self.slices[: len(ahead)], self.slices[len(ahead) :]
        for i, z in enumerate(done):
            last = not self.slices and i == len(done) - 1
            times = 1 + (self.lane.repeats if last else 0)
            cut = settings.outward and settings.recrop and state.cut_off(masks[i], square)
            if not cut or z == self.lane.slices[0]:
                state.add(z, masks[i], None if shares is None else shares[i], square, times)
            if cut or (
                settings.outward and (not state.mask(z).any() or state.moved(masks[i], self.lane))
            ):
                self.slices = ()
                return


def _encode(network: Network, runs: Sequence[_Run], device: Device) -> None:
    sources = {run.source: run for run in runs}  # both directions of a prompt have the same
    places = {source: i for i, source in enumerate(sources)}
    images = torch.cat([run.images((run.lane.guide,), device) for run in sources.values()])
    masks = torch.stack([run.prompt(device) for run in sources.values()])
    guide = network.encode_guide(images, masks)
    for run in runs:
        i = places[run.source]
        run.guide = tuple(part[i : i + 1] for part in guide)
        if run.state.settings.memory == "prompt":
            # In the first round both are one slice, and attending to it twice changes nothing.
            run.state.memory = run.state.memory or run.guide
            run.guide = cast(Remembering, network).remember(run.guide, run.state.memory)


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
