"""Files of 3D Slicer with segmentations, .seg.nrrd: their extent, and how to write them.

Segments may overlap. The grid of such a file has the voxels of its image, but need not have the
same extent: it may be cropped to the segments, and it reaches beyond the image where they do.
The origin in the header is that of the file's own first voxel
(vtkMRMLSegmentationStorageNode::WriteBinaryLabelmapRepresentation), so
``Segmentation_ReferenceImageExtentOffset`` is not needed. A segmentation without voxels is an image
of a single voxel, whose grid means nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.boxes import of_shape, overlap, relative, size, slices
from benchmark.errors import UserError
from benchmark.geometry import Geometry, same_grid
from benchmark.masks import Mask, Shape
from benchmark.storage.files import atomic
from benchmark.volume import Header, to_native

SUFFIX = ".seg.nrrd"


def is_slicer(path: Path) -> bool:
    """Return whether a file is of 3D Slicer, by its name."""
    return path.name.lower().endswith(SUFFIX)


def is_blank(grid: Geometry) -> bool:
    """Return whether a file of 3D Slicer with this grid has no voxels."""
    return grid.size == (1, 1, 1)


def on_extent(
    array: NDArray[Any], own: Geometry, grid: Geometry, path: Path
) -> tuple[NDArray[Any], Geometry]:
    """Crop and pad the labels of a file of 3D Slicer to the extent of ``grid``, by whole voxels.

    ``array`` is (..., z, y, x), in canonical order, and ``own`` the grid of the file ``path``.
    Return the new array and its grid, for `benchmark.geometry.same_grid` to compare with ``grid``:
    nothing is resampled. Raise a `UserError` if segments reach beyond ``grid``.
    """
    box = own.box_of(grid)
    found = np.zeros((*array.shape[:-3], *size(box)), array.dtype)
    if is_blank(own):
        return found, grid
    inside = overlap(box, of_shape(own.shape))
    found[(..., *slices(relative(inside, box)))] = array[(..., *slices(inside))]
    moved = own.part(box)
    if same_grid(Header(moved), Header(grid)) is None:
        refuse_outside(path, int(np.count_nonzero(array) - np.count_nonzero(found)))
    return found, moved


def refuse_outside(path: Path, voxels: int) -> None:
    """Raise a `UserError` if segments of a file have ``voxels`` outside of the image."""
    if voxels:
        raise UserError(
            f"{path}: {voxels} voxels of its segments lie outside of the image. Expected segments "
            "within it. Likely cause: a margin or a smoothing beyond the border. Next step: erase "
            "them there in 3D Slicer, and save again."
        )


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
