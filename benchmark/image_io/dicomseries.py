"""Grid of a DICOM series, with the checks that ITK does not make.

ITK stacks all slices that it can read at their mean distance: a missing, duplicate or unreadable
slice, a second acquisition, or a tilted gantry, gives a wrong volume and at most a warning. In a
multi-frame file it uses the positions of only a few frames, and the rescaling of one for all.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.geometry import Geometry, Triple
from benchmark.image_io.dicomheader import SIZE, check_header, functional_group, header_values
from benchmark.image_io.imagefile import (
    Contents,
    inspect,
    itk_name,
    open_header,
    refusal,
    unreadable,
)
from benchmark.image_io.voxelsize import SET_SIZE

_UNEVEN = 0.1  # tolerated displacement of a slice, as a share of the slice distance
_TILT = 1.0  # tolerated in-plane offset of the last slice from the first, in pixels
_PIXEL = ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing")  # the best first
_APART = ("SpacingBetweenSlices", "SliceThickness")


def inspect_series(folder: Path, *, needs_spacing: bool = True) -> Contents:
    """Read the headers, without the pixels, of the one DICOM series in ``folder``.

    ``needs_spacing``: as in `inspect_frames`, for a folder with a single file. Raises `UserError`
    for a folder without exactly one series, for unreadable slices and for slices that form no
    regular grid.
    """
    files = files_of_series(folder)
    if len(files) == 1:
        return inspect_frames(files[0], needs_spacing=needs_spacing)
    headers = {file: open_header(file) for file in files}
    _check_single_frames(folder, headers)
    acquisitions = {file: check_header(file, header) for file, header in headers.items()}
    normal = np.array(headers[files[0]].GetDirection()).reshape(3, 3)[:, 2]
    files = tuple(sorted(files, key=lambda file: float(headers[file].GetOrigin() @ normal)))
    first = headers[files[0]]
    origins = np.array([headers[file].GetOrigin() for file in files])
    directions = np.array([headers[file].GetDirection() for file in files])
    _check_sizes(folder, np.array([headers[file].GetSpacing()[:2] for file in files]))
    width, height = first.GetSize()[:2]
    dx, dy = first.GetSpacing()[:2]
    _check_regular(folder, origins, directions, normal, min(dx, dy))
    _check_acquisitions(folder, [acquisitions[file] for file in files])
    dz = float((origins[-1] - origins[0]) @ normal) / (len(files) - 1)
    size = (width, height, len(files))
    grid = Geometry(size, (dx, dy, dz), first.GetOrigin(), tuple(directions[0].tolist()))
    # ITK would read all slices with the pixel type of the first, but PET slices differ in scale
    mixed = len({header.GetPixelID() for header in headers.values()}) > 1
    pixel_type = sitk.sitkFloat32 if mixed else sitk.sitkUnknown
    return Contents(files, size, grid, first.GetNumberOfComponents(), pixel_type)


def inspect_frames(file: Path, *, needs_spacing: bool = True) -> Contents:
    """Read the header, without the pixels, of a DICOM file of one or more frames.

    Frames may be in ascending or descending order, but must be evenly spaced. Frames without a
    position are taken in the order of the file, at the distance that the header gives. Raises
    `UserError` for frames that form no regular grid or that differ in pixel size or rescaling; if
    it ``needs_spacing``, also for frames without a position whose size is not in the header.
    """
    import pydicom

    reader = open_header(file)
    check_header(file)
    width, height, depth = reader.GetSize()
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        frames = _frames(header)
        spacing = _stacked(header, depth)
        if frames and len(frames) != depth:
            raise ValueError(f"{len(frames)} positions of {depth} frames")
    except Exception as error:  # pydicom raises exceptions of any type for a damaged header
        raise refusal(
            file,
            "frames without a position",
            expected="position, orientation and size of the pixels of each",
            got=f"from the reader: {error}",
            cause="a damaged header",
            step="fetch the file again; if it is complete, leave the scan out",
        ) from None
    if not frames:
        return _without_positions(file, spacing, needs_spacing=needs_spacing)
    origins, directions, sizes = (
        np.array([getattr(frame, name) for frame in frames])
        for name in ("origin", "directions", "pixel")
    )
    (dy, dx), scales = sizes[0], sorted({frame.scale for frame in frames})
    normal = np.cross(directions[0, :3], directions[0, 3:])
    if origins[-1] @ normal < origins[0] @ normal:
        normal = -normal
    _check_sizes(file, sizes)
    _check_regular(file, origins, directions, normal, min(dx, dy))
    if len(scales) > 1:
        raise refusal(
            file,
            "frames with values on scales of their own",
            expected="one slope and intercept",
            got=f"{len(scales)}, such as {scales[0]} and {scales[-1]}",
            cause="PET, or maps of several quantities in one file",
            step="convert the scan to NIfTI with a program that scales each frame",
        )
    dz = float((origins[-1] - origins[0]) @ normal) / (len(frames) - 1)
    axes = np.column_stack([directions[0, :3], directions[0, 3:], normal])
    size = (width, height, depth)
    grid = Geometry(
        size, (float(dx), float(dy), dz), tuple(origins[0].tolist()), tuple(axes.ravel().tolist())
    )
    return Contents((file,), size, grid, reader.GetNumberOfComponents())


def _without_positions(file: Path, spacing: Triple | None, *, needs_spacing: bool) -> Contents:
    """Return the contents of a file of frames without positions, with the ``spacing`` if known."""
    contents = inspect(file)
    if spacing:
        return replace(contents, grid=replace(contents.grid, spacing=spacing))
    if needs_spacing:
        raise refusal(
            file,
            "no valid grid",
            expected="positions of the frames, or the size of their pixels and their distance",
            got="no positions, and no PixelSpacing with SpacingBetweenSlices or SliceThickness",
            cause="a secondary capture, or sizes in private tags",
            step=SET_SIZE,
        )
    return replace(contents, sized=False)


@dataclass(frozen=True)
class _Frame:
    """Geometry and rescaling of a frame.

    ``origin`` is the centre of the first pixel in mm (LPS), ``directions`` the direction cosines of
    rows and columns, ``pixel`` the pixel spacing (down, across) in mm and ``scale`` (slope,
    intercept).
    """

    origin: list[float]
    directions: list[float]
    pixel: list[float]
    scale: tuple[float, float]


def _frames(header: Any) -> list[_Frame]:
    """Return the frames in a header; empty if there is only one, or if none has a position."""
    import pydicom

    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    placed = any("PlanePositionSequence" in groups for groups in (shared, *frames))
    if len(frames) < 2 or not placed:
        return []
    found = []
    for frame in frames:
        at = functional_group(frame, shared, "PlanePositionSequence").ImagePositionPatient
        turn = functional_group(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient
        pixel = functional_group(frame, shared, "PixelMeasuresSequence").PixelSpacing
        origin, directions, size = ([float(v) for v in values] for values in (at, turn, pixel))
        found.append(_Frame(origin, directions, size, _scale(frame, shared)))
    return found


def _stacked(header: Any, depth: int) -> Triple | None:
    """Return the spacing (x, y, z) in mm of ``depth`` frames without a position; None if not told.

    A single frame is as thick as it says, or 1 mm.
    """
    sizes = (header_values(header, name) for name in _PIXEL)
    pixel = next((size for size in sizes if size.shape == (2,)), None)
    apart = [abs(float(v)) for name in _APART for v in header_values(header, name).ravel() if v]
    apart += [1.0] * (depth == 1)
    if pixel is None or not apart:
        return None
    spacing = float(pixel[1]), float(pixel[0]), apart[0]
    return spacing if min(spacing) > 0 and np.isfinite(spacing).all() else None


def _scale(frame: Any, shared: Any) -> tuple[float, float]:
    """Return slope and intercept of the stored values."""
    name = "PixelValueTransformationSequence"
    if name not in frame and name not in shared:
        return 1.0, 0.0
    about = functional_group(frame, shared, name)
    return float(about.RescaleSlope), float(about.RescaleIntercept)


def files_of_series(folder: Path) -> tuple[Path, ...]:
    """Return the slices of the one series in ``folder``; a `UserError` if it is not one series."""
    reader = sitk.ImageSeriesReader
    name = itk_name(folder)
    try:
        series = reader.GetGDCMSeriesIDs(name)
    except RuntimeError as error:  # for example of a palette without colours
        raise unreadable(folder, error) from None
    if len(series) != 1:
        raise refusal(
            folder,
            "not one DICOM series",
            expected="the slices of one series in the folder",
            got=f"{len(series)} series{': ' * bool(series)}{', '.join(series)}",
            cause="an empty folder, or one for a study in the place of a series",
            step="give each series a folder of its own",
        )
    files = tuple(Path(name) for name in reader.GetGDCMSeriesFileNames(name, series[0]))
    others = sorted(set(folder.iterdir()) - set(files))
    lost = [path.name for path in others if path.is_file() and claims_dicom(path)]
    if lost:
        raise refusal(
            folder,
            "unreadable slices in the DICOM series",
            expected=f"every DICOM file to belong to the series of {len(files)}",
            got=f"{len(lost)} that do not: {', '.join(lost[:3])}",
            cause="truncated files",
            step="fetch the series again",
        )
    return files


def claims_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its suffix or its first bytes.

    Side files of macOS and an index of files (DICOMDIR) are not, and unreadable files only by name.
    """
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    if path.suffix.lower() == ".dcm":
        return True
    with suppress(OSError), path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
    return False


def _check_single_frames(folder: Path, headers: dict[Path, Any]) -> None:
    """Refuse a series with several frames in a file, of which only the first would be placed."""
    stacks = [file.name for file, header in headers.items() if header.GetSize()[2:] > (1,)]
    if stacks:
        raise refusal(
            folder,
            "more than one file of frames",
            expected="one slice in each file, or one file with all frames",
            got=f"{len(headers)} files, and several frames in {', '.join(stacks[:3])}",
            cause="several scans in one series, or one scan divided into several files",
            step="name the file of each scan, or convert the series to NIfTI",
        )


def _check_acquisitions(folder: Path, numbers: list[str]) -> None:
    """Refuse slices of one acquisition between those of another, as of two phases of CT.

    ``numbers``: the acquisition of each slice, in the order of their positions. Acquisitions that
    follow each other, as of one table position each, are one scan.
    """
    parts = 1 + sum(a != b for a, b in pairwise(numbers))
    if parts > len(set(numbers)):
        raise refusal(
            folder,
            "slices of several acquisitions between each other",
            expected="one AcquisitionNumber, or one for each part of the body",
            got=f"{parts} parts of {len(set(numbers))}: {', '.join(sorted(set(numbers))[:3])}",
            cause="several phases in one series",
            step="give each acquisition a folder of its own, or leave the scan out",
        )


def _check_sizes(path: Path, sizes: NDArray[np.float64]) -> None:
    """Refuse slices whose pixels have no size, or differ in it."""
    if not (sizes.min() > 0 and np.allclose(sizes, sizes[0], rtol=SIZE, atol=0)):
        raise refusal(
            path,
            "slices with pixels of their own size",
            expected="one size above zero in PixelSpacing",
            got=f"{sizes.min():g} to {sizes.max():g} mm",
            cause="several series in one",
            step="leave the scan out",
        )


def _check_regular(
    folder: Path,
    origins: NDArray[np.float64],
    directions: NDArray[np.float64],
    normal: NDArray[np.float64],
    pixel: float,
) -> None:
    """Refuse slices that are not parallel, evenly spaced and aligned with each other."""
    steps = np.diff(origins @ normal)
    usual = float(np.median(steps))
    uneven = np.abs(steps - usual).max()
    across = origins[-1] - origins[0]
    beside = float(np.linalg.norm(across - (across @ normal) * normal))
    if np.abs(directions - directions[0]).max() > 0.001:
        got, cause = "slices that are not parallel, or turned", "a scout view among them"
    elif usual <= 0 or uneven > _UNEVEN * usual:
        got = f"distances of {steps.min():.4g} to {steps.max():.4g} mm"
        cause = "missing or doubled slices, or several phases in one series"
    elif beside > _TILT * pixel:
        got, cause = f"the last slice {beside:.3g} mm beside the first", "a tilted gantry"
    else:
        return
    raise refusal(
        folder,
        "the slices of the series make no regular grid",
        expected="parallel slices at equal distances, one above the other",
        got=got,
        cause=cause,
        step="fetch the series again; if it is complete, resample it or leave the scan out",
    )
