"""What each stage depends on, and nothing else: the content of settings.json beside its results.

The digest of a spec names the folder of the results, so that studies share equal results.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from benchmark import stages
from benchmark.adapter import Learner
from benchmark.methods.registry import find, slug
from benchmark.metrics.empty import EmptyPolicy
from benchmark.metrics.engines import Engine
from benchmark.prompt_kinds import PromptKind
from benchmark.settings import Settings
from benchmark.storage.digest import digest

ReferenceChoice = Literal["kept", "label"]
"""The reference of a structure: its kept objects, or its whole label."""


class Fit(Settings):
    """What a trained model depends on besides its training cases: its ``settings.json``.

    ``speed`` is not part of the file: it holds the options that do not affect the model
    (``runtime_options`` and ``inference_options`` of `benchmark.adapter.Learner`). Runs that differ
    only in how they predict share their models.
    """

    stage: int = stages.FIT
    split: int = stages.SPLIT
    adapter: str
    version: int
    weights: str | None
    weights_sha256: str | None
    options: dict[str, Any]
    seed: int
    speed: dict[str, Any] = Field(default={}, exclude=True)

    @property
    def id(self) -> str:
        """Name of the folder of the models: adapter and digest."""
        return f"{slug(self.adapter)}-{digest(self.model_dump())}"


class Run(Settings):
    """What predictions depend on: the ``settings.json`` of a run.

    ``speed`` is not part of the file: it holds the `benchmark.adapter.Learner.runtime_options`.
    """

    stage: int = stages.PREDICT
    adapter: str
    version: int
    prompt: PromptKind
    prompts: str
    weights: str | None
    weights_sha256: str | None
    options: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    timed_objects: int
    seed: int
    speed: dict[str, Any] = Field(default={}, exclude=True)

    @property
    def id(self) -> str:
        """Name of the folder of the run: adapter and digest."""
        return f"{slug(self.adapter)}-{digest(self.model_dump())}"

    @property
    def fit(self) -> Fit:
        """What the models of this run depend on, if its method learns."""
        cls = find(self.adapter)
        inference = cls.inference_options if issubclass(cls, Learner) else frozenset()
        return Fit(
            adapter=self.adapter,
            version=self.version,
            weights=self.weights,
            weights_sha256=self.weights_sha256,
            options={name: value for name, value in self.options.items() if name not in inference},
            seed=self.seed,
            speed=self.speed | {k: v for k, v in self.options.items() if k in inference},
        )

    def variants_at(self, deviation: float) -> tuple[str, ...]:
        """Return the variants that get a prompt at ``deviation``; "" is the plain method.

        Variants run at deviation 0 only: it suffices to show what they change, and the full grid
        would be most of the work.
        """
        return ("", *self.variants) if deviation == 0 else ("",)


class PromptRules(Settings):
    """What prompts depend on besides the objects."""

    stage: int = stages.PROMPTS
    deviations: tuple[float, ...]

    @property
    def id(self) -> str:
        """Name of the folder of the prompts."""
        return digest(self.model_dump())

    def of_kind(self, kind: PromptKind) -> "PromptRules":
        """Return the rules that prompts of ``kind`` depend on: only those on a slice are moved."""
        moved = kind in ("box2d", "mask2d")
        return self if moved else self.model_copy(update={"deviations": (0.0,)})


class Scoring(Settings):
    """What scores depend on besides masks, references and the tolerances of the dataset's entry."""

    stage: int = stages.SCORE
    nsd_tolerance_mm: float
    tolerances: dict[str, float]
    reference: ReferenceChoice
    empty: EmptyPolicy
    in_prompt: bool = False
    engine: Engine = "auto"

    @property
    def id(self) -> str:
        """Digest in the name of the folder of the scores."""
        return digest(self.model_dump())

    def tolerance_of(self, structure: str) -> float:
        """Return the tolerance of NSD in mm: that of the structure, else the default."""
        return self.tolerances.get(structure, self.nsd_tolerance_mm)

    def with_defaults(self, tolerances: Mapping[str, float]) -> "Scoring":
        """Return these settings with ``tolerances`` (mm by structure) where they name none."""
        return self.model_copy(update={"tolerances": {**tolerances, **self.tolerances}})
