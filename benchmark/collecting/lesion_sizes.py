"""The cohorts of a study: their patients, and the size of their lesions in each scan.

In 2D, diameter and area of the guiding masks, which are the same for all methods. In 3D, the volume
of each method's masks. ``reference`` is the volume of the reference masks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.geometry import row_shape, row_spacing
from benchmark.masks import Mask
from benchmark.objects import not_evaluated
from benchmark.sources import Status
from benchmark.storage import paths
from benchmark.storage.tables import read_table, records, write_table

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.analysis.settings import Cohort
    from benchmark.catalogue import Dataset
    from benchmark.study import Study

REFERENCE_METHOD = "reference"

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "scan", "patient", "method")),
        *((name, pa.float64()) for name in ("diameter_mm", "area_mm2", "volume_mm3")),
        *((name, pa.string()) for name in ("status", "reason")),
    ]
)
"""One row per scan and method.

Diameters are summed over the two largest lesions, as RECIST does for an organ, and areas over all
lesions; volumes are those of the union of the masks. A cohort without any usable scan has one
skipped row per method, without a scan.
"""

_RECIST_TARGETS_PER_ORGAN = 2


def write_cohort_tables(study: "Study", folder: Path) -> None:
    """Write measures.parquet and cohorts.parquet of ``study`` to ``folder``."""
    from benchmark.analysis.frames import cohorts_table

    rows, tables = [], []
    for name, cohort in study.analysis.cohorts.items():
        if reason := _why_not(study.entries[name]):
            for method in (REFERENCE_METHOD, *study.runs):
                about = {"dataset": name, "method": method}
                rows.append({**about, "status": "skipped", "reason": reason})
        else:
            rows += _size_rows(study, name, cohort)
            tables.append(_patients(name, cohort))
    write_table(rows, SCHEMA, folder / "measures.parquet")
    joined = cohorts_table(tables)
    schema = pa.Schema.from_pandas(joined, preserve_index=False)
    write_table(joined, schema, folder / "cohorts.parquet")


def longest_diameter_mm(plane: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Return the longest distance in mm between two pixel corners of ``plane`` (rows, columns).

    ``spacing``: of rows and columns, in mm. An empty plane has the diameter 0.
    """
    from scipy.spatial.distance import pdist

    filled = np.flatnonzero(plane.any(axis=1))
    if not len(filled):
        return 0.0
    lines = plane[filled]
    ends = lines.argmax(axis=1), plane.shape[1] - lines[:, ::-1].argmax(axis=1)
    corners = [np.column_stack([filled + edge, end]) for edge in (0, 1) for end in ends]
    return float(pdist(np.concatenate(corners) * np.array(spacing)).max())


def _why_not(entry: "Dataset") -> str:
    """Return why there is nothing to measure; an empty string if there is something."""
    if any(
        len(_table(paths.IMAGES, dataset=entry.id, shard=shard)) for shard in range(entry.shards)
    ):
        return ""
    status = Status.load(paths.at(paths.STATUS, dataset=entry.id))
    reason = "no scan could be used" if status.is_ready else f"the dataset is {status.state}"
    return f"no data: {reason}"


def _patients(dataset: str, cohort: "Cohort") -> "pd.DataFrame":
    """Read the cohort's table and rename its columns to those of the analysis."""
    from benchmark.analysis.checks import require_columns
    from benchmark.analysis.frames import read

    path = Path(cohort.table)
    if not path.exists():
        status = Status.load(paths.at(paths.STATUS, dataset=dataset))
        path = Path(status.root) / cohort.table
    if not path.exists():
        raise UserError(
            f"The cohort {dataset} has no table: expected {cohort.table} here or among the files "
            f"of the dataset. Name its path in analysis.cohorts.{dataset}.table."
        )
    table = read(path, names=(cohort.patient, cohort.pre, cohort.post))
    names = {cohort.patient: "patient", cohort.time: "time", cohort.event: "event"}
    names |= {cohort.pre: "pre_scan", cohort.post: "post_scan"}
    require_columns(table, (*names, *cohort.covariates), str(path))
    more = {covariate: f"covariate_{covariate}" for covariate in cohort.covariates}
    kept = table[[*names, *cohort.covariates]].rename(columns=names | more)
    return kept.assign(cohort=dataset, dataset=dataset)


def _size_rows(study: "Study", dataset: str, cohort: "Cohort") -> Iterator[dict[str, Any]]:
    entry = study.entries[dataset]
    for shard in range(entry.shards):
        place = {"dataset": entry.id, "shard": shard}
        prompts = _table(paths.PROMPTS, rules=study.prompt_rules.id, **place)
        prompts = _of_structure(prompts[prompts["deviation"] == 0], cohort)
        whole = _table(paths.REFERENCE, **place)
        reference = _of_structure(whole, cohort)
        masks = {name: _table(paths.MASKS, run=run.id, **place) for name, run in study.runs.items()}
        for image in records(_table(paths.IMAGES, **place)):
            prompted = prompts[prompts["scan"] == image["scan"]]
            about = {key: image[key] for key in ("dataset", "scan", "patient")}
            about |= _guiding_mask_sizes(records(prompted[prompted["kind"] == "mask2d"]), image)
            outside = not_evaluated(
                records(whole[whole["scan"] == image["scan"]]), row_shape(image)
            )
            truth = reference[(reference["scan"] == image["scan"]) & reference["object"].notna()]
            measured = _union_volume(records(truth), image, outside)
            yield {**about, "method": REFERENCE_METHOD, **measured}
            for method, table in masks.items():
                names = set(prompted.loc[prompted["kind"] == study.runs[method].prompt, "object"])
                mine = table[(table["variant"] == "") & (table["deviation"] == 0)]
                rows = records(mine[mine["object"].isin(names)])
                yield {**about, "method": method, **_union_volume(rows, image, outside, len(names))}


def _table(pattern: str, **fields: Any) -> "pd.DataFrame":
    return read_table(paths.at(pattern, **fields))


def _of_structure(table: "pd.DataFrame", cohort: "Cohort") -> "pd.DataFrame":
    return table if cohort.structure is None else table[table["structure"] == cohort.structure]


def _guiding_mask_sizes(prompts: list[dict[str, Any]], image: dict[str, Any]) -> dict[str, float]:
    """Return diameter and area of the guiding masks of a scan."""
    shape, spacing = row_shape(image), row_spacing(image)
    diameters, area = [], 0.0
    for row in prompts:
        first, second = (spacing[axis] for axis in range(3) if axis != row["axis"])
        plane = Mask.from_row(row, shape).crop.squeeze(axis=int(row["axis"]))
        diameters.append(longest_diameter_mm(plane, (first, second)))
        area += float(plane.sum()) * first * second
    return {"diameter_mm": sum(sorted(diameters)[-_RECIST_TARGETS_PER_ORGAN:]), "area_mm2": area}


def _union_volume(
    rows: list[dict[str, Any]], image: dict[str, Any], outside: Mask, expected: int | None = None
) -> dict[str, Any]:
    """Return the volume of the union of masks without ``outside``, or why there is none."""
    bad = [row for row in rows if row.get("status", "ok") != "ok"]
    if bad:
        return {"status": bad[0]["status"], "reason": bad[0]["reason"]}
    if expected is not None and len(rows) < expected:
        return {"status": "failed", "reason": f"{expected - len(rows)} prompts have no mask"}
    shape, spacing = row_shape(image), row_spacing(image)
    union = Mask.union_of_rows(rows, shape)
    voxels = union.without(outside).voxels
    return {"status": "ok", "volume_mm3": voxels * float(np.prod(spacing))}
