"""From one guiding slice to the whole object (paper, Algorithm 1).

The mask goes to the slices within reach; the outermost predicted slices become the next guiding
slices, until the volume or the object ends on both sides.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pam import preprocess
from pam.preprocess import Scan
from pam.presets import RIGOROUS, Propagation
from pam.resize import resize_nearest
from pam.rounds import Lane, State


class Network(Protocol):
    """What `propagate` asks of a network; `pam.network.PropMask` is one."""

    def encode_guide(self, image: Tensor, mask: Tensor) -> Any:
        """Read guiding slices in -1..1 and their masks of 0 and 1, [B, 1, H, W] each."""

    def decode(self, adjacent: Tensor, guide: Any) -> Sequence[Tensor]:
        """Logits [B, N, 2, h, w] at any number of scales for slices [B, N, 1, H, W]."""


def propagate(
    network: Network,
    scan: Scan,
    index: int,
    prompt: NDArray[np.bool_],
    settings: Propagation = RIGOROUS,
    *,
    device: str | torch.device = "cpu",
    chunk: int = 4,
) -> NDArray[np.bool_]:
    """Segment an object in 3-D from its mask on one slice; returns bool [z, y, x].

    ``index``: guiding slice, counted on the first axis. ``prompt``: its mask [y, x], 0 or 1.
    ``device``: where the network is. ``chunk``: how many slices of each direction pass the network
    at a time; it bounds the memory and changes the result by rounding alone.

    A volume of one slice gives its prompt. Raises `UserError` for a prompt that is empty, of
    another shape or outside the volume, and for slices further apart than the thickness.
    """
    state = State(scan, index, prompt, settings)
    while advance(network, state, device=device, chunk=chunk):
        pass
    return state.result()


@torch.inference_mode()
def advance(
    network: Network, state: State, *, device: str | torch.device = "cpu", chunk: int = 4
) -> bool:
    """Do one round, both directions in one batch; False if there was nothing left to do."""
    if chunk < 1:
        raise ValueError(f"chunk {chunk}; at least one slice has to pass the network at a time")
    active = lanes = state.lanes()
    if not lanes:
        return False
    state.rounds.append(lanes)
    # Votes of this round must not reach the prompts of guides encoded again within it.
    prompts = {lane.guide: state.mask(lane.guide) for lane in lanes}
    encoded, guide = 0, None
    while active:
        if len(active) != encoded:  # a direction has ended: the other goes on alone
            guide = _encode(network, state, active, prompts, device)
            encoded = len(active)
        number = min(chunk, *(len(lane.slices) for lane in active))
        adjacent = [_images(state, lane, lane.slices[:number], device) for lane in active]
        logits = network.decode(torch.stack(adjacent), guide)
        foreground = soft_vote(logits, state.settings)
        left = (_count(state, *pair, number) for pair in zip(active, foreground, strict=True))
        active = tuple(lane for lane in left if lane.slices)
    return True


def soft_vote(logits: Sequence[Tensor], settings: Propagation) -> Tensor:
    """Merge the scales [B, N, 2, h, w] of a network, to bool [B, N, size, size].

    The sum over scales of how far the foreground is ahead has the sign of the difference of the
    means; a tie is background. Source: paper, soft voting; released code for the logits.
    """
    size = (settings.size, settings.size)
    ahead = []
    for scale in logits:
        difference = (scale[:, :, 1] - scale[:, :, 0]).float()
        if settings.average == "probabilities":
            difference = difference.sigmoid() - 0.5
        if difference.shape[-2:] != size:
            difference = F.interpolate(difference, size, mode="bilinear", align_corners=True)
        ahead.append(difference)
    return torch.stack(ahead).sum(dim=0) > 0


def _encode(
    network: Network,
    state: State,
    lanes: Sequence[Lane],
    prompts: dict[int, NDArray[np.bool_]],
    device: str | torch.device,
) -> Any:
    images = [_images(state, lane, (lane.guide,), device) for lane in lanes]
    masks = [
        preprocess.prompt_image(prompts[lane.guide], lane.square, state.settings, device)
        for lane in lanes
    ]
    return network.encode_guide(torch.cat(images), torch.stack(masks))


def _images(state: State, lane: Lane, slices: Sequence[int], device: str | torch.device) -> Tensor:
    return preprocess.images(state.scan, slices, lane.square, state.limits, state.settings, device)


def _count(state: State, lane: Lane, foreground: Tensor, number: int) -> Lane:
    """Count the first ``number`` slices of a lane; returns what is left of it."""
    masks = resize_nearest(foreground, lane.square.side).cpu().numpy()
    left = lane.slices[number:]
    for i, z in enumerate(lane.slices[:number]):
        last = not left and i == number - 1
        state.add(z, masks[i], lane.square, 1 + (lane.repeats if last else 0))
        if state.settings.outward and not state.mask(z).any():
            return replace(lane, slices=())
    return replace(lane, slices=left)
