"""Selection of the objects in the qualitative panels, and their image crops and masks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark import paths
from benchmark.boxes import Box, clip, hull, inside, overlap, relative, slices
from benchmark.errors import UserError
from benchmark.geometry import row_shape, row_spacing
from benchmark.masks import Mask, Shape, box_of

if TYPE_CHECKING:
    import pandas as pd

    from reports.results import Results

_MARGIN_MM = 12.0
_KEYS = ["dataset", "scan", "object"]


@dataclass(frozen=True)
class Answer:
    """A method's result for an object: its mask (z, y, x) on the crop, or why there is none."""

    mask: NDArray[np.bool_] | None
    dsc: float | None
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """An object with its surroundings, cropped from the scan.

    Attributes:
        image: grey values (z, y, x); the masks share its grid.
        truth: reference mask.
        spacing: (z, y, x) in mm.
        axis: array axis perpendicular to the guiding slice.
        index: index of the guiding slice in the crop.
        prompt: half-open box of the 2D prompt in the crop; None without one.
        answers: result of each method.
        channels: every channel by name, if the scan has named channels.
    """

    rank: str
    dataset: str
    structure: str
    object: str
    image: NDArray[np.float32]
    truth: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    axis: int
    index: int
    prompt: Box | None
    answers: Mapping[str, Answer]
    channels: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def choose(
    objects: "pd.DataFrame", method: str | None, count: int, shown: set[str]
) -> "pd.DataFrame":
    """Choose the ``count`` best, median and worst objects by the DSC of ``method``.

    ``objects`` is `Results.objects`; ``shown`` names the datasets whose images may be shown. The
    column ``rank`` of the result is best, median or worst. No object is chosen twice; ties are
    broken by dataset, scan and object.
    """
    rows = objects[(objects["method"] == method) & objects["dataset"].isin(list(shown))]
    rows = rows[(rows["status"] == "ok") & rows["dsc"].notna()]
    rows = rows.sort_values(["dsc", *_KEYS], ascending=[False, True, True, True])
    middle = max((len(rows) - count) // 2, 0)
    wanted = {
        "best": range(count),
        "worst": range(len(rows) - count, len(rows)),
        "median": range(middle, middle + count),
    }
    ranks: dict[int, str] = {}
    for rank, places in wanted.items():
        for place in places:
            if 0 <= place < len(rows):
                ranks.setdefault(place, rank)
    chosen = rows.iloc[sorted(ranks)].copy()
    chosen["rank"] = [ranks[place] for place in sorted(ranks)]
    return chosen


def load(results: "Results") -> list[Case]:
    """Load the cases of a study's panels.

    A case whose files cannot be read is left out with a message, so that the report is still made.
    """
    shown = results.shown(private=results.report.private_images)
    chosen = choose(results.objects, results.panel_method, results.report.panels, shown)
    cases = []
    for row in chosen.to_dict("records"):
        try:
            cases.append(read(results, row))
        except (UserError, OSError) as error:
            print(f"Panel of {row['object']} left out: {error}")
    return cases


def read(results: "Results", row: Mapping[Any, Any], margin_mm: float = _MARGIN_MM) -> Case:
    """Read an object with its surroundings and every method's result for it.

    Args:
        row: ``dataset``, ``scan``, ``object``, ``structure`` and optionally ``rank``.
        margin_mm: margin around the object and around predictions that extend beyond it.
            Predictions are cut off at twice this distance from the object; the margin is added to
            what is left.

    Raises `UserError` or `OSError` if a file is missing or cannot be read.
    """
    from benchmark import volume

    dataset, scan, name = str(row["dataset"]), str(row["scan"]), str(row["object"])
    about = _one(_shards(results, paths.IMAGES, dataset=dataset), scan=scan)
    shape, spacing = row_shape(about), row_spacing(about)
    reference = _shards(results, paths.REFERENCE, dataset=dataset)
    truth = Mask.from_row(_one(reference, scan=scan, object=name), shape)
    guide = _guide(results, dataset, name)
    masks: dict[str, Mask] = {}
    scores = results.objects
    scores = scores[(scores["dataset"] == dataset) & (scores["object"] == name)]
    by_method = {str(r["method"]): r for r in scores.to_dict("records")}
    answers: dict[str, Answer] = {}
    for method in results.methods:
        mask, reason = _prediction(results, method, dataset, name, shape)
        if mask is not None:
            masks[method] = mask
        scored = by_method.get(method, {})
        dsc = float(scored["dsc"]) if scored.get("status") == "ok" else None
        answers[method] = Answer(None, dsc, reason or str(scored.get("reason") or "not scored"))
    limit = _around(truth.box, spacing, shape, 2 * margin_mm)
    near = [overlap(mask.box, limit) for mask in masks.values()]
    box = _around(hull([truth.box, *near]), spacing, shape, margin_mm)
    image = volume.read_row(about, root=results.home)
    axis = int(guide["axis"]) if guide else 0
    areas = truth.crop.sum(axis=tuple(a for a in range(3) if a != axis))
    place = int(guide["slice"]) if guide else truth.box[2 * axis] + int(areas.argmax())
    return Case(
        rank=str(row.get("rank", "")),
        dataset=dataset,
        structure=str(row["structure"]),
        object=name,
        image=image.grey[slices(box)].astype(np.float32),
        truth=inside(clip(truth, box), box),
        spacing=spacing,
        axis=axis,
        index=place - box[2 * axis],
        prompt=relative(box_of(guide), box) if guide else None,
        answers={
            m: Answer(inside(clip(masks[m], box), box) if m in masks else None, a.dsc, a.reason)
            for m, a in answers.items()
        },
        channels={
            name: part[slices(box)].astype(np.float32)
            for name, part in zip(image.channels, image.array, strict=False)
        },
    )


def _around(box: Box, spacing: tuple[float, float, float], shape: Shape, margin_mm: float) -> Box:
    span: list[int] = []
    for axis in range(3):
        margin = int(np.ceil(margin_mm / spacing[axis]))
        span += [max(box[2 * axis] - margin, 0), min(box[2 * axis + 1] + margin, shape[axis])]
    return span[0], span[1], span[2], span[3], span[4], span[5]


def _guide(results: "Results", dataset: str, name: str) -> dict[str, Any] | None:
    """Return the row of the object's 2D box prompt at deviation 0, or None without one."""
    # All methods of a study share one set of prompt rules.
    rules = next((m.get("prompts") for m in results.record.get("methods", {}).values()), None)
    folder = _shards(results, paths.PROMPTS, rules=rules, dataset=dataset)
    if not folder.exists():
        return None
    found = _rows(folder, dataset=dataset, object=name, kind="box2d", deviation=0.0)
    return found[0] if found else None


def _shards(results: "Results", pattern: str, **fields: Any) -> Path:
    """Return the folder of the shards that a pattern of `benchmark.paths` names."""
    return results.home / paths.table_folder(pattern, **fields)


def _prediction(
    results: "Results", method: str, dataset: str, name: str, shape: Shape
) -> tuple[Mask | None, str]:
    run = results.record.get("methods", {}).get(method, {}).get("run")
    folder = _shards(results, paths.MASKS, run=run, dataset=dataset)
    if not folder.exists():
        return None, "no masks kept"
    whole = name.rpartition("/")[0]  # key of the mask if the method is prompted by structure name
    found = [
        row
        for asked in (name, whole)
        for row in _rows(folder, object=asked, variant="", deviation=0.0)
    ]
    if not found:
        return None, "not predicted"
    row = found[0]
    if row["status"] != "ok":
        return None, str(row["reason"] or row["status"])
    return Mask.from_row(row, shape), ""


def _rows(path: Path, **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a table, or a folder of shards, whose columns have these values."""
    from benchmark.tables import read_arrow

    filters = [(column, "=", value) for column, value in values.items()]
    return list(read_arrow(path, filters=filters).to_pylist())


def _one(path: Path, **values: Any) -> dict[str, Any]:
    found = _rows(path, **values)
    if not found:
        raise UserError(f"{path} has no row with {values}; prepare the dataset again.")
    return found[0]
