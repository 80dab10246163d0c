"""DICOM segmentations written by highdicom, read on the image grid that SimpleITK gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels.utils import pack_bits
from scipy.spatial.transform import Rotation

from benchmark import volume
from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.prepare import dicomseg
from benchmark.prepare.dicomindex import series_below
from tests.benchmark.prepare.tree import ORIGIN, SPACING, Tree, grey, scene

Masks = list[tuple[str, NDArray[np.bool_]]]
OBLIQUE = Rotation.from_euler("xyz", (12, -33, 100), degrees=True).as_matrix()


def masks() -> Masks:
    """Two that overlap, one on few slices with an empty one between them."""
    big = scene(1) == 1
    big[2:8, 2:9, 3:11] = True
    small = np.zeros_like(big)
    small[3, 4:6, 4:7] = small[5, 4:6, 4:7] = True
    return [("organ", big), ("lesion", small)]


def saved(tmp_path: Path, kind: str = "BINARY", **more: Any) -> tuple[Path, Geometry]:
    tree = Tree(tmp_path)
    source = tree.series("ct", grey(scene(1)), patient="p", **more)
    drawn = masks()
    if kind == "LABELMAP":  # which holds no overlap
        drawn[0][1][drawn[1][1]] = False
    tree.segmentation("seg/seg.dcm", source, drawn, kind=kind)
    return tmp_path / "seg/seg.dcm", volume.read_header(tmp_path / "ct").native


def check(path: Path, grid: Geometry, expected: Masks, resampled: bool = False) -> None:
    found = list(dicomseg.read(path, grid))
    assert [segment.label for segment in found] == [label for label, _ in expected]
    for segment, (label, mask) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(segment.mask, mask, err_msg=label)
        assert segment.resampled == resampled


@pytest.mark.parametrize("direction", [None, OBLIQUE], ids=["straight", "oblique"])
def test_frames_lie_where_their_positions_say(tmp_path: Path, direction: Any) -> None:
    path, grid = saved(tmp_path, direction=direction)
    expected = sum(mask.any(axis=(1, 2)).sum() for _, mask in masks())
    assert pydicom.dcmread(path).NumberOfFrames == expected  # none is empty
    check(path, grid, masks())
    assert dicomseg.fits(path, grid)


def test_the_order_of_frames_means_nothing(tmp_path: Path) -> None:
    path, grid = saved(tmp_path)
    stored = pydicom.dcmread(path)
    order = np.random.default_rng(0).permutation(int(stored.NumberOfFrames))
    frames = stored.pixel_array[order]
    groups = [stored.PerFrameFunctionalGroupsSequence[int(i)] for i in order]
    stored.PerFrameFunctionalGroupsSequence = groups
    stored.PixelData = pack_bits(frames)
    stored.save_as(path)
    check(path, grid, masks())


def test_numbers_of_segments_mean_nothing(tmp_path: Path) -> None:
    path, grid = saved(tmp_path)
    stored = pydicom.dcmread(path)
    new = {1: 7, 2: 3}
    for segment in stored.SegmentSequence:
        segment.SegmentNumber = new[segment.SegmentNumber]
    for group in stored.PerFrameFunctionalGroupsSequence:
        about = group.SegmentIdentificationSequence[0]
        about.ReferencedSegmentNumber = new[about.ReferencedSegmentNumber]
    stored.save_as(path)
    check(path, grid, masks())


def test_frames_that_run_against_the_image(tmp_path: Path) -> None:
    """Rows from right to left, as some public segmentations have them."""
    path, grid = saved(tmp_path)
    stored = pydicom.dcmread(path)
    stored.PixelData = pack_bits(np.ascontiguousarray(stored.pixel_array[:, :, ::-1]))
    across = (stored.Columns - 1) * SPACING[2]
    for group in stored.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        position[0] = float(position[0]) + across
    turned = stored.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    turned.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    stored.save_as(path)
    check(path, grid, masks())


def test_a_segmentation_of_values(tmp_path: Path) -> None:
    path, grid = saved(tmp_path, kind="LABELMAP")
    expected = masks()
    expected[0][1][expected[1][1]] = False
    check(path, grid, expected)


def test_a_finer_grid_is_resampled_and_said_so(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    fine = masks()
    z, y, x = SPACING
    source = tree.series("fine", grey(scene(1)), patient="p", spacing=(z, y / 2, x / 2))
    tree.segmentation("seg/seg.dcm", source, fine)
    tree.series("ct", grey(scene(1))[:, ::2, ::2], patient="p")
    grid = volume.read_header(tmp_path / "ct").native
    assert not dicomseg.fits(tmp_path / "seg/seg.dcm", grid)
    coarse = [(label, mask[:, ::2, ::2]) for label, mask in fine]
    check(tmp_path / "seg/seg.dcm", grid, coarse, resampled=True)


def resampled(tmp_path: Path, frames: list[float], **measures: float) -> NDArray[np.bool_]:
    """A segment of one pixel a frame, at these heights in mm, on an image of slices 1 mm apart."""
    tree = Tree(tmp_path)
    z = [ORIGIN[2] + height for height in frames]
    mask = np.zeros((len(z), 6, 6), dtype=bool)
    mask[:, 2, 2] = True
    drawn = mask.astype(np.int16)
    source = tree.series("fine", drawn, patient="p", heights=z, spacing=(1.0, 0.5, 0.5))
    tree.segmentation("seg/seg.dcm", source, [("organ", mask)])
    stored = pydicom.dcmread(tmp_path / "seg/seg.dcm")
    about = stored.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    for name in ("SliceThickness", "SpacingBetweenSlices"):
        if name in about:
            delattr(about, name)
        if name in measures:
            setattr(about, name, measures[name])
    stored.save_as(tmp_path / "seg/seg.dcm")
    whole = np.zeros((18, 3, 3), dtype=np.int16)
    tree.series("ct", whole, patient="p", spacing=(1.0, 1.0, 1.0))
    grid = volume.read_header(tmp_path / "ct").native
    (segment,) = dicomseg.read(tmp_path / "seg/seg.dcm", grid)
    assert segment.resampled
    return segment.mask[:, 1, 1]


@pytest.mark.parametrize(
    ("frames", "measures", "expected"),
    [
        ([0, 3, 6, 9], {"SliceThickness": 5}, range(11)),  # thicker than they are apart
        ([0, 3, 6, 15], {"SliceThickness": 4}, [*range(8), 14, 15, 16]),  # two hold nothing
        ([0, 3, 9], {"SpacingBetweenSlices": 1}, [0, 3, 9]),
        ([0, 3, 9], {}, [0, 1, 2, 3, 4, 8, 9, 10]),
    ],
    ids=["thick", "thick with a gap", "told", "not told"],
)
def test_frames_are_as_far_apart_as_their_positions(
    tmp_path: Path, frames: list[float], measures: dict[str, float], expected: Any
) -> None:
    found = np.flatnonzero(resampled(tmp_path, frames, **measures))
    np.testing.assert_array_equal(found, list(expected))


def test_frames_without_a_common_distance_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no regular grid.*got 2 to 3 mm"):
        resampled(tmp_path, [0, 2, 5, 7], SliceThickness=2)


def test_of_shares_half_and_more_is_inside(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    source = tree.series("ct", grey(scene(1)), patient="p")
    shares = np.zeros(scene(1).shape, dtype=np.uint8)
    shares[3:6, 4:8, 5] = [0, 1, 127, 128]
    shares[4, 4:8, 9] = 255
    tree.segmentation("seg/seg.dcm", source, [("organ", shares > 0)])
    stored = pydicom.dcmread(tmp_path / "seg/seg.dcm")
    stored.SegmentationType, stored.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    stored.MaximumFractionalValue = 255
    stored.BitsAllocated = stored.BitsStored = 8
    stored.HighBit = 7
    stored.PixelData = shares[shares.any(axis=(1, 2))].tobytes()
    stored.save_as(tmp_path / "seg/seg.dcm")
    grid = volume.read_header(tmp_path / "ct").native
    check(tmp_path / "seg/seg.dcm", grid, [("organ", shares >= 128)])


@pytest.mark.parametrize(
    "name", ["PlanePositionSequence", "SegmentIdentificationSequence", "SegmentNumber"]
)
def test_what_a_header_lacks_is_told(tmp_path: Path, name: str) -> None:
    path, grid = saved(tmp_path)
    stored = pydicom.dcmread(path)
    for item in (*stored.PerFrameFunctionalGroupsSequence, *stored.SegmentSequence):
        if name in item:
            del item[name]
    stored.save_as(path)
    for reading in (dicomseg.fits, lambda *given: list(dicomseg.read(*given))):
        with pytest.raises(UserError, match="unreadable DICOM segmentation"):
            reading(path, grid)


def test_content_beyond_the_image_is_refused(tmp_path: Path) -> None:
    path, grid = saved(tmp_path)
    x, y, _ = grid.size
    shorter = Geometry((x, y, 4), grid.spacing, grid.origin, grid.direction)
    assert not dicomseg.fits(path, shorter)
    with pytest.raises(UserError, match="frames with content lie beyond the image"):
        list(dicomseg.read(path, shorter))


@pytest.mark.parametrize("heights", [[0, 50], [50, 51], [-3, 0]])
@pytest.mark.parametrize("shift", [0.0, 0.4], ids=["on the grid", "off the grid"])
def test_frames_beyond_the_image_are_refused(
    tmp_path: Path, heights: list[float], shift: float
) -> None:
    tree = Tree(tmp_path)
    mask = np.zeros((2, 6, 6), dtype=bool)
    mask[:, 2, 2] = True
    places = [ORIGIN[2] + height for height in heights]
    drawn = mask.astype(np.int16)
    source = tree.series("drawn", drawn, patient="p", heights=places, spacing=(1.0, 1.0, 1.0))
    tree.segmentation("seg/seg.dcm", source, [("organ", mask)])
    tree.series("ct", drawn, patient="p", spacing=(1.0, 1.0, 1.0))
    grid = volume.read_header(tmp_path / "ct").native
    x, y, z = grid.origin
    moved = Geometry(grid.size, grid.spacing, (x + shift, y, z), grid.direction)
    with pytest.raises(UserError, match="frames with content lie beyond the image"):
        list(dicomseg.read(tmp_path / "seg/seg.dcm", moved))


def test_a_position_of_two_numbers_is_told(tmp_path: Path) -> None:
    path, grid = saved(tmp_path)
    stored = pydicom.dcmread(path)
    group = stored.PerFrameFunctionalGroupsSequence[2]
    group.PlanePositionSequence[0].ImagePositionPatient = [1, 2]
    stored.save_as(path)
    with pytest.raises(UserError, match="unreadable DICOM segmentation"):
        list(dicomseg.read(path, grid))


@pytest.mark.parametrize("what", ["no spacing", "no orientation", "parallel", "huge", "too fine"])
def test_a_header_of_an_impossible_grid_is_told(tmp_path: Path, what: str) -> None:
    path, grid = saved(tmp_path)
    stored = pydicom.dcmread(path)
    shared = stored.SharedFunctionalGroupsSequence[0]
    measures, turn = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
    frames = stored.PerFrameFunctionalGroupsSequence
    if what == "no spacing":
        measures.PixelSpacing = [0, 0]
    elif what == "huge":
        measures.PixelSpacing = [1e300, 1e300]
    elif what == "too fine":
        measures.SpacingBetweenSlices = measures.SliceThickness = 0.01
        for number, frame in enumerate(frames):
            move = (0.3, 0.3, [0, 0.01, 25][min(number, 2)])
            corner = np.add(ORIGIN, move).tolist()
            frame.PlanePositionSequence[0].ImagePositionPatient = corner
    else:
        cosines = [0] * 6 if what == "no orientation" else [1, 0, 0, 1, 0, 0]
        turn.ImageOrientationPatient = cosines
    stored.save_as(path)
    with pytest.raises(UserError, match="unreadable DICOM segmentation"):
        list(dicomseg.read(path, grid))


def test_a_series_is_found_once_beside_a_link_to_its_folder(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "latest").symlink_to(tmp_path)
    assert [series.modality for series in series_below(tmp_path)] == ["CT", "SEG"]


def test_a_series_is_found_whatever_its_files_are_named(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    for file in (path, *(tmp_path / "ct").iterdir()):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        file.rename(file.with_name(f"{header.Modality}.{header.SOPInstanceUID}"))
    assert [series.modality for series in series_below(tmp_path)] == ["CT", "SEG"]


def test_a_damaged_reference_is_no_reference(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    stored = pydicom.dcmread(path)
    del stored.ReferencedSeriesSequence[0].SeriesInstanceUID
    stored.save_as(path)
    content = path.read_bytes()
    (tmp_path / "seg/cut.dcm").write_bytes(content[:134])  # within the first tag
    ct, seg = series_below(tmp_path)
    assert (ct.modality, ct.path) == ("CT", tmp_path / "ct")
    assert (seg.path, seg.refers_to) == (path, ("",))


@pytest.mark.parametrize("what", ["truncated", "an image", "no file of DICOM"])
def test_what_is_no_segmentation(tmp_path: Path, what: str) -> None:
    path, grid = saved(tmp_path)
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-60])
    elif what == "an image":
        path = next((tmp_path / "ct").iterdir())
    else:
        path.write_text("<html>Not found</html>")
    with pytest.raises(UserError, match="unreadable DICOM segmentation"):
        list(dicomseg.read(path, grid))
