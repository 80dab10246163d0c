"""Tables of a generated study with the paper's datasets, shards and counts, without images."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmark import catalogue, inference, objects, prepare, prompts, scoring
from benchmark.catalogue import Dataset
from benchmark.masks import Mask
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.tables import write_table
from benchmark.study import Study

DATASETS = tuple(f"D{number:02d}" for number in range(1, 45))
SHAPE = (8, 24, 24)
GLOMERULI = 33729
"""Objects that D44 gets here, as in the three whole kidneys, so that some scans have many."""
SCANS = {"D03": 1014, "D04": 1014, "D27": 100, "D29": 17, "D40": 62}
"""Number of labelled studies as published, for entries of the catalogue without it."""


@dataclass(frozen=True)
class Count:
    """Number of scans of a dataset, and of objects per scan (at least one per structure)."""

    entry: Dataset
    scans: int
    objects: int


def counts(share: float = 1.0) -> list[Count]:
    """Return the real numbers of scans, or ``share`` of them, and the objects of each."""
    found = []
    for name in DATASETS:
        entry = catalogue.load(name)
        scans = entry.scans or SCANS[name]
        each = GLOMERULI // scans if name == "D44" else len(entry.labels)
        found.append(Count(entry, max(1, math.ceil(scans * share)), each))
    return found


def study(folder: Path, methods: Mapping[str, Any], **more: Any) -> Study:
    """Write a study of local copies of the 44 entries to ``folder`` and read it."""
    for count in counts():
        entry = count.entry
        content = {
            "id": entry.id,
            "name": entry.name,
            "split": entry.split,
            "modality": entry.modality,
            "source": {"kind": "local", "path": entry.id},
            "layout": {"image": "{scan}.nii.gz", "label": "{scan}.seg.nrrd"},
            "labels": {value: s.name for value, s in entry.labels.items()},
            "shards": entry.shards,
        }
        text = yaml.safe_dump(content)
        (folder / f"{entry.id}.yaml").write_text(text, encoding="utf-8")
    told = {"study": "scale", "datasets": [f"{n}.yaml" for n in DATASETS], "methods": methods}
    (folder / "scale.yaml").write_text(yaml.safe_dump(told | more), encoding="utf-8")
    return Study.read(told | more, "scale.yaml")


def write(planned: Study, share: float) -> int:
    """Write the tables of all shards as if predicted and scored; returns the number of objects.

    The working directory is that of the study. Methods with equal settings share their tables.
    """
    total = 0
    for count in counts(share):
        entry = planned.entries[count.entry.id]
        write_json(paths.at(paths.STATUS, dataset=entry.id), _READY)
        each = math.ceil(count.scans / entry.shards)
        for shard in range(entry.shards):
            scans = range(shard * each, min((shard + 1) * each, count.scans))
            shard_tables = Shard(entry, [f"scan-{n:05d}" for n in scans], count.objects)
            shard_tables.write(planned, shard)
            total += len(scans) * count.objects
    return total


_READY = {"state": "ready", "root": "", "fingerprint": "", "reason": None}
_MASK = Mask.of(np.ones((4, 10, 10)), offset=(2, 5, 5), shape=SHAPE)


class Shard:
    """Tables of one shard, in which every object is the same block on a grid of `SHAPE`."""

    def __init__(self, entry: Dataset, scans: list[str], each: int) -> None:
        self.entry, self.scans = entry, scans
        names = [s.name for s in entry.labels.values()]
        rows = [
            {"scan": scan, "structure": names[n % len(names)], "instance": n // len(names) + 1}
            for scan in scans
            for n in range(each)
        ]
        columns = ["scan", "structure", "instance"]
        self.objects = pd.DataFrame(rows, columns=columns)
        path = self.objects["scan"] + "/" + self.objects["structure"] + "/"
        self.objects["object"] = path + self.objects["instance"].astype(str)
        self.objects = self.objects.assign(dataset=entry.id, patient=self.objects["scan"])

    def write(self, planned: Study, shard: int) -> None:
        """Write the prepared tables, prompts, and the masks, times and scores of each run."""
        at = {"dataset": self.entry.id, "shard": shard}
        write_table(self.images(), prepare.IMAGE_SCHEMA, _path(paths.IMAGES, at))
        mask = _MASK.to_row()
        about = {"axis": 0, "largest_slice": 5, "extent": 4, "voxels": 400, "volume_mm3": 400.0}
        found = self.objects.assign(**about, **{k: v for k, v in mask.items() if k != "bits"})
        write_table(found, objects.SCHEMA, _path(paths.OBJECTS, at))
        reference = self.objects[["scan", "structure", "object"]].assign(**mask)
        write_table(reference, objects.REFERENCE_SCHEMA, _path(paths.REFERENCE, at))
        write_table([], prepare.FAILURE_SCHEMA, _path(paths.SET_ASIDE, at))
        asked = pd.DataFrame(self.prompts(planned), columns=prompts.SCHEMA.names)
        rules = planned.prompt_rules.id
        write_table(asked, prompts.SCHEMA, _path(paths.PROMPTS, at, rules=rules))
        for run in {run.id: run for run in planned.runs.values()}.values():
            self.write_run(planned, run, asked, at)

    def images(self) -> Iterator[dict[str, Any]]:
        about = {
            **{"dataset": self.entry.id, "part": "validation"},
            **{"collection": self.entry.id, "modality": self.entry.modality, "channels": ["CT"]},
            **{f"size_{axis}": n for axis, n in zip("zyx", SHAPE, strict=True)},
            **{f"spacing_{axis}": 1.0 for axis in "zyx"},
            **{"images": ["image.nii.gz"], "orientation": "LPS"},
        }
        for scan in self.scans:
            yield {**about, "scan": scan, "patient": scan}

    def prompts(self, planned: Study) -> Iterator[dict[str, Any]]:
        derived = list(prompts.derive(_MASK, 0, planned.deviations))
        for row in self.objects[["dataset", "scan", "object", "structure"]].to_dict("records"):
            for prompt in derived:
                yield {**{str(key): value for key, value in row.items()}, **prompt}

    def write_run(
        self, planned: Study, run: Run, asked: pd.DataFrame, at: Mapping[str, Any]
    ) -> None:
        mine = asked[asked["kind"] == run.prompt]
        cells = mine[["dataset", "scan", "object", "deviation"]]
        cells = cells.assign(variant="", prompt_hash=mine["hash"], status="ok")
        row = _MASK.to_row()
        write_table(cells.assign(**row), inference.MASK_SCHEMA, _path(paths.MASKS, at, run=run.id))
        write_table([], inference.TIME_SCHEMA, _path(paths.TIMES, at, run=run.id))
        rng = np.random.default_rng(len(mine))
        of_object = cells.assign(
            patient=mine["scan"], structure=mine["structure"], level="object", prompt=run.prompt
        )
        of_object = of_object.assign(effective_deviation=0.0, shift=0)
        of_structure = of_object.assign(level="structure", object=None, prompt_hash=None)
        keys = ["scan", "structure", "deviation"]
        rows = pd.concat([of_object, of_structure.drop_duplicates(keys)], ignore_index=True)
        rows = rows.assign(**{name: rng.random(len(rows)) for name in scoring.METRIC_NAMES})
        where = _path(paths.SCORES, at, run=run.id, scoring=planned.scoring.id)
        write_table(rows, scoring.SCHEMA, where)


def _path(pattern: str, at: Mapping[str, Any], **fields: Any) -> Path:
    return paths.at(pattern, **at, **fields)
