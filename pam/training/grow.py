"""Widen a network without changing what it computes, to continue training from there.

The idea is from Chen, Goodfellow and Shlens, Net2Net, ICLR 2016. New channels start at random, and
old ones do not read them; instance norm treats each channel by itself, so nothing else changes.
"""

import re

import torch
from torch import Tensor

from pam.network import NETWORKS, Network, PropMask

_TWO_HALVES = re.compile(r"decoder\.stages\.\d+\.0\.conv\.weight|priors\.\d+\.guiding\.weight")
"""Layers whose inputs are two sets of features, concatenated."""


def widened_network(network: Network, into: Network) -> Network:
    """Return ``network`` in the configuration of ``into``, whose weights fill the new channels.

    Both may be on any device; the result is on the CPU. A change of ``statistics`` is allowed,
    though it changes the output until the network is trained. Raises ValueError if the
    configurations differ in anything but ``channels``, ``max_channels``, ``inputs``, ``statistics``
    and ``inference``, or if a layer would become narrower.
    """
    larger = NETWORKS[into.kind](into.config)  # type: ignore[arg-type]
    free = {"channels", "max_channels", "inputs", "statistics", "inference"}
    same = network.config.model_dump(exclude=free) == into.config.model_dump(exclude=free)
    pairs = zip(network.config.widths, into.config.widths, strict=False)
    narrower = any(a > b for a, b in pairs) or _inputs(network) > _inputs(into)
    if network.kind != into.kind or not same or narrower:
        raise ValueError(f"{network.config} does not grow into {into.config}")
    old = network.state_dict()
    new = {name: _widened(name, old[name].cpu(), x.cpu()) for name, x in into.state_dict().items()}
    larger.load_state_dict(new)
    if isinstance(network, PropMask) and isinstance(larger, PropMask):
        widths = zip(network.config.attended_widths, larger.config.attended_widths, strict=True)
        with torch.no_grad():
            for layer, (a, b) in zip(larger.attentions, widths, strict=True):
                query: Tensor = layer.query.weight  # type: ignore[union-attr, assignment]
                query[a:] = 0
                query *= (b / a) ** 0.5  # scores are divided by the square root of the channels
    return larger


def _inputs(network: Network) -> int:
    return network.config.inputs if isinstance(network, PropMask) else 1


def _widened(name: str, old: Tensor, new: Tensor) -> Tensor:
    """Return ``new`` with ``old`` in its first rows, which have weights of 0 for new columns."""
    new = new.clone()
    if old.ndim < 2:
        new[: len(old)] = old
        return new
    # Weights of transposed convolutions have the input channels first.
    rows, narrow = (x.transpose(0, 1) if ".ups." in name else x for x in (new, old))
    columns = torch.arange(narrow.shape[1])
    if _TWO_HALVES.fullmatch(name):
        half = narrow.shape[1] // 2
        columns[half:] += rows.shape[1] // 2 - half
    rows[: len(narrow)] = 0
    rows[: len(narrow), columns] = narrow
    return new
