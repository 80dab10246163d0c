"""Volumes: pixels in canonical orientation, with what a method may know of them; image files."""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.errors import MachineError, UserError
from benchmark.geometry import Geometry, Triple, row_shape, row_spacing, same_grid
from benchmark.image_io.dicomseries import claims_dicom, inspect_frames, inspect_series
from benchmark.image_io.imagefile import Contents, inspect, pixels, refusal
from benchmark.image_io.integrity import DamagedError, check_pixels
from benchmark.storage.files import atomic

SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")
"""Suffixes of the formats that are read and written, in lower case."""

_WHOLE = 1e-3  # how far a label may be from an integer: scale factors are float32


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan or a label map on its canonical grid (LPS).

    - ``array``: (z, y, x), or (c, z, y, x) with several channels; as read, C-contiguous and in the
      data type of the file.
    - ``spacing``: (z, y, x) in mm, rounded on reading.
    - ``channels``: names, or empty.
    - ``native``: the file's own grid; None for volumes made in memory.
    - ``dataset``, ``scan``: ids in the catalogue and in the dataset; empty outside of a study.
    """

    array: NDArray[Any]
    spacing: Triple
    modality: str = "unknown"
    channels: tuple[str, ...] = ()
    native: Geometry | None = None
    dataset: str = ""
    scan: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for arrays or spacings of the wrong rank."""
        if self.array.ndim not in (3, 4) or len(self.spacing) != 3 or min(self.spacing) <= 0:
            raise ValueError(
                f"a volume is (z, y, x) or (c, z, y, x) with three positive spacings, not "
                f"{self.array.shape} with {self.spacing}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels (z, y, x)."""
        z, y, x = self.array.shape[-3:]
        return z, y, x

    @property
    def grey(self) -> NDArray[Any]:
        """The first channel, (z, y, x)."""
        return self.channel_arrays[0]

    @property
    def channel_arrays(self) -> list[NDArray[Any]]:
        """All channels, (z, y, x) each."""
        return [self.array] if self.array.ndim == 3 else list(self.array)

    @property
    def grey_modality(self) -> str:
        """Modality of the first channel; see `channel_modality`."""
        return channel_modality(self.channels[0] if self.channels else "", self.modality)

    @property
    def orientation(self) -> str:
        """Code of the file's index axes x, y, z, e.g. "RAS"; "LPS" if made in memory."""
        return self.native.orientation if self.native else "LPS"


@dataclass(frozen=True)
class Header:
    """What is known of an image file without its pixels: its grid and number of channels."""

    native: Geometry
    channels: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Canonical shape (z, y, x)."""
        return self.native.shape

    @property
    def spacing(self) -> Triple:
        """Canonical spacing (z, y, x) in mm, rounded as in `Volume`."""
        return self.native.rounded_spacing

    @property
    def orientation(self) -> str:
        """Code of the file's index axes x, y, z, e.g. "RAS"."""
        return self.native.orientation


def channel_modality(channel: str, modality: str) -> str:
    """Return the modality of a channel in a scan of ``modality``.

    A channel with the name "CT" is in HU in any scan, such as PETCT.
    """
    return "CT" if channel == "CT" else modality


def read_header(path: Path) -> Header:
    """Read the grid and number of channels of a file, or of the DICOM series in a folder."""
    contents = inspect_path(path)
    return Header(contents.grid, contents.channels)


def read(
    paths: Sequence[Path], *, modality: str = "unknown", channels: Sequence[str] = ()
) -> Volume:
    """Read a scan from one path per channel; a folder is a DICOM series.

    The components of a vector image, and a fourth axis, are read as channels only if ``channels``
    has as many names: they could as well be colours or a time series.

    Raises `UserError` if a file is missing, unreadable, truncated, not 3D or not finite, if
    channels are on different grids, and if the number of names is wrong.
    """
    if not paths:
        raise UserError("No image to read. Expected one path per channel; got none.")
    return _read(paths, [inspect_path(path) for path in paths], modality, channels)


def _read(
    paths: Sequence[Path], found: Sequence[Contents], modality: str, channels: Sequence[str]
) -> Volume:
    """Read a scan from files whose headers were ``found``."""
    _check_channels(paths, found, channels)
    parts = [
        contents.grid.to_canonical(pixels(path, contents))
        for path, contents in zip(paths, found, strict=True)
    ]
    array = parts[0] if len(parts) == 1 else np.concatenate(parts)
    native = found[0].grid
    return Volume(
        np.ascontiguousarray(array if len(array) > 1 else array[0]),
        native.rounded_spacing,
        modality,
        tuple(channels),
        native,
    )


def _check_channels(
    paths: Sequence[Path], found: Sequence[Contents], channels: Sequence[str]
) -> None:
    """Refuse files with more volumes than there are names for, and those on different grids."""
    total = sum(contents.channels for contents in found)
    for path, contents in zip(paths, found, strict=True):
        if contents.channels > 1 and len(channels) != total:
            values = f"{contents.components} values per voxel"
            raise refusal(
                path,
                "more than one volume in the file",
                expected="one volume, or the name of each as a channel",
                got=f"shape {contents.size} (x, y, z, ...), {values} and names {list(channels)}",
                cause="colours, channels or a series in time",
                step="name the channels in the order of the file, or give one volume of it",
            )
    if channels and len(channels) != total:
        raise UserError(
            f"{paths[0]}: the number of channels and of channel names differ. Expected "
            f"{len(channels)} ({', '.join(channels)}); got {total} from {len(paths)} path(s). "
            "Next step: give one path or name for each channel."
        )
    headers = [Header(contents.grid, contents.channels) for contents in found]
    for path, header in zip(paths[1:], headers[1:], strict=True):
        if difference := same_grid(headers[0], header):
            raise refusal(
                path,
                f"not on the grid of the first channel, {paths[0]}",
                expected="all channels of a scan on one grid",
                got=difference.rstrip("."),
                cause="channels that were not registered, or files of different scans",
                step="resample the channels to one grid, or read them as scans of their own",
            )


def read_row(row: Mapping[str, Any], *, root: Path = Path()) -> Volume:
    """Read the scan of a row of `benchmark.prepare.IMAGE_SCHEMA`; paths are relative to ``root``.

    Raises `MachineError` for a file that existed when the scan was prepared and is gone now, or has
    another size, spacing or orientation; otherwise as `read`.
    """
    paths = [root / path for path in row["images"]]
    for path in paths:
        if not path.exists():
            raise MachineError(
                f"{row['dataset']}, scan {row['scan']}: {path} was there when the scan was "
                "prepared, and is not now. What was made of it stays. Next step: bring it back "
                "(mount the share, or: pambench datasets fetch), then run the same command again."
            )
    scan = read(paths, modality=str(row["modality"]), channels=list(row["channels"]))
    before = (row_shape(row), row_spacing(row), str(row["orientation"]))
    now = (scan.shape, scan.spacing, scan.orientation)
    if before[::2] != now[::2] or not np.allclose(before[1], now[1], rtol=1e-3):
        raise MachineError(
            f"{row['dataset']}, scan {row['scan']}: {', '.join(map(str, paths))} is not the image "
            f"that was prepared. Expected {_grid_text(*before)}; got {_grid_text(*now)}. What was "
            "made of it stays. Likely cause: a file that was changed or replaced since. Next step: "
            "bring the old one back, or run again with --forcerun prepare."
        )
    return replace(scan, dataset=str(row["dataset"]), scan=str(row["scan"]))


def _grid_text(shape: tuple[int, ...], spacing: Triple, orientation: str) -> str:
    return f"{shape} voxels of {spacing} mm (z, y, x), {orientation}"


def read_labels(path: Path, *, layered: bool = False) -> Volume:
    """Read a label map as integers, (z, y, x); (c, z, y, x) if it has several layers.

    Integers keep the data type of the file. Floats within 1e-3 of integers become a small integer
    type that holds them. Raises `UserError` for other values, and for several layers unless
    ``layered``.
    """
    contents = inspect_path(path)
    layers = contents.channels
    if layers > 1 and not layered:
        raise refusal(
            path,
            "not a label map",
            expected="one label per voxel",
            got=f"{layers} channels",
            cause="an image or a colour picture in the place of the labels",
            step="check which file holds the labels",
        )
    names = [f"layer {number}" for number in range(layers)] if layers > 1 else []
    volume = _read([path], [contents], "unknown", names)
    return Volume(whole_numbers(path, volume.array), volume.spacing, native=volume.native)


def whole_numbers(path: Path, array: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """Return labels as integers; floats within 1e-3 of integers get a small integer type.

    Raises a `UserError` that names ``path`` for other values.
    """
    if np.issubdtype(array.dtype, np.integer):
        return array
    count, first, low, high = 0, 0.0, 0, 0
    planes = array.reshape(-1, *array.shape[-2:])  # one at a time: a scan of float64 is over 1 GB
    for plane in planes:
        whole = np.rint(plane)
        broken = np.abs(plane - whole) > _WHOLE
        if not count and broken.any():
            first = plane[broken][0]
        count += int(broken.sum())
        low, high = min(low, int(whole.min())), max(high, int(whole.max()))
    if count:
        raise refusal(
            path,
            "not a label map",
            expected="whole numbers",
            got=f"{count} other values, the first {first:.6g}",
            cause="labels resampled with interpolation, or an image in their place",
            step="check which file holds the labels; resample labels to the nearest neighbour",
        )
    kind = np.result_type(np.min_scalar_type(low), np.min_scalar_type(high))
    integers: NDArray[np.integer[Any]] = np.empty(array.shape, kind)
    for plane, out in zip(planes, integers.reshape(planes.shape), strict=True):
        np.rint(plane, out=out, casting="unsafe")
    return integers


def to_native(array: NDArray[Any], native: Geometry) -> Any:
    """Return a canonical (z, y, x) or (c, z, y, x) ``array`` as image on a file's own grid.

    The result is a `SimpleITK.Image` with the size, spacing, origin and direction of the file;
    channels become components, and bool becomes uint8. The inverse of `read`, without
    interpolation. Raises ValueError if the shape is not that of ``native``.
    """
    voxels = native.from_canonical(array)
    if voxels.dtype == np.bool_:
        voxels = voxels.astype(np.uint8)
    vector = voxels.ndim == 4
    image = sitk.GetImageFromArray(np.moveaxis(voxels, 0, -1) if vector else voxels, vector)
    image.SetSpacing(native.spacing)
    image.SetOrigin(native.origin)
    image.SetDirection(native.direction)
    return image


def write(array: NDArray[Any], grid: Geometry | Triple, path: Path) -> None:
    """Write a canonical ``array`` as NIfTI, MHA or NRRD, atomically.

    ``grid``: the file's own grid (`Volume.native`) to return to, or the spacing (z, y, x) in mm of
    a volume made in memory, which is written as LPS with its origin at zero. bool is written as
    uint8, and 64-bit integers as a smaller type that holds them, because few viewers read them.
    Raises `UserError` for a suffix not in `SUFFIXES`.
    """
    if not path.name.lower().endswith(SUFFIXES):
        raise UserError(
            f"{path}: cannot write this format. Expected a name that ends in "
            f"{', '.join(SUFFIXES)}; got {path.name!r}. Next step: choose one of them."
        )
    if array.dtype in (np.int64, np.uint64):
        low, high = np.min_scalar_type(array.min()), np.min_scalar_type(array.max())
        array = array.astype(np.result_type(low, high))
    native = grid if isinstance(grid, Geometry) else Geometry.canonical_of(array.shape[-3:], grid)
    image = to_native(array, native)
    with atomic(path) as temporary:
        sitk.WriteImage(image, str(temporary), True)
        try:
            check_pixels(temporary)
        except DamagedError as error:  # ITK does not report a full disk
            raise OSError(errno.ENOSPC, f"not written completely: {error}", str(path)) from error


def inspect_path(path: Path, *, needs_spacing: bool = True) -> Contents:
    """Read the header of a file, or of the DICOM series in a folder, without its pixels.

    ``needs_spacing``: as in `inspect` and `inspect_frames`.
    """
    if path.is_dir():
        return inspect_series(path, needs_spacing=needs_spacing)
    if not path.exists():
        raise refusal(
            path,
            "no such image",
            expected="an image file, or a folder with one DICOM series",
            got="nothing there",
            cause="a misspelt path, or a dataset that was not fetched or unpacked",
            step="check the path, or fetch the dataset again",
        )
    if claims_dicom(path):
        return inspect_frames(path, needs_spacing=needs_spacing)
    return inspect(path, needs_spacing=needs_spacing)
