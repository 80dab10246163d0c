"""The key ``training`` of a study file: models that the study trains itself (paper, Fig. 6).

They are scored like methods but appear only in the table of training runs, not in the comparisons
of methods. ``docs/training-runs.md`` explains the design.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from benchmark.errors import require_known
from benchmark.settings import Name, Settings
from benchmark.specs import Run

ModelKind = Literal["finetuned", "scratch", "together"]


class Model(Settings):
    """A model to train, once for each of ``seeds``, on training cases alone.

    - ``kind``: ``finetuned`` continues from the weights of the general model, on each dataset;
      ``scratch`` starts from random weights, on each dataset; ``together`` starts from random
      weights, on all datasets at once, for ablations.
    - ``tested_on``: whether a model of one dataset predicts ``all`` or only its ``own``.
    - ``method``: the general model, a method of the study.
    - ``adapter``: a `benchmark.adapter.Learner` with an option ``seed``; ``options``: its options,
      merged over those of ``method`` that it also has.
    """

    kind: ModelKind
    method: str
    adapter: str = "pam-2dmask-trained"
    options: dict[str, Any] = {}
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    tested_on: Literal["own", "all"] = "all"

    @field_validator("options")
    @classmethod
    def _leaves_what_other_keys_set(cls, value: dict[str, Any]) -> dict[str, Any]:
        for option, key in {"seed": "seeds", "learns_from": "kind"}.items():
            if option in value:
                raise ValueError(f"{option} is set by the key {key} of the model; remove it here")
        return value

    @model_validator(mode="after")
    def _has_a_dataset_of_its_own(self) -> "Model":
        if self.kind == "together" and self.tested_on == "own":
            raise ValueError("a model of kind together has no own dataset; remove tested_on: own")
        return self

    def learns_from(self, datasets: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return the datasets of each run; an empty tuple stands for one model per dataset."""
        if self.kind == "together":
            return (datasets,)
        return ((),) if self.tested_on == "own" else tuple((name,) for name in datasets)


class Trained(NamedTuple):
    """A model of a study at one seed, and the run by which it is scored.

    ``learns_from``: an item of `Model.learns_from`.
    """

    name: str
    model: Model
    seed: int
    learns_from: tuple[str, ...]
    run: Run


class Training(Settings):
    """Models that a study trains, and what they are compared with.

    - ``references``: methods whose distance from the general model is shown beside the gain by
      fine-tuning.
    - ``ablations``: by name, the settings and what each is scored by: a method, ``method/variant``,
      or a model of kind ``together``. The first setting is the default.
    """

    models: dict[Name, Model] = {}
    references: tuple[str, ...] = ()
    ablations: dict[str, dict[str, str]] = {}

    @property
    def makes_runs(self) -> bool:
        """Whether the study has a table of training runs."""
        return bool(self.models or self.references or self.ablations)

    def check(self, methods: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise ValueError for inconsistent or unknown names.

        ``methods``: variants by method of the study.
        """
        require_known("method in training.references", self.references, methods)
        if twice := methods.keys() & self.models.keys():
            raise ValueError(f"{min(twice)} is both a method and a model of training")
        variants = {f"{m}/{v}" for m, given in methods.items() for v in given}
        together = {name for name, model in self.models.items() if model.kind == "together"}
        known = {*methods, *variants, *together}
        for ablation, settings in self.ablations.items():
            if len(settings) < 2:
                raise ValueError(f"training.ablations.{ablation} needs at least two settings")
            where = f"method, variant or model in training.ablations.{ablation}"
            require_known(where, settings.values(), known)
