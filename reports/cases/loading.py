"""An object as figures and case browser show it: image crop, reference and every result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Box, bounding_box, clip, dense_in, overlap, relative, slices
from benchmark.errors import UserError
from benchmark.geometry import row_shape, row_spacing
from benchmark.masks import Mask, Shape, box_of
from benchmark.objects import not_evaluated
from benchmark.storage import paths

if TYPE_CHECKING:
    from reports.results import Results


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
        rank: why a panel shows it (best, median or worst); empty in the case browser.
    """

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
    rank: str = ""


def load_case(results: "Results", row: Mapping[Any, Any], margin_mm: float) -> Case:
    """Read an object with its surroundings and every method's result for it.

    Args:
        row: ``dataset``, ``scan``, ``object`` and ``structure``.
        margin_mm: margin around the object and around predictions that extend beyond it.
            Predictions lack voxels that are not evaluated, as in scoring, and are cut off at twice
            this distance from the object; the margin is added to what is left.

    Raises `UserError` or `OSError` if a file is missing or cannot be read.
    """
    from benchmark import volume

    dataset, scan, name = str(row["dataset"]), str(row["scan"]), str(row["object"])
    about = _one(_shards(results, paths.IMAGES, dataset=dataset), scan=scan)
    shape, spacing = row_shape(about), row_spacing(about)
    reference = _shards(results, paths.REFERENCE, dataset=dataset)
    truth = Mask.from_row(_one(reference, scan=scan, object=name), shape)
    outside = not_evaluated(_rows(reference, scan=scan), shape)
    guide = _guide(results, dataset, name)
    predictions = {m: _prediction(results, m, dataset, name, outside) for m in results.methods}
    masks = [mask for mask, _ in predictions.values() if mask is not None]
    box = _visible_box(truth, masks, spacing, shape, margin_mm)
    image = volume.read_row(about, root=results.workdir)
    axis, index = _guiding_slice(guide, truth)
    return Case(
        dataset=dataset,
        structure=str(row["structure"]),
        object=name,
        image=image.grey[slices(box)].astype(np.float32),
        truth=dense_in(clip(truth, box), box),
        spacing=spacing,
        axis=axis,
        index=index - box[2 * axis],
        prompt=relative(box_of(guide), box) if guide else None,
        answers=_answers(results, dataset, name, predictions, box),
        channels={
            name: part[slices(box)].astype(np.float32)
            for name, part in zip(image.channels, image.array, strict=False)
        },
    )


def _visible_box(
    truth: Mask,
    masks: Iterable[Mask],
    spacing: tuple[float, float, float],
    shape: Shape,
    margin_mm: float,
) -> Box:
    """Return the box of the scan that a case shows; see `load_case` for the margin."""
    limit = _around(truth.box, spacing, shape, 2 * margin_mm)
    near = [overlap(mask.box, limit) for mask in masks]
    return _around(bounding_box([truth.box, *near]), spacing, shape, margin_mm)


def _guiding_slice(guide: Mapping[str, Any] | None, truth: Mask) -> tuple[int, int]:
    """Return axis and index of the guiding slice; without one, of the largest axial slice."""
    if guide:
        return int(guide["axis"]), int(guide["slice"])
    return 0, truth.box[0] + int(truth.crop.sum(axis=(1, 2)).argmax())


def _answers(
    results: "Results",
    dataset: str,
    name: str,
    predictions: Mapping[str, tuple[Mask | None, str]],
    box: Box,
) -> dict[str, Answer]:
    """Return the answer of each method: its mask within the box, its score and its reason."""
    scores = results.objects
    scores = scores[(scores["dataset"] == dataset) & (scores["object"] == name)]
    by_method = {str(row["method"]): row for row in scores.to_dict("records")}
    answers = {}
    for method, (mask, reason) in predictions.items():
        scored = by_method.get(method, {})
        dsc = float(scored["dsc"]) if scored.get("status") == "ok" else None
        crop = None if mask is None else dense_in(clip(mask, box), box)
        answers[method] = Answer(crop, dsc, reason or str(scored.get("reason") or "not scored"))
    return answers


def _around(box: Box, spacing: tuple[float, float, float], shape: Shape, margin_mm: float) -> Box:
    span: list[int] = []
    for axis in range(3):
        margin = int(np.ceil(margin_mm / spacing[axis]))
        span += [max(box[2 * axis] - margin, 0), min(box[2 * axis + 1] + margin, shape[axis])]
    return span[0], span[1], span[2], span[3], span[4], span[5]


def _guide(results: "Results", dataset: str, name: str) -> dict[str, Any] | None:
    """Return the row of the object's 2D box prompt at deviation 0, or None without one."""
    # The prompts of any method will do: all have those at deviation 0.
    rules = next((method.prompts for method in results.method_records.values()), None)
    folder = _shards(results, paths.PROMPTS, rules=rules, dataset=dataset)
    if not folder.exists():
        return None
    found = _rows(folder, dataset=dataset, object=name, kind="box2d", deviation=0.0)
    return found[0] if found else None


def _shards(results: "Results", pattern: str, **fields: Any) -> Path:
    """Return the folder of the shards that a pattern of `benchmark.storage.paths` names."""
    return results.workdir / paths.table_folder(pattern, **fields)


def _prediction(
    results: "Results", method: str, dataset: str, name: str, outside: Mask
) -> tuple[Mask | None, str]:
    """Return a method's mask without the voxels ``outside``, or why there is none."""
    run = results.method_record(method).run
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
    return Mask.from_row(row, outside.shape).without(outside), ""


def _rows(path: Path, **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a table, or a folder of shards, whose columns have these values."""
    from benchmark.storage.tables import read_arrow

    filters = [(column, "=", value) for column, value in values.items()]
    return list(read_arrow(path, filters=filters).to_pylist())


def _one(path: Path, **values: Any) -> dict[str, Any]:
    found = _rows(path, **values)
    if not found:
        raise UserError(f"{path} has no row with {values}; prepare the dataset again.")
    return found[0]
