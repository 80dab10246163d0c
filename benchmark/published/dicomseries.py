"""Grid of a DICOM series, and the checks that ITK does not make.

ITK stacks whatever slices it can read, at the mean distance of those that it found: a missing,
doubled or unreadable slice, or a tilted gantry, gives a wrong volume and at most a warning.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark.geometry import Geometry
from benchmark.published.imagefile import Contents, inspect, open_header, refusal

_UNEVEN = 0.1  # share of the slice distance by which a slice may be out of place
_TILT = 1.0  # pixels by which the last slice may lie beside the first


def inspect_series(folder: Path) -> Contents:
    """Read the headers of the one DICOM series in ``folder``; no pixels."""
    files = _files(folder)
    if len(files) == 1:  # a multi-frame file
        return inspect(files[0])
    headers = {file: open_header(file) for file in files}
    normal = np.array(headers[files[0]].GetDirection()).reshape(3, 3)[:, 2]
    files = tuple(sorted(files, key=lambda file: float(headers[file].GetOrigin() @ normal)))
    first = headers[files[0]]
    origins = np.array([headers[file].GetOrigin() for file in files])
    directions = np.array([headers[file].GetDirection() for file in files])
    width, height = first.GetSize()[:2]
    dx, dy = first.GetSpacing()[:2]
    _check_regular(folder, origins, directions, normal, min(dx, dy))
    dz = float((origins[-1] - origins[0]) @ normal) / (len(files) - 1)
    size = (width, height, len(files))
    grid = Geometry(size, (dx, dy, dz), first.GetOrigin(), tuple(directions[0].tolist()))
    # ITK would read all slices in the type of the first; PET has another scale in each
    mixed = len({header.GetPixelID() for header in headers.values()}) > 1
    pixel_type = sitk.sitkFloat32 if mixed else sitk.sitkUnknown
    return Contents(files, size, grid, pixel_type=pixel_type)


def _files(folder: Path) -> tuple[Path, ...]:
    """Slices of the one series in ``folder``."""
    reader = sitk.ImageSeriesReader
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise refusal(
            folder,
            "not one DICOM series",
            expected="the slices of one series in the folder",
            got=f"{len(series)} series{': ' * bool(series)}{', '.join(series)}",
            cause="an empty folder, or one for a study in the place of a series",
            step="give each series a folder of its own",
        )
    files = tuple(Path(name) for name in reader.GetGDCMSeriesFileNames(str(folder), series[0]))
    others = sorted(set(folder.iterdir()) - set(files))
    lost = [path.name for path in others if path.is_file() and _claims_dicom(path)]
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


def _claims_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return path.suffix.lower() == ".dcm" or stream.read(132)[128:] == b"DICM"


def _check_regular(
    folder: Path,
    origins: NDArray[np.float64],
    directions: NDArray[np.float64],
    normal: NDArray[np.float64],
    pixel: float,
) -> None:
    """Refuse slices that are not parallel, evenly spaced and one above the other."""
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
