"""A wider network that computes what a narrower one does, to be trained on from there.

The idea: Chen, Goodfellow and Shlens, Net2Net, ICLR 2016. New channels start at random and are not
looked at by the old ones; instance norm treats each channel by itself, so nothing else changes.
"""

import re

import torch
from torch import Tensor

from pam.network import NETWORKS, Network, PropMask

_TWO_HALVES = re.compile(r"decoder\.stages\.\d+\.0\.conv\.weight|priors\.\d+\.guiding\.weight")
"""Layers whose inputs are two sets of features, one after the other."""


def grown(network: Network, into: Network) -> Network:
    """Make a network of the configuration of ``into`` on the CPU, new channels with its weights.

    Both may be on any device. Its ``statistics`` may be others, which it has to get used to. Raises
    ValueError where the configuration differs in more than these.
    """
    larger = NETWORKS[into.kind](into.config)  # type: ignore[arg-type]
    free = {"channels", "max_channels", "statistics", "inference"}
    same = network.config.model_dump(exclude=free) == into.config.model_dump(exclude=free)
    pairs = zip(network.config.widths, into.config.widths, strict=False)
    if network.kind != into.kind or not same or any(a > b for a, b in pairs):
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
                query *= (b / a) ** 0.5  # scores are divided by the root of the channels
    return larger


def _widened(name: str, old: Tensor, new: Tensor) -> Tensor:
    """Weights ``new`` with ``old`` in their first rows, which see nothing of the new columns."""
    new = new.clone()
    if old.ndim < 2:
        new[: len(old)] = old
        return new
    # Transposed convolutions keep inputs first.
    rows, narrow = (x.transpose(0, 1) if ".ups." in name else x for x in (new, old))
    columns = torch.arange(narrow.shape[1])
    if _TWO_HALVES.fullmatch(name):
        half = narrow.shape[1] // 2
        columns[half:] += rows.shape[1] // 2 - half
    rows[: len(narrow)] = 0
    rows[: len(narrow), columns] = narrow
    return new
