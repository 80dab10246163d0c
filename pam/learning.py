"""PAM as a method that learns: PropMask trained, or trained on, on the cases of a study."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from benchmark.adapter import Learner, MethodInfo
from benchmark.errors import UserError
from benchmark.settings import merged
from pam.adapters import PAPER, Pam2DMask
from pam.presets import Propagation

if TYPE_CHECKING:
    from benchmark.fitting import Case
    from pam.training.recipe import Recipe

TABLES = "cases"
WEIGHTS = "propmask.safetensors"
_TASKS = {"size": "size", "thickness": "reach_mm", "max_slices": "reach_slices"}
"""Switches of the weights, and what they are among the tasks of a recipe."""
_ORIGIN = "options of pam-2dmask-trained"


class Pam2DMaskTrained(Pam2DMask, Learner):
    """`Pam2DMask` whose weights are made here; with weights in the study file it goes on from them.

    The tables that the training reads hold training cases and nothing else. No case is set aside to
    choose a checkpoint by: the weights after the last step are taken.
    """

    info = MethodInfo(
        summary="PAM from a guiding mask, trained or fine-tuned on the training cases",
        prompts=("mask2d",),
        version=5,
        gpu=True,
        memory_mb=8000,
        citation=PAPER,
        licence=Pam2DMask.info.licence,
    )

    class Options(Pam2DMask.Options, Learner.Options):
        """``recipe``: a shipped recipe of PropMask; ``training``: keys of it that are other here.

        The data are the training cases, and a network that goes on from weights is as they are,
        is shown images of the size that they were trained with, and asked for slices as far away as
        they reach. Masks are resampled as in the propagation under these options, so that the
        models of a study differ only in what they learned.
        ``seed``: of weights, tasks and augmentation. ``gpus``: a process each, with the recipe's
        batch. ``workers``: processes that make batches for each.
        """

        recipe: str = "finetune"
        training: Mapping[str, Any] = {}
        seed: int = 0
        gpus: int = Field(default=1, ge=1)
        workers: int = Field(default=0, ge=0)

        @field_validator("recipe")
        @classmethod
        def _ships(cls, value: str) -> str:
            if value.endswith((".yaml", ".yml")):
                raise ValueError("name a shipped recipe, and what is other under training")
            return value

    options: Options
    speed_options = frozenset({"workers"})
    asked_options = frozenset({"batch", "objects", "precision"})

    @property
    def gpus(self) -> int:
        """GPUs of the training."""
        return self.options.gpus

    @property
    def threads(self) -> int:
        """One, and one for each process that makes batches."""
        return (1 + self.options.workers) * self.options.gpus

    @property
    def memory_mb(self) -> int:
        """That of a training, and of each process that makes batches: 1 GB and room to spare."""
        return (self.info.memory_mb + 1500 * self.options.workers) * self.options.gpus

    def recipe(self, workdir: Path, network: Mapping[str, Any] | None = None) -> "Recipe":
        """Give the recipe of a training in ``workdir``; ``network``: that of the weights."""
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
        asked: dict[str, Any] = {}
        if network is not None:
            replaced = own.keys() & set(recipes.SHOWN)  # the inference follows what is learned
            inference = {k: v for k, v in network["inference"].items() if k not in replaced}
            content["network"] = {**network, "inference": inference}
            seen = {"size": Propagation().size, **inference}
            asked = {_TASKS[switch]: seen[switch] for switch in _TASKS if switch in seen}
        asked["resampling"] = self.options.propagating(inference).resampling
        content["tasks"] = {**content.get("tasks", {}), **asked, **own}
        return recipes.read(content, _ORIGIN)

    def plan(self, cases: "Sequence[Case]", structures: Sequence[str], workdir: Path) -> None:
        """Write the tables of the training cases; a recipe that does not fit is told at once."""
        from pam.training.prepared import write_cases

        shutil.rmtree(workdir, ignore_errors=True)
        write_cases(cases, workdir / TABLES)
        self.recipe(workdir)

    def fit(self, workdir: Path, device: str | None, start: Path | None) -> None:
        """Train, or go on from the checkpoint, unless that began with other weights."""
        from pam import files
        from pam.network import PropMask
        from pam.training.loop import CHECKPOINT, train
        from pam.training.state import began, fingerprint

        network = files.read(start, PropMask) if start else None
        checkpoint = workdir / CHECKPOINT
        with suppress(FileNotFoundError):  # another process of the training may have deleted it
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
        """Give the last step of the curve, and the steps of the recipe."""
        from pam.training.loop import CURVE

        if not (workdir / CURVE).exists():
            return None
        last = (workdir / CURVE).read_text(encoding="utf-8").splitlines()[-1]
        return int(last.partition(",")[0]), self.recipe(workdir).steps

    def load(self, weights: Path | None, device: str) -> None:
        """Read what `fit` left in the folder ``weights``."""
        super().load(weights / WEIGHTS if weights else None, device)
