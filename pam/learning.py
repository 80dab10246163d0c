"""PAM as a method that learns: PropMask trained or fine-tuned on the cases of a study."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from benchmark.adapter import Learner, MethodInfo, Resources
from benchmark.errors import UserError
from benchmark.settings import merged
from pam.adapters import LICENCE, PAPER, Pam2DMask
from pam.presets import Propagation

if TYPE_CHECKING:
    from benchmark.learning.fitting import Case
    from pam.training.recipe import Recipe

TABLES = "cases"
WEIGHTS = "propmask.safetensors"
_TASKS = {
    "size": "size",
    "context": "context",
    "thickness": "reach_mm",
    "max_slices": "reach_slices",
}
"""Inference switch of the weights -> the key of a recipe's tasks that it sets."""
_ORIGIN = "options of pam-2dmask-trained"


class Pam2DMaskTrained(Pam2DMask, Learner):
    """`Pam2DMask` trained here; fine-tuned if the study file names weights.

    The training reads tables that hold training cases and nothing else. No cases are set aside for
    choosing a checkpoint: the weights after the last step are used.
    """

    info = MethodInfo(
        summary="PAM from a guiding mask, trained or fine-tuned on the training cases",
        prompts=("mask2d",),
        version=5,
        gpu=True,
        memory_mb=8000,
        citation=PAPER,
        licence=LICENCE,
    )

    class Options(Pam2DMask.Options, Learner.Options):
        """Options of the training.

        ``recipe``: a shipped recipe of PropMask.
        ``training``: keys of the recipe that are overridden.
        ``seed``: of weights, tasks and augmentation.
        ``gpus``: number of processes, one per GPU, each with the recipe's batch size.
        ``workers``: processes that prepare batches, for each of them.

        The data are the training cases. When fine-tuning, network configuration, image size and
        reach are those of the weights. Masks are resampled as in the propagation under these
        options, so that the models of a study differ only in what they learned.
        """

        recipe: str = "finetune"
        training: Mapping[str, Any] = {}
        seed: int = Field(default=0, ge=0)
        gpus: int = Field(default=1, ge=1)
        workers: int = Field(default=0, ge=0)

        @field_validator("recipe")
        @classmethod
        def _ships(cls, value: str) -> str:
            if value.endswith((".yaml", ".yml")):
                raise ValueError("name a shipped recipe, and what is other under training")
            return value

    options: Options
    runtime_options = frozenset({"workers"})
    inference_options = frozenset({"batch", "objects", "precision"})

    @property
    def fit_resources(self) -> Resources:
        """For each GPU: a thread and the training's memory, plus a thread and 1,500 MiB per worker.

        A worker uses 1 GB; the rest is a margin.
        """
        gpus, workers = self.options.gpus, self.options.workers
        memory_mb = self.info.memory_mb + 1500 * workers
        return Resources(gpus, (1 + workers) * gpus, memory_mb * gpus)

    def recipe(self, workdir: Path, network: Mapping[str, Any] | None = None) -> "Recipe":
        """Return the recipe of a training in ``workdir``; ``network``: that of the weights."""
        from pam.training import recipe as recipes

        content = merged(recipes.keys(self.options.recipe), self.options.training)
        content["data"] = {
            "kind": "prepared",
            "datasets": sorted(path.name for path in (workdir / TABLES).iterdir()),
            "folder": str(workdir / TABLES),
        }
        content["seed"] = self.options.seed
        plain = recipes.read_keys(content, _ORIGIN)
        if plain.kind != "propmask":
            raise UserError(f"the recipe {self.options.recipe} is for {plain.kind}, not propmask")
        inference, own = plain.network.inference, self.options.training.get("tasks", {})
        tasks: dict[str, Any] = {}
        if network is not None:
            replaced = own.keys() & set(recipes.SHOWN)  # inference must match the training
            inference = {k: v for k, v in network["inference"].items() if k not in replaced}
            content["network"] = {**network, "inference": inference}
            seen = {"size": Propagation().size, **inference}
            tasks = {_TASKS[switch]: seen[switch] for switch in _TASKS if switch in seen}
        tasks["resampling"] = self.options.propagation_settings(inference).resampling
        content["tasks"] = {**content.get("tasks", {}), **tasks, **own}
        return recipes.read(content, _ORIGIN)

    def plan(self, cases: "Sequence[Case]", structures: Sequence[str], workdir: Path) -> None:
        """Write the tables of the training cases; raises `UserError` for an invalid recipe."""
        from pam.training.prepared import write_cases

        shutil.rmtree(workdir, ignore_errors=True)
        write_cases(cases, workdir / TABLES)
        self.recipe(workdir)

    def fit(self, workdir: Path, device: str | None, start: Path | None) -> None:
        """Train, resuming from the checkpoint unless that started from other weights."""
        from pam.network import PropMask
        from pam.training.loop import CHECKPOINT, train
        from pam.training.state import began, fingerprint
        from pam.weight_files import read_network

        network = read_network(start, PropMask) if start else None
        checkpoint = workdir / CHECKPOINT
        with suppress(FileNotFoundError):  # another process of this training may delete it
            if began(checkpoint) != (fingerprint(network) if network else None):
                checkpoint.unlink()
        recipe = self.recipe(workdir, network.config.model_dump() if network else None)
        train(
            recipe,
            workdir,
            resume=True,
            start=network,
            device=device,
            workers=self.options.workers,
        )

    def progress(self, workdir: Path) -> tuple[int, int] | None:
        """Return the last step of the training curve and the recipe's number of steps."""
        from pam.training.loop import CURVE

        if not (workdir / CURVE).exists():
            return None
        last = (workdir / CURVE).read_text(encoding="utf-8").splitlines()[-1]
        return int(last.partition(",")[0]), self.recipe(workdir).steps

    def load(self, weights: Path | None, device: str) -> None:
        """Load the weights that `fit` left in the folder ``weights``."""
        super().load(weights / WEIGHTS if weights else None, device)
