"""OME-TIFF and Zarr volumes that are too large to read whole; they are read in blocks."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from benchmark.errors import UserError
from benchmark.geometry import Geometry, Triple
from benchmark.transforms.raster import Raster

SUFFIXES = (".tif", ".tiff", ".zarr")

Region = tuple[slice, slice, slice]
"""Part of a volume, as slices (z, y, x)."""

_MOST_BLOCKS = 1_000_000

_MM = {"mm": 1.0, "µm": 1e-3, "μm": 1e-3, "um": 1e-3, "nm": 1e-6, "cm": 10.0}
_MM |= {"millimeter": 1.0, "micrometer": 1e-3, "nanometer": 1e-6, "centimeter": 10.0}


def regions(path: Path, size: tuple[int, int, int]) -> Iterator[Region]:
    """Yield blocks of ``size`` voxels (z, y, x) that tile a volume; the last may be smaller.

    Raises `UserError` for an unreadable file, and for more than a million blocks.
    """
    with _opened(path) as (array, _):
        shape = array.shape
    counts = [math.ceil(n / s) for n, s in zip(shape, size, strict=True)]
    if math.prod(counts) > _MOST_BLOCKS:
        raise UserError(
            f"{path}: {shape} voxels (z, y, x) make more than {_MOST_BLOCKS:,} blocks of {size}. "
            "Likely cause: damaged metadata. Next step: fetch the file again, or make layout.block "
            "larger."
        )
    for index in np.ndindex(*counts):
        corner = [i * s for i, s in zip(index, size, strict=True)]
        z, y, x = (slice(c, min(c + s, n)) for c, s, n in zip(corner, size, shape, strict=True))
        yield z, y, x


def read(path: Path, region: Region | None = None) -> Raster:
    """Read a volume, or only the part of it in ``region``.

    The spacing, in mm, is that of the metadata, or 1 where they give none. The origin is the
    position of the part within the whole volume, so that parts of two volumes can be compared.
    Raises `UserError` for an unreadable file.
    """
    part = region or (slice(None), slice(None), slice(None))
    with _opened(path) as (array, spacing):
        pixels = np.asarray(array[part])
    z, y, x = pixels.shape
    start = [s.start or 0 for s in part]
    sizes = spacing[::-1]
    origin = tuple(first * mm for first, mm in zip(start[::-1], sizes, strict=True))
    grid = Geometry((x, y, z), sizes, (origin[0], origin[1], origin[2]))
    return Raster(path, pixels[None], grid)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Triple]]:
    """Yield a lazily read volume and its spacing (z, y, x) in mm."""
    import tifffile
    import zarr

    try:
        if path.suffix.lower() == ".zarr":
            group = zarr.open(path, mode="r")
            array, spacing = _ngff(group)
            yield _Volume(path, array), spacing
            return
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            spacing = _ome(file.ome_metadata) if file.ome_metadata else (1.0, 1.0, 1.0)
            store = series.aszarr(level=0)
            try:
                yield _Volume(path, zarr.open(store, mode="r")), spacing
            finally:
                store.close()
    except UserError:
        raise
    except Exception as error:  # the readers pass on any exception of their codecs
        raise UserError(
            f"{path}: unreadable image. Expected OME-TIFF or OME-Zarr; got from the reader: "
            f"{type(error).__name__}: {error}. Likely cause: a truncated download. Next step: "
            "fetch the file again."
        ) from None


class _Volume:
    """The last three axes of an array; leading axes must have length one and are dropped."""

    def __init__(self, path: Path, array: Any):
        self._array = array
        self._lead = (0,) * (array.ndim - 3)
        self.shape = tuple(array.shape[-3:])
        if array.ndim < 3 or any(n > 1 for n in array.shape[:-3]):
            raise UserError(
                f"{path}: not a volume. Expected three axes (z, y, x); got shape {array.shape}. "
                "Likely cause: several channels or times in one file. Next step: check the entry."
            )

    def __getitem__(self, region: Region) -> Any:
        return self._array[(*self._lead, *region)]


def _ome(text: str) -> Triple:
    """Return the voxel size (z, y, x) in mm from OME-XML, whose default unit is the micrometre."""
    for element in ElementTree.fromstring(text).iter():
        if element.tag.endswith("}Pixels"):
            found = (
                float(element.get(f"PhysicalSize{axis}", 1.0))
                * _MM[element.get(f"PhysicalSize{axis}Unit", "µm")]
                if element.get(f"PhysicalSize{axis}")
                else 1.0
                for axis in "ZYX"
            )
            z, y, x = found
            return z, y, x
    return 1.0, 1.0, 1.0


def _ngff(group: Any) -> tuple[Any, Triple]:
    """Return the finest level of an OME-Zarr image, or a plain array, with its spacing in mm."""
    if hasattr(group, "shape"):
        return group, (1.0, 1.0, 1.0)
    attributes = group.attrs.get("ome", group.attrs)
    scales = attributes["multiscales"][0]
    level = scales["datasets"][0]
    scale = next(t["scale"] for t in level["coordinateTransformations"] if t["type"] == "scale")
    units = [_MM[axis.get("unit", "millimeter")] for axis in scales["axes"][-3:]]
    z, y, x = (float(s) * u for s, u in zip(scale[-3:], units, strict=True))
    return group[level["path"]], (z, y, x)
