"""The shards of a study -> its long tables and its run record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmark import objects, paths, scoring
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.files import read_json, write_json
from benchmark.inference import TIMES
from benchmark.matching import costs
from benchmark.prepare import FAILURES, IMAGES
from benchmark.record import run_record
from benchmark.specs import Run
from benchmark.study import Study
from benchmark.tables import read_record, read_table, write_table
from benchmark.weights import registry as weights
from benchmark.weights.store import command, read_status

SCORES = pa.schema(
    [
        pa.field("method", pa.string()),
        *scoring.SCHEMA,
        *((name, pa.string()) for name in ("split", "modality", "collection")),
        pa.field("contaminated", pa.bool_()),
    ]
)
"""`benchmark.scoring.SCHEMA` with the study's name of the method and the facts of the dataset.
``contaminated``: the weights saw the dataset, or one of the same source collection, in training."""

ALL_TIMES = pa.schema([pa.field("method", pa.string()), *TIMES])
OBJECTS = pa.schema(
    [
        *objects.SCHEMA,
        pa.field("slice_mm", pa.float64()),
    ]
)
"""`benchmark.objects.SCHEMA`; ``slice_mm``: the distance from slice to slice of the view."""

ALL_FAILURES = pa.schema(
    [*FAILURES, *((name, pa.string()) for name in ("method", "object", "status"))]
)
"""What was set aside before any method (``method`` null), and the cells that are not ok."""


def collect(study: Study, folder: Path) -> None:
    """Write scores, times, images, objects, failures and the record of ``study`` to ``folder``."""
    scores = _concat(list(_scores(study)), SCORES)
    write_table(scores, SCORES, folder / "scores.parquet")
    times = _concat(list(_times(study)), ALL_TIMES)
    write_table(times, ALL_TIMES, folder / "times.parquet")
    images = [read_table(_path(paths.IMAGES, dataset=e.id, shard=n)) for e, n in _shards(study)]
    write_table(_concat(images, IMAGES), IMAGES, folder / "images.parquet")
    write_table(_concat(list(_objects(study)), OBJECTS), OBJECTS, folder / "objects.parquet")
    set_aside = [
        read_table(_path(paths.SET_ASIDE, dataset=entry.id, shard=shard))
        for entry, shard in _shards(study)
    ]
    cells = _asked(scores)
    cells = cells[cells["status"] != "ok"]
    cells = cells.assign(stage="predict")[[n for n in ALL_FAILURES.names if n in (*cells, "stage")]]
    failures = _concat([*set_aside, cells], ALL_FAILURES)
    write_table(failures, ALL_FAILURES, folder / "failures.parquet")
    write_json(folder / "record.json", _record(study, scores, failures))


def check(scores: pd.DataFrame, failures: pd.DataFrame, lost_share: float) -> None:
    """Raise a `UserError` where more than ``lost_share`` of the scans or of the cells were lost.

    Datasets that wait for a person, and methods whose weights are absent, are no losses.
    """
    set_aside = failures[failures["method"].isna() & failures["scan"].notna()]
    scans = set(zip(scores["dataset"], scores["scan"], strict=True))
    lost = set(zip(set_aside["dataset"], set_aside["scan"], strict=True))
    cells = _asked(scores)
    cells = cells[cells["status"] != "skipped"]
    failed = int((cells["status"] == "failed").sum())
    for what, count, total in (
        ("scans", len(lost), len(scans | lost)),
        ("cells", failed, len(cells)),
    ):
        if total and count / total > lost_share:
            raise UserError(
                f"{count} of {total} {what} were lost, more than the budget of {lost_share:.0%} "
                "(budgets.lost_share). The reasons stand in failures.parquet and in the report."
            )


def _asked(scores: pd.DataFrame) -> pd.DataFrame:
    """Cells of one prompt each: objects, and structures that were asked for by name."""
    return scores[(scores["level"] == "object") | (scores["prompt"] == "structure")]


def _scores(study: Study) -> Iterator[pd.DataFrame]:
    for name, run in study.runs.items():
        trained = weights.load(run.weights) if run.weights else None
        for entry, shard in _shards(study):
            part = read_table(
                _path(
                    paths.SCORES,
                    run=run.id,
                    scoring=study.scoring.id,
                    dataset=entry.id,
                    shard=shard,
                )
            )
            yield part.assign(
                method=name,
                split=entry.split,
                modality=entry.modality,
                collection=entry.collection or entry.id,
                contaminated=trained is not None and trained.contaminates(entry),
            )


def _times(study: Study) -> Iterator[pd.DataFrame]:
    for name, run in study.runs.items():
        for entry, shard in _shards(study):
            path = _path(paths.TIMES, run=run.id, dataset=entry.id, shard=shard)
            yield read_table(path).assign(method=name)


def _objects(study: Study) -> Iterator[pd.DataFrame]:
    for entry, shard in _shards(study):
        part = read_table(_path(paths.OBJECTS, dataset=entry.id, shard=shard))
        images = read_table(_path(paths.IMAGES, dataset=entry.id, shard=shard)).set_index("scan")
        spacing = images[[f"spacing_{axis}" for axis in "zyx"]].reindex(part["scan"]).to_numpy()
        axis = part[["axis"]].to_numpy(dtype=np.intp)
        yield part.assign(slice_mm=np.take_along_axis(spacing, axis, axis=1).ravel())


def _shards(study: Study) -> Iterator[tuple[Dataset, int]]:
    for entry in study.entries.values():
        for shard in range(entry.shards):
            yield entry, shard


def _path(pattern: str, **fields: Any) -> Path:
    return Path(pattern.format(**fields))


def _concat(parts: list[pd.DataFrame], schema: pa.Schema) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    joined = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    return joined.reindex(columns=schema.names)


def _record(study: Study, scores: pd.DataFrame, failures: pd.DataFrame) -> dict[str, Any]:
    return {
        **run_record(),
        "study": study.model_dump(mode="json"),
        "scoring": study.scoring.model_dump(mode="json"),
        "datasets": {
            entry.id: _dataset(entry, scores, failures) for entry in study.entries.values()
        },
        "prompts": costs(_prompts(study)),
        "methods": {name: _method(study, name, run) for name, run in study.runs.items()},
    }


def _prompts(study: Study) -> Iterator[pd.DataFrame]:
    for entry, shard in _shards(study):
        fields = {"rules": study.prompt_rules.id, "dataset": entry.id, "shard": shard}
        yield read_table(_path(paths.PROMPTS, **fields), ["kind", "deviation", "views", "clicks"])


def _dataset(entry: Dataset, scores: pd.DataFrame, failures: pd.DataFrame) -> dict[str, Any]:
    mine = scores[(scores["dataset"] == entry.id) & (scores["level"] == "object")]
    lost = failures[failures["method"].isna() & (failures["dataset"] == entry.id)]
    status = read_json(_path(paths.STATUS, dataset=entry.id))
    return {
        "name": entry.name,
        "split": entry.split,
        "modality": entry.modality,
        "licence": entry.licence.spdx,
        "redistributable": entry.licence.redistributable,
        "homepage": entry.homepage,
        "citation": entry.citation,
        "state": status["state"],
        "reason": status["reason"],
        "scans": int(mine["scan"].nunique()),
        "objects": int(mine["object"].nunique()),
        "set_aside": int(lost["scan"].notna().sum()),
    }


def _method(study: Study, name: str, run: Run) -> dict[str, Any]:
    info = study.methods[name].adapter_class.info
    first = next(_shards(study))
    masks = _path(paths.MASKS, run=run.id, dataset=first[0].id, shard=first[1])
    return {
        "run": run.id,
        "adapter": run.adapter,
        "prompt": run.prompt,
        "prompts": run.prompts,
        "options": run.options,
        "variants": run.variants,
        **_weights(run),
        "summary": info.summary,
        "licence": info.licence,
        "citation": info.citation,
        "gpu": info.gpu,
        "control": info.control,
        "sees_reference": info.sees_reference,
        "made_by": read_record(masks),
    }


def _weights(run: Run) -> dict[str, Any]:
    """What is known of a run's weights, if it has any."""
    entry = weights.load(run.weights) if run.weights else None
    if entry is None:
        return {"weights": None}
    trained = entry.trained_on
    status = read_status(_path(paths.WEIGHTS_STATUS, weights=entry.id))
    return {
        "weights": run.weights,
        "weights_name": entry.name,
        "weights_state": status.state,
        "weights_reason": status.reason,
        "weights_command": command(entry, run.weights),
        "weights_sha256": run.weights_sha256 or ", ".join(status.sha256.values()) or None,
        "weights_licence": entry.licence.told,
        "weights_trained_on": [*trained.datasets, *trained.others] if trained else None,
        "weights_trained_on_complete": trained.complete if trained else False,
        "weights_trained_on_source": trained.source if trained else None,
    }
