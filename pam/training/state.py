"""The state of a training between two steps, and its checkpoint."""

import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import UserError
from benchmark.storage.files import atomic
from pam.network import NETWORKS, Network
from pam.training.grow import widened_network
from pam.training.recipe import Optimiser, Recipe, read_keys


class TrainingState:
    """Network, optimiser, running mean of the weights, and number of steps done."""

    def __init__(self, recipe: Recipe, device: str | torch.device, processes: int = 1) -> None:
        """Start at step 0 with random weights of the recipe's seed, equal in all ``processes``."""
        self.recipe, self.processes = recipe, processes
        self._device = device
        self.step = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network: Network = NETWORKS[recipe.kind](recipe.network)  # type: ignore[arg-type]
        self.network.to(device)
        self.average = self._weights() if recipe.optimiser.average else None
        self.start: dict[str, Tensor] | None = None
        self.began: str | None = None
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.optimiser.rate,
            weight_decay=recipe.optimiser.weight_decay,
        )

    def start_from(self, network: Network) -> None:
        """Take the weights of a network (fine-tuning), or widen it to the recipe's channels.

        Raises `UserError` for a network of another configuration; its inference switches may
        differ.
        """
        try:
            start = widened_network(network, self.network)
        except ValueError:
            raise UserError(
                f"The recipe is for a {self.network.kind} ({self.network.config}), the weights to "
                f"start from are of a {network.kind} ({network.config}). Name the latter's "
                "configuration under `network` of the recipe, or one with more channels."
            ) from None
        self.network.load_state_dict(start.state_dict())
        self.began = fingerprint(network)
        if self.average is not None:
            self.average = self._weights()
        if self.recipe.optimiser.keep_start:
            self.start = self._weights()

    def update(self) -> float:
        """Take an optimiser step with the current gradients; returns the learning rate."""
        settings = self.recipe.optimiser
        rate = learning_rate(settings, self.step, self.recipe.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        if self.average is not None and settings.average is not None:
            # Average over fewer steps at first, when the weights change fast.
            decay = min(settings.average, (1 + self.step) / (10 + self.step))
            new = self.network.state_dict()
            names = list(self.average)
            torch._foreach_lerp_(
                [self.average[n] for n in names], [new[n] for n in names], 1 - decay
            )
        return rate

    def result(self) -> Network:
        """Return the network with the weights to keep, on the CPU."""
        network: Network = NETWORKS[self.recipe.kind](self.recipe.network)  # type: ignore[arg-type]
        kept = self.average or self.network.state_dict()
        if self.start is not None:
            share = self.recipe.optimiser.keep_start
            kept = {name: torch.lerp(x, self.start[name], share) for name, x in kept.items()}
        network.load_state_dict(kept)
        return network.to(getattr(torch, self.recipe.stored)).eval()

    def check(self) -> None:
        """Raise `UserError` if a weight is not finite."""
        if not all(bool(x.isfinite().all()) for x in self.network.state_dict().values()):
            raise diverged("network", self.step)

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        content = {
            "step": self.step,
            "processes": self.processes,
            "recipe": self.recipe.model_dump(mode="json"),
            "network": self.network.state_dict(),
            "average": self.average,
            "start": self.start,
            "began": self.began,
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic(path) as temporary:
            torch.save(content, temporary)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises `UserError` for one of another number of processes, or of a recipe that differs in
        more than the number of steps and keys that do not affect the weights.
        """
        content = _content(path)
        begun = read_keys(content["recipe"], str(path))  # newer keys get their defaults
        ours, theirs = (_lasting(r.model_dump(mode="json")) for r in (self.recipe, begun))
        if ours != theirs:
            changed = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
            raise UserError(
                f"{path} was trained by another recipe: {', '.join(changed)} differ. Go on with "
                "the recipe beside it, or start again in another folder."
            )
        processes = content.get("processes", self.processes)  # older checkpoints lack the key
        if processes != self.processes:
            raise UserError(
                f"{path} is of a training on {processes} processes, and here are "
                f"{self.processes}: each has batches of its own. Go on with as many, or start "
                "again in another folder."
            )
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step = int(content["step"])
        if self.average is not None:
            for name, value in content["average"].items():
                self.average[name].copy_(value)
        self.began = content.get("began")
        if content["start"] is not None:
            self.start = {n: x.to(self._device) for n, x in content["start"].items()}

    def _weights(self) -> dict[str, Tensor]:
        return {n: x.detach().clone() for n, x in self.network.state_dict().items()}


def diverged(what: str, step: int) -> UserError:
    """Return the error of a training whose loss or network holds NaN or infinity at a step."""
    return UserError(
        f"The training diverged: its {what} is not finite at step {step}. Train in another folder "
        "with a smaller `rate` or `clip` of the optimiser. The checkpoint, if there is one, is of "
        "a step before that; `steps` set to its step and --resume give its weights."
    )


def began(path: Path) -> str | None:
    """Return the `fingerprint` of a checkpoint's initial weights, None for random ones."""
    found: str | None = _content(path).get("began")
    return found


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError):
        raise UserError(f"{path} is damaged. Delete it; the training then starts again.") from None
    return content


def fingerprint(network: Network) -> str:
    """Return a digest of a network's weights."""
    found = sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def learning_rate(settings: Optimiser, step: int, steps: int) -> float:
    """Return the learning rate of a step: a linear rise, then a cosine of period 2 ``period``."""
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    period = settings.period or max(steps - settings.warm_up, 1)
    share = (1 + math.cos(math.pi * (step - settings.warm_up) / period)) / 2
    return settings.last_rate + (settings.rate - settings.last_rate) * share


def _lasting(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a recipe that a checkpoint is bound to: what the data are, not where."""
    free = {"steps", "checkpoint", "curve", "stored"}
    lasting = {key: value for key, value in recipe.items() if key not in free}
    network, data = {**recipe["network"], "inference": None}, {**recipe["data"], "folder": None}
    return lasting | {"network": network, "data": data}
