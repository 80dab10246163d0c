"""Read the structures of a label file by name, whatever its format and origin."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark import slicer, volume
from benchmark.errors import UserError
from benchmark.geometry import Geometry, Triple
from benchmark.image_io.imagefile import open_header
from benchmark.labelmap import Label, LabelMap
from benchmark.masks import Mask

SUFFIXES = (slicer.SUFFIX, *volume.SUFFIXES)

Place = tuple[int, int]
"""Layer and value of a segment."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The structures of a label file.

    Attributes:
        structures: mask of each structure by name; masks may overlap, none is empty.
        not_evaluated: voxels that are not evaluated.
        shape: (z, y, x), in canonical orientation.
        spacing: (z, y, x) in mm.
        native: geometry of the file itself.
        named: whether the names come from the file or from a map of values; if not, they are the
            label values.
        blank: whether it holds nothing and its grid means nothing: 3D Slicer writes a segmentation
            without voxels as an image of a single voxel.
    """

    structures: Mapping[str, Label | Mask]
    not_evaluated: Mask
    shape: tuple[int, int, int]
    spacing: Triple
    native: Geometry | None
    named: bool
    blank: bool = False


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
    layers = found.channel_arrays
    if _is_of_slicer(path) and found.shape == (1, 1, 1):
        none = Mask.union([], found.shape)
        return Segmentation(
            {}, none, found.shape, found.spacing, found.native, named=True, blank=True
        )
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
    if not _is_of_slicer(path):
        return {}
    reader = open_header(path)
    keys = set(reader.GetMetaDataKeys())
    found: dict[str, Place] = {}
    for key in sorted(key for key in keys if key.startswith("Segment") and key.endswith("_Name")):
        segment = key.removesuffix("_Name")

        def number(field: str, default: int, segment: str = segment) -> int:
            name = f"{segment}_{field}"
            try:
                return int(reader.GetMetaData(name)) if name in keys else default
            except ValueError:
                raise UserError(
                    f"{path}: {name} is {reader.GetMetaData(name)!r}, not a whole number. Likely "
                    "cause: a damaged header. Next step: save it again."
                ) from None

        if (structure := reader.GetMetaData(key)) in found:
            raise UserError(
                f"{path}: two segments are named {structure!r}. Rename one, or join them."
            )
        found[structure] = (number("Layer", 0), number("LabelValue", 1))
    return found


def _is_of_slicer(path: Path) -> bool:
    return path.name.lower().endswith(slicer.SUFFIX)
