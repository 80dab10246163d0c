"""The study file: what is run, and the digest of what each stage depends on.

A digest names the folder of a stage's results. It covers what the stage depends on and nothing
else, so that studies share runs, and a new colour in a plot repeats no inference.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from benchmark import catalogue
from benchmark.adapter import Learner
from benchmark.analysis.settings import AnalysisSettings
from benchmark.catalogue import Dataset
from benchmark.errors import require_known
from benchmark.methods.registry import find
from benchmark.settings import Name, Settings, merged
from benchmark.specs import PromptRules, Run, Scoring
from benchmark.storage import paths
from benchmark.study.sections import (
    REFERENCE_OF_PROTOCOL,
    Budgets,
    Method,
    MetricSettings,
    Protocol,
    ReportSettings,
)
from benchmark.study.training import Trained, Training
from benchmark.weights import registry as weights


class Study(Settings):
    """A study file; ``config/README.md`` explains every key."""

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    protocol: Protocol = "rigorous"
    seed: int = Field(default=0, ge=0)
    datasets: tuple[str, ...] = Field(min_length=1)
    methods: dict[Name, Method] = Field(min_length=1)
    deviations: tuple[float, ...] = (0.0,)
    metrics: MetricSettings = MetricSettings()
    budgets: Budgets = Budgets()
    analysis: AnalysisSettings = AnalysisSettings()
    training: Training = Training()
    report: ReportSettings = ReportSettings()

    @field_validator("study")
    @classmethod
    def _leaves_the_shared_folders(cls, value: str) -> str:
        if value in ("runs", "models", "prompts", "splits", "logs"):
            raise ValueError(f"results/{value} holds what all studies share; take another name")
        return value

    @field_validator("deviations")
    @classmethod
    def _holds_zero(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if 0.0 not in value:
            raise ValueError("must hold 0: the other deviations are compared with it")
        if not all(abs(v) <= 1 for v in value):  # also refuses NaN
            raise ValueError("are shares of an object's slices, between -1 and 1")
        return tuple(sorted(set(value)))

    # The validators run in this order, so that the first mistake is reported first.
    @model_validator(mode="after")
    def _datasets_and_tolerances_exist(self) -> "Study":
        if len(self.entries) < len(self.datasets):
            ids = [catalogue.load(name).id for name in self.datasets]
            twice = {i for i in ids if ids.count(i) > 1}
            raise ValueError(f"datasets named twice: {', '.join(sorted(twice))}")
        structures = {s.name for entry in self.entries.values() for s in entry.labels.values()}
        for name in self.metrics.tolerances:
            require_known("structure in metrics.tolerances", [name], structures)
            same = {
                other for other in structures if catalogue.words(other) == catalogue.words(name)
            }
            if lacking := sorted(same - set(self.metrics.tolerances)):
                raise ValueError(
                    f"metrics.tolerances names {name!r}, but other datasets of the study call this "
                    f"structure {', '.join(map(repr, lacking))}: give the tolerance under each name"
                )
        return self

    @model_validator(mode="after")
    def _weights_are_distinct(self) -> "Study":
        first: dict[str, str] = {}
        for path in filter(None, (method.weights for method in self.methods.values())):
            entry = weights.load(path)
            entry.check_datasets(self.entries.values())
            other = first.setdefault(entry.id, path)
            if weights.load(other) != entry:
                raise ValueError(
                    f"{other} and {path} are different weights with one id, {entry.id!r}, and "
                    f"would share data/weights/{entry.id}. Give one of them another id."
                )
        return self

    @model_validator(mode="after")
    def _methods_of_the_report_exist(self) -> "Study":
        panel = [self.report.panel_method] if self.report.panel_method else []
        require_known("method in report", [*self.report.colours, *panel], self.methods)
        return self

    @model_validator(mode="after")
    def _names_of_the_analysis_exist(self) -> "Study":
        reference = [self.analysis.reference] if self.analysis.reference else []
        named = (*self.analysis.thickness, *self.analysis.controls, *reference)
        require_known("method in analysis", named, self.methods)
        for name, reach in self.analysis.thickness.items():
            where = f"variant in analysis.thickness.{name}"
            require_known(where, reach.variants, self.methods[name].variants)
        for name, cohort in self.analysis.cohorts.items():
            require_known("dataset in analysis.cohorts", [name], self.entries)
            if cohort.structure is not None:
                lesions = {s.name for s in self.entries[name].labels.values()}
                require_known(f"structure in analysis.cohorts.{name}", [cohort.structure], lesions)
        return self

    @model_validator(mode="after")
    def _trainings_fit_the_study(self) -> "Study":
        for name, run in {**self.runs, **{t.name: t.run for t in self.trained}}.items():
            cls = find(run.adapter)
            if issubclass(cls, Learner):
                learns_from = cls(run.options).options.learns_from
                require_known(f"dataset in learns_from of {name}", learns_from, self.entries)
        self.training.check({name: method.variants for name, method in self.methods.items()})
        if self.training.makes_runs and self.analysis.runs:
            raise ValueError(
                "remove analysis.runs: the section training already produces that table"
            )
        return self

    @cached_property
    def entries(self) -> dict[str, Dataset]:
        """The catalogue entries of the study by id."""
        loaded = (catalogue.load(name) for name in self.datasets)
        return {entry.id: entry for entry in loaded}

    @cached_property
    def entry_names(self) -> dict[str, str]:
        """By id, the name that loads an entry: an id, or the path of a file."""
        return dict(zip(self.entries, self.datasets, strict=True))

    def shards(self, pattern: str, **fields: Any) -> Iterator[tuple[Dataset, Path]]:
        """Yield dataset and path of every shard, for a pattern of `benchmark.storage.paths`.

        A folder may hold more shards than these, from when its dataset had more.
        """
        for entry in self.entries.values():
            for shard in range(entry.shards):
                yield entry, paths.at(pattern, dataset=entry.id, shard=shard, **fields)

    @property
    def prompt_rules(self) -> PromptRules:
        """What the prompts of this study depend on."""
        return PromptRules(deviations=self.deviations)

    @property
    def all_prompt_rules(self) -> tuple[PromptRules, ...]:
        """The rules of all prompts that this study needs: its own first, then those of its runs."""
        kinds = {run.prompt for run in self._all_runs}
        return tuple(
            dict.fromkeys([self.prompt_rules, *map(self.prompt_rules.of_kind, sorted(kinds))])
        )

    @property
    def scoring(self) -> Scoring:
        """What the scores of this study depend on, with the default of the protocol."""
        return Scoring(
            nsd_tolerance_mm=self.metrics.nsd_tolerance_mm,
            tolerances=self.metrics.tolerances,
            reference=self.metrics.reference or REFERENCE_OF_PROTOCOL[self.protocol],
            empty=self.metrics.empty,
            in_prompt=self.metrics.in_prompt,
            engine=self.metrics.engine,
        )

    @property
    def statistics(self) -> AnalysisSettings:
        """What the statistics of this study depend on, including its controls."""
        controls = [name for name, m in self.methods.items() if m.adapter_class.info.control]
        named = dict.fromkeys([*self.analysis.controls, *controls])
        return self.analysis.model_copy(update={"controls": tuple(named)})

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The run of each method of the study."""
        return {name: self._run(method) for name, method in self.methods.items()}

    @cached_property
    def trained(self) -> tuple[Trained, ...]:
        """Every model that the study trains, with its run."""
        return tuple(self._trained())

    @property
    def _all_runs(self) -> tuple[Run, ...]:
        """The runs of the methods, then those of the models that the study trains."""
        return (*self.runs.values(), *(trained.run for trained in self.trained))

    @property
    def splits_patients(self) -> bool:
        """Whether patients are held back, from methods that learn or to compare training runs."""
        learns = any(issubclass(find(run.adapter), Learner) for run in self._all_runs)
        return learns or self.training.makes_runs

    def _trained(self) -> Iterator[Trained]:
        for name, model in self.training.models.items():
            where = f"method in training.models.{name}.method"
            require_known(where, [model.method], self.methods)
            general = self.methods[model.method]
            known = find(model.adapter).Options.model_fields
            shared = {key: value for key, value in general.options.items() if key in known}
            options = merged(shared, model.options)
            for seed in model.seeds:
                for learns_from in model.learns_from(tuple(self.entries)):
                    method = Method(
                        adapter=model.adapter,
                        prompt=general.prompt,
                        weights=general.weights if model.kind == "finetuned" else None,
                        options={**options, "seed": seed, "learns_from": list(learns_from)},
                    )
                    if not issubclass(method.adapter_class, Learner):
                        raise ValueError(f"training.models.{name}: {model.adapter} does not learn")
                    yield Trained(name, model, seed, learns_from, self._run(method))

    def _run(self, method: Method) -> Run:
        cls = method.adapter_class
        options = dict(method.options)
        if "protocol" in cls.Options.model_fields:
            options.setdefault("protocol", self.protocol)
        runtime = cls.runtime_options if issubclass(cls, Learner) else frozenset()
        entry = weights.load(method.weights) if method.weights else None
        return Run(
            adapter=method.adapter,
            version=cls.info.version,
            prompt=method.prompt,
            prompts=self.prompt_rules.of_kind(method.prompt).id,
            weights=method.weights,
            weights_sha256=entry.sha256 if entry else None,
            options={name: value for name, value in options.items() if name not in runtime},
            # merged as in `Adapter.with_options`, so that the digest covers what runs
            variants={
                name: {key: merged(options.get(key), value) for key, value in variant.items()}
                for name, variant in method.variants.items()
            },
            timed_objects=self.budgets.timed_objects,
            seed=self.seed,
            speed={name: value for name, value in options.items() if name in runtime},
        )
