"""DICOM segmentations -> masks on the grid of an image.

Frames are placed by their position in the patient, never by their order; segments may overlap,
their numbers mean nothing beyond the file, and empty frames may be missing (DICOM PS3.3, A.51).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.published.dicomgroups import functional_group
from benchmark.published.raster import Raster

_ON_GRID = 0.1  # share of a voxel by which a frame may lie beside the pixels of the image
_SLICE = 0.3  # and beside its slice: positions are often rounded


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment: its label as written, its mask (z, y, x) in the image's own order.

    ``resampled``: the frames did not lie on the pixels of the image.
    """

    label: str
    mask: NDArray[np.bool_]
    resampled: bool


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame: pixels (rows, columns), and in mm (LPS) the first one and the steps to the next."""

    pixels: NDArray[np.bool_]
    corner: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]


def read(path: Path, grid: Geometry) -> Iterator[Segment]:
    """Read the segments of a file on the native ``grid`` of its image, in the order of the file.

    A `UserError` for an unreadable file and for frames with content beyond the image.
    """
    dataset = _opened(path)
    for label, frames in _segments(path, dataset):
        indices = [_indices(frame, grid) for frame in frames]
        resampled = any(found is None for found in indices)
        if resampled:
            mask = _resampled(path, dataset, frames, grid)
        else:
            mask = np.zeros(grid.size[::-1], dtype=bool)
            for found in indices:
                mask[_inside(path, found, mask.shape)] = True
        yield Segment(label, mask, resampled)


def fits(path: Path, grid: Geometry) -> bool:
    """Whether every frame with content lies on the pixels of ``grid``."""
    dataset = _opened(path)
    for _, frames in _segments(path, dataset):
        for frame in frames:
            found = _indices(frame, grid)
            beyond = found is None or any(
                axis.size and not (axis.min() >= 0 and axis.max() < length)
                for axis, length in zip(found, grid.size[::-1], strict=True)
            )
            if beyond:
                return False
    return True


def _opened(path: Path) -> Any:
    import pydicom

    with _readable(path):
        dataset = pydicom.dcmread(path)
        if dataset.Modality != "SEG":
            raise ValueError(f"modality {dataset.Modality}")
        dataset.pixel_array  # noqa: B018  (decoded once and kept by pydicom)
    return dataset


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever is wrong with a file as our own error."""
    try:
        yield
    except Exception as error:  # the decoders of pydicom raise whatever their libraries do
        raise UserError(
            f"{path}: unreadable DICOM segmentation ({type(error).__name__}: {error}). Likely "
            "cause: a truncated download, or a damaged header. Next step: fetch the file again; if "
            "it is complete, leave the scan out."
        ) from None


def _segments(path: Path, dataset: Any) -> Iterator[tuple[str, list[_Frame]]]:
    """Labels and frames of the segments; the number 0 is the background of a file of values."""
    with _readable(path):
        for item in dataset.SegmentSequence:
            if (number := int(item.SegmentNumber)) > 0:
                yield str(item.SegmentLabel), list(_frames(dataset, number))


def _frames(dataset: Any, number: int) -> Iterator[_Frame]:
    """Frames of a segment that hold anything; of shares, what is at least half inside."""
    stack = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    kind = dataset.get("SegmentationType")
    least = float(dataset.MaximumFractionalValue) / 2 if kind == "FRACTIONAL" else 1
    for own, stored in zip(dataset.PerFrameFunctionalGroupsSequence, stack, strict=True):
        if kind != "LABELMAP":
            about = functional_group(own, shared, "SegmentIdentificationSequence")
            if int(about.ReferencedSegmentNumber) != number:
                continue
        pixels = stored == number if kind == "LABELMAP" else stored >= least
        if not pixels.any():
            continue
        turn = functional_group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
        down, across = functional_group(own, shared, "PixelMeasuresSequence").PixelSpacing
        corner = functional_group(own, shared, "PlanePositionSequence").ImagePositionPatient
        along_columns, along_rows = np.array(turn, dtype=float).reshape(2, 3)
        yield _Frame(
            pixels,
            np.array(corner, dtype=float).reshape(3),
            along_columns * float(across),
            along_rows * float(down),
        )


def _indices(frame: _Frame, grid: Geometry) -> tuple[NDArray[np.intp], ...] | None:
    """Indices (z, y, x) of a frame's content in the image; None if it lies between the pixels."""
    steps = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing)
    to_index = np.linalg.inv(steps)
    corner = to_index @ (frame.corner - np.array(grid.origin))
    moves = np.stack([to_index @ frame.along_columns, to_index @ frame.along_rows])
    whole = np.rint(moves)
    extent = max(frame.pixels.shape)
    if np.abs(moves - whole).max() * extent > _ON_GRID or (np.abs(whole).sum(axis=1) != 1).any():
        return None
    start = np.rint(corner)
    lies = np.abs(whole).sum(axis=0) > 0  # the axes that the frame lies in
    allowed = np.where(lies, _ON_GRID, _SLICE)
    if (np.abs(corner - start) > allowed).any():
        return None
    rows, columns = np.nonzero(frame.pixels)
    x, y, z = (start[axis] + columns * whole[0, axis] + rows * whole[1, axis] for axis in range(3))
    return z.astype(np.intp), y.astype(np.intp), x.astype(np.intp)


def _inside(
    path: Path, indices: tuple[NDArray[np.intp], ...] | None, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], ...]:
    assert indices is not None
    for axis, length in zip(indices, shape, strict=True):
        if axis.min() < 0 or axis.max() >= length:
            raise UserError(
                f"{path}: frames with content lie beyond the image. Expected all within {shape} "
                "voxels (z, y, x). Likely cause: the segmentation was drawn on another series. "
                "Next step: leave the scan out, or find the series."
            )
    return indices


def _resampled(path: Path, dataset: Any, frames: list[_Frame], grid: Geometry) -> NDArray[np.bool_]:
    """Stack the frames on a grid of their own and take the nearest voxels of it."""
    from benchmark.published.resample import onto

    first = frames[0]
    across, down = (np.linalg.norm(v) for v in (first.along_columns, first.along_rows))
    normal = np.cross(first.along_columns / across, first.along_rows / down)
    heights = np.array([frame.corner @ normal for frame in frames])
    heights -= heights.min()
    measures = dataset.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence") or [{}]
    told = measures[0].get("SpacingBetweenSlices") or measures[0].get("SliceThickness")
    apart = _distance(path, heights, abs(float(told)) if told else None)
    numbers = np.rint(heights / apart).astype(int)
    stack = np.zeros((numbers.max() + 1, *first.pixels.shape), dtype=np.uint8)
    for number, frame in zip(numbers, frames, strict=True):
        stack[number] |= frame.pixels
    columns = np.stack([first.along_columns / across, first.along_rows / down, normal], axis=1)
    lowest = frames[int(heights.argmin())].corner
    own = Geometry(
        (stack.shape[2], stack.shape[1], stack.shape[0]),
        (float(across), float(down), apart),
        (float(lowest[0]), float(lowest[1]), float(lowest[2])),
        tuple(columns.ravel().tolist()),
    )
    mask: NDArray[np.bool_] = onto(Raster(path, stack[None], own), grid, nearest=True).array[0] > 0
    return mask


def _distance(path: Path, heights: NDArray[np.float64], told: float | None) -> float:
    """Distance of neighbouring slices in mm, of which empty ones may be missing.

    ``told`` counts only where the ways from frame to frame are its multiples: a slice may be
    thicker than the way to the next. ``heights``: of the frames, in mm above the lowest.
    """
    gaps = np.diff(np.unique(np.round(heights, 3)))
    if not gaps.size:
        return told or 1.0
    for guess in (told or gaps.min(), gaps.min()):
        steps = np.rint(gaps / guess)
        if steps.min() > 0 and np.abs(gaps / guess - steps).max() <= _ON_GRID:
            apart = float((gaps / steps).mean())
            if np.abs(heights / apart - np.rint(heights / apart)).max() <= _SLICE:
                return apart
    raise UserError(
        f"{path}: the frames make no regular grid. Expected equal distances, or multiples of one; "
        f"got {gaps.min():.4g} to {gaps.max():.4g} mm. Likely cause: a segmentation drawn on other "
        "series. Next step: leave the scan out."
    )
