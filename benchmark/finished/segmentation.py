"""Read the structures of a label file by name, whatever its format and origin."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark import slicer, volume
from benchmark.boxes import EMPTY, Box, bounding_box, clip, of_shape, relative, size, start
from benchmark.errors import UserError
from benchmark.geometry import Geometry, Triple, same_grid
from benchmark.image_io.imagefile import open_header
from benchmark.masks import Mask
from benchmark.masks.labelmap import Label, LabelMap
from benchmark.volume import Header

SUFFIXES = (slicer.SUFFIX, *volume.SUFFIXES)

Place = tuple[int, int]
"""Layer and value of a segment."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The structures of a label file.

    Attributes:
        path: the file.
        structures: mask of each structure by name; masks may overlap, none is empty.
        not_evaluated: voxels that are not evaluated.
        shape: (z, y, x), in canonical orientation.
        spacing: (z, y, x) in mm.
        native: grid of the masks in the world.
        named: whether the names come from the file or from a map of values; if not, they are the
            label values.
    """

    path: Path
    structures: Mapping[str, Label | Mask]
    not_evaluated: Mask
    shape: tuple[int, int, int]
    spacing: Triple
    native: Geometry
    named: bool

    def within(self, box: Box) -> "Segmentation":
        """Crop and pad to a box, which may reach beyond the grid.

        Raise a `UserError` if a structure does.
        """
        if box == of_shape(self.shape):
            return self
        structures = {name: _within(mask, box) for name, mask in self.structures.items()}
        before, after = (
            sum(mask.voxels for mask in masks.values()) for masks in (self.structures, structures)
        )
        slicer.refuse_outside(self.path, before - after)
        outside = _within(self.not_evaluated, box)
        grid = self.native.part(box)
        return replace(
            self, structures=structures, not_evaluated=outside, shape=size(box), native=grid
        )


def on_one_grid(one: Segmentation, other: Segmentation) -> tuple[Segmentation, Segmentation]:
    """Return two segmentations of a scan on the same grid, without resampling.

    The extent of a file of 3D Slicer gives way to that of a label map; two such files get the box
    around both. Raise a `UserError` if the grids differ otherwise.
    """
    if _is_blank(other):
        return one, _nothing_on(one, other)
    if _is_blank(one):
        return _nothing_on(other, one), other
    boxes = [of_shape(one.shape), one.native.box_of(other.native)]
    fixed = [
        box
        for box, found in zip(boxes, (one, other), strict=True)
        if not slicer.is_slicer(found.path)
    ]
    both_fixed = len(fixed) == 2
    first = one if both_fixed else Header(one.native.part(boxes[1]))
    if difference := same_grid(first, other):
        extent = f" Only the extent of a {slicer.SUFFIX} may differ, by whole voxels."
        raise UserError(
            f"{other.path} is not on the grid of {one.path}. {difference}"
            f"{'' if both_fixed else extent} Nothing is resampled, as that would be a guess. Next "
            "step: resample the prediction to the nearest neighbour."
        )
    box = bounding_box(fixed or boxes)
    return one.within(box), other.within(relative(box, boxes[1]))


def _is_blank(found: Segmentation) -> bool:
    return slicer.is_slicer(found.path) and slicer.is_blank(found.native)


def _nothing_on(scan: Segmentation, blank: Segmentation) -> Segmentation:
    return replace(scan, path=blank.path, structures={}, not_evaluated=Mask.union([], scan.shape))


def _within(mask: Label | Mask, box: Box) -> Mask:
    inside = clip(mask, box)
    if inside.box == EMPTY:
        return Mask.union([], size(box))
    return Mask.of(inside.crop, offset=start(relative(inside.box, box)), shape=size(box))


def stem(path: Path) -> str | None:
    """Return the name of a label file without its suffix; None for another kind of file."""
    name = path.name.lower()
    found = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    return None if found is None else path.name[: -len(found)]


def read(
    path: Path,
    names: Mapping[int, str] | None = None,
    not_evaluated: Collection[int | str] = (),
) -> Segmentation:
    """Read a label map, or the segments of a .seg.nrrd file of 3D Slicer.

    ``names`` gives the structure of each value of a label map; other values are left out. Without
    it, the values are the names. Segments have names of their own. ``not_evaluated``: values of a
    label map, or names of segments, that are no structures. Raise a `UserError` if ``path`` is not
    a valid label file.
    """
    places = segments(path)
    found = volume.read_labels(path, layered=bool(places))
    assert found.native is not None  # it is that of the file
    layers = found.channel_arrays
    if places:
        if wrong := [name for name, (layer, _) in places.items() if not 0 <= layer < len(layers)]:
            raise UserError(
                f"{path}: segment {wrong[0]!r} is in layer {places[wrong[0]][0]} of "
                f"{len(layers)}. Likely cause: a damaged header. Next step: save it again."
            )
        maps = [LabelMap(layer) for layer in layers]
        structures = {name: maps[layer][value] for name, (layer, value) in places.items()}
        left_out = [structures.pop(name) for name in places if name in not_evaluated]
    else:
        whole = LabelMap(layers[0])
        named = {value: str(value) for value in whole.values} if names is None else names
        kept = {value: name for value, name in named.items() if value not in not_evaluated}
        structures = {name: whole[value] for value, name in kept.items()}
        left_out = [whole[value] for value in not_evaluated if isinstance(value, int)]
    masks = [Mask(found.shape, label.box, label.crop) for label in left_out]
    return Segmentation(
        path,
        {name: label for name, label in structures.items() if label.voxels},
        Mask.union(masks, found.shape),
        found.shape,
        found.spacing,
        found.native,
        named=bool(places) or names is not None,
    )


def segments(path: Path) -> dict[str, Place]:
    """Read the layer and value of each segment by name from the header of a .seg.nrrd file.

    The header fields are ``SegmentN_Name``, ``SegmentN_Layer`` and ``SegmentN_LabelValue``. Other
    kinds of file have no segments. Raise a `UserError` if two segments have the same name.
    """
    if not slicer.is_slicer(path):
        return {}
    reader = open_header(path)
    keys = set(reader.GetMetaDataKeys())
    found: dict[str, Place] = {}

    def number(name: str, default: int) -> int:
        try:
            return int(reader.GetMetaData(name)) if name in keys else default
        except ValueError:
            raise UserError(
                f"{path}: {name} is {reader.GetMetaData(name)!r}, not a whole number. Likely "
                "cause: a damaged header. Next step: save it again."
            ) from None

    for key in sorted(key for key in keys if key.startswith("Segment") and key.endswith("_Name")):
        segment = key.removesuffix("_Name")
        if (structure := reader.GetMetaData(key)) in found:
            raise UserError(
                f"{path}: two segments are named {structure!r}. Rename one, or join them."
            )
        found[structure] = (number(f"{segment}_Layer", 0), number(f"{segment}_LabelValue", 1))
    return found
