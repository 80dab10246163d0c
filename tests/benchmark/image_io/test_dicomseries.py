"""DICOM series written slice by slice with SimpleITK (GDCM)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)
from scipy.spatial.transform import Rotation

from benchmark.errors import UserError
from benchmark.geometry import same_grid
from benchmark.volume import inspect_path, read, read_header, to_native, write

ARRAY = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
DIRECTIONS = {
    "LPS": np.eye(3),
    "PIR": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", (12, -33, 100), degrees=True).as_matrix(),
}


def source(direction: NDArray[np.float64]) -> Any:
    image = sitk.GetImageFromArray(ARRAY)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, 20.0, 30.0))
    image.SetDirection(direction.ravel())
    return image


def number(values: Sequence[float]) -> str:
    return "\\".join(f"{value:.10g}" for value in values)


def save_series(
    folder: Path,
    image: Any,
    positions: Sequence[Sequence[float]] | None = None,
    uid: str = "1.2.3.4",
) -> list[Path]:
    """Write a CT series in files whose names run against the order of the slices."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    cosines = np.reshape(image.GetDirection(), (3, 3))
    depth, files = image.GetDepth(), []
    for k in range(depth):
        place = positions[k] if positions else image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{uid}.{k + 1}",
            "0008|0060": "CT",
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0032": number(place),
            "0020|0037": number([*cosines[:, 0], *cosines[:, 1]]),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        slice_ = image[:, :, k]
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        files.append(folder / f"{uid}-{depth - k:03d}.dcm")
        writer.SetFileName(str(files[-1]))
        writer.Execute(slice_)
    return files


def upward(heights: Sequence[float], tilt: float = 0.0) -> list[tuple[float, float, float]]:
    return [(0.0, tilt * z, z) for z in heights]


@pytest.mark.parametrize("name", DIRECTIONS)
def test_series_round_trip(tmp_path: Path, name: str) -> None:
    image = source(DIRECTIONS[name])
    save_series(tmp_path / "series", image)
    volume = read([tmp_path / "series"])
    oriented = sitk.DICOMOrient(image, "LPS")
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(oriented))
    assert volume.spacing == tuple(round(mm, 4) for mm in reversed(oriented.GetSpacing()))
    assert read_header(tmp_path / "series").native == volume.native

    assert volume.native is not None
    assert volume.native.size == image.GetSize()
    assert volume.native.spacing == pytest.approx(image.GetSpacing(), abs=1e-8)
    assert volume.native.origin == pytest.approx(image.GetOrigin(), abs=1e-8)
    assert volume.native.direction == pytest.approx(image.GetDirection(), abs=1e-8)
    assert np.array_equal(sitk.GetArrayFromImage(to_native(volume.array, volume.native)), ARRAY)

    write(volume.array, volume.native, tmp_path / "converted.nii.gz")
    converted = read([tmp_path / "converted.nii.gz"])
    assert same_grid(volume, converted, tolerance=1e-5) is None
    assert np.array_equal(converted.array, volume.array)


def test_series_as_itk_stacks_it(tmp_path: Path) -> None:
    files = save_series(tmp_path / "series", source(DIRECTIONS["oblique"]))
    itk = sitk.ReadImage([str(file) for file in files])
    native = read_header(tmp_path / "series").native
    assert native.size == itk.GetSize()
    assert native.spacing == pytest.approx(itk.GetSpacing(), abs=1e-8)
    assert native.origin == pytest.approx(itk.GetOrigin())
    assert native.direction == pytest.approx(itk.GetDirection())


def test_slices_with_scales_of_their_own(tmp_path: Path) -> None:
    files = save_series(tmp_path / "series", source(np.eye(3)))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(files[3]))
    reader.ReadImageInformation()
    quarters = np.arange(56.0).reshape(7, 8) / 4
    slice_ = sitk.GetImageFromArray(quarters)
    slice_.SetSpacing((0.7, 0.8))
    for tag in ("0008|0016", "0008|0018", "0008|0060", "0020|000d", "0020|000e"):
        slice_.SetMetaData(tag, reader.GetMetaData(tag))
    for tag in ("0020|0032", "0020|0037"):
        slice_.SetMetaData(tag, reader.GetMetaData(tag))
    stored = {"0028|0100": "16", "0028|0101": "16", "0028|0102": "15", "0028|0103": "1"}
    for tag, value in {**stored, "0028|1052": "-10", "0028|1053": "0.25"}.items():
        slice_.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(files[3]))
    writer.Execute(slice_)

    array = read([tmp_path / "series"]).array
    assert np.array_equal(array[3], quarters)
    assert np.array_equal(np.delete(array, 3, axis=0), np.delete(ARRAY, 3, axis=0))


def test_other_files_in_the_folder_are_no_matter(tmp_path: Path) -> None:
    save_series(tmp_path / "series", source(np.eye(3)))
    (tmp_path / "series" / "LICENSE").write_text("CC BY 4.0")
    (tmp_path / "series" / "more").mkdir()
    (tmp_path / "series" / "._1.dcm").write_bytes(b"\0\5\x16\7" + bytes(200))  # of macOS
    (tmp_path / "series" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert read([tmp_path / "series"]).shape == (6, 7, 8)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (upward([0, 2, 4, 8, 10, 12]), "distances of 2 to 4 mm"),
        (upward([0, 2, 4, 6.5, 8, 10]), r"distances of 1\.5 to 2\.5 mm"),
        (upward([0, 0, 2, 2, 4, 4]), "distances of 0 to 2 mm"),
        (upward([0, 0, 0, 0, 0, 0]), "distances of 0 to 0 mm"),
        (upward([0, 2, 4, 6, 8, 10], tilt=0.2), "2 mm beside the first"),
    ],
)
def test_irregular_series(
    tmp_path: Path, positions: Sequence[Sequence[float]], message: str
) -> None:
    save_series(tmp_path / "series", source(np.eye(3)), positions)
    for reading in (read_header, lambda path: read([path])):
        with pytest.raises(UserError, match=rf"no regular grid.*{message}.*Next step"):
            reading(tmp_path / "series")


def test_small_unevenness_is_accepted(tmp_path: Path) -> None:
    save_series(tmp_path / "series", source(np.eye(3)), upward([0, 2, 4.01, 5.99, 8, 10]))
    assert read([tmp_path / "series"]).spacing == (2.0, 0.8, 0.7)


@pytest.mark.parametrize("code", ["PIR", "turned"])
def test_slice_of_another_direction(tmp_path: Path, code: str) -> None:
    folder = tmp_path / "series"
    files = save_series(folder, source(np.eye(3)))
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # within the plane of the slices
    other = source(DIRECTIONS.get(code, turned))
    places = [source(np.eye(3)).TransformIndexToPhysicalPoint((0, 0, k)) for k in range(6)]
    odd = save_series(tmp_path / "other", other, places)[2]
    files[2].write_bytes(odd.read_bytes())
    with pytest.raises(UserError, match="not parallel"):
        read_header(folder)


@pytest.mark.parametrize(
    ("numbers", "accepted"),
    [
        ([1, 2, 1, 2, 1, 2], False),  # evenly spaced, as two phases half a slice apart can be
        ([1, 1, 2, 2, 1, 1], False),
        ([1, 1, 1, 2, 2, 2], True),  # table positions
        ([6, 5, 4, 3, 2, 1], True),
    ],
)
def test_two_acquisitions_in_one_series(tmp_path: Path, numbers: list[int], accepted: bool) -> None:
    for file, acquisition in zip(
        save_series(tmp_path / "series", source(np.eye(3))), numbers, strict=True
    ):
        change(file, AcquisitionNumber=acquisition)
    if accepted:
        assert np.array_equal(read([tmp_path / "series"]).array, ARRAY)
    else:
        with pytest.raises(UserError, match=r"several acquisitions.*of 2: 1, 2.*several phases"):
            read_header(tmp_path / "series")


def test_slices_in_colour(tmp_path: Path) -> None:
    """Bytes of red, green and blue are not three neighbouring voxels."""
    colours = np.random.default_rng(1).integers(0, 255, (6, 7, 8, 3), dtype=np.uint8)
    files = save_series(tmp_path / "series", source(np.eye(3)))
    for file, plane in zip(files, colours, strict=True):
        change(
            file,
            SamplesPerPixel=3,
            PlanarConfiguration=0,
            PhotometricInterpretation="RGB",
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PixelRepresentation=0,
            RescaleIntercept=None,
            RescaleSlope=None,
            PixelData=plane.tobytes(),
        )
    with pytest.raises(UserError, match=r"more than one volume.*3 values per voxel.*colours"):
        read([tmp_path / "series"])
    named = read([tmp_path / "series"], channels=["red", "green", "blue"]).array
    np.testing.assert_array_equal(named, np.moveaxis(colours, -1, 0))


def test_a_palette_without_colours(tmp_path: Path) -> None:
    for file in save_series(tmp_path / "series", source(np.eye(3))):
        change(file, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(UserError, match=r"unreadable image.*Next step"):
        read_header(tmp_path / "series")


@pytest.mark.parametrize("syntax", ["deflated", "big endian", "JPEG-LS", "RLE"])
def test_pixels_that_are_stored_in_other_ways(tmp_path: Path, syntax: str) -> None:
    array = np.random.default_rng(1).integers(-1000, 1000, (3, 32, 32)).astype(np.int16)
    for file in save_series(tmp_path / "series", sitk.GetImageFromArray(array)):
        stored: Any = dcmread(file)
        if syntax == "JPEG-LS":
            stored.compress(JPEGLSLossless)
        elif syntax == "RLE":
            stored.compress(RLELossless)
        elif syntax == "deflated":
            stored.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        else:
            pixels, meta = stored.pixel_array.astype(">i2").tobytes(), stored.file_meta
            stored = group(**{e.keyword: e.value for e in stored if e.keyword})
            stored.file_meta, stored.PixelData = meta, pixels
            stored["PixelData"].VR = "OW"
            meta.TransferSyntaxUID = ExplicitVRBigEndian
        stored.save_as(file, enforce_file_format=True)
    assert np.array_equal(read([tmp_path / "series"]).array, array)


@pytest.mark.parametrize("which", [0, 3, 5])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_truncated_slice(tmp_path: Path, which: int, share: float) -> None:
    file = save_series(tmp_path / "series", source(np.eye(3)))[which]
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"unreadable|no regular grid"):
        read([tmp_path / "series"])


def test_two_series_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    with pytest.raises(UserError, match=r"not one DICOM series.*got 0 series"):
        read_header(folder)
    save_series(folder, source(np.eye(3)), uid="1.2.3.4")
    save_series(folder, source(np.eye(3)), uid="1.2.3.5")
    with pytest.raises(UserError, match=r"got 2 series: 1\.2\.3\.4.*folder of its own"):
        read_header(folder)


def change(file: Path, **values: Any) -> None:
    """Set tags of a DICOM file; None deletes them."""
    header = dcmread(file)
    for name, value in values.items():
        delattr(header, name) if value is None else setattr(header, name, value)
    header.save_as(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PixelSpacing", None),
        ("PixelSpacing", [0, 0]),
        ("PixelSpacing", [0.8, -0.7]),
        ("ImageOrientationPatient", None),
        ("ImageOrientationPatient", [0] * 6),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImagePositionPatient", None),
    ],
)
@pytest.mark.parametrize("which", [[0, 1, 2, 3, 4, 5], [3]], ids=["all", "one"])
def test_slices_that_do_not_tell_their_grid(
    tmp_path: Path, name: str, value: list[float] | None, which: list[int]
) -> None:
    files = save_series(tmp_path / "series", source(np.eye(3)))
    for number in which:
        change(files[number], **{name: value})
    with pytest.raises(UserError, match=rf"(valid grid|own size).*{name}"):
        read_header(tmp_path / "series")


def test_slices_with_pixels_of_their_own_size(tmp_path: Path) -> None:
    files = save_series(tmp_path / "series", source(np.eye(3)))
    change(files[3], PixelSpacing=[0.8001, 0.70007])
    assert read([tmp_path / "series"]).spacing == (2.5, 0.8, 0.7)
    change(files[3], PixelSpacing=[0.8, 1.4])
    with pytest.raises(UserError, match=r"pixels of their own size.*0\.7 to 1\.4 mm"):
        read_header(tmp_path / "series")


@pytest.mark.parametrize("values", [{"PixelData": bytes(16)}, {"SamplesPerPixel": 3}])
@pytest.mark.parametrize("alone", [False, True])
def test_fewer_pixels_than_the_header_promises(
    tmp_path: Path, values: dict[str, Any], alone: bool
) -> None:
    """ITK would make voxels of its memory beyond the pixels."""
    files = save_series(tmp_path / "series", source(np.eye(3)))
    change(files[3], **values)
    with pytest.raises(UserError, match="fewer pixels than the header promises"):
        read([files[3] if alone else tmp_path / "series"])


def test_headers_that_tell_the_grid_in_other_ways(tmp_path: Path) -> None:
    """Directions of few digits or length 2, and the tags of an X-ray detector or of frames."""
    oblique = save_series(tmp_path / "oblique", source(DIRECTIONS["oblique"]))
    for file in oblique:
        turn = [round(2 * float(v), 4) for v in dcmread(file).ImageOrientationPatient]
        change(file, ImageOrientationPatient=turn)
    assert read([tmp_path / "oblique"]).spacing == (2.5, 0.7, 0.8)
    for file in save_series(tmp_path / "detector", source(np.eye(3))):
        kind = "1.2.840.10008.5.1.4.1.1.1.1"
        change(file, SOPClassUID=kind, ImagerPixelSpacing=[0.5, 0.4], PixelSpacing=None)
    assert read([tmp_path / "detector"]).spacing == (2.5, 0.5, 0.4)
    for number, z in enumerate(UP):
        file = save_frames(tmp_path / str(number), [z])
        change(file, SOPInstanceUID=f"1.2.3.4.{number}")
        (tmp_path / "frames").mkdir(exist_ok=True)
        file.rename(tmp_path / "frames" / f"{number}.dcm")
    assert read([tmp_path / "frames"]).spacing == (2.5, 0.8, 0.7)


UP = [2.5 * k for k in range(6)]


def group(**values: Any) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def save_frames(
    folder: Path, heights: Sequence[float], slopes: Sequence[float] = (), dropped: int = 0
) -> Path:
    """Write `ARRAY` as one file of CT frames at ``heights``; with a scale each, if any."""
    file = group(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", SOPInstanceUID="1.2.3.4.1", Modality="CT",
        StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", NumberOfFrames=len(heights),
        Rows=ARRAY.shape[1], Columns=ARRAY.shape[2], SamplesPerPixel=1, BitsAllocated=16,
        BitsStored=16, HighBit=15, PixelRepresentation=1, PhotometricInterpretation="MONOCHROME2",
    )  # fmt: skip
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    shared = Dataset()
    shared.PixelMeasuresSequence = [group(PixelSpacing=[0.8, 0.7], SliceThickness=9)]
    shared.PlaneOrientationSequence = [group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    file.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number, z in enumerate(heights[: len(heights) - dropped]):
        frame = Dataset()
        frame.PlanePositionSequence = [group(ImagePositionPatient=[-10, 20, z])]
        if slopes:
            scale = group(RescaleSlope=slopes[number], RescaleIntercept=-10, RescaleType="HU")
            frame.PixelValueTransformationSequence = [scale]
        frames.append(frame)
    file.PerFrameFunctionalGroupsSequence = frames
    file.PixelData = ARRAY[: len(heights)].tobytes()
    folder.mkdir()
    file.save_as(folder / "1.dcm", enforce_file_format=True)
    return folder / "1.dcm"


@pytest.mark.parametrize("way", [1, -1], ids=["up", "down"])
@pytest.mark.parametrize("slopes", [[], [2] * 6], ids=["", "scaled"])
def test_frames_lie_where_their_positions_say(
    tmp_path: Path, way: int, slopes: Sequence[float]
) -> None:
    file = save_frames(tmp_path / "series", [0, 2.5, 5.01, 7.49, 10, 12.5][::way], slopes)
    expected = ARRAY[::way] * 2 - 10 if slopes else ARRAY[::way]
    for path in (file, file.parent):
        volume = read([path])
        np.testing.assert_array_equal(volume.array, expected)
        assert volume.spacing == (2.5, 0.8, 0.7)
        assert volume.native is not None
        assert volume.native.origin == (-10, 20, 0 if way == 1 else 12.5)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"heights": [0, 2.5, 5, 10, 12.5, 15]}, r"distances of 2\.5 to 5 mm"),
        ({"heights": [0, 5, 2.5, 7.5, 10, 12.5]}, r"distances of -2\.5 to 5 mm"),
        ({"heights": [0, 2.5, 5, 0, 2.5, 5]}, r"distances of -5 to 2\.5 mm"),
        ({"heights": [0, 0, 2.5, 2.5, 5, 5]}, r"distances of 0 to 2\.5 mm"),
        ({"heights": UP, "slopes": [1, 1, 1, 2, 2, 2]}, "on scales of their own"),
        ({"heights": UP, "dropped": 1}, "frames without a position.*5 positions of 6 frames"),
    ],
    ids=["gap", "order", "two phases", "two turns", "scales", "count"],
)
def test_irregular_frames(tmp_path: Path, told: dict[str, Any], message: str) -> None:
    file = save_frames(tmp_path / "series", **told)
    unnamed = Path(shutil.copy(file, tmp_path / "IM_0001"))  # which Philips names so
    for path in (file, file.parent, unnamed):
        with pytest.raises(UserError, match=message):
            read_header(path)


def test_frames_in_several_files(tmp_path: Path) -> None:
    """A scan of 6 slices that are 2.5 mm apart is not one of 2 that are 7.5 mm apart."""
    (tmp_path / "series").mkdir()
    for number, heights in enumerate((UP[:3], UP[3:])):
        file = save_frames(tmp_path / str(number), heights)
        change(file, SOPInstanceUID=f"1.2.3.4.{number}")
        file.rename(tmp_path / "series" / f"{number}.dcm")
    with pytest.raises(UserError, match=r"more than one file of frames.*2 files.*0\.dcm, 1\.dcm"):
        read_header(tmp_path / "series")


def test_frames_with_pixels_of_their_own_size(tmp_path: Path) -> None:
    file = save_frames(tmp_path / "series", UP)
    header = dcmread(file)
    for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        frame.PixelMeasuresSequence = [group(PixelSpacing=[0.8, 0.7 + 0.1 * (number > 3)])]
    header.save_as(file)
    with pytest.raises(UserError, match=r"pixels of their own size.*0\.7 to 0\.8 mm"):
        read_header(file)


SIZES = {"PixelSpacing": [0.8, 0.7], "SliceThickness": "2.5"}
CAPTURE = {"NominalScannedPixelSpacing": [0.8, 0.7], "SpacingBetweenSlices": "-2.5"}


def save_stack(folder: Path, kind: str = "1.2.840.10008.5.1.4.1.1.7.3", **values: Any) -> Path:
    """Write `ARRAY` as one file of frames without positions, a secondary capture by default."""
    file = save_frames(folder, UP)
    nothing = {"SharedFunctionalGroupsSequence": None, "PerFrameFunctionalGroupsSequence": None}
    change(file, SOPClassUID=kind, **nothing, **values)
    return file


@pytest.mark.parametrize("values", [SIZES, CAPTURE, SIZES | {"SpacingBetweenSlices": ""}])
def test_frames_without_positions_have_the_size_in_the_header(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    """ITK takes 1 mm for a secondary capture, whatever its header says."""
    file = save_stack(tmp_path / "series", **values)
    for path in (file, file.parent):
        volume = read([path])
        np.testing.assert_array_equal(volume.array, ARRAY)
        assert volume.spacing == (2.5, 0.8, 0.7)


def test_measures_of_frames_without_positions(tmp_path: Path) -> None:
    file = save_frames(tmp_path / "series", UP)
    header = dcmread(file)
    for frame in header.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    header.save_as(file)
    assert read([file]).spacing == (9.0, 0.8, 0.7)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"PixelSpacing": [0.8, 0.7]},
        {"SliceThickness": "2.5"},
        SIZES | {"PixelSpacing": [0, 0]},
        SIZES | {"SliceThickness": "0"},
    ],
)
def test_frames_of_unknown_size(tmp_path: Path, values: dict[str, Any]) -> None:
    file = save_stack(tmp_path / "series", **values)
    for path in (file, file.parent):
        with pytest.raises(UserError, match=r"no valid grid.*SliceThickness.*transform spacing"):
            read_header(path)
        assert inspect_path(path, needs_spacing=False).size == ARRAY.shape[::-1]


def test_a_damaged_header_of_frames_is_told(tmp_path: Path) -> None:
    """Whatever pydicom raises at it, a `UserError` sets the one scan aside."""
    file = save_frames(tmp_path / "series", UP)
    whole = file.read_bytes()
    kind = whole.index(b"\x28\x00\x10\x91SQ") + 4  # of PixelMeasuresSequence
    file.write_bytes(whole[:kind] + b"U?" + whole[kind + 2 :])
    with pytest.raises(UserError, match="frames without a position"):
        read_header(file)


@pytest.mark.parametrize("modality", ["CT", "PT", "MR"])
def test_values_that_are_shown_from_white_to_black(tmp_path: Path, modality: str) -> None:
    """PS3.3, C.7.6.3.1.2: MONOCHROME1 is about the display and alters no Hounsfield unit."""
    series = save_series(tmp_path / "series", source(np.eye(3)))
    frames = save_frames(tmp_path / "frames", UP)
    for file in (*series, frames):
        change(file, PhotometricInterpretation="MONOCHROME1", Modality=modality)
    for path in (tmp_path / "series", frames):
        if modality == "MR":
            assert read([path]).shape == ARRAY.shape
        else:
            with pytest.raises(UserError, match=r"read inverted.*MONOCHROME1"):
                read([path])
