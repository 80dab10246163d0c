"""Convert the published label of a scan to the voxels of each structure on the image's grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark import objects, slicer
from benchmark.boxes import start
from benchmark.catalogue import Dataset, Structure
from benchmark.errors import UserError
from benchmark.geometry import Geometry, same_grid
from benchmark.masks import Mask
from benchmark.objects import Region
from benchmark.prepare import dicomseg, rasters
from benchmark.prepare.scans import Scan
from benchmark.storage import patterns
from benchmark.storage.wildcards import fits, paths_like
from benchmark.transforms import OntoImage
from benchmark.transforms.raster import Raster
from benchmark.volume import SUFFIXES, Header, whole_numbers

_SHOWN = 120  # unknown values listed in a reason
RESAMPLED = "resampled to the grid of the image (nearest neighbour)"


_NOT_EVALUATED = Structure(name="not evaluated")
"""Stands for files and segments that the entry names under ``not_evaluated``."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Regions of a scan on the canonical grid; ``note`` tells if they were resampled to it.

    ``not_evaluated``: voxels that are not evaluated and in no region; None if there are none.
    """

    regions: tuple[Region, ...]
    note: str | None = None
    not_evaluated: Mask | None = None


def missing(scan: Scan) -> bool:
    """Return whether a scan has no label file at all."""
    return not files_of(scan)


def without_image(dataset: Dataset, root: Path, scans: Sequence[Scan]) -> list[Path]:
    """Return the label files below ``root`` that belong to none of ``scans``, which are all scans.

    The image of such a label is missing or has another name. Files of patterns with wildcards that
    fit several files are left out.
    """
    taken = {path for scan in scans for path in (*scan.images, *files_of(scan))}
    unpaired = set[Path]()
    for layout in dataset.layout:
        if layout.label is not None:
            for fields in patterns.matches(root, layout.label, layout.where):
                path = patterns.resolve(root, layout.label, fields)
                unpaired |= {path} - taken if path.exists() else set()
    return sorted(unpaired)


def of_another_format(dataset: Dataset, root: Path, scans: Sequence[Scan]) -> list[Path]:
    """Return the files below ``root`` that the layout would name if its patterns ended otherwise.

    Files of ``scans``, which are all scans, are left out. In a folder of .nii.gz and .nii files, a
    pattern that ends in .nii.gz would overlook the others silently.
    """
    taken = {path for scan in scans for path in (*scan.images, *files_of(scan))}
    found = set[Path]()
    for layout in dataset.layout:
        for pattern in filter(None, (*layout.image, layout.label)):
            for suffix, other in permutations(SUFFIXES, 2):
                if pattern.endswith(suffix):
                    like = pattern.removesuffix(suffix) + other
                    for fields in patterns.matches(root, like, layout.where):
                        found.add(patterns.resolve(root, like, fields))
    return sorted(path for path in found - taken if path.is_file())


def read(dataset: Dataset, scan: Scan, grid: Geometry) -> Labels:
    """Read the label of a scan whose image has the native grid ``grid``.

    Raises `UserError` for a label on another grid (unless the layout resamples it), and for label
    values, file names or segments that the catalogue does not know.
    """
    if scan.layout.label is None:
        return _of_segments(dataset, scan, grid)
    files = files_of(scan)
    if not files:
        raise UserError(
            f"{scan.label}: no such label. Expected a label for the image of {scan.id}. Likely "
            "cause: a scan that was published without one, or a broken download. Next step: check "
            "layout.label, or set layout.unlabelled to leave-out."
        )
    if "{structure}" in scan.layout.label:
        return _of_files(dataset, scan, files, grid)
    if files[0].suffix.lower() == ".png":
        raster = rasters.read_pictures(files, grid)
    else:
        raster = rasters.read(files[0], scan.region, scan.layout.label_transforms)
    array, note = _on_image(scan, raster, grid)
    found = whole_numbers(files[0], array)
    values = set(np.unique(found).tolist())
    _refuse_unknown(dataset, scan, values)
    left_out = sorted(values.intersection(dataset.not_evaluated))
    outside = Mask.of(np.isin(found, left_out)) if left_out else None
    return Labels(tuple(objects.regions(found, dataset)), note, outside)


def files_of(scan: Scan) -> list[Path]:
    """Return the files of the label; several only where each holds a structure or a slice."""
    if scan.layout.label is None:
        return [scan.label]
    pattern = scan.label.relative_to(scan.root).as_posix()
    if "{" not in pattern and "*" not in pattern:
        return [scan.label] if scan.label.exists() else []
    files = paths_like(scan.root, pattern.replace("{structure}", "*"))
    several = "{structure}" in pattern or pattern.lower().endswith(".png")
    return files if several or len(files) == 1 else []


def _of_segments(dataset: Dataset, scan: Scan, grid: Geometry) -> Labels:
    found, resampled = [], False
    for segment in dicomseg.read(scan.label, grid):
        structure = _named(dataset, scan, segment.label)
        if structure is not None and segment.mask.any():
            resampled |= segment.resampled
            found.append((structure, Mask.of(grid.to_canonical(segment.mask))))
    return _joined(dataset, found, RESAMPLED if resampled else None)


def _of_files(dataset: Dataset, scan: Scan, files: list[Path], grid: Geometry) -> Labels:
    pattern = scan.label.relative_to(scan.root).as_posix()
    found, notes = list[tuple[Structure, Mask]](), set()
    for fields in patterns.matches(scan.root, pattern, scan.layout.where):
        structure = _named(dataset, scan, fields["structure"])
        if structure is None:
            continue
        file = patterns.resolve(scan.root, pattern, fields)
        raster = rasters.read(file, scan.region, scan.layout.label_transforms)
        array, note = _on_image(scan, raster, grid)
        notes.add(note)
        if structure.instances == "file-values":
            values = np.unique(array[array != 0])
            found += [(structure, Mask.of(array == value)) for value in values]
        elif array.any():
            found.append((structure, Mask.of(array != 0)))
    return _joined(dataset, found, next(iter(notes - {None}), None))


def _joined(dataset: Dataset, found: list[tuple[Structure, Mask]], note: str | None) -> Labels:
    """Return the labels of masks that may overlap; no region has voxels that are not evaluated."""
    left_out = [mask for of, mask in found if of is _NOT_EVALUATED]
    if not left_out:
        return Labels(tuple(_regions(dataset, found)), note)
    outside = Mask.union(left_out, left_out[0].shape)
    inside = [(of, mask.without(outside)) for of, mask in found]
    kept = [(of, mask) for of, mask in inside if mask.voxels]
    return Labels(tuple(_regions(dataset, kept)), note, outside)


def _regions(dataset: Dataset, found: list[tuple[Structure, Mask]]) -> Iterator[Region]:
    """Yield regions in the order of the catalogue entry.

    All masks of a structure are merged, unless its files, or the values in them, stand alone.
    """
    for structure in dataset.labels.values():
        masks = [mask for of, mask in found if of is structure]
        alone = structure.instances in ("files", "file-values")
        for mask in masks if alone or not masks else [Mask.union(masks, masks[0].shape)]:
            yield Region(
                structure, mask.crop, start(mask.box), whole=structure.instances == "files"
            )


def _named(dataset: Dataset, scan: Scan, text: str) -> Structure | None:
    """Return the structure that a file name or a segment label stands for; None if ignored."""
    if any(fits(text, pattern) for pattern in dataset.not_evaluated if isinstance(pattern, str)):
        return _NOT_EVALUATED
    for structure in dataset.labels.values():
        if fits(text, structure.key or structure.name):
            return structure
    if any(fits(text, pattern) for pattern in dataset.ignore if isinstance(pattern, str)):
        return None
    known = ", ".join(s.key or s.name for s in dataset.labels.values())
    raise UserError(
        f"The label of {scan.id} holds {text!r}, which the entry of {dataset.id} does not name "
        f"(labels: {known}). Next step: name it as a key under labels, under ignore (background) "
        "or under not_evaluated."
    )


def _on_image(scan: Scan, raster: Raster, grid: Geometry) -> tuple[NDArray[Any], str | None]:
    """Apply the layout's transforms; return the canonical array (z, y, x) and a note."""
    resampled = False
    for transform in scan.layout.label_transforms:
        before = raster
        raster = transform.apply(raster, grid)
        if isinstance(transform, OntoImage):
            resampled |= _differs(before.grid, grid) is not None
    if len(raster.array) != 1:
        raise UserError(
            f"{raster.path}: not a label map. Expected one label per voxel; got "
            f"{len(raster.array)} channels. Likely cause: an image or a colour picture instead of "
            "the labels. Next step: check which file holds the labels."
        )
    array, own = raster.grid.to_canonical(raster.array[0]), raster.grid
    if slicer.is_slicer(raster.path):
        array, own = slicer.on_extent(array, own, grid, raster.path)
    if different := _differs(grid, own):
        raise UserError(
            f"Image and label of {scan.id} lie on different grids: {different} A transform of the "
            "label would be a guess, so the scan is set aside."
        )
    return np.ascontiguousarray(array), RESAMPLED if resampled else None


def _differs(image: Geometry, label: Geometry) -> str | None:
    return same_grid(Header(image), Header(label))


def _refuse_unknown(dataset: Dataset, scan: Scan, values: set[int]) -> None:
    by_value = any(s.instances == "values" for s in dataset.labels.values())
    unknown = sorted(values - {0, *dataset.labels, *dataset.ignore, *dataset.not_evaluated})
    if "*" not in dataset.ignore and unknown:
        if by_value and unknown[0] >= min(dataset.labels):
            return
        known = ", ".join(str(value) for value in sorted(dataset.labels))
        more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        raise UserError(
            f"The label of {scan.id} holds the values {unknown[:_SHOWN]}{more}, which the entry "
            f"of {dataset.id} does not name (labels: {known}). Next step: name them under labels, "
            "under ignore (background) or under not_evaluated; ignore: ['*'] stands for all values "
            "that are not under labels."
        )
