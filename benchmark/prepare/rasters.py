"""Read the pixels of any supported file format, in the voxel order of the file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark import volume
from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.image_io.dicomseries import claims_dicom
from benchmark.image_io.imagefile import pixels, refusal
from benchmark.image_io.voxelsize import SET_SIZE
from benchmark.prepare import blockfile
from benchmark.transforms import AnyTransform, ImageGrid, Spacing
from benchmark.transforms.raster import Raster


def readable(path: Path) -> bool:
    """Return whether `benchmark.volume.read` reads the file, so that it needs no conversion."""
    converted = path.name.lower().endswith((".png", *blockfile.SUFFIXES)) or claims_dicom(path)
    return path.is_file() and not converted


def read(
    path: Path, region: blockfile.Region | None = None, transforms: Sequence[AnyTransform] = ()
) -> Raster:
    """Read an image or a label map; ``region`` selects a part of a TIFF or Zarr file.

    The file need not tell the size of its voxels where ``transforms``, which follow, set it. Raises
    `UserError` for an unreadable file, and for one that does not tell what no transform sets.
    """
    setting = [t for t in transforms if isinstance(t, ImageGrid | Spacing)]
    if not path.name.lower().endswith(blockfile.SUFFIXES):
        contents = volume.inspect_path(path, needs_spacing=not setting)
        return Raster(path, pixels(path, contents), contents.grid, contents.sized)
    ignored = any(isinstance(t, ImageGrid) or not t.only_missing for t in setting)
    raster = blockfile.read(path, region, needs_spacing=not ignored)
    if not (raster.sized or setting):
        raise refusal(
            path,
            "the size of the voxels is not known",
            expected="a length along each axis, as OME-TIFF and OME-Zarr tell it",
            got="none",
            cause="a program that wrote the voxels without their size",
            step=SET_SIZE,
        )
    return raster


def read_pictures(files: Sequence[Path], grid: Geometry) -> Raster:
    """Stack label pictures, one per slice in the order of their numbers, on ``grid``.

    ``grid`` is that of the image. Grey values are kept as stored, with 1 bit as 0 and 255; of a
    picture with a palette, the indices. Raises `UserError` for colours, and where number or size of
    the pictures differ from those of the slices.
    """
    from PIL import Image

    slices = []
    for file in sorted(files, key=lambda file: [int(n) for n in re.findall(r"\d+", file.name)]):
        try:
            with Image.open(file) as picture:
                slices.append(_values(file, picture))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError(
                f"{file}: unreadable picture ({error}). Likely cause: a broken download. Next "
                "step: fetch the file again."
            ) from None
    x, y, z = grid.size
    shapes = {part.shape for part in slices}
    if shapes != {(y, x)} or len(slices) != z:
        raise UserError(
            f"{files[0].parent}: the pictures are not the slices of the image. Expected {z} of "
            f"{(y, x)} pixels (y, x); got {len(slices)} of {sorted(shapes)}. Likely cause: missing "
            "files, or the pictures of another series. Next step: fetch the dataset again."
        )
    return Raster(files[0].parent, np.stack(slices)[None], grid)


def _values(file: Path, picture: Any) -> NDArray[Any]:
    """Return the values (y, x) of a label picture of Pillow."""
    if picture.mode == "1":
        picture = picture.convert("L")
    array = np.asarray(picture)  # of a palette, its indices
    if array.ndim == 3:
        grey = array[..., :3]
        if picture.mode != "RGB" or (grey != grey[..., :1]).any():
            raise UserError(
                f"{file}: not a label picture. Expected grey values, or indices of a palette; got "
                f"colours ({picture.mode}). Likely cause: a picture made for viewing. Next step: "
                "convert the pictures to one grey value per label."
            )
        array = array[..., 0]
    return array
