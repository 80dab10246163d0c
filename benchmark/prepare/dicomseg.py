"""Convert DICOM segmentations to masks on the grid of an image.

Frames are placed by their position in patient coordinates, never by their order. Segments may
overlap, their numbers have no meaning beyond the file, and empty frames may be missing (DICOM
PS3.3, A.51).
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
from benchmark.image_io.dicomheader import functional_group
from benchmark.transforms.raster import Raster

_ON_GRID = 0.1  # tolerated in-plane offset of a frame from the pixels of the image, in voxels
_FINER = 10  # slices of a segmentation, as a multiple of the longest side of the image
_SLICE = 0.3  # tolerated offset across slices, in voxels: positions are often rounded


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment: its label text and its mask (z, y, x), bool, in the voxel order of the image.

    ``resampled`` tells whether the frames were off the pixel grid of the image.
    """

    label: str
    mask: NDArray[np.bool_]
    resampled: bool


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame: its pixels (rows, columns) and their position.

    ``corner`` is the centre of the first pixel and the other two fields are the steps to the next
    column and the next row, all in mm (LPS).
    """

    pixels: NDArray[np.bool_]
    corner: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]


def read(path: Path, grid: Geometry) -> Iterator[Segment]:
    """Read the segments of a file on the native ``grid`` of its image, in the order of the file.

    Raises `UserError` for an unreadable file and for content outside the image.
    """
    dataset = _opened(path)
    for label, frames in _segments(path, dataset):
        with _readable(path):
            found = [_indices(frame, grid) for frame in frames]
            on_grid = [indices for indices in found if indices is not None]
            if resampled := len(on_grid) < len(frames):
                mask = _resampled(path, dataset, frames, grid)
            else:
                mask = np.zeros(grid.size[::-1], dtype=bool)
                for indices in on_grid:
                    if not _is_inside(indices, mask.shape):
                        raise _beyond(path, mask.shape)
                    mask[indices] = True
        yield Segment(label, mask, resampled)


def fits(path: Path, grid: Geometry) -> bool:
    """Return whether every frame with content lies on the pixels of ``grid``."""
    dataset = _opened(path)
    found = (_indices(frame, grid) for _, frames in _segments(path, dataset) for frame in frames)
    return all(indices is not None and _is_inside(indices, grid.size[::-1]) for indices in found)


def lies_within(path: Path, grid: Geometry) -> bool:
    """Return whether every frame with content lies within the voxels of ``grid``, on it or off."""
    dataset = _opened(path)
    return all(_within(frame, grid) for _, frames in _segments(path, dataset) for frame in frames)


def _opened(path: Path) -> Any:
    import pydicom

    with _readable(path):
        dataset = pydicom.dcmread(path)
        if dataset.Modality != "SEG":
            raise ValueError(f"modality {dataset.Modality}")
        dataset.pixel_array  # noqa: B018  (decoded once and cached by pydicom)
    return dataset


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Convert any exception raised while reading the file to a `UserError`."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # the decoders of pydicom pass on any exception of their libraries
        raise UserError(
            f"{path}: unreadable DICOM segmentation ({type(error).__name__}: {error}). Likely "
            "cause: a truncated download, or a damaged header. Next step: fetch the file again; if "
            "it is complete, leave the scan out."
        ) from None


def _segments(path: Path, dataset: Any) -> Iterator[tuple[str, list[_Frame]]]:
    """Yield label and frames of each segment, except 0, which is the background of a label map."""
    with _readable(path):
        for item in dataset.SegmentSequence:
            if (number := int(item.SegmentNumber)) > 0:
                yield str(item.SegmentLabel), list(_frames(dataset, number))


def _frames(dataset: Any, number: int) -> Iterator[_Frame]:
    """Yield the non-empty frames of a segment.

    A fractional segment is thresholded at half of its maximum.
    """
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
        area = np.linalg.norm(np.cross(along_columns * float(across), along_rows * float(down)))
        if not 0 < area < np.inf:
            raise ValueError(f"orientation {turn} and spacing {[down, across]} span no plane")
        yield _Frame(
            pixels,
            np.array(corner, dtype=float).reshape(3),
            along_columns * float(across),
            along_rows * float(down),
        )


def _to_index(grid: Geometry) -> NDArray[np.float64]:
    """Return the matrix from mm, from the origin of ``grid``, to its indices (x, y, z)."""
    steps = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing)
    matrix: NDArray[np.float64] = np.linalg.inv(steps)
    return matrix


def _indices(frame: _Frame, grid: Geometry) -> tuple[NDArray[np.intp], ...] | None:
    """Return the indices (z, y, x) of a frame's content in the image; None if it is off-grid."""
    to_index = _to_index(grid)
    corner = to_index @ (frame.corner - np.array(grid.origin))
    moves = np.stack([to_index @ frame.along_columns, to_index @ frame.along_rows])
    whole = np.rint(moves)
    extent = max(frame.pixels.shape)
    if np.abs(moves - whole).max() * extent > _ON_GRID or (np.abs(whole).sum(axis=1) != 1).any():
        return None
    start = np.rint(corner)
    lies = np.abs(whole).sum(axis=0) > 0  # in-plane axes of the frame
    allowed = np.where(lies, _ON_GRID, _SLICE)
    if (np.abs(corner - start) > allowed).any():
        return None
    rows, columns = np.nonzero(frame.pixels)
    x, y, z = (start[axis] + columns * whole[0, axis] + rows * whole[1, axis] for axis in range(3))
    return z.astype(np.intp), y.astype(np.intp), x.astype(np.intp)


def _is_inside(indices: tuple[NDArray[np.intp], ...], shape: tuple[int, ...]) -> bool:
    return all(
        axis.min() >= 0 and axis.max() < length for axis, length in zip(indices, shape, strict=True)
    )


def _beyond(path: Path, shape: tuple[int, ...]) -> UserError:
    return UserError(
        f"{path}: frames with content lie beyond the image. Expected all within {shape} voxels "
        "(z, y, x). Likely cause: the segmentation was drawn on another series. Next step: leave "
        "the scan out, or find the series."
    )


def _within(frame: _Frame, grid: Geometry) -> bool:
    """Return whether all pixels of a frame's content have their centres within ``grid``."""
    to_index, edge = _to_index(grid), 0.5 + _ON_GRID
    rows, columns = np.nonzero(frame.pixels)
    corners = [
        frame.corner + column * frame.along_columns + row * frame.along_rows
        for column in (columns.min(), columns.max())
        for row in (rows.min(), rows.max())
    ]
    found = (np.array(corners) - np.array(grid.origin)) @ to_index.T
    return bool(((found >= -edge) & (found <= np.array(grid.size) - 1 + edge)).all())


def _resampled(path: Path, dataset: Any, frames: list[_Frame], grid: Geometry) -> NDArray[np.bool_]:
    """Stack the frames on a grid of their own and resample it to ``grid`` by nearest neighbour."""
    from benchmark.transforms.resample import onto

    if not all(_within(frame, grid) for frame in frames):
        raise _beyond(path, grid.size[::-1])
    first = frames[0]
    across, down = (np.linalg.norm(v) for v in (first.along_columns, first.along_rows))
    normal = np.cross(first.along_columns / across, first.along_rows / down)
    heights = np.array([frame.corner @ normal for frame in frames])
    heights -= heights.min()
    measures = dataset.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence") or [{}]
    distance = measures[0].get("SpacingBetweenSlices") or measures[0].get("SliceThickness")
    apart = _distance(path, heights, abs(float(distance)) if distance else None)
    numbers = np.rint(heights / apart).astype(int)
    if numbers.max() > _FINER * max(grid.size):
        raise ValueError(f"frames {apart:.3g} mm apart in a stack of {heights.max():.3g} mm")
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


def _distance(path: Path, heights: NDArray[np.float64], given: float | None) -> float:
    """Return the distance of neighbouring slices in mm, although empty slices may be missing.

    ``heights`` are the positions of the frames in mm above the lowest. ``given``, the distance in
    the header, is used only if the gaps are multiples of it, as slices may be thicker than their
    distance.
    """
    gaps = np.diff(np.unique(np.round(heights, 3)))
    if not gaps.size:
        return given or 1.0
    for guess in (given or gaps.min(), gaps.min()):
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
