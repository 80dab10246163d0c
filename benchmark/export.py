"""Export predicted masks on the grids of the image files: NIfTI label maps, or .seg.nrrd."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import yaml

from benchmark import volume
from benchmark.boxes import slices
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.geometry import row_shape
from benchmark.machine.progress import progress
from benchmark.masks import Mask, Shape
from benchmark.slicer import SUFFIX, write_segments
from benchmark.storage import paths
from benchmark.storage.files import atomic, write_json
from benchmark.storage.tables import parts, read_table, records

By = Literal["object", "structure"]
Suffix = Literal[".nii.gz", ".seg.nrrd"]
LABELS = "labels.yaml"


class Exported(NamedTuple):
    """What was written.

    Attributes:
        files: the label maps or segmentations.
        left_out: number of scans whose shard the run has not predicted yet.
        hidden: number of voxels that label maps lack, because smaller masks lie there.
    """

    files: list[Path]
    left_out: int
    hidden: int


def export(
    run: Path,
    dataset: str,
    output: Path,
    *,
    variant: str = "",
    by: By = "object",
    suffix: Suffix = ".nii.gz",
    entry: Dataset | None = None,
) -> Exported:
    """Write the predictions of a run at deviation 0, one file per scan.

    By object, each object of a scan has its own mask; ``<scan>.json`` lists them with status,
    reason and number of voxels. By structure, the objects of a structure are joined, and
    ``labels.yaml`` names the values, as `pambench score` takes them.

    A label map holds one value per voxel. Where masks overlap, the smaller one is kept, and
    ``hidden_voxels`` of the JSON file tells what the larger one lacks; .seg.nrrd keeps all.

    Args:
        run: a folder below ``results/runs``.
        dataset: id of the dataset.
        output: folder to write to.
        variant: variant of the method, "" for the method itself.
        by: whether a mask is that of an object or of a structure.
        suffix: NIfTI label maps (uint16), or segmentations of 3D Slicer.
        entry: the dataset's, whose values the structures have in label maps by structure; without
            it they are 1, 2, ... in the order of their names.

    Raises:
        UserError: if there is no such run, dataset or variant.
    """
    images, found, left_out = _tables(run, dataset, variant)
    if entry is None:
        names = sorted(found["structure"].unique())
        by_structure = {name: i for i, name in enumerate(names, start=1)}
    else:
        by_structure = {structure.name: value for value, structure in entry.labels.items()}
    files, hidden = [], 0
    for image in progress(records(images), f"export {dataset}", "scan"):
        rows = records(found[found["scan"] == image["scan"]])
        by_object = {row["object"]: value for value, row in enumerate(rows, start=1)}
        numbers = by_object if by == "object" else by_structure
        masks = _Masks(rows, row_shape(image), by)
        path = output / f"{image['scan']}{suffix}"
        lost = _write(masks, numbers, image, path)
        if by == "object":
            content = {"values": _listed(rows, numbers, masks, lost)}
            write_json(output / f"{image['scan']}.json", content)
        files.append(path)
        hidden += sum(lost.values())
    if by == "structure":
        with atomic(output / LABELS) as temporary:
            named: dict[int | str, Any] = {value: name for name, value in by_structure.items()}
            if entry is not None and entry.not_evaluated:
                named["not_evaluated"] = list(entry.not_evaluated)
            text = yaml.safe_dump(named, allow_unicode=True, sort_keys=False)
            temporary.write_text(text, encoding="utf-8")
    return Exported(files, left_out, hidden)


def _tables(run: Path, dataset: str, variant: str) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return the rows of the predicted scans and of their masks, and the number of other scans.

    Masks are those at deviation 0, and have the column ``structure``.
    """
    folder = run / "masks" / dataset
    if not folder.is_dir():
        known = sorted(p.name for p in (run / "masks").glob("*"))
        raise UserError(
            f"No masks in {folder}. Datasets of this run: {', '.join(known) or 'none'}."
        )
    shards = parts(paths.table_folder(paths.IMAGES, dataset=dataset))
    # There may be more shards of masks, from when the dataset had more.
    there = [path for path in shards if (folder / path.name).exists()]
    if not there:
        raise UserError(f"{folder} holds no masks of a shard of {dataset}.")
    left_out = sum(len(read_table(path, ["scan"])) for path in shards if path not in there)
    images = pd.concat(read_table(path) for path in there)
    found = pd.concat(read_table(folder / path.name) for path in there)
    found = found[(found["variant"] == variant) & (found["deviation"] == 0)]
    if not len(found):
        raise UserError(f"No masks of the variant {variant!r} in {folder}.")
    # Objects of a method prompted by the name of a structure have no number.
    found["structure"] = [
        re.sub(r"/\d+$", "", name.removeprefix(f"{scan}/"))
        for name, scan in zip(found["object"], found["scan"], strict=True)
    ]
    return images, found, left_out


class _Masks(Mapping[str, Mask]):
    """The masks of a scan by the name of their object or structure, decoded on each access.

    Those of a thousand objects may not fit into memory together.
    """

    def __init__(self, rows: list[dict[str, Any]], shape: Shape, by: By) -> None:
        self._shape, self._rows = shape, dict[str, list[dict[str, Any]]]()
        for row in rows:
            if row["status"] == "ok":
                self._rows.setdefault(row[by], []).append(row)

    def __getitem__(self, name: str) -> Mask:
        return Mask.union_of_rows(self._rows[name], self._shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _write(
    masks: Mapping[str, Mask], numbers: Mapping[str, int], image: dict[str, Any], path: Path
) -> dict[str, int]:
    """Write the masks of a scan; returns the number of voxels that each of them lacks, if any."""
    shape = row_shape(image)
    grid = volume.read_header(Path(image["images"][0])).native
    if path.name.endswith(SUFFIX):
        write_segments(masks, shape, grid, path)
        return {}
    labels = np.zeros(shape, dtype=np.uint16)
    sizes = {name: mask.voxels for name, mask in masks.items()}
    for name in sorted(masks, key=lambda name: -sizes[name]):
        mask = masks[name]
        labels[slices(mask.box)][mask.crop] = numbers[name]
    volume.write(labels, grid, path)
    kept = np.bincount(labels.ravel(), minlength=max(numbers.values()) + 1)
    lost = {name: size - int(kept[numbers[name]]) for name, size in sizes.items()}
    return {name: count for name, count in lost.items() if count}


def _listed(
    rows: list[dict[str, Any]],
    numbers: Mapping[str, int],
    masks: Mapping[str, Mask],
    lost: Mapping[str, int],
) -> dict[int, dict[str, Any]]:
    """Return what is known of each value of a scan."""
    return {
        numbers[row["object"]]: {
            **{key: row[key] for key in ("object", "status", "reason")},
            "voxels": masks[row["object"]].voxels if row["object"] in masks else None,
            "hidden_voxels": lost.get(row["object"], 0),
        }
        for row in rows
    }
