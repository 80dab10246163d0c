"""Run a method over a shard: images and prompts in, compact masks and times out.

The method never sees labels, except for controls that are given the reference masks. Every prompt
ends in a row: ``ok`` with a mask, or ``failed`` or ``skipped`` with the reason. Times are measured
separately, unbatched and object by object, on a seeded sample.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmark import masks, prompts, volume
from benchmark.adapter import Adapter, ReferenceAdapter
from benchmark.errors import MachineError, UserError, reason_of
from benchmark.geometry import row_shape
from benchmark.inference.partial_shard import PartialShard, ScanRows
from benchmark.inference.segmenting import (
    Answer,
    error_text,
    preserved_state,
    print_traceback,
    segment_prompts,
    validated_mask,
)
from benchmark.machine import compute_cost
from benchmark.machine.attempts import MAX_DEATHS, Attempts
from benchmark.machine.machine_errors import METHOD_ERRORS, raise_if_machine_error
from benchmark.machine.progress import progress
from benchmark.masks import Mask
from benchmark.methods.registry import find
from benchmark.prompts import Prompt
from benchmark.sources import Status
from benchmark.specs import Run
from benchmark.storage.digest import stable_hash
from benchmark.storage.tables import records
from benchmark.volume import Volume

_LOADING = "loading"
"""The step in which the model is loaded, see `benchmark.machine.attempts`; the others are scans."""

_PREDICTION_KEY_FIELDS = [
    ("dataset", pa.string()),
    ("scan", pa.string()),
    ("object", pa.string()),
    ("variant", pa.string()),
]

MASK_SCHEMA = pa.schema(
    [
        *_PREDICTION_KEY_FIELDS,
        ("deviation", pa.float64()),
        ("prompt_hash", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        *masks.COLUMNS,
    ]
)
"""One row per prediction; the columns of the mask are null unless ``status`` is ok."""

TIME_SCHEMA = pa.schema(
    [
        *_PREDICTION_KEY_FIELDS,
        ("device", pa.string()),
        *((f"{phase}_s", pa.float64()) for phase in ("load", "read", "segment", "write")),
        *((name, pa.int64()) for name in ("parameters", "flops")),
        *((name, pa.float64()) for name in ("peak_memory_mb", "peak_gpu_mb")),
    ]
)
"""One row per timed object and variant, in wall-clock seconds.

``load_s`` is that of the whole job, and ``write_s`` is the time to compress the mask. ``flops`` are
counted only for the first object of each variant, and the peaks are those of the process so far.
See `benchmark.machine.compute_cost`.
"""


@dataclass(frozen=True)
class Task:
    """One prompt of a scan, with the object and the deviation that it is for."""

    object: str
    deviation: float
    prompt: Prompt


@dataclass(frozen=True)
class Model:
    """What a method loads: weights, or a model that was trained for the study.

    ``status``: of the fetch or of the training; None if the method needs neither. ``path``: passed
    to `Adapter.load`.
    """

    status: Status | None = None
    path: Path | None = None
    is_trained: bool = False

    @property
    def missing(self) -> tuple[str, str] | None:
        """Status and reason of all cells if what is needed is not there."""
        if self.status is None or self.status.is_ready:
            return None
        failed = self.is_trained and self.status.state == "failed"
        what = "model" if self.is_trained else "weights"
        return "failed" if failed else "skipped", f"no {what}: {self.status.reason}"


@dataclass
class ShardPredictions:
    """Rows of the tables, and `Adapter.protocol_overrides` if the method was loaded.

    ``masks`` are rows of `MASK_SCHEMA`, ``times`` of `TIME_SCHEMA`.
    """

    masks: list[dict[str, Any]]
    times: list[dict[str, Any]]
    protocol_overrides: dict[str, Any] = field(default_factory=dict)


def predict(
    run: Run,
    images: pd.DataFrame,
    prompt_rows: pd.DataFrame,
    *,
    model: Model = Model(),
    reference: pd.DataFrame | None = None,
    training_scans: Collection[str] = (),
    device: str = "cpu",
    attempts: Attempts | None = None,
    partial: PartialShard | None = None,
) -> ShardPredictions:
    """Run a method and its variants over the scans of ``images``; see `Run.variants_at`.

    - ``images``: rows of `benchmark.prepare.IMAGE_SCHEMA`.
    - ``prompt_rows``: rows of `benchmark.prompts.SCHEMA`; kinds other than the run's are ignored.
    - ``reference``: rows of `benchmark.objects.REFERENCE_SCHEMA`, only for controls that may see
      them.
    - ``training_scans``: scans that the method was trained on, which are skipped.
    - ``attempts``: the steps in which earlier processes died.
    - ``partial``: the scans that earlier processes finished; those finished now are added.
    """
    attempts = attempts or Attempts()
    partial = partial or PartialShard(MASK_SCHEMA)
    mine, seen = _prompts_of(run, prompt_rows, training_scans)
    results = ShardPredictions(_unanswered_rows(run, mine[seen], "skipped", "a training case"), [])
    mine = mine[~seen]
    if missing := model.missing:
        results.masks += _unanswered_rows(run, mine, *missing)
        return results
    adapter = find(run.adapter)(run.options)
    if reason := adapter.missing_requirement():
        results.masks += _unanswered_rows(run, mine, "skipped", reason)
        return results
    if mine.empty:
        return results
    start = perf_counter()
    if failure := _load(adapter, model.path, device, attempts, results):
        reason = f"the model did not load: {failure}"
        results.masks += _unanswered_rows(run, mine, "failed", reason)
        return results
    loaded = perf_counter() - start
    timed = _timed_sample(run, mine)
    scans = records(images)
    for image in progress(scans, f"{run.adapter} {run.prompt}", "scan"):
        rows = mine[mine["scan"] == image["scan"]]
        step = f"scan {image['scan']}"
        if finished := partial.finished(image["scan"]):
            results.masks += finished.masks
            results.times += finished.times
        elif attempts.is_given_up(step):
            reason = f"the process ended {MAX_DEATHS} times on this scan"
            results.masks += _unanswered_rows(run, rows, "failed", reason)
        elif len(rows):
            masks, times = len(results.masks), len(results.times)
            with attempts.running(step):
                scan = _ScanJob(run, adapter, image, rows, reference, results)
                scan.segment()
                scan.time(timed, loaded, device)
            # What has died may do so again before the next file is due: memory may grow from scan
            # to scan, and each process would die on the same one.
            rows_of_scan = ScanRows(results.masks[masks:], results.times[times:])
            partial.add(rows_of_scan, at_once=attempts.any_death)
    return results


def needs_method(
    run: Run, prompt_rows: pd.DataFrame, model: Model, training_scans: Collection[str]
) -> bool:
    """Return whether `predict` would load the method, for which it may need a GPU.

    It would not if no prompt is the method's to answer, or if its weights, its model or something
    else that it requires are missing.
    """
    _, seen = _prompts_of(run, prompt_rows, training_scans)
    if seen.all() or model.missing:
        return False
    return find(run.adapter)(run.options).missing_requirement() is None


def _prompts_of(
    run: Run, prompt_rows: pd.DataFrame, training_scans: Collection[str]
) -> "tuple[pd.DataFrame, pd.Series[bool]]":
    """Return the prompts of the run's kind, and which of them are those of training cases."""
    mine = prompt_rows[prompt_rows["kind"] == run.prompt]
    return mine, mine["scan"].isin(list(training_scans))


def _load(
    adapter: Adapter,
    weights: Path | None,
    device: str,
    attempts: Attempts,
    results: ShardPredictions,
) -> str | None:
    """Load the model, store its `protocol_overrides`; return the reason if that fails."""
    if attempts.is_given_up(_LOADING):
        return f"the process ended {MAX_DEATHS} times while it was loaded"
    try:
        with preserved_state(), attempts.running(_LOADING):
            adapter.load(weights, device)
            results.protocol_overrides = _storable(adapter.protocol_overrides)
    except METHOD_ERRORS as error:
        raise_if_machine_error(error, loading=True)
        print_traceback(error)
        return error_text(error)
    return None


def _storable(overrides: dict[str, Any]) -> dict[str, Any]:
    """Return ``overrides``; raise TypeError if they could not be written, at the end of the job."""
    try:
        json.dumps(overrides)
    except (TypeError, ValueError) as error:
        raise TypeError(f"protocol_overrides: {error}") from error
    return overrides


def _unanswered_rows(
    run: Run, rows: pd.DataFrame, status: str, reason: str
) -> list[dict[str, Any]]:
    """Return a row for every prompt and variant of a method that could not run at all."""
    found = []
    for row in records(rows):
        for variant in run.variants_at(row["deviation"]):
            cell = {name: row[name] for name in ("dataset", "scan", "object", "deviation")}
            about = {"variant": variant, "prompt_hash": row["hash"]}
            found.append({**cell, **about, "status": status, "reason": reason})
    return found


def _timed_sample(run: Run, rows: pd.DataFrame) -> set[str]:
    """Return the objects to time: those with the smallest seeded hashes, whatever their order."""
    names = sorted(set(rows["object"]), key=lambda name: stable_hash(f"{run.seed}:{name}"))
    return set(names[: run.timed_objects])


class _ScanJob:
    """One scan under one method: all variants and prompts, with one reading of the image."""

    def __init__(
        self,
        run: Run,
        adapter: Adapter,
        image: dict[str, Any],
        rows: pd.DataFrame,
        reference: pd.DataFrame | None,
        results: ShardPredictions,
    ) -> None:
        self.run, self.adapter, self.image, self.results = run, adapter, image, results
        self.shape = row_shape(image)
        self.tasks = [
            Task(row["object"], row["deviation"], prompts.from_row(row, self.shape))
            for row in records(rows)
        ]
        self.truth = self._truth(reference)

    def _truth(self, reference: pd.DataFrame | None) -> dict[int, dict[str, Any]]:
        """Map the ``id`` of each prompt to the row of its reference mask.

        Its hash cannot be the key: two objects may share a 3D box and so its hash.
        """
        if reference is None:
            return {}
        rows = {row["object"]: row for row in records(reference)}
        return {id(task.prompt): rows[task.object] for task in self.tasks}

    def variants(self) -> Iterator[tuple[str, Adapter]]:
        for name in ("", *self.run.variants):
            variant = self.adapter.with_options(self.run.variants.get(name, {}))
            if isinstance(variant, ReferenceAdapter):
                variant.reference = lambda prompt: Mask.from_row(self.truth[id(prompt)], self.shape)
            yield name, variant

    def read(self) -> Volume:
        scan = volume.read_row(self.image)
        scan.array.flags.writeable = False
        return scan

    def segment(self) -> None:
        try:
            scan = self.read()
        except MachineError:
            raise
        except UserError as error:
            for task in self.tasks:
                for name in self.run.variants_at(task.deviation):
                    self._keep(name, task, str(error))
            return
        for name, variant in self.variants():
            tasks = [task for task in self.tasks if name in self.run.variants_at(task.deviation)]
            answers = segment_prompts(variant, scan, [task.prompt for task in tasks])
            for task, result in zip(tasks, answers, strict=True):
                self._keep(name, task, result)

    def _keep(self, variant: str, task: Task, result: Answer) -> None:
        found = isinstance(result, dict)
        self.results.masks.append(
            {
                **self._cell(variant, task),
                "deviation": task.deviation,
                "prompt_hash": task.prompt.hash,
                "status": "ok" if found else "failed",
                **(result if isinstance(result, dict) else {"reason": reason_of(result)}),
            }
        )

    def _cell(self, variant: str, task: Task) -> dict[str, Any]:
        about = {"dataset": self.image["dataset"], "scan": self.image["scan"]}
        return {**about, "object": task.object, "variant": variant}

    def time(self, sample: set[str], loaded: float, device: str) -> None:
        """Time each sampled object of the scan by itself, from reading the image on."""
        tasks = [t for t in self.tasks if t.object in sample and t.deviation == 0]
        for task in tasks:
            for name, variant in self.variants():
                start = perf_counter()
                try:
                    scan = self.read()
                    read = perf_counter()
                    with preserved_state():
                        predictions = list(islice(variant.segment(scan, [task.prompt]), 2))
                    done = perf_counter()
                    found = validated_mask(predictions[0], scan.shape)
                except METHOD_ERRORS as error:
                    raise_if_machine_error(error)
                    continue  # the row of the mask has the reason
                if len(predictions) == 1 and isinstance(found, Mask):
                    phases = {"load_s": loaded, "read_s": read - start, "segment_s": done - read}
                    found.to_row()
                    phases["write_s"] = perf_counter() - done
                    spent = self._costs(name, variant, scan, task, device)
                    self.results.times.append(
                        {**self._cell(name, task), "device": device, **phases, **spent}
                    )

    def _costs(
        self, name: str, variant: Adapter, scan: Volume, task: Task, device: str
    ) -> dict[str, float | None]:
        """Measure costs other than time; FLOPs once per variant, as counting takes another run."""
        parameters = compute_cost.parameters(variant)
        flops = None
        if parameters is not None and all(row["variant"] != name for row in self.results.times):
            try:
                with preserved_state():
                    flops = compute_cost.flops(lambda: list(variant.segment(scan, [task.prompt])))
            except METHOD_ERRORS as error:  # e.g. memory that sufficed without counting
                raise_if_machine_error(error)
        return {
            "parameters": parameters,
            "flops": flops,
            "peak_memory_mb": None
            if variant.info.out_of_process
            else compute_cost.peak_memory_mb(),
            "peak_gpu_mb": compute_cost.peak_gpu_mb(device),
        }
