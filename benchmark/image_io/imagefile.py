"""Pixels and grid of an image file, read by SimpleITK; untrustworthy files raise `UserError`."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.image_io.detached import ElsewhereError, pixel_file
from benchmark.image_io.integrity import (
    DamagedError,
    NiftiHeader,
    check_pixels,
    is_gzip,
    is_nifti2,
    nifti_header,
)
from benchmark.image_io.voxelsize import SET_SIZE, missing_size, sform

# The relevant warnings of ITK are replaced by checks below; its errors are exceptions and stay.
sitk.ProcessObject.SetGlobalWarningDisplay(False)

_SHEAR = 0.01  # tolerated cosine between two index axes; distances are off by at most half of it
_SPACING = (1e-7, 1e4)  # mm; beyond, squares and volumes overflow, or are told in a wrong unit
_COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)
_SHEAR_ALLOWED = RLock()  # held while ITK corrects sheared grids, in all threads of the process

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """Contents of an image file according to its header.

    ``files`` is the file, or the slices of a series in order. ``size`` is that of the file: (x, y,
    z) and further axes, if any. ``pixel_type`` is SimpleITK's number of the type to read, or
    `SimpleITK.sitkUnknown` for that of the file. ``sized`` is false where the file does not tell
    the size of its voxels.
    """

    files: tuple[Path, ...]
    size: tuple[int, ...]
    grid: Geometry
    components: int = 1
    pixel_type: int = sitk.sitkUnknown
    sized: bool = True

    @property
    def volumes(self) -> int:
        """Number of volumes along the axes after the third."""
        return math.prod(self.size[3:])

    @property
    def channels(self) -> int:
        """Number of volumes, with each component of a vector counted as one."""
        return self.volumes * self.components


def refusal(path: Path, what: str, *, expected: str, got: str, cause: str, step: str) -> UserError:
    """Return the error for an image that cannot be used."""
    return UserError(
        f"{path}: {what}. Expected {expected}; got {got}. Likely cause: {cause}. Next step: {step}."
    )


def unreadable(path: Path, error: RuntimeError) -> UserError:
    """Return the error for a file that SimpleITK refused, with the relevant line of its message."""
    text = re.sub(r"\(0x[0-9a-f]+\)", "", str(error))  # addresses differ from run to run
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [number for number, line in enumerate(lines) if "ERROR: " in line]
    # NRRD gives the reason in the last line, most other formats in the marked one or after it
    reason = lines[-1]
    if marked and not reason.startswith("[nrrd]"):
        reason = lines[marked[-1]].split("ERROR: ", 1)[1]
        if reason.endswith(":"):
            reason = " ".join([reason, *lines[marked[-1] + 1 : marked[-1] + 2]])
    got, cause, step = _other_format(path) or (
        f"from the reader: {reason.rstrip('.')}",
        "a truncated download, or a format other than its name tells",
        "fetch the file again and open it in a viewer",
    )
    return refusal(
        path,
        "unreadable image",
        expected="NIfTI, MHA, NRRD, or a folder with one DICOM series",
        got=got,
        cause=cause,
        step=step,
    )


def _other_format(path: Path) -> tuple[str, str, str] | None:
    """Return what a sound file is that SimpleITK does not read, the cause and the next step."""
    name = path.name.lower()
    if not (path.is_file() and name.endswith((".nii", ".nii.gz"))):
        return None
    if is_nifti2(path):
        step = "convert it to NIfTI-1, in Python with nibabel.Nifti1Image.from_image"
        return "NIfTI-2", "a program that writes this newer version", step
    if is_gzip(path) and not name.endswith(".gz"):
        return (
            "a compressed file",
            "a suffix that was lost",
            "rename it, so that it ends in .nii.gz",
        )
    return None


def inspect(path: Path, *, needs_spacing: bool = True) -> Contents:
    """Read the header of a file, without the pixels.

    Raises `UserError` for an unreadable file, for fewer than three axes and for an invalid grid; if
    it ``needs_spacing``, also for a file that does not tell its voxel size.
    """
    reader = open_header(path)
    nifti = _checked_nifti(path, reader) if reader.HasMetaDataKey("srow_x") else None
    size = reader.GetSize()
    # the two parts of a complex number, which `pixels` refuses, would count as two components
    components = 1 if reader.GetPixelIDValue() in _COMPLEX else reader.GetNumberOfComponents()
    if len(size) < 3 or min(size) < 1:
        raise refusal(
            path,
            "not a volume",
            expected="three axes of at least one voxel",
            got=f"size {size} (x, y, ...)",
            cause="a single slice or a picture in the place of a scan",
            step="give the file of the whole scan, or the folder of its DICOM series",
        )
    matrix = np.array(reader.GetDirection()).reshape(len(size), len(size))[:3, :3]
    spacing, origin = reader.GetSpacing()[:3], reader.GetOrigin()[:3]
    finite = np.isfinite([*spacing, *origin, *matrix.ravel()]).all()
    if not finite or min(spacing) < _SPACING[0] or max(spacing) > _SPACING[1]:
        raise refusal(
            path,
            "no valid grid",
            expected=f"finite coordinates and spacing of {_SPACING[0]:g} to {_SPACING[1]:g} mm",
            got=f"spacing {spacing} mm, origin {origin} mm",
            cause="a damaged header",
            step="repair the header, or leave the scan out",
        )
    skew = np.abs(matrix.T @ matrix - np.eye(3)).max()
    if skew > _SHEAR:  # ITK checks this in NIfTI alone
        raise refusal(
            path,
            "the grid is sheared or scaled",
            expected=f"directions of length 1 at right angles (to {_SHEAR})",
            got=f"{np.round(matrix.T, 4).tolist()} (x, y, z), off by {skew:.3g}",
            cause="a tilted gantry, or an affine registration stored in the header",
            step="resample the scan to a rectangular grid, or leave it out",
        )
    lost = missing_size(path, reader, nifti)
    if lost and needs_spacing:
        raise refusal(
            path,
            "no valid grid",
            expected="the size of a voxel along each axis, in mm",
            got=lost,
            cause="a program that wrote the voxels without their size, or in another unit",
            step=SET_SIZE,
        )
    grid = Geometry(size[:3], spacing, origin, tuple(matrix.ravel().tolist()))
    return Contents((path,), size, grid, components, sized=not lost)


def pixels(path: Path, contents: Contents) -> NDArray[Any]:
    """Read the pixels that ``contents`` describes as (c, z, y, x) in the voxel order of the file.

    The values have the data type of the file. Raises `UserError` if the file is damaged or holds
    complex or non-finite values.
    """
    names = [itk_name(file) for file in contents.files]
    try:
        broken = check_pixels(contents.files[0]) if len(names) == 1 else 0
        file = names if len(names) > 1 else names[0]
        image = _corrected(lambda: sitk.ReadImage(file, contents.pixel_type))
    except DamagedError as error:
        raise refusal(
            path,
            "the file is truncated or damaged",
            expected="all the pixels that its header promises",
            got=str(error).rstrip("."),
            cause="a broken download or a full disk",
            step="fetch the file again",
        ) from None
    except RuntimeError as error:
        raise unreadable(path, error) from None
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind == "f":
        broken = broken or int(np.count_nonzero(~np.isfinite(array)))
    if broken or array.dtype.kind == "c":
        raise refusal(
            path,
            "not an image that can be used",
            expected="real, finite values",
            got=f"{array.dtype}, {broken} of {array.size} values NaN or infinite",
            cause="a failed conversion, or resampling that marks what lies outside with NaN",
            step="convert the scan again, or leave it out",
        )
    if contents.components > 1:
        array = np.moveaxis(array, -1, 0)
    x, y, z = contents.size[:3]
    return array.reshape(-1, z, y, x)


def itk_name(path: Path) -> str:
    """Return the name of a file for ITK; a `UserError` if it is no UTF-8, which aborts ITK."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise refusal(
            path,
            "the name of a file or of a folder above it is not UTF-8",
            expected="a path in UTF-8",
            got=repr(name),
            cause="an archive that was made on an old system",
            step="rename it",
        ) from None
    return name


def open_header(path: Path) -> Any:
    """Return SimpleITK's reader of a file, with the header read.

    A slightly sheared NIfTI grid becomes the nearest rectangular one. ITK refuses any sform that is
    off a rotation by more than rounding, and some public scans are.
    """
    try:
        pixel_file(path)
    except ElsewhereError as error:
        raise refusal(
            path,
            "the pixels are elsewhere",
            expected="pixels in the file, or in one file beside it, named without a folder",
            got=f"{str(error)!r}",
            cause="a file that was not copied with its header, or a header made to read others",
            step="put the file there and name it in the header, or leave the scan out",
        ) from None
    except OSError as error:
        raise unreadable(path, RuntimeError(str(error))) from None
    reader = sitk.ImageFileReader()
    reader.SetFileName(itk_name(path))
    try:
        with _SHEAR_ALLOWED:  # by no other thread: the grid of some files depends on it
            _corrected(reader.ReadImageInformation)
    except RuntimeError as error:
        raise unreadable(path, error) from None
    return reader


def _corrected(read: Callable[[], T]) -> T:
    """Call ``read``, a second time if ITK refuses a sheared sform, and then let ITK correct it.

    ITK reads the environment variable that allows it anew for each file.
    """
    try:
        return read()
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise
    name = "ITK_NIFTI_SFORM_PERMISSIVE"
    with _SHEAR_ALLOWED:
        before = os.environ.get(name)
        os.environ[name] = "ON"
        try:
            return read()
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


def _checked_nifti(path: Path, reader: Any) -> NiftiHeader | None:
    """Return the header as stored; refuse a contradictory one."""
    header = nifti_header(path)
    _check_sform(path, reader, header)
    if header:
        _check_scale(path, header)
    return header


def _check_sform(path: Path, reader: Any, header: NiftiHeader | None) -> None:
    """Refuse a NIfTI grid that is sheared, or whose sform contradicts the voxel size.

    Beside a qform, ITK takes the directions of an sform of code 1, if it is rectangular.
    """
    corrected = reader.GetMetaData("ITK_sform_corrected") == "YES"
    code, other = (int(reader.GetMetaData(f"{form}form_code")) for form in "sq")
    columns = sform(reader)
    lengths = np.linalg.norm(columns, axis=0)
    if other and not corrected:
        stored = header.voxel_size if header else (0.0,)
        known = all(stored) and np.isfinite(stored).all()  # otherwise `missing_size` says so
        if not (code == 1 and known and lengths.all() and _shear(columns) <= _SHEAR):
            return
    if not (corrected or code):
        return
    sizes = np.array([float(reader.GetMetaData(f"pixdim[{axis}]")) for axis in (1, 2, 3)])
    if np.abs(lengths - np.abs(sizes)).max() > 0.01 * lengths.min():
        raise refusal(
            path,
            "the header contradicts itself on the voxel size",
            expected="columns of the sform as long as pixdim",
            got=f"{lengths.tolist()} against {sizes.tolist()} (x, y, z)",
            cause="a program that changed one and not the other",
            step="find out which is right and rewrite the header, or leave the scan out",
        )
    shear = _shear(columns)
    if shear > _SHEAR:
        raise refusal(
            path,
            "the grid is sheared",
            expected=f"axes at right angles (cosine up to {_SHEAR})",
            got=f"a cosine of {shear:.3g}",
            cause="a tilted gantry, or an affine registration stored in the sform",
            step="resample the scan to a rectangular grid, or leave it out",
        )


def _shear(columns: NDArray[np.float64]) -> float:
    """Return the largest cosine between two of the steps between voxels."""
    units = columns / np.linalg.norm(columns, axis=0)
    return float(np.abs(units.T @ units - np.eye(3)).max())


def _check_scale(path: Path, header: NiftiHeader) -> None:
    """Refuse a NIfTI file with an intercept and no slope, or the reverse.

    The standard says to ignore an intercept without a slope, but ITK adds it.
    """
    slope, intercept = header.slope, header.intercept
    scaled = bool(slope) and math.isfinite(slope)
    if scaled != math.isfinite(intercept) and (scaled or intercept):
        raise refusal(
            path,
            "the header contradicts itself on the scale of the values",
            expected="slope and intercept, or neither",
            got=f"scl_slope {slope:g} and scl_inter {intercept:g}",
            cause="a program that set one of them alone",
            step="set both to 0 if the values are as stored, otherwise both to what they should be",
        )
