"""Estimate the time and disk space that a study takes.

The estimate multiplies the counts of the study by the rates of ``config/rates.yaml``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.settings import Settings
from benchmark.storage import paths
from benchmark.study import Study
from benchmark.study.sections import Method

RATES = Path(__file__).parents[2] / "config" / "rates.yaml"
"""The rates that ship with the project."""

Unit = Literal[
    "dataset",
    "scan",
    "object",
    "prompt",
    "slice",
    "slice of a scan",
    "slice of a scan, per prompt",
    "row",
    "job",
    "scan of a method",
]

_STAGES = ("prepare", "prompts", "read", "score", "start", "collect")
_ONE_PROMPT = ("box3d", "structure")
"""Kinds of prompt that do not depend on the deviation of the guiding slice."""


class Rate(Settings):
    """Cost of one unit of work of a stage, or of the methods of an adapter.

    - ``of``: a stage (`_STAGES`) or an adapter.
    - ``per``: the unit. A ``slice`` is one slice of a prompt's object.
    - ``protocols``: if given, the rate holds only for methods that run under one of them.
    - ``cpu_s``, ``gpu_s``, ``gpu_gflop``: the cost, in exactly one of these, or in none if
      ``basis`` is "not known". `Rates.gpu_tflops` turns GFLOP into time; without a GPU,
      `Rates.core_gflops` does.
    - ``bytes``: disk space of the results.
    """

    of: str
    per: Unit
    protocols: tuple[str, ...] = ()
    cpu_s: float | None = Field(default=None, ge=0)
    gpu_s: float | None = Field(default=None, ge=0)
    gpu_gflop: float | None = Field(default=None, ge=0)
    bytes: float = Field(default=0, ge=0)
    basis: Literal["measured", "published", "estimate", "not known"]
    source: str

    @model_validator(mode="after")
    def _one_cost(self) -> Self:
        costs = [x for x in (self.cpu_s, self.gpu_s, self.gpu_gflop) if x is not None]
        if len(costs) > 1 or bool(costs) == (self.basis == "not known"):
            raise ValueError(f"{self.of}: one of cpu_s, gpu_s, gpu_gflop, or the basis 'not known'")
        return self


class Rates(Settings):
    """A table of rates, and quantities that the catalogue does not have.

    ``slices_per_object`` and ``slices_per_scan`` are assumed for all datasets. ``scans`` and
    ``objects`` are counts by dataset id; ``scans`` is meant as in the catalogue, and a dataset
    without a count of objects is assumed to have one object per structure and scan.
    """

    gpu_tflops: float = Field(gt=0)
    core_gflops: float = Field(gt=0)
    slices_per_object: float = Field(gt=0)
    slices_per_scan: float = Field(gt=0)
    scans: dict[str, int] = {}
    objects: dict[str, int] = {}
    rates: tuple[Rate, ...]

    def without_gpu(self) -> Self:
        """Return the rates of a machine that has no GPU: operations are done by the cores.

        What is known in seconds of a GPU alone is not known there.
        """
        rates = []
        for rate in self.rates:
            changes: dict[str, Any] = {}
            if rate.gpu_gflop is not None:
                source = f"{rate.source}; {self.core_gflops:g} GFLOP/s of a core"
                changes = {"gpu_gflop": None, "source": source}
                changes["cpu_s"] = float(f"{rate.gpu_gflop / self.core_gflops:.2g}")
            elif rate.gpu_s is not None:
                changes = {"gpu_s": None, "basis": "not known"}
            rates.append(rate.model_copy(update=changes))
        return self.model_copy(update={"rates": tuple(rates)})


@dataclass(frozen=True)
class Count:
    """Numbers of scans, of objects and of pairs of scan and structure in a dataset.

    ``known``: counted in the prepared tables, not estimated.
    """

    scans: int
    objects: int
    structures: int
    known: bool


@dataclass(frozen=True)
class Work:
    """A row of the estimate; hours are None where the rate does not give them."""

    name: str
    rate: Rate
    units: float
    cpu_hours: float | None
    gpu_hours: float | None


@dataclass(frozen=True)
class Job:
    """A method on one shard of a dataset, whose objects are assumed to be spread evenly."""

    method: str
    dataset: str
    hours: float


def count(entry: Dataset, rates: Rates) -> Count:
    """Count a dataset from its prepared tables or, without these, from the catalogue and ``rates``.

    Raises `UserError` if the number of scans is not known.
    """
    channels = any(layout.each_channel for layout in entry.layout)
    scans = rates.scans.get(entry.id, entry.scans or 0) * (len(entry.channels) if channels else 1)
    at = [{"dataset": entry.id, "shard": shard} for shard in range(entry.shards)]
    images = [paths.at(paths.IMAGES, **shard) for shard in at]
    objects = [paths.at(paths.OBJECTS, **shard) for shard in at]
    if all(path.exists() for path in (*images, *objects)):
        scans = _rows(images)
        if scans:
            return Count(scans, _rows(objects), scans * len(entry.labels), known=True)
    if not scans:
        raise UserError(
            f"The catalogue does not know how many scans {entry.id} has. Next step: write the "
            "number under scans in the entry or in the file of rates, or have the scans counted: "
            "snakemake --configfile STUDY --until prepare"
        )
    structures = scans * len(entry.labels)
    return Count(scans, rates.objects.get(entry.id, structures), structures, known=False)


def work(study: Study, rates: Rates, objects: int | None = None) -> list[Work]:
    """Multiply the counts of a study by the rates.

    ``objects``: the total number of objects, if the user knows it better.
    """
    counts = [count(entry, rates) for entry in study.entries.values()]
    scans, structures = sum(c.scans for c in counts), sum(c.structures for c in counts)
    found = objects or sum(c.objects for c in counts)
    shards = sum(entry.shards for entry in study.entries.values())
    rows = sum(_rows_of(method, study, found, structures) for method in study.methods.values())
    whole: dict[Unit, float] = {
        "dataset": len(counts),
        "scan": scans,
        "object": found,
        "row": rows,
        "job": 2 * shards * (1 + len(study.methods)),  # prepare, prompts; predict, score
        "scan of a method": scans * len(study.methods),
    }
    done = [_work(r.of, r, whole[r.per], rates) for r in rates.rates if r.of in _STAGES]
    for name in study.methods:
        units = whole | _units_of(study, name, rates, Count(scans, found, structures, known=False))
        done += [
            _work(name, rate, units[rate.per], rates) for rate in _rates_of(study, name, rates)
        ]
    return done


def longest_job(study: Study, rates: Rates, objects: int | None = None) -> Job:
    """Return the job of a method that takes longest, as far as rates are known.

    ``objects``: as in `work`; numbers that nobody knows are scaled to that total.
    """
    counts = {entry.id: count(entry, rates) for entry in study.entries.values()}
    guessed = [name for name, c in counts.items() if not (c.known or name in rates.objects)]
    if objects and guessed:
        rest = sum(counts[name].objects for name in guessed)
        scale = max(objects - sum(c.objects for c in counts.values()) + rest, 0) / rest
        for name in guessed:
            counts[name] = replace(counts[name], objects=round(scale * counts[name].objects))
    jobs = []
    for dataset, entry in study.entries.items():
        there = counts[entry.id]
        parts = min(entry.shards, there.scans)
        for name in study.methods:
            units: dict[Unit, float] = {
                "scan": there.scans,
                "object": there.objects,
                "scan of a method": there.scans,
            }
            units |= _units_of(study, name, rates, there)
            done = [
                _work(name, rate, units[rate.per], rates)
                for rate in _rates_of(study, name, rates)
                if rate.per in units  # a training is another job
            ]
            hours = sum((each.cpu_hours or 0) + (each.gpu_hours or 0) for each in done)
            jobs.append(Job(name, dataset, hours / parts))
    return max(jobs, key=lambda job: job.hours)


def _units_of(study: Study, name: str, rates: Rates, there: Count) -> dict[Unit, float]:
    """Return the units that depend on the prompts of a method, for what is ``there``."""
    method = study.methods[name]
    prompted = there.structures if method.prompt == "structure" else there.objects
    prompts = prompted * _repeats(method, study)
    return {
        "prompt": prompts,
        "slice": prompts * rates.slices_per_object,
        "slice of a scan": there.scans * rates.slices_per_scan,
        "slice of a scan, per prompt": prompts * rates.slices_per_scan,
    }


def _rates_of(study: Study, name: str, rates: Rates) -> list[Rate]:
    """Return the rates of a method under its protocol; one that is not known if there are none."""
    adapter = study.methods[name].adapter
    protocol = study.runs[name].options.get("protocol")
    unknown = Rate(of=adapter, per="prompt", basis="not known", source="no rate is given")
    return [
        rate
        for rate in rates.rates
        if rate.of == adapter and (not rate.protocols or protocol in rate.protocols)
    ] or [unknown]


def _rows(files: Sequence[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in files)


def _repeats(method: Method, study: Study) -> int:
    """Return how often an object is prompted: at each deviation, and once for each variant."""
    times = 1 if method.prompt in _ONE_PROMPT else len(study.deviations)
    return times + len(method.variants)


def _rows_of(method: Method, study: Study, objects: int, structures: int) -> int:
    cells = structures + (objects if method.prompt != "structure" else 0)
    return cells * _repeats(method, study)


def _work(name: str, rate: Rate, units: float, rates: Rates) -> Work:
    gpu = rate.gpu_s
    if rate.gpu_gflop is not None:
        gpu = rate.gpu_gflop / 1000 / rates.gpu_tflops
    hours = [None if each is None else each * units / 3600 for each in (rate.cpu_s, gpu)]
    return Work(name, rate, units, *hours)
