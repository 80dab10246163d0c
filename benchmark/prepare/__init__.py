"""Turn raw files into the images, objects and reference masks of a shard; set bad scans aside.

Each module handles one file format or one part of a dataset's layout.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmark import objects
from benchmark.catalogue import Dataset
from benchmark.errors import MachineError, UserError, reason_of
from benchmark.geometry import row_fields, view_axis
from benchmark.machine.machine_errors import reason_for_scan
from benchmark.machine.progress import progress
from benchmark.prepare import conversion, labels, scans
from benchmark.prepare.scans import Scan
from benchmark.sources import Status, folder
from benchmark.storage import paths
from benchmark.volume import Volume

IMAGE_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("scan", pa.string()),
        ("patient", pa.string()),
        ("part", pa.string()),
        ("collection", pa.string()),
        ("modality", pa.string()),
        ("channels", pa.list_(pa.string())),
        ("images", pa.list_(pa.string())),
        *((f"size_{axis}", pa.int32()) for axis in "zyx"),
        *((f"spacing_{axis}", pa.float64()) for axis in "zyx"),
        ("orientation", pa.string()),
    ]
)
"""One row per scan, with nothing about labels: a method's process gets only this and the prompts.

- ``part``: train or validation, for methods that learn.
- ``images``: one path per channel.
- ``size_*`` (voxels) and ``spacing_*`` (mm): of the canonical grid; ``orientation``: of the file.
"""

FAILURE_SCHEMA = pa.schema([(name, pa.string()) for name in ("dataset", "scan", "stage", "reason")])
"""One row per scan, or per whole dataset (``scan`` null), that was set aside."""


@dataclass
class Prepared:
    """Rows of the four tables of a shard."""

    images: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    reference: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


def prepare(
    dataset: Dataset, status: Status, shard: int, converted: Path | None = None
) -> Prepared:
    """Prepare the scans of ``shard``; what cannot be used ends in ``failures`` with the reason.

    ``converted``: folder for images that cannot be read in place; by default the dataset's own in
    `benchmark.storage.paths`. Raises `UserError` if all files that the fetch had found are gone,
    and `MachineError` for a fault of the machine.
    """
    prepared = Prepared()

    def set_aside(scan: str | None, stage: str, reason: str) -> None:
        prepared.failures.append(
            {"dataset": dataset.id, "scan": scan, "stage": stage, "reason": reason_of(reason)}
        )

    if not status.is_ready:
        if shard == 0:
            set_aside(None, "fetch", status.reason or status.state)
        return prepared
    if folder.is_empty(Path(status.root)):
        raise UserError(
            f"{dataset.id}: no file is left below {status.root}, where they lay when they were "
            "fetched. What was made of them stays. Next step: bring them back (mount the share, "
            "set the variable, or: pambench datasets fetch), then run the same command again."
        )
    images = converted or paths.at(paths.CONVERTED, dataset=dataset.id)
    try:
        found = scans.find(dataset, Path(status.root))
    except MachineError:
        raise
    except UserError as error:
        if shard == 0:
            set_aside(None, "prepare", str(error))
        return prepared
    if shard == 0 and all(_left_out(scan) for scan in found):
        pattern = found[0].layout.label
        set_aside(
            None,
            "prepare",
            f"{dataset.id}: {len(found)} images, but no label fits {pattern!r} below {status.root}."
            " Check layout.label of the entry against the files.",
        )
    mine = [scan for scan in found if scans.shard_of(scan.id, dataset.shards) == shard]
    for scan in progress(mine, f"prepare {dataset.id}", "scan"):
        try:
            _add(prepared, dataset, scan, images)
        except Exception as error:  # one bad scan does not cost the others of the shard
            set_aside(reason_of(scan.id), "prepare", reason_for_scan(error))
    return prepared


def _add(prepared: Prepared, dataset: Dataset, scan: Scan, converted: Path) -> None:
    scans.check_id(scan)
    if scan.fault:
        raise UserError(scan.fault)
    if _left_out(scan):
        return
    count = len(prepared.images)
    try:
        _add_rows(prepared, dataset, scan, converted)
    finally:
        if len(prepared.images) == count:  # no row names the converted files
            conversion.discard(scan, converted)


def _add_rows(prepared: Prepared, dataset: Dataset, scan: Scan, converted: Path) -> None:
    scan = conversion.resolved(scan)
    paths, image = conversion.image_of(dataset, scan, converted)
    if image.native is None:
        raise ValueError("an image that was read has a grid of its own")
    found = labels.read(dataset, scan, image.native)
    if not found.regions and scan.layout.unlabelled == "leave-out":
        return
    if not found.regions and scan.layout.unlabelled != "keep-empty":
        raise UserError(
            f"The label of {scan.id} is empty: there is nothing to segment. Where that is a "
            "finding, as after a treatment, set layout.unlabelled to keep-empty."
        )
    axis = view_axis(dataset.view, image.orientation)
    names = {"dataset": dataset.id, "scan": scan.id, "patient": scan.patient}
    rows, reference = [], []
    for item in objects.divide(found.regions, dataset, image.shape):
        kept = item.instance > 0
        name = f"{scan.id}/{item.structure}/{item.instance}" if kept else None
        mask = {"scan": scan.id, "structure": item.structure, "object": name, **item.mask.to_row()}
        reference.append(mask)
        if kept:
            about = {"object": name, "structure": item.structure, "instance": item.instance}
            measured = objects.describe(item, image.spacing, axis)
            note = "; ".join(filter(None, (scan.note, found.note))) or None
            notes = {"label_note": note, "partly_annotated": scan.layout.partly_annotated}
            rows.append({**names, **about, **measured, **notes})
    if found.not_evaluated is not None:
        outside = {"scan": scan.id, "structure": None, "object": None}
        reference.append({**outside, **found.not_evaluated.to_row()})
    prepared.objects += rows
    prepared.reference += reference
    prepared.images.append({**names, **_describe(dataset, scan, paths, image)})


def _left_out(scan: Scan) -> bool:
    """Return whether a scan without a label file is left out, as its entry says."""
    return scan.layout.unlabelled == "leave-out" and labels.missing(scan)


def _describe(
    dataset: Dataset, scan: Scan, paths: tuple[Path, ...], image: Volume
) -> dict[str, Any]:
    return {
        "part": scans.part_of(dataset, scan.patient),
        "collection": dataset.collection or dataset.id,
        "modality": dataset.modality,
        "channels": list(image.channels),
        "images": [str(path) for path in paths],
        **row_fields("size", image.shape),
        **row_fields("spacing", image.spacing),
        "orientation": image.orientation,
    }
