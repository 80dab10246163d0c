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
from benchmark.image_io.voxelsize import SET_SIZE
from benchmark.transforms.raster import Raster

SUFFIXES = (".tif", ".tiff", ".zarr")

Region = tuple[slice, slice, slice]
"""Part of a volume, as slices (z, y, x)."""

Sizes = list[tuple[float | None, str]]
"""Size of a voxel along z, y and x, None if not given, with its unit."""

_UNTOLD: Sizes = [(None, "")] * 3

_MOST_BLOCKS = 1_000_000

_MM = {"m": 1e3, "dm": 100.0, "cm": 10.0, "mm": 1.0, "µm": 1e-3, "μm": 1e-3, "um": 1e-3}
_MM |= {"nm": 1e-6, "pm": 1e-9, "Å": 1e-7, "in": 25.4}
_MM |= {"meter": 1e3, "decimeter": 100.0, "centimeter": 10.0, "millimeter": 1.0, "inch": 25.4}
_MM |= {"micrometer": 1e-3, "nanometer": 1e-6, "picometer": 1e-9, "angstrom": 1e-7}
_NO_LENGTH = ("pixel", "reference frame")  # units of OME for voxels of unknown size


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


def read(path: Path, region: Region | None = None, *, needs_spacing: bool = True) -> Raster:
    """Read a volume, or only the part of it in ``region``.

    The spacing, in mm, is that of the metadata, or 1 where they give none. The origin is the
    position of the part within the whole volume, so that parts of two volumes can be compared.
    Raises `UserError` for an unreadable file; if it ``needs_spacing``, also for one that gives the
    size of its voxels along some axes only, or in an unknown unit.
    """
    part = region or (slice(None), slice(None), slice(None))
    with _opened(path) as (array, told):
        pixels = np.asarray(array[part])
    spacing = _spacing(path, told) if needs_spacing else None
    z, y, x = pixels.shape
    start = [s.start or 0 for s in part]
    sizes = (spacing or (1.0, 1.0, 1.0))[::-1]
    origin = tuple(first * mm for first, mm in zip(start[::-1], sizes, strict=True))
    grid = Geometry((x, y, z), sizes, (origin[0], origin[1], origin[2]))
    return Raster(path, pixels[None], grid, sized=spacing is not None)


def _spacing(path: Path, told: Sizes) -> Triple | None:
    """Return the spacing (z, y, x) in mm; None if no axis has one."""
    found = [size * _MM[unit] for size, unit in told if size and unit in _MM]
    if len(found) == 3:
        return found[0], found[1], found[2]
    if all(size is None or unit in _NO_LENGTH for size, unit in told):
        return None
    text = ", ".join("none" if size is None else f"{size:g} {unit}" for size, unit in told)
    raise UserError(
        f"{path}: the size of the voxels is not known. Expected a length along each axis, in a "
        f"unit such as µm or millimeter; got {text} (z, y, x). Likely cause: a program that wrote "
        f"the size in the plane alone. Next step: {SET_SIZE}."
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Sizes]]:
    """Yield a lazily read volume and the sizes of its voxels as the metadata give them."""
    import tifffile
    import zarr

    try:
        if path.suffix.lower() == ".zarr":
            group = zarr.open(path, mode="r")
            array, sizes = _ngff(group)
            yield _Volume(path, array), sizes
            return
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            sizes = _ome(file.ome_metadata) if file.ome_metadata else _UNTOLD
            store = series.aszarr(level=0)
            try:
                yield _Volume(path, zarr.open(store, mode="r")), sizes
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


def _ome(text: str) -> Sizes:
    """Return the sizes in OME-XML, whose default unit is the micrometre."""
    for element in ElementTree.fromstring(text).iter():
        if element.tag.endswith("}Pixels"):
            told = [(element.get(f"PhysicalSize{axis}"), axis) for axis in "ZYX"]
            return [
                (float(size) if size else None, element.get(f"PhysicalSize{axis}Unit", "µm"))
                for size, axis in told
            ]
    return _UNTOLD


def _ngff(group: Any) -> tuple[Any, Sizes]:
    """Return the finest level of an OME-Zarr image, or a plain array, with its sizes.

    The scale of the level is multiplied by that of all levels, if there is one.
    """
    if hasattr(group, "shape"):
        return group, _UNTOLD
    attributes = group.attrs.get("ome", group.attrs)
    scales = attributes["multiscales"][0]
    level = scales["datasets"][0]
    size = np.ones(3)
    transforms = level["coordinateTransformations"], scales.get("coordinateTransformations", [])
    for transform in (*transforms[0], *transforms[1]):
        if transform["type"] == "scale":
            size *= np.array(transform["scale"][-3:], dtype=float)
    units = [axis.get("unit", "millimeter") for axis in scales["axes"][-3:]]
    return group[level["path"]], [(float(s), u) for s, u in zip(size, units, strict=True)]
