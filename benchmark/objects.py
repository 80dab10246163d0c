"""Derive objects from labels: what is to be segmented, decided before any method runs.

``structure`` is the meaning of a label value, ``instance`` a connected component of it. The rule
``keep-10-percent`` is the authors' (infer/infer.py, BasicDataset.get_image_mask): it keeps the
26-connected components that have at least 10 % of the voxels of the scan's largest component of
that label.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmark import masks
from benchmark.boxes import EMPTY, moved, start
from benchmark.catalogue import Dataset, Structure
from benchmark.masks import Mask, Shape
from benchmark.masks.components import connected
from benchmark.masks.labelmap import Label, LabelMap
from benchmark.metrics.shape import shape_2d, shape_3d

_SHAPE_2D = ("box_ratio", "convex_ratio", "iri", "elongation")
_SHAPE_3D = (*_SHAPE_2D, "surface_to_volume")

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("scan", pa.string()),
        ("patient", pa.string()),
        ("object", pa.string()),
        ("structure", pa.string()),
        ("instance", pa.int32()),
        *((name, pa.int32()) for name in masks.BOX_FIELDS),
        ("voxels", pa.int64()),
        ("volume_mm3", pa.float64()),
        ("axis", pa.int32()),
        ("largest_slice", pa.int32()),
        ("extent", pa.int32()),
        ("slices_over_100", pa.int32()),
        ("label_note", pa.string()),
        ("partly_annotated", pa.bool_()),
        *((f"{name}_2d", pa.float64()) for name in _SHAPE_2D),
        *((f"{name}_3d", pa.float64()) for name in _SHAPE_3D),
    ]
)
"""One row per object.

- ``axis``: array axis of the view; ``largest_slice``: index of the largest slice along it.
- ``extent``: number of slices that the object is on; ``slices_over_100``: number of those on which
  it has more than 100 pixels (the paper's training samples).
- ``*_2d``: shape on the largest slice; ``*_3d``: shape of the whole object.
- ``label_note``: what was done to the label to bring it onto the image's grid, or how its image was
  found.
- ``partly_annotated``: whether the scan shows further objects, which have no mask.
"""

REFERENCE_SCHEMA = pa.schema(
    [
        ("scan", pa.string()),
        ("structure", pa.string()),
        ("object", pa.string()),
        *masks.COLUMNS,
    ]
)
"""One row per mask.

``object`` is null for what belongs to a label but to no kept object. ``structure`` is null, too,
for the voxels of a scan that are not evaluated; they are in no other mask.
"""

_KEPT_SHARE = 0.1


def not_evaluated(reference: Iterable[Mapping[str, Any]], shape: Shape) -> Mask:
    """Return the voxels of a scan that are not evaluated.

    ``reference``: the scan's rows of `REFERENCE_SCHEMA`; ``shape``: (z, y, x) of its grid.
    """
    rows = [row for row in reference if not isinstance(row["structure"], str)]
    return Mask.union_of_rows(rows, shape)


@dataclass(frozen=True)
class Object:
    """An object (``instance`` from 1), or the rest of a label outside of its objects (0)."""

    structure: str
    instance: int
    mask: Mask


@dataclass(frozen=True, eq=False)
class Region:
    """Voxels of a structure: ``present`` (z, y, x), a part of the grid that begins at ``start``.

    ``whole``: the region is one object; otherwise the structure determines how to divide it.
    """

    structure: Structure
    present: NDArray[np.bool_]
    start: Shape = (0, 0, 0)
    whole: bool = False


def regions(labels: NDArray[np.integer[Any]], dataset: Dataset) -> Iterator[Region]:
    """Yield the voxels of each structure, or of each label value that is an instance of one.

    ``labels``: (z, y, x), with the values of the catalogue entry. Values that the entry ignores or
    does not evaluate, or that do not occur, are left out.
    """
    found = LabelMap(labels)
    no_objects = {*dataset.ignore, *dataset.not_evaluated}
    meanings = {value: (structure, False) for value, structure in dataset.labels.items()}
    for first, structure in dataset.labels.items():
        if structure.instances == "values":
            meanings = {value: (structure, True) for value in found.values if value >= first}
    for value, (structure, whole) in meanings.items():
        label = found[value]
        if label.box != EMPTY and value not in no_objects:
            yield Region(structure, label.crop, start(label.box), whole)


def divide(found: Iterable[Region], dataset: Dataset, shape: Shape) -> Iterator[Object]:
    """Yield the objects of ``found`` on a grid of ``shape``; regions may overlap.

    Objects are in the order of their regions, then in raster order of their first voxel; the rest
    of a region comes last.
    """
    counts: Counter[str] = Counter()
    for region in found:
        structure = region.structure
        for kept, mask in _components(region, dataset, shape):
            counts[structure.name] += kept
            instance = counts[structure.name] if kept else 0
            yield Object(structure.name, instance, mask)


def _components(region: Region, dataset: Dataset, shape: Shape) -> Iterator[tuple[bool, Mask]]:
    """Yield the components of a region in raster order, each with whether it is an object.

    The union of those that are not objects comes last. The components are found in one pass over
    the region and cropped in a second, so that a thousand lesions cost little more than one.
    """
    present = region.present
    if region.whole or not region.structure.instances:
        yield True, Mask.of(present, offset=region.start, shape=shape)
        return
    components = LabelMap(connected(present))
    parts = sorted((components[value] for value in components.values), key=_first)
    masks = (Mask(shape, moved(part.box, region.start), part.crop) for part in parts)
    sizes = np.array([part.voxels for part in parts])
    least = _KEPT_SHARE * sizes.max() if dataset.components == "keep-10-percent" else 0
    rest = []
    for size, mask in zip(sizes, masks, strict=True):
        if size >= least:
            yield True, mask
        else:
            rest.append(mask)
    if rest:
        yield False, Mask.union(rest, shape)


def _first(part: Label) -> int:
    return int(part.starts[0])


def describe(item: Object, spacing: tuple[float, float, float], axis: int) -> dict[str, Any]:
    """Return the measured columns of `SCHEMA` for an object.

    ``spacing``: (z, y, x) in mm; ``axis``: array axis of the dataset's view.
    """
    mask = item.mask
    others = tuple(a for a in range(3) if a != axis)
    areas = mask.crop.sum(axis=others)
    largest = len(areas) - 1 - int(areas[::-1].argmax())
    plane = mask.crop.take([largest], axis=axis).squeeze(axis=axis)
    flat = shape_2d(plane, (spacing[others[0]], spacing[others[1]]))
    solid = shape_3d(mask.crop, spacing)
    return {
        **dict(zip(masks.BOX_FIELDS, mask.box, strict=True)),
        "voxels": mask.voxels,
        "volume_mm3": mask.voxels * float(np.prod(spacing)),
        "axis": axis,
        "largest_slice": mask.box[2 * axis] + largest,
        "extent": int(np.count_nonzero(areas)),
        "slices_over_100": int(np.count_nonzero(areas > 100)),
        **{f"{name}_2d": flat[name] for name in _SHAPE_2D},
        **{f"{name}_3d": solid[name] for name in _SHAPE_3D},
    }
