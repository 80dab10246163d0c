"""DICOM series below a folder, told by their headers, wherever a download tool has put them."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.walk import walk

_TAGS = [
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesDescription",
    "ReferencedSeriesSequence",
]


@dataclass(frozen=True)
class Series:
    """A series: its folder, or the file of a segmentation; ``refers_to``: what it was drawn on."""

    path: Path
    patient: str
    study: str
    uid: str
    modality: str
    description: str
    refers_to: tuple[str, ...] = ()


def series_below(root: Path) -> list[Series]:
    """All series below ``root``, in the order of their paths.

    Of a folder, one file is read: a folder is taken for one series, as all download tools make
    them (reading it checks that). Segmentations are taken file by file.
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
    """Header of a DICOM file; None for any other file, and one whose header cannot be read."""
    import pydicom

    if path.name.startswith(".") or path.suffix.lower() not in (".dcm", ".ima", ""):
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        referenced = header.get("ReferencedSeriesSequence") or ()
    except Exception:  # pydicom raises whatever a damaged header leads to
        return None
    modality = str(header.get("Modality", ""))
    if not modality:  # cut off before it: not taken for the series of the folder
        return None
    return Series(
        path=path if modality == "SEG" else path.parent,
        patient=str(header.get("PatientID", "")),
        study=str(header.get("StudyInstanceUID", "")),
        uid=str(header.get("SeriesInstanceUID", "")),
        modality=modality,
        description=str(header.get("SeriesDescription", "")),
        refers_to=tuple(str(item.get("SeriesInstanceUID", "")) for item in referenced),
    )
