"""The table of a study's training runs: one row per trained model, test dataset and metric.

All values are over the cases that the split of a dataset holds back, whatever the model, so that
models that have seen the other cases can be compared with models that have not. Of these, only the
cells that all compared runs have are included.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from benchmark.analysis import frames
from benchmark.collecting.contamination import contaminated
from benchmark.learning.splits import Split
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.storage.tables import read_arrow, records
from benchmark.study import Study

RUN_METRICS = ("dsc", "nsd")
COST_SOURCES = {"seconds": "segment_s", "flops": "flops", "parameters": "parameters"}
"""Columns of costs, and the column of the times table that each is the mean of."""


def table(study: Study) -> pd.DataFrame:
    """Return the table of training runs (`frames.RUN_COLUMNS`) of a scored study."""
    scored = _Scored(study)
    rows = [row for compared in _comparisons(study) for row in scored.rows(compared)]
    return pd.DataFrame(rows, columns=list(frames.RUN_COLUMNS)).fillna({"seed": 0})


class _ComparedRun(NamedTuple):
    """A run or a ``variant`` of it; ``about`` are the columns that identify it in the table."""

    run: Run
    about: Mapping[str, Any]
    variant: str = ""


@dataclass
class _Scored:
    """The scores of a study's runs on the held-back cases."""

    study: Study

    @cached_property
    def held_back(self) -> dict[str, tuple[str, ...]]:
        """Held-back scans by dataset."""
        seed = self.study.seed
        return {
            dataset: Split.load(paths.at(paths.SPLIT, seed=seed, dataset=dataset)).test
            for dataset in self.study.entries
        }

    def rows(self, compared: Sequence[_ComparedRun]) -> list[dict[str, Any]]:
        """Return one row per run, dataset and metric, in this order, for runs to compare."""
        found = [row for name in self.study.entries for row in self._of_dataset(compared, name)]
        return [row for _, row in sorted(found, key=lambda placed: placed[0])]

    def _of_dataset(
        self, compared: Sequence[_ComparedRun], dataset: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows of one dataset, each with the index of its run."""
        cells = [self._cells(one, dataset) for one in compared]
        means = {
            metric: records(_matched([part[metric] for part in cells])) for metric in RUN_METRICS
        }
        for place, (one, part) in enumerate(zip(compared, cells, strict=True)):
            about = {"tested_on": dataset, **one.about}
            if one.about["kind"] in ("finetuned", "scratch"):
                about["trained_on"] = one.about.get("trained_on", dataset)
            bad = part[part["status"] != "ok"]
            about |= {"ok": len(part) - len(bad), "expected": len(part)}
            about["reason"] = next(iter(bad["reason"]), None)
            entries = self.study.entries
            about["contaminated"] = contaminated(one.run, entries[dataset], entries)
            about |= self._costs(one, dataset)
            for metric, found in means.items() if len(part) else ():
                yield place, {**about, "metric": metric, **found[place]}

    def _cells(self, item: _ComparedRun, dataset: str) -> pd.DataFrame:
        """Return status, reason and metrics of structures in held-back scans at deviation 0."""
        scores = self._table(paths.SCORES, item, dataset)
        chosen = (scores["level"] == "structure") & (scores["deviation"] == 0)
        chosen &= scores["scan"].isin(self.held_back[dataset])
        found = scores[chosen].set_index(["scan", "structure"])
        return found[["status", "reason", *RUN_METRICS]]

    def _costs(self, item: _ComparedRun, dataset: str) -> dict[str, float]:
        """Average all costs over the same objects: those whose operations were counted, if any."""
        times = self._table(paths.TIMES, item, dataset)
        counted = times.dropna(subset="flops")
        times = times if counted.empty else counted
        means = {name: times[column].mean() for name, column in COST_SOURCES.items()}
        return {**means, frames.COST_OBJECTS: len(times)}

    def _table(self, pattern: str, item: _ComparedRun, dataset: str) -> pd.DataFrame:
        fields = {"run": item.run.id, "scoring": self.study.scoring.id}
        shards = self.study.shards(pattern, **fields)
        table = pa.concat_tables(read_arrow(path) for of, path in shards if of.id == dataset)
        frame: pd.DataFrame = table.to_pandas()
        return frame[frame["variant"] == item.variant]


def _matched(values: Sequence["pd.Series[float]"]) -> pd.DataFrame:
    """Average each of ``values`` over the cells that all of them have; one row each, in order.

    ``value``: the mean over scans, then over structures; ``matched``: the number of cells. A series
    without any value removes no cell from the others.
    """
    side_by_side = pd.concat(values, axis=1, keys=range(len(values)))
    common = side_by_side.dropna(axis=1, how="all").dropna()
    found = pd.DataFrame(
        {"value": common.groupby("structure").mean().mean(), "matched": common.count()}
    )
    return found.reindex(side_by_side.columns).fillna({"matched": 0}).astype({"matched": int})


def _comparisons(study: Study) -> Iterator[list[_ComparedRun]]:
    """Yield the runs to compare: all models together, then the settings of each ablation."""
    training = study.training
    named = [("general", model.method) for model in training.models.values()]
    named += [("reference", name) for name in training.references]
    models = [
        _ComparedRun(study.runs[name], {"kind": kind, "method": name})
        for kind, name in dict.fromkeys(named)
    ]
    for trained in study.trained:
        about = {"kind": trained.model.kind, "method": trained.model.method, "seed": trained.seed}
        if trained.learns_from:
            about["trained_on"] = trained.learns_from[0]
        if trained.model.kind != "together":
            models.append(_ComparedRun(trained.run, about))
    if models:
        yield models
    for ablation in training.ablations:
        yield list(_settings(study, ablation))


def _settings(study: Study, ablation: str) -> Iterator[_ComparedRun]:
    settings = study.training.ablations[ablation]
    default = next(iter(settings))
    about = {"kind": "ablation", "ablation": ablation, "method": _base(study, settings[default])}
    for setting, name in settings.items():
        facts = {**about, "setting": setting, "default": setting == default}
        models = [trained for trained in study.trained if trained.name == name]
        for trained in models:
            yield _ComparedRun(trained.run, {**facts, "seed": trained.seed})
        if not models:
            method, _, variant = name.partition("/")
            yield _ComparedRun(study.runs[method], facts, variant)


def _base(study: Study, name: str) -> str:
    """Return the method that a setting belongs to."""
    model = study.training.models.get(name)
    return model.method if model else name.partition("/")[0]
