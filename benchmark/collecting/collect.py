"""Join the shards of a study into its long tables, and write its run record."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from benchmark import objects, scoring
from benchmark.catalogue import Dataset, clusters
from benchmark.collecting.contamination import contaminated
from benchmark.collecting.losses import prompted_cells
from benchmark.collecting.prompt_cost import prompt_costs
from benchmark.collecting.study_record import (
    OVERRIDES_RECORDED,
    DatasetRecord,
    MethodRecord,
    StudyRecord,
)
from benchmark.inference import TIME_SCHEMA
from benchmark.learning.splits import Split
from benchmark.machine.progress import progress
from benchmark.methods.own_source import RECORDED, changed_files
from benchmark.prepare import FAILURE_SCHEMA, IMAGE_SCHEMA
from benchmark.sources import Status
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.record import run_record
from benchmark.storage.tables import read_arrow, read_record, read_table, table_of_parts
from benchmark.study import Study
from benchmark.weights import registry as weights
from benchmark.weights.store import WeightsStatus, fetch_command

STUDY_SCORE_SCHEMA = pa.schema(
    [
        pa.field("method", pa.string()),
        *scoring.SCHEMA,
        *((name, pa.string()) for name in ("split", "modality", "collection")),
        pa.field("contaminated", pa.bool_()),
    ]
)
"""`benchmark.scoring.SCHEMA` with the method's name in the study and facts of the dataset.

``collection``: one name for all datasets that overlap (`benchmark.catalogue.clusters`).
``contaminated``: the method was trained on the dataset or on a related one
(`benchmark.collecting.contamination.contaminated`).
"""

STUDY_IMAGE_SCHEMA = pa.schema([*IMAGE_SCHEMA, pa.field("split", pa.string())])
STUDY_TIME_SCHEMA = pa.schema([pa.field("method", pa.string()), *TIME_SCHEMA])
STUDY_OBJECT_SCHEMA = pa.schema(
    [
        *objects.SCHEMA,
        pa.field("slice_mm", pa.float64()),
    ]
)
"""`benchmark.objects.SCHEMA` and ``slice_mm``, the distance between slices of the view in mm."""

STUDY_FAILURE_SCHEMA = pa.schema(
    [*FAILURE_SCHEMA, *((name, pa.string()) for name in ("method", "object", "status"))]
)
"""Scans and datasets that were set aside (``method`` null), and cells that are not ok."""


def collect(study: Study, folder: Path) -> None:
    """Write scores, times, images, objects, failures and the record of ``study`` to ``folder``.

    Works shard by shard, so that memory does not grow with the study.
    """
    counts = {name: Counter(scans=0, objects=0, set_aside=0) for name in study.entries}
    with (
        table_of_parts(STUDY_SCORE_SCHEMA, folder / "scores.parquet") as add,
        table_of_parts(STUDY_FAILURE_SCHEMA, folder / "failures.parquet") as add_failures,
    ):
        for entry, path in study.shards(paths.SET_ASIDE):
            aside = read_arrow(path)
            add_failures(aside)
            counts[entry.id]["set_aside"] += aside["scan"].length() - aside["scan"].null_count
        for part in progress(_scores(study), "collect", "shard"):
            add(part)
            add_failures(_not_ok(part))
    with table_of_parts(STUDY_TIME_SCHEMA, folder / "times.parquet") as add:
        for part in _times(study):
            add(part)
    with table_of_parts(STUDY_IMAGE_SCHEMA, folder / "images.parquet") as add:
        for entry, path in study.shards(paths.IMAGES):
            add(_with(read_arrow(path), split=entry.split))
    with table_of_parts(STUDY_OBJECT_SCHEMA, folder / "objects.parquet") as add:
        for entry, frame in _objects(study):
            add(frame)
            counts[entry.id].update(scans=frame["scan"].nunique(), objects=len(frame))
    if study.splits_patients:
        for name, patients, held_back in _held_back(study, read_table(folder / "images.parquet")):
            counts[name].update(patients=patients, held_back=held_back)
    write_json(folder / "record.json", _record(study, counts))


def _held_back(study: Study, images: pd.DataFrame) -> Iterator[tuple[str, int, int]]:
    """Yield dataset, number of its patients, and of those that its split holds back."""
    for name in study.entries:
        test = Split.load(paths.at(paths.SPLIT, seed=study.seed, dataset=name)).test
        patients = images.loc[images["dataset"] == name].set_index("scan")["patient"]
        yield name, patients.nunique(), patients.reindex(list(test)).nunique()


def _not_ok(scores: pa.Table) -> pa.Table:
    """Return the cells that are not ok as rows of `STUDY_FAILURE_SCHEMA`."""
    cells = prompted_cells(scores)
    cells = cells.filter(pc.not_equal(cells["status"], "ok"))
    shared = [name for name in STUDY_FAILURE_SCHEMA.names if name in cells.column_names]
    return _with(cells.select(shared), stage="predict")


def _with(table: pa.Table, **values: str | bool) -> pa.Table:
    """Append a constant column for each of ``values``."""
    for name, value in values.items():
        table = table.append_column(name, pa.repeat(value, len(table)))
    return table


def _scores(study: Study) -> Iterator[pa.Table]:
    collections = clusters(study.entries.values())
    for name, run in study.runs.items():
        seen = {e.id: contaminated(run, e, study.entries) for e in study.entries.values()}
        fields = {"run": run.id, "scoring": study.scoring.id}
        for entry, path in study.shards(paths.SCORES, **fields):
            yield _with(
                read_arrow(path),
                method=name,
                split=entry.split,
                modality=entry.modality,
                collection=collections[entry.id],
                contaminated=seen[entry.id],
            )


def _times(study: Study) -> Iterator[pa.Table]:
    for name, run in study.runs.items():
        for _, path in study.shards(paths.TIMES, run=run.id):
            yield _with(read_arrow(path), method=name)


def _objects(study: Study) -> Iterator[tuple[Dataset, pd.DataFrame]]:
    both = zip(study.shards(paths.OBJECTS), study.shards(paths.IMAGES), strict=True)
    for (entry, objects_path), (_, images_path) in both:
        part = read_table(objects_path)
        images = read_table(images_path).set_index("scan")
        spacing = images[[f"spacing_{axis}" for axis in "zyx"]].reindex(part["scan"]).to_numpy()
        axis = part[["axis"]].to_numpy(dtype=np.intp)
        yield entry, part.assign(slice_mm=np.take_along_axis(spacing, axis, axis=1).ravel())


def _record(study: Study, counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    described = StudyRecord(
        datasets={name: _dataset(e, counts[name]) for name, e in study.entries.items()},
        methods={name: _method(study, name, run) for name, run in study.runs.items()},
    ).model_dump(mode="json", exclude_unset=True)
    return {
        **run_record(),
        "study": study.model_dump(mode="json"),
        "scoring": study.scoring.model_dump(mode="json"),
        "datasets": described["datasets"],
        "prompts": prompt_costs(_prompts(study)),
        "methods": described["methods"],
    }


def _prompts(study: Study) -> Iterator[pd.DataFrame]:
    for _, path in study.shards(paths.PROMPTS, rules=study.prompt_rules.id):
        yield read_table(path, ["kind", "deviation", "views", "clicks"])


def _dataset(entry: Dataset, counts: Mapping[str, int]) -> DatasetRecord:
    status = Status.load(paths.at(paths.STATUS, dataset=entry.id))
    return DatasetRecord(
        name=entry.name,
        split=entry.split,
        modality=entry.modality,
        licence=entry.licence.spdx,
        redistributable=entry.licence.redistributable,
        homepage=entry.homepage,
        citation=entry.citation,
        data_citations=entry.data_citations,
        state=status.state,
        reason=status.reason,
        quirks=entry.quirks,
        spacing_note=entry.spacing_note,
        published=entry.published,
        **counts,
    )


def _method(study: Study, name: str, run: Run) -> MethodRecord:
    adapter = study.methods[name].adapter_class(run.options)
    info = adapter.info
    records = [read_record(masks) for _, masks in study.shards(paths.MASKS, run=run.id)]
    loaded = (record for record in records if record.get(OVERRIDES_RECORDED))
    devices = (record.get("gpu") or record["device"] for record in records if "device" in record)
    return MethodRecord(
        run=run.id,
        adapter=run.adapter,
        prompt=run.prompt,
        prompts=run.prompts,
        options=run.options,
        variants=run.variants,
        **_weights(run),
        summary=info.summary,
        licence=info.licence,
        citation=info.citation,
        gpu=adapter.resources.gpus > 0,
        control=info.control,
        sees_reference=info.sees_reference,
        made_by=next(loaded, records[0]),  # a shard may end before the method is loaded
        shards_on=dict(sorted(Counter(devices).items())),
        mixed_source=changed_files(record.get(RECORDED, {}) for record in records),
    )


def _weights(run: Run) -> dict[str, Any]:
    """Describe a run's weights for the record."""
    entry = weights.load(run.weights) if run.weights else None
    if entry is None:
        return {"weights": None}
    trained = entry.trained_on
    trained_on = [*trained.datasets, *trained.local, *trained.others] if trained else None
    status = WeightsStatus.load(paths.at(paths.WEIGHTS_STATUS, weights=entry.id))
    return {
        "weights": run.weights,
        "weights_name": entry.name,
        "weights_state": status.state,
        "weights_reason": status.reason,
        "weights_command": fetch_command(entry, run.weights),
        "weights_sha256": run.weights_sha256 or ", ".join(status.sha256.values()) or None,
        "weights_licence": entry.licence.text,
        "weights_trained_on": trained_on,
        "weights_trained_on_complete": trained.complete if trained else False,
        "weights_trained_on_source": trained.source if trained else None,
    }
