"""Whether an image file gives the size of its voxels in mm; ITK takes 1 mm where it gives none.

ITK converts the units of NIfTI to mm, but reads NRRD and MetaImage as mm whatever their header
says. Such files are refused and not converted: other programs with ITK, which may have made a
prediction or show an exported mask, would have the image on another grid.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.image_io.detached import header_lines, is_meta
from benchmark.image_io.integrity import NiftiHeader

SET_SIZE = (
    "write the size in mm into the file, set it in the entry with the transform spacing (or give a "
    "label that of its image with image-grid), or leave the scan out"
)
"""Next step for the user where a file does not give it."""

_META = re.compile(rb"\s*Element(Spacing|Size)\s*[=:]")
_NRRD = re.compile(rb"(spacings|space directions)\s*:(?!=)(.*)", re.IGNORECASE)
_META_UNIT = re.compile(rb"\s*DistanceUnits\s*[=:]\s*(\S*)")
_NRRD_UNITS = re.compile(rb"(?:space )?units\s*:(?!=)(.*)", re.IGNORECASE)
_OTHER_LENGTH = re.compile(  # than mm; the axes of channels and time have other units
    "[nu\u00b5\u03bcc]?m|microns?|(nano|micro|centi)?met(er|re)s?|in|inch(es)?|pixels?|voxels?",
    re.IGNORECASE,
)


def missing_size(path: Path, reader: Any, nifti: NiftiHeader | None) -> str:
    """Return what the header holds in place of a voxel size in mm; empty if it gives one.

    ``reader`` is SimpleITK's, with the header read; ``nifti`` is that of a NIfTI file as stored. Of
    other formats than NIfTI, MetaImage and NRRD nothing is known, and the result is empty.
    """
    if reader.HasMetaDataKey("pixdim[1]"):
        return _missing_in_nifti(nifti, reader) if nifti else ""
    if not (lines := header_lines(path)):
        return ""
    if unit := next(filter(None, map(_other_unit, lines)), ""):
        return unit
    if is_meta(path):
        known = any(_META.match(line) for line in lines)
        return "" if known else "neither ElementSpacing nor ElementSize"
    found = [match for line in lines if (match := _NRRD.match(line))]
    if any(_sizes(match) >= 3 for match in found):  # more if the time between volumes has one
        return ""
    return found[0].string.decode(errors="replace") if found else "no spacings or space directions"


def _other_unit(line: bytes) -> str:
    """Return a line of a MetaImage or NRRD header that names a unit of length other than mm."""
    if found := _META_UNIT.match(line):
        units = [found[1]]
    elif found := _NRRD_UNITS.match(line):
        units = re.findall(rb'"([^"]*)"', found[1])
    else:
        return ""
    other = any(_OTHER_LENGTH.fullmatch(unit.decode(errors="replace").strip()) for unit in units)
    return line.decode(errors="replace") if other else ""


def sform(reader: Any) -> NDArray[np.float64]:
    """Return the steps between voxels (columns) in the sform of a NIfTI file."""
    rows = [reader.GetMetaData(f"srow_{axis}").split()[:3] for axis in "xyz"]
    return np.array(rows, dtype=float)


def _missing_in_nifti(header: NiftiHeader, reader: Any) -> str:
    """Look into pixdim and, if that gives no size, into the sform.

    A single slice may do without a thickness, as in DICOM.
    """
    stored = header.voxel_size
    size = reader.GetSize()[:3]
    if all(np.isfinite(mm) and (mm or n == 1) for mm, n in zip(stored, size, strict=True)):
        return ""
    lengths = np.linalg.norm(sform(reader), axis=0)
    if int(reader.GetMetaData("sform_code")) > 0 and np.allclose(
        lengths, reader.GetSpacing()[:3], rtol=0.01
    ):
        return ""
    return f"pixdim {stored} (x, y, z)"


def _sizes(match: re.Match[bytes]) -> int:
    """Return how many axes of a field of NRRD have a size; others are nan or none."""
    if match[1].lower() != b"spacings":
        return match[2].count(b"(")
    return len(match[2].split()) - match[2].lower().count(b"nan")
