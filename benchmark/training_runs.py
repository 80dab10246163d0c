"""The table of a study's training runs: a row a trained model, dataset it was tested on, metric.

All values are over the cases that the split of a dataset holds back, whatever model they are of, so
that models which have seen the other cases stand beside models which have not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import paths, splits
from benchmark.analysis import frames
from benchmark.analysis.aggregate import dataset_means
from benchmark.specs import Run
from benchmark.study import Study
from benchmark.tables import read_table
from benchmark.training import Trained

METRICS = ("dsc", "nsd")
COSTS = {"seconds": "segment_s", "flops": "flops", "parameters": "parameters"}
"""Columns of the costs, and what of the times each is the mean of."""


def table(study: Study) -> pd.DataFrame:
    """Make the table of training runs (`benchmark.analysis.frames.RUNS`) of a scored study."""
    rows = [row for part in _parts(_Scored(study)) for row in part]
    return pd.DataFrame(rows, columns=list(frames.RUNS)).fillna({"seed": 0})


@dataclass
class _Scored:
    """The scores of a study's runs on the cases that were held back."""

    study: Study

    @cached_property
    def held_back(self) -> dict[str, tuple[str, ...]]:
        """Scans by dataset."""
        seed = self.study.seed
        places = {d: paths.SPLIT.format(seed=seed, dataset=d) for d in self.study.entries}
        return {dataset: splits.read(Path(place)).test for dataset, place in places.items()}

    def rows(self, run: Run, about: Mapping[str, Any], variant: str = "") -> Iterator[Any]:
        """Give a row a dataset and metric, with what it is ``about``."""
        for dataset in self.study.entries:
            fields = {"run": run.id, "dataset": dataset, "scoring": self.study.scoring.id}
            scores = read_table(Path(paths.SCORES.format(**fields, shard=0)).parent)
            chosen = (scores["level"] == "structure") & (scores["deviation"] == 0)
            chosen &= (scores["variant"] == variant) & scores["scan"].isin(self.held_back[dataset])
            means = dataset_means(scores[chosen], ["dataset"], METRICS)
            times = read_table(Path(paths.TIMES.format(**fields, shard=0)).parent)
            times = times[times["variant"] == variant]
            costs = {name: times[column].mean() for name, column in COSTS.items()}
            for metric in METRICS if len(means) else ():
                value = {"metric": metric, "value": means[metric].iloc[0]}
                yield {"tested_on": dataset, **about, **value, **costs}


def _parts(scored: _Scored) -> Iterator[Iterator[dict[str, Any]]]:
    study, training = scored.study, scored.study.training
    for name in dict.fromkeys(model.of for model in training.models.values()):
        yield scored.rows(study.runs[name], {"kind": "general", "method": name})
    for name in training.references:
        yield scored.rows(study.runs[name], {"kind": "reference", "method": name})
    for trained in study.trained:
        if trained.model.kind != "together":
            yield _of_dataset(scored, trained)
    for ablation, settings in training.ablations.items():
        default = next(iter(settings))
        about = {
            "kind": "ablation",
            "ablation": ablation,
            "method": _base(study, settings[default]),
        }
        for setting, name in settings.items():
            told = {**about, "setting": setting, "default": setting == default}
            models = [trained for trained in study.trained if trained.name == name]
            for trained in models:
                yield scored.rows(trained.run, {**told, "seed": trained.seed})
            if not models:
                method, _, variant = name.partition("/")
                yield scored.rows(study.runs[method], told, variant)


def _of_dataset(scored: _Scored, trained: Trained) -> Iterator[dict[str, Any]]:
    about = {"kind": trained.model.kind, "method": trained.model.of, "seed": trained.seed}
    for row in scored.rows(trained.run, about):
        yield {**row, "trained_on": (trained.learns_from or (row["tested_on"],))[0]}


def _base(study: Study, name: str) -> str:
    """Method that a setting is of."""
    model = study.training.models.get(name)
    return model.of if model else name.partition("/")[0]
