"""What a stage depends on, and nothing else: the content of the settings.json beside its results.

The digest of a spec names the folder of the results, so two studies share what is equal.
"""

from typing import Any, Literal

from pydantic import Field

from benchmark import stages
from benchmark.adapter import Learner, find, slug
from benchmark.digest import digest
from benchmark.kinds import Kind
from benchmark.metrics.empty import EmptyPolicy
from benchmark.settings import Settings


class Fit(Settings):
    """What a model that is trained depends on beside the cases it learns from.

    It is the content of its ``settings.json``, without ``speed``, options that change nothing in
    the result (`benchmark.adapter.Learner`: ``speed_options``, ``asked_options``). How the model is
    asked is no part of it: runs that differ in that alone share their models.
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
        """Name of the models' folder: the adapter and the digest."""
        return f"{slug(self.adapter)}-{digest(self.model_dump())}"


class Run(Settings):
    """What a prediction depends on: the content of a run's ``settings.json``.

    ``speed``: `benchmark.adapter.Learner.speed_options`, which are no part of it.
    """

    stage: int = stages.PREDICT
    adapter: str
    version: int
    prompt: Kind
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
        """Name of the run's folder: the adapter and the digest."""
        return f"{slug(self.adapter)}-{digest(self.model_dump())}"

    @property
    def fit(self) -> Fit:
        """What the models depend on, of a method that learns."""
        cls = find(self.adapter)
        asked = cls.asked_options if issubclass(cls, Learner) else frozenset()
        return Fit(
            adapter=self.adapter,
            version=self.version,
            weights=self.weights,
            weights_sha256=self.weights_sha256,
            options={name: value for name, value in self.options.items() if name not in asked},
            seed=self.seed,
            speed=self.speed | {k: v for k, v in self.options.items() if k in asked},
        )

    def variants_at(self, deviation: float) -> tuple[str, ...]:
        """Names of the settings that a prompt is given to: "" for the plain method, and variants.

        A moved guiding slice is for the plain method alone: what a variant changes is told at the
        deviation 0, and the grid of both would be most of the work.
        """
        return ("", *self.variants) if deviation == 0 else ("",)


class PromptRules(Settings):
    """What the prompts depend on beside the objects."""

    stage: int = stages.PROMPTS
    deviations: tuple[float, ...]

    @property
    def id(self) -> str:
        """Name of the prompts' folder."""
        return digest(self.model_dump())


class Scoring(Settings):
    """What the scores depend on beside masks and references."""

    stage: int = stages.SCORE
    nsd_tolerance_mm: float
    tolerances: dict[str, float]
    reference: Literal["kept", "label"]
    empty: EmptyPolicy
    in_prompt: bool = False

    @property
    def id(self) -> str:
        """Name of the scores' folder."""
        return digest(self.model_dump())
