"""Write .seg.nrrd, the segmentation files of 3D Slicer, whose segments may overlap."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.boxes import slices
from benchmark.files import atomic
from benchmark.geometry import Geometry
from benchmark.masks import Mask, Shape
from benchmark.volume import to_native

SUFFIX = ".seg.nrrd"


def write_segments(segments: Mapping[str, Mask], shape: Shape, grid: Geometry, path: Path) -> None:
    """Write each mask as a segment with its name, on the file's own ``grid``, atomically.

    ``shape`` is the grid (z, y, x) of the masks, in canonical orientation. Segments that overlap
    are in different layers, so that no voxel is lost. ``path`` ends in `SUFFIX`. The header fields
    are those of the developer guide of 3D Slicer, section Segmentations.
    """
    layers: list[NDArray[np.uint16]] = []
    places = [_place(mask, value, shape, layers) for value, mask in enumerate(segments.values(), 1)]
    array = np.stack(layers or [np.zeros(shape, dtype=np.uint16)])
    if len(segments) < 256:
        array = array.astype(np.uint8)
    image = to_native(array if len(array) > 1 else array[0], grid)
    for number, (name, layer) in enumerate(zip(segments, places, strict=True)):
        for field, value in (("ID", f"Segment_{number + 1}"), ("Name", name), ("Layer", layer)):
            image.SetMetaData(f"Segment{number}_{field}", str(value))
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
    with atomic(path) as temporary:
        sitk.WriteImage(image, str(temporary), True)
        if len(array) > 1:
            _name_layers(temporary)


def _place(mask: Mask, value: int, shape: Shape, layers: list[NDArray[np.uint16]]) -> int:
    """Write ``value`` into the first layer that is free there; returns its number."""
    place = slices(mask.box)
    free = (i for i, layer in enumerate(layers) if not layer[place][mask.crop].any())
    number = next(free, len(layers))
    if number == len(layers):
        layers.append(np.zeros(shape, dtype=np.uint16))
    layers[number][place][mask.crop] = value
    return number


def _name_layers(path: Path) -> None:
    """Call the axis of layers a list, as 3D Slicer does; ITK calls it a vector."""
    header, end, data = path.read_bytes().partition(b"\n\n")
    path.write_bytes(header.replace(b"kinds: vector ", b"kinds: list ") + end + data)
