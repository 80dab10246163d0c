"""Score masks against references: one row per expected cell, each ok, skipped or failed.

There are two levels. ``object``: a prediction against its object. ``structure``: the union of the
predictions for a structure's objects in a scan, against the union of the kept objects or the whole
label. If any of these predictions is not ok, neither is the structure: no part is left out
silently. Prompts that name a structure have no objects and are scored at the level of structures
only. Against the kept objects, what they find of the others does not count
(`benchmark.scoring.dropped.without_dropped`).

Voxels that are not evaluated (`benchmark.objects.not_evaluated`) are in no reference. They are
taken out of each prediction before anything is measured, and are no true negatives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmark import masks, metrics, objects
from benchmark.boxes import clip, voxel_count
from benchmark.geometry import diagonal_mm, row_shape, row_spacing
from benchmark.machine.progress import progress
from benchmark.masks import Mask
from benchmark.metrics.empty import fill_empty
from benchmark.scoring.dropped import without_dropped
from benchmark.specs import Run, Scoring
from benchmark.storage.tables import records

METRIC_NAMES = tuple(metrics.METRICS)

SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("dataset", "scan", "patient", "level", "structure", "object", "variant")
        ),
        ("prompt", pa.string()),
        *((name, pa.float64()) for name in ("deviation", "effective_deviation")),
        ("shift", pa.int32()),
        *((name, pa.string()) for name in ("status", "reason", "prompt_hash")),
        ("tolerance_mm", pa.float64()),
        *((name, pa.float64()) for name in (*METRIC_NAMES, *metrics.PROMPT_REGION_METRICS)),
    ]
)
"""One row per cell.

``object``, ``prompt_hash``, ``effective_deviation`` and ``shift`` are null at the structure level.
``tolerance_mm`` is the tolerance of NSD. It and the metrics are null unless ``status`` is ok;
metrics are also null where the policy for empty masks leaves them out.
Metrics in the region of the prompt are null at the structure level, and unless the study asks for
them.
"""


@dataclass(frozen=True)
class Inputs:
    """The tables of one shard."""

    images: pd.DataFrame
    objects: pd.DataFrame
    reference: pd.DataFrame
    prompts: pd.DataFrame
    masks: pd.DataFrame


def score(run: Run, settings: Scoring, inputs: Inputs) -> Iterator[dict[str, Any]]:
    """Yield the rows of `SCHEMA` for all cells that are expected of ``run`` in a shard."""
    scans = records(inputs.images)
    for image in progress(scans, f"score {run.adapter}", "scan"):
        yield from _ScanScores(run, settings, inputs, image).rows()


_PARTLY = "annotated in part: true objects without a mask would count as false positives"


class _ScanScores:
    """The cells of one scan."""

    def __init__(self, run: Run, settings: Scoring, inputs: Inputs, image: dict[str, Any]) -> None:
        scan = image["scan"]
        self.run, self.settings, self.image = run, settings, image
        self.shape = row_shape(image)
        self.spacing = row_spacing(image)
        self.diagonal_mm = diagonal_mm(self.shape, self.spacing)
        self.objects = inputs.objects[inputs.objects["scan"] == scan].set_index("object")
        partly = self.objects.get("partly_annotated", pd.Series(dtype=bool)).eq(True).any()
        self.is_unfair = partly and run.prompt == "structure"
        self.reference = _of_scan(inputs.reference, scan)
        self.not_evaluated = objects.not_evaluated(self.reference, self.shape)
        expected = inputs.prompts
        expected = expected[(expected["scan"] == scan) & (expected["kind"] == run.prompt)]
        self.expected = records(expected)
        self.predicted = {
            (row["variant"], row["deviation"], row["object"]): row
            for row in _of_scan(inputs.masks, scan)
        }
        self.compared: dict[tuple[tuple[int, ...], ...], dict[str, float]] = {}

    def rows(self) -> Iterator[dict[str, Any]]:
        for variant in ("", *self.run.variants):
            expected = [r for r in self.expected if variant in self.run.variants_at(r["deviation"])]
            if self.run.prompt != "structure":
                for row in expected:
                    yield self._object(variant, row)
            for deviation in sorted({row["deviation"] for row in expected}):
                for structure in dict.fromkeys(self.objects["structure"]):
                    yield self._structure(variant, deviation, structure)

    def _object(self, variant: str, prompt: dict[str, Any]) -> dict[str, Any]:
        name = prompt["object"]
        about = {
            **self._about("object", variant, prompt["deviation"], prompt["structure"]),
            "object": name,
            "effective_deviation": prompt["effective_deviation"],
            "shift": prompt["shift"],
            "prompt_hash": prompt["hash"],
        }
        cell = self._cell(variant, prompt)
        if cell["status"] != "ok":
            return {**about, "status": cell["status"], "reason": cell["reason"]}
        reference = [r for r in self.reference if r["object"] == name]
        values = self._compare(reference, [cell], prompt["structure"])
        if self.settings.in_prompt and prompt["kind"] != "structure":
            values |= self._in_prompt(reference, cell, prompt)
        return {**about, **values}

    def _in_prompt(
        self, reference: list[dict[str, Any]], cell: dict[str, Any], prompt: dict[str, Any]
    ) -> dict[str, float]:
        """Return the overlap in the prompt's box; a 2D box is extended through all slices."""
        sides = [int(prompt[name]) for name in masks.BOX_FIELDS]
        if prompt["kind"] != "box3d":
            axis = int(prompt["axis"])
            sides[2 * axis : 2 * axis + 2] = 0, self.shape[axis]
        z0, z1, y0, y1, x0, x1 = sides
        truth = Mask.union_of_rows(reference, self.shape)
        found = Mask.from_row(cell, self.shape).without(self.not_evaluated)
        region = (z0, z1, y0, y1, x0, x1)
        outside = int(clip(self.not_evaluated, region).crop.sum())
        return metrics.metrics_in_region(truth, found, region, voxel_count(region) - outside)

    def _structure(self, variant: str, deviation: float, structure: str) -> dict[str, Any]:
        about = self._about("structure", variant, deviation, structure)
        if self.is_unfair:
            return {**about, "status": "skipped", "reason": _PARTLY}
        prompts = [
            row
            for row in self.expected
            if row["structure"] == structure and row["deviation"] == deviation
        ]
        cells = [self._cell(variant, row) for row in prompts]
        bad = [cell for cell in cells if cell["status"] != "ok"]
        if bad:
            count = f"{len(bad)} of {len(cells)} objects: " if len(cells) > 1 else ""
            return {**about, "status": bad[0]["status"], "reason": f"{count}{bad[0]['reason']}"}
        label = [row for row in self.reference if row["structure"] == structure]
        kept = [row for row in label if isinstance(row["object"], str)]
        if self.settings.reference == "label":
            return {**about, **self._compare(label, cells, structure)}
        dropped = [row for row in label if not isinstance(row["object"], str)]
        uncounted = dropped if self.run.prompt == "structure" else []
        return {**about, **self._compare(kept, cells, structure, uncounted)}

    def _about(self, level: str, variant: str, deviation: float, structure: str) -> dict[str, Any]:
        return {
            **{key: self.image[key] for key in ("dataset", "scan", "patient")},
            "level": level,
            "structure": structure,
            "variant": variant,
            "prompt": self.run.prompt,
            "deviation": deviation,
        }

    def _cell(self, variant: str, prompt: dict[str, Any]) -> dict[str, Any]:
        """Return the prediction for a prompt; if it is missing or for another prompt, a failure."""
        cell = self.predicted.get((variant, prompt["deviation"], prompt["object"]))
        if cell is None:
            return {"status": "failed", "reason": "no row for this prompt in the masks"}
        if cell["prompt_hash"] != prompt["hash"]:
            reason = f"made for the prompt {cell['prompt_hash']}, expected {prompt['hash']}"
            return {"status": "failed", "reason": reason}
        return cell

    def _compare(
        self,
        reference: list[dict[str, Any]],
        predicted: list[dict[str, Any]],
        structure: str,
        uncounted: Sequence[dict[str, Any]] = (),
    ) -> dict[str, Any]:
        # A structure with one object is a cell at both levels, but is compared once.
        key = tuple(tuple(id(row) for row in rows) for rows in (reference, predicted, uncounted))
        if key not in self.compared:
            self.compared[key] = self._metrics(reference, predicted, structure, uncounted)
        return {"status": "ok", **self.compared[key]}

    def _metrics(
        self,
        reference: list[dict[str, Any]],
        predicted: list[dict[str, Any]],
        structure: str,
        uncounted: Sequence[dict[str, Any]],
    ) -> dict[str, float]:
        truth, found, dropped = (
            Mask.union_of_rows(rows, self.shape) for rows in (reference, predicted, uncounted)
        )
        found = without_dropped(found.without(self.not_evaluated), dropped, truth)
        tolerance = self.settings.tolerance_of(structure)
        values = metrics.score_masks(
            truth,
            found,
            self.spacing,
            grid_voxels=prod(self.shape) - self.not_evaluated.voxels,
            tolerance_mm=tolerance,
            engine=self.settings.engine,
        )
        filled = fill_empty(
            values,
            reference_empty=truth.voxels == 0,
            prediction_empty=found.voxels == 0,
            diagonal_mm=self.diagonal_mm,
            policy=self.settings.empty,
        )
        return {"tolerance_mm": tolerance, **filled}


def _of_scan(table: pd.DataFrame, scan: str) -> list[dict[str, Any]]:
    return records(table[table["scan"] == scan])
