"""Checks of the header of a DICOM file against what ITK reads."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.image_io.imagefile import refusal

SIZE = 5e-4
"""Tolerated relative difference in pixel size: a quarter of a pixel in 512."""
_TURN = 0.01  # tolerated difference in direction cosines between the header and ITK, which rounds
_GEOMETRY_TAGS = {  # tags, and the functional groups that hold them instead in a file of frames
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "ImagerPixelSpacing": "",
    "NominalScannedPixelSpacing": "",  # of secondary captures
}
_SIZES = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames")
_HEADER = (
    *_GEOMETRY_TAGS,
    *_SIZES,
    "Modality",
    "AcquisitionNumber",
    "PhotometricInterpretation",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_PIXEL_DATA = 0x7FE00010
_UNKNOWN_LENGTH = 0xFFFFFFFF  # length of compressed pixels


def check_header(file: Path, header: Any = None) -> str:
    """Return the acquisition number of a slice of CT, else nothing; refuse what ITK misreads.

    That is a file with fewer bytes of pixels than ITK reads, which would go on in its memory.

    Also values of CT and PET that are shown from white to black: ITK inverts them. With the
    ``header`` that ITK read of a slice, also a position, orientation or pixel size that ITK had to
    invent.
    """
    from pydicom.filereader import read_partial
    from pydicom.tag import BaseTag, Tag

    lengths = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        lengths.append(length if tag == _PIXEL_DATA else _UNKNOWN_LENGTH)
        return tag == _PIXEL_DATA

    try:
        with file.open("rb") as stream:
            tags: list[BaseTag | int] = [Tag(name) for name in _HEADER]
            tags_read = read_partial(stream, at_pixels, force=True, specific_tags=tags)
        sizes = [int(tags_read.get(name) or 1) for name in _SIZES]
        wrong = _invented(tags_read, header) if header else ""
        negative = tags_read.get("PhotometricInterpretation") == "MONOCHROME1"
        inverted = negative and tags_read.get("Modality") in ("CT", "PT")
        acquisition = str(tags_read.get("AcquisitionNumber") or "")
        acquisition = acquisition if tags_read.get("Modality") == "CT" else ""
    except Exception as error:  # pydicom raises exceptions of any type for a damaged header
        sizes, wrong = [], f"from the reader: {error}" if header else ""
        inverted, acquisition = False, ""
    if sizes and min(lengths, default=_UNKNOWN_LENGTH) < (promised := math.prod(sizes) // 8):
        raise refusal(
            file,
            "fewer pixels than the header promises",
            expected=f"{promised} bytes ({', '.join(_SIZES)}: {sizes})",
            got=f"{min(lengths)}",
            cause="a damaged header",
            step="fetch the file again; if it is complete, leave the scan out",
        )
    if inverted:
        raise refusal(
            file,
            "values that would be read inverted",
            expected="PhotometricInterpretation MONOCHROME2, for Hounsfield units or activity",
            got="MONOCHROME1",
            cause="an export made for viewing",
            step="set MONOCHROME2 in a copy of the files, or convert the scan to NIfTI with a "
            "program that keeps the values",
        )
    if wrong:
        raise refusal(
            file,
            "no valid grid",
            expected="position, orientation (two axes at right angles) and pixel size",
            got=wrong,
            cause="a damaged header, or a program that removed tags",
            step="fetch the series again; if it is complete, leave the scan out",
        )
    return acquisition


def _invented(dataset: Any, header: Any) -> str:
    """Return the tag that differs from what ITK read, with its value; empty if none does.

    Of two tags for the size of the pixels, ITK takes the one that the kind of image goes by.
    """
    axes = np.reshape(header.GetDirection(), (3, 3))[:, :2].T
    size = np.array(header.GetSpacing()[1::-1])
    position, turn, *sizes = (header_values(dataset, name) for name in _GEOMETRY_TAGS)
    if position.shape != (3,) or not np.allclose(position, header.GetOrigin(), atol=0.01):
        return f"ImagePositionPatient {position.tolist()}, read as {list(header.GetOrigin())}"
    if turn.shape != (6,) or not np.allclose(_units(turn.reshape(2, 3)), axes, atol=_TURN):
        return f"ImageOrientationPatient {turn.tolist()}, read as {axes.ravel().tolist()}"
    if not any(found.shape == (2,) and np.allclose(found, size, rtol=SIZE) for found in sizes):
        return f"PixelSpacing {sizes[0].tolist()}, read as {size.tolist()}"
    return ""


def header_values(dataset: Any, name: str) -> NDArray[np.float64]:
    """Return the numbers of a tag, of a slice or of the first frame; empty if there are none."""
    value = dataset.get(name)
    if value is None and (frames := dataset.get("PerFrameFunctionalGroupsSequence")):
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
        group = _GEOMETRY_TAGS.get(name, "PixelMeasuresSequence")
        if group and (group in frames[0] or group in shared):
            value = functional_group(frames[0], shared, group).get(name)
    return np.array([] if value is None else value, dtype=float)


def _units(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        units: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def functional_group(own: Any, shared: Any, name: str) -> Any:
    """Return the item of a functional group: the frame's own or, if it has none, the shared one."""
    return (own if name in own else shared)[name].value[0]
