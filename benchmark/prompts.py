"""Derive prompts from objects, once, by a named and versioned rule; all methods share them.

The guiding slice (rule ``largest-slice``) is the slice of the dataset's view on which the object
covers the most voxels, the last one if several do, as in the authors' scripts (infer/infer.py,
BasicDataset.get_image_mask). A deviation d moves it along the object's n non-empty slices by
floor(|d| n) in the direction of d's sign, clamped to the ends (infer/infer___slice_deviation.py).
Unlike in the scripts, boxes are half-open, so that they contain the object's last row and column.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmark import masks, stages
from benchmark.boxes import Box, of_shape, slices, start
from benchmark.geometry import row_shape
from benchmark.masks import Mask, Shape
from benchmark.prompt_kinds import PromptKind

if TYPE_CHECKING:
    import pandas as pd

RULE = "largest-slice"
VERSION = stages.PROMPTS

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("scan", pa.string()),
        ("object", pa.string()),
        ("structure", pa.string()),
        ("kind", pa.string()),
        ("rule", pa.string()),
        ("rule_version", pa.int32()),
        ("axis", pa.int32()),
        ("slice", pa.int32()),
        ("deviation", pa.float64()),
        ("effective_deviation", pa.float64()),
        ("shift", pa.int32()),
        *masks.COLUMNS,
        ("views", pa.int32()),
        ("clicks", pa.int32()),
        ("hash", pa.string()),
    ]
)
"""One row per prompt.

- ``deviation``: what was requested; ``effective_deviation``: what took effect, as a share of the
  object's slices; ``shift``: the same in slices.
- ``views``, ``clicks``: the cost of the prompt.
- ``object``: ``<scan>/<structure>`` for a prompt that names a structure.
"""


@dataclass(frozen=True)
class Box2D:
    """A box on one slice.

    ``axis``: array axis (0 = z, 1 = y, 2 = x) normal to the slice; ``slice``: index along it;
    ``box``: half-open in (z, y, x), one voxel thick along ``axis``.
    """

    kind: ClassVar[PromptKind] = "box2d"
    axis: int
    slice: int
    box: Box

    @cached_property
    def hash(self) -> str:
        """Hash of rule, kind, place and content: sixteen hexadecimal digits."""
        return _hash(self.kind, self.axis, self.slice, self.box)


@dataclass(frozen=True)
class Mask2D:
    """A mask on one slice; ``mask`` is one voxel thick along ``axis``."""

    kind: ClassVar[PromptKind] = "mask2d"
    axis: int
    slice: int
    mask: Mask

    @property
    def box(self) -> Box:
        """Tight half-open box of the mask in (z, y, x), one voxel thick along ``axis``."""
        return self.mask.box

    @property
    def plane(self) -> NDArray[np.bool_]:
        """The mask on the whole slice, bool; its axes are the grid's other two, in order."""
        shape = tuple(n for axis, n in enumerate(self.mask.shape) if axis != self.axis)
        plane = np.zeros(shape, dtype=bool)
        rows, columns = (s for a, s in enumerate(slices(self.box)) if a != self.axis)
        plane[rows, columns] = self.mask.crop.squeeze(axis=self.axis)
        return plane

    @cached_property
    def hash(self) -> str:
        """Hash of rule, kind, place and content: sixteen hexadecimal digits."""
        bits = np.packbits(self.mask.crop).tobytes()
        return _hash(self.kind, self.axis, self.slice, self.box, bits)


@dataclass(frozen=True)
class Box3D:
    """A 3D box, half-open in (z, y, x)."""

    kind: ClassVar[PromptKind] = "box3d"
    box: Box

    @cached_property
    def hash(self) -> str:
        """Hash of rule, kind, place and content: sixteen hexadecimal digits."""
        return _hash(self.kind, None, None, self.box)


@dataclass(frozen=True)
class StructureName:
    """The name of a structure, for methods that know it: one prompt for all its objects in a scan.

    ``box``: the whole grid, because the prompt gives no location.
    """

    kind: ClassVar[PromptKind] = "structure"
    structure: str
    box: Box

    @cached_property
    def hash(self) -> str:
        """Hash of rule, kind and content: sixteen hexadecimal digits."""
        return _hash(self.kind, None, None, self.structure)


Prompt = Box2D | Mask2D | Box3D | StructureName

_UNMOVED: Mapping[str, Any] = {"deviation": 0.0, "effective_deviation": 0.0, "shift": 0}


def derive(reference: Mask, axis: int, deviations: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yield the prompts of one object as rows of `SCHEMA`, without the columns that name it.

    ``reference``: mask of the object; ``axis``: array axis of the dataset's view; ``deviations``:
    signed shares of the object's slices. The 3D box does not depend on a slice: it has one row, at
    0.
    """
    others = tuple(a for a in range(3) if a != axis)
    areas = reference.crop.sum(axis=others)
    filled = np.flatnonzero(areas)
    largest = len(filled) - 1 - int(areas[filled][::-1].argmax())
    for deviation in deviations:
        steps = math.floor(round(abs(deviation) * len(filled), 9)) * (1 if deviation > 0 else -1)
        position = min(max(largest + steps, 0), len(filled) - 1)
        index = int(filled[position])
        flat = Mask.of(
            reference.crop.take([index], axis=axis),
            offset=_offset(reference.box, axis, index),
            shape=reference.shape,
        )
        place = index + reference.box[2 * axis]
        moved = {
            "axis": axis,
            "slice": place,
            "deviation": deviation,
            "effective_deviation": (position - largest) / len(filled),
            "shift": position - largest,
        }
        yield _row(Box2D(axis, place, flat.box), moved, views=1, clicks=2)
        outline = _outline_clicks(flat.crop.squeeze(axis=axis))
        yield _row(Mask2D(axis, place, flat), moved, views=1, clicks=outline)
    yield _row(Box3D(reference.box), _UNMOVED, views=2, clicks=4)


def shard_rows(
    images: "pd.DataFrame",
    objects: "pd.DataFrame",
    reference: "pd.DataFrame",
    deviations: Sequence[float],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `SCHEMA` for a shard, from its prepared tables.

    The prompts of all objects come first, then those that name a structure, one per structure of a
    scan that has objects.
    """
    from benchmark.storage.tables import records

    shapes = {row["scan"]: row_shape(row) for row in records(images)}
    stored = {row["object"]: row for row in records(reference)}
    for row in records(objects):
        about = {key: row[key] for key in ("dataset", "scan", "object", "structure")}
        mask = Mask.from_row(stored[row["object"]], shapes[row["scan"]])
        for prompt in derive(mask, row["axis"], deviations):
            yield {**about, **prompt}
    named = dict.fromkeys((r["dataset"], r["scan"], r["structure"]) for r in records(objects))
    for dataset, scan, structure in named:
        about = {"dataset": dataset, "scan": scan, "structure": structure}
        yield {
            **about,
            "object": f"{scan}/{structure}",
            **structure_prompt_row(structure, shapes[scan]),
        }


def structure_prompt_row(structure: str, shape: Shape) -> dict[str, Any]:
    """Return the row of `SCHEMA` for the name of a structure, without the columns that name it."""
    prompt = StructureName(structure, of_shape(shape))
    return _row(prompt, dict(_UNMOVED), views=0, clicks=0)


def from_row(row: Mapping[str, Any], shape: Shape) -> Prompt:
    """Return the prompt of a row of `SCHEMA`, for a scan of ``shape`` (z, y, x)."""
    box = masks.box_of(row)
    match row["kind"]:
        case "box2d":
            return Box2D(int(row["axis"]), int(row["slice"]), box)
        case "mask2d":
            return Mask2D(int(row["axis"]), int(row["slice"]), Mask.from_row(row, shape))
        case "box3d":
            return Box3D(box)
        case "structure":
            return StructureName(row["structure"], box)
    raise ValueError(f"unknown kind of prompt {row['kind']!r}")


def _row(prompt: Prompt, place: Mapping[str, Any], *, views: int, clicks: int) -> dict[str, Any]:
    box = dict(zip(masks.BOX_FIELDS, prompt.box, strict=True))
    content = prompt.mask.to_row() if isinstance(prompt, Mask2D) else box
    return {
        "kind": prompt.kind,
        "rule": RULE,
        "rule_version": VERSION,
        **place,
        **content,
        "views": views,
        "clicks": clicks,
        "hash": prompt.hash,
    }


def _offset(box: Box, axis: int, index: int) -> Shape:
    offset = list(start(box))
    offset[axis] += index
    return offset[0], offset[1], offset[2]


def _outline_clicks(plane: NDArray[np.bool_]) -> int:
    """Return the number of clicks to outline ``plane`` by hand.

    It is the number of corners of the polygons that follow the outline to within one voxel.
    """
    from skimage.measure import approximate_polygon, find_contours

    contours = find_contours(np.pad(plane, 1).astype(np.float32), 0.5)
    return int(sum(len(approximate_polygon(contour, 1.0)) - 1 for contour in contours))


def _hash(*content: object) -> str:
    return hashlib.sha256(repr((RULE, VERSION, *content)).encode()).hexdigest()[:16]
