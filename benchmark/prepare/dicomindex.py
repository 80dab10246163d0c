"""Index of the DICOM series below a folder, made from headers, independent of the folder layout."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.storage.walk import walk

_TAGS = [
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesDescription",
    "FrameOfReferenceUID",
    "ReferencedSeriesSequence",
]


@dataclass(frozen=True)
class Series:
    """A DICOM series.

    ``path`` is its folder, or the file of a segmentation; ``refers_to`` holds the UIDs of the
    series that a segmentation was drawn on, and ``frame`` the UID of the frame of reference, in
    which positions are told, or nothing.
    """

    path: Path
    patient: str
    study: str
    uid: str
    modality: str
    description: str
    refers_to: tuple[str, ...] = ()
    frame: str = ""


def series_below(root: Path) -> list[Series]:
    """Return all series below ``root``, in the order of their paths.

    A folder is assumed to hold one series, as all download tools arrange them, so only one of its
    files is read here; reading the series checks the assumption. Segmentations are indexed file by
    file.
    """
    found = []
    for folder, folders, names in walk(root):
        folders.sort()
        for name in sorted(names):
            series = _read(folder / name)
            if series is None:
                continue
            found.append(series)
            if series.modality != "SEG":
                break
    return found


def _read(path: Path) -> Series | None:
    """Return the series of a DICOM file; None if it is not DICOM or has an unreadable header."""
    import pydicom

    suffix = path.suffix.lower()
    # a UID as a name, as many archives give it, ends in a number
    if path.name.startswith(".") or not (suffix in (".dcm", ".ima", "") or suffix[1:].isdigit()):
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        referenced = header.get("ReferencedSeriesSequence") or ()
    except Exception:  # pydicom raises exceptions of any type for a damaged header
        return None
    modality = str(header.get("Modality", ""))
    if not modality:  # truncated header: do not take it for the series of the folder
        return None
    return Series(
        path=path if modality == "SEG" else path.parent,
        patient=str(header.get("PatientID", "")),
        study=str(header.get("StudyInstanceUID", "")),
        uid=str(header.get("SeriesInstanceUID", "")),
        modality=modality,
        description=str(header.get("SeriesDescription", "")),
        refers_to=tuple(str(item.get("SeriesInstanceUID", "")) for item in referenced),
        frame=str(header.get("FrameOfReferenceUID") or ""),
    )
