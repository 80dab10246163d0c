"""Score finished predictions: two folders of label files give the scores of every structure.

Files are paired by name. The references determine what is expected: if a prediction is missing,
unreadable or on another grid, each structure of its scan counts as failed.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from benchmark import metrics
from benchmark.boxes import EMPTY, dense_in, of_shape
from benchmark.errors import UserError, unknown_name
from benchmark.finished import segmentation
from benchmark.finished.segmentation import Segmentation, stem
from benchmark.geometry import diagonal_mm
from benchmark.machine.machine_errors import reason_for_scan
from benchmark.machine.progress import progress
from benchmark.masks import Mask
from benchmark.masks.labelmap import Label
from benchmark.metrics import EmptyPolicy, Engine, fill_empty
from benchmark.metrics.boundary import METRICS_OF_CONVENTION, Convention, boundary_metrics
from benchmark.settings import Settings, load_yaml, short_for

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("scan", "structure", "status", "reason")),
        ("reference_mm3", pa.float64()),
        ("prediction_mm3", pa.float64()),
        ("tolerance_mm", pa.float64()),
        *((name, pa.float64()) for name in metrics.METRICS),
    ]
)
"""Schema of the scores: one row per scan and structure that is in either file.

``structure`` is null if the reference cannot be read.
"""


_NOT_EVALUATED = "not_evaluated"
_SCANS = 8  # in memory at once


class Named(Settings):
    """A structure in the file of labels."""

    name: str
    nsd_tolerance_mm: float | None = Field(default=None, ge=0)


class LabelFile(Settings):
    """Content of the file ``--labels``.

    Attributes:
        labels: the structure, or only its name, of each label value.
        not_evaluated: as in `Options`.
    """

    labels: dict[int, Annotated[Named, short_for("name")]] = {}
    not_evaluated: tuple[int | str, ...] = ()

    @property
    def names(self) -> dict[int, str] | None:
        """The structure of each value; None if none is named."""
        return {value: of.name for value, of in self.labels.items()} or None

    @property
    def tolerances(self) -> dict[str, float]:
        """Tolerance of NSD in mm of each structure that has one."""
        found = {of.name: of.nsd_tolerance_mm for of in self.labels.values()}
        return {name: mm for name, mm in found.items() if mm is not None}


@dataclass(frozen=True)
class Options:
    """How to score predictions.

    Attributes:
        names: structure of each label value; None if the values are the names.
        not_evaluated: values of label maps, and names of segments: where a reference has them,
            nothing is evaluated.
        tolerances: tolerance of NSD in mm by structure.
        tolerance_mm: tolerance of NSD for all other structures.
        empty: what to do with distances of empty masks.
        threads: number of structures scored in parallel, of up to eight scans.
        engine: code that computes surface distances, as in `benchmark.metrics.score`.
        conventions: libraries whose boundary metrics are added.
    """

    names: Mapping[int, str] | None = None
    not_evaluated: Collection[int | str] = ()
    tolerances: Mapping[str, float] = field(default_factory=dict)
    tolerance_mm: float = 2.0
    empty: EmptyPolicy = field(default_factory=EmptyPolicy)
    threads: int = 1
    engine: Engine = "auto"
    conventions: tuple[Convention, ...] = ()


def check_conventions(names: Sequence[str]) -> tuple[Convention, ...]:
    """Check the names of conventions and sort them; raise a `UserError` for an unknown one."""
    for name in names:
        if name not in METRICS_OF_CONVENTION:
            raise UserError(unknown_name("convention", name, METRICS_OF_CONVENTION))
    return tuple(convention for convention in METRICS_OF_CONVENTION if convention in names)


def schema(conventions: Sequence[Convention]) -> pa.Schema:
    """Add the columns of boundary metrics, ``<metric>_<convention>``, to `SCHEMA`."""
    more = (
        f"{name}_{convention}"
        for convention in conventions
        for name in METRICS_OF_CONVENTION[convention]
    )
    return pa.schema([*SCHEMA, *((name, pa.float64()) for name in more)])


def read_labels(path: Path) -> LabelFile:
    """Read a file of labels, without the background 0.

    Raise a `UserError` if the file is invalid, or if a name or a value occurs twice.
    """
    content = load_yaml(path)
    about = {}
    if isinstance(content, dict) and _NOT_EVALUATED in content:
        about = {_NOT_EVALUATED: content.pop(_NOT_EVALUATED)}
    if not isinstance(content, dict) or not all(isinstance(value, int) for value in content):
        raise UserError(
            f"{path}: Expected one 'value: name' per line, such as '1: liver'; got "
            f"{content!r:.80}. Likely cause: names before values, or a file of another kind. Next "
            "step: write '<value>: <name>'."
        )
    file = LabelFile.read({"labels": content, **about}, str(path))
    file.labels.pop(0, None)
    counts = Counter(of.name for of in file.labels.values())
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(
            f"{path}: more than one value is named {', '.join(twice)}. Expected one "
            "structure per value. Next step: rename one, or join them in the files first."
        )
    if both := [value for value in file.labels if value in file.not_evaluated]:
        raise UserError(
            f"{path}: {both[0]} is both named and under {_NOT_EVALUATED}. Expected either. Next "
            "step: remove one."
        )
    return file


def cores() -> int:
    """Count the processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def pair(reference: Path, prediction: Path) -> dict[str, tuple[Path, Path | None]]:
    """Return the reference of each scan with its prediction, or None if there is none.

    Raise a `UserError` if a folder has no label files or two of the same name, or if no prediction
    has the name of a reference.
    """
    references, predictions = _files(reference), _files(prediction)
    if not references.keys() & predictions.keys():
        name = next(iter(predictions))
        raise UserError(
            f"No file name in {prediction} matches one in {reference}. Files are paired by name "
            "without the suffix (scan7.nii.gz and scan7.seg.nrrd are a pair). "
            + unknown_name("scan", name, references)
        )
    return {name: (path, predictions.get(name)) for name, path in references.items()}


def unmatched_predictions(reference: Path, prediction: Path) -> list[str]:
    """Return the names of predictions without a reference, sorted."""
    return sorted(_files(prediction).keys() - _files(reference).keys())


def unused_names(options: Options, structures: Collection[str]) -> list[str]:
    """Return the named values that do not occur in any file, as "name (value)".

    ``structures`` are those of all files.
    """
    names = options.names or {}
    return [f"{name} ({value})" for value, name in names.items() if name not in structures]


def score(
    pairs: Mapping[str, tuple[Path, Path | None]], options: Options
) -> Iterator[dict[str, Any]]:
    """Score every structure of every scan; yield rows of `schema`, in the order of the scans."""
    scans = max(1, min(len(pairs), options.threads, _SCANS))
    inside = replace(options, threads=options.threads // scans)

    def rows(files: tuple[Path, Path | None]) -> list[dict[str, Any]]:
        return list(_score_scan(*files, inside))

    with ThreadPoolExecutor(scans) as pool:  # reading, too, releases the GIL
        scored = pool.map(rows, pairs.values())
        for scan, found in zip(progress(list(pairs), "score", "scan"), scored, strict=True):
            yield from ({"scan": scan, **row} for row in found)


def _score_scan(
    reference: Path, prediction: Path | None, options: Options
) -> Iterator[dict[str, Any]]:
    try:
        read = segmentation.read(reference, options.names, options.not_evaluated)
        truth = _without(read, read.not_evaluated)
    except Exception as error:  # one bad file does not cost the other scans
        yield {"status": "failed", "reason": reason_for_scan(error)}
        return
    try:
        if prediction is None:
            raise UserError("no prediction: there is no file of this name")
        found = segmentation.read(prediction, options.names, options.not_evaluated)
        truth, found = segmentation.on_one_grid(truth, found)
        _check_names(truth, found)
        found = _without(found, truth.not_evaluated)
    except Exception as error:
        reason = reason_for_scan(error)
        for name in truth.structures or (None,):  # a scan without structures is a cell, too
            yield {"structure": name, "status": "failed", "reason": reason}
        return
    names = [*truth.structures, *(n for n in found.structures if n not in truth.structures)]
    if options.names is not None:
        order = list(options.names.values())
        names.sort(key=lambda name: order.index(name) if name in order else len(order))

    def compare(name: str) -> dict[str, Any]:
        return _compare(name, truth, found, options)

    with ThreadPoolExecutor(options.threads) as pool:
        yield from pool.map(compare, names)


def _without(found: Segmentation, outside: Mask) -> Segmentation:
    """Return a segmentation without the voxels ``outside``, nor structures that lie there."""
    if not outside.voxels:
        return found
    masks = {
        name: Mask(found.shape, label.box, label.crop).without(outside)
        for name, label in found.structures.items()
    }
    return replace(found, structures={name: mask for name, mask in masks.items() if mask.voxels})


def _compare(
    name: str, truth: Segmentation, found: Segmentation, options: Options
) -> dict[str, Any]:
    pair = _label(truth, name), _label(found, name)
    tolerance = options.tolerances.get(name, options.tolerance_mm)
    voxel_mm3 = prod(truth.spacing)
    values = metrics.score_masks(
        *pair,
        truth.spacing,
        grid_voxels=prod(truth.shape) - truth.not_evaluated.voxels,
        tolerance_mm=tolerance,
        engine=options.engine,
    )
    filled = fill_empty(
        values,
        reference_empty=pair[0].voxels == 0,
        prediction_empty=pair[1].voxels == 0,
        diagonal_mm=diagonal_mm(truth.shape, truth.spacing),
        policy=options.empty,
    )
    return {
        "structure": name,
        "status": "ok",
        "reference_mm3": pair[0].voxels * voxel_mm3,
        "prediction_mm3": pair[1].voxels * voxel_mm3,
        "tolerance_mm": tolerance,
        **filled,
        **_by_conventions(pair, truth, tolerance, options.conventions),
    }


def _by_conventions(
    pair: tuple[Label | Mask, Label | Mask],
    truth: Segmentation,
    tolerance_mm: float,
    conventions: Sequence[Convention],
) -> dict[str, float]:
    """Compute the boundary metrics; what an empty mask leaves undefined stays NaN."""
    values: dict[str, float] = {}
    if conventions:
        dense = [dense_in(label, of_shape(truth.shape)) for label in pair]
        for convention in conventions:
            found = boundary_metrics(
                dense[0], dense[1], truth.spacing, tolerance_mm, convention=convention
            )
            values |= {f"{name}_{convention}": value for name, value in found.items()}
    return values


def _label(of: Segmentation, name: str) -> Label | Mask:
    none = np.zeros(0, np.int64)
    return of.structures.get(name) or Label(np.zeros((0, 0, 0), int), 1, EMPTY, none, none)


def _check_names(truth: Segmentation, found: Segmentation) -> None:
    if not truth.structures or not found.structures:
        return
    if truth.named != found.named and not truth.structures.keys() & found.structures.keys():
        raise UserError(
            f"{truth.path} holds {', '.join(truth.structures)}, {found.path} holds "
            f"{', '.join(found.structures)}. Likely cause: one has names and the "
            "other numbers. Next step: name the values of the label maps with --labels."
        )


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        kind = "A file, not a folder" if folder.exists() else "No such folder"
        raise UserError(f"{kind}: {folder}. Expected a folder of label files, one per scan.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = stem(path)
        if name is None or path.name.startswith("."):
            continue
        if name in found:
            raise UserError(
                f"Two files of the name {name!r} in {folder}: {found[name].name} and {path.name}. "
                "Next step: keep one of them."
            )
        found[name] = path
    if not found:
        deeper = next((path for path in folder.glob("*/*") if stem(path)), None)
        raise UserError(
            f"No files of labels in {folder}. Expected names that end in "
            f"{', '.join(segmentation.SUFFIXES)}."
            + (f" Subfolders are not searched: {deeper} is not read." if deeper else "")
        )
    return found
