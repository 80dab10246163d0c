"""Volumes and their files against what SimpleITK reads and writes."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from benchmark.errors import UserError
from benchmark.geometry import Geometry, same_grid
from benchmark.volume import Volume, read, read_header, read_labels, to_native, write

FORMATS = (".nii.gz", ".nii", ".mha", ".nrrd")
GRIDS = {
    "LPS": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "PIR": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", (12, -33, 160), degrees=True).as_matrix(),
}
Save = Callable[..., Path]


def picture(array: NDArray[Any], grid: str = "LPS", *, vector: bool = False) -> Any:
    """A SimpleITK image of ``array`` (z, y, x) on one of the ``GRIDS``."""
    image = sitk.GetImageFromArray(array, vector)
    image.SetSpacing((0.7, 1.25, 2.123456))
    image.SetOrigin((-101.5, 20.25, 333.1))
    image.SetDirection(GRIDS[grid].ravel())
    return image


def numbered(dtype: type = np.int16) -> NDArray[Any]:
    return (np.arange(5 * 4 * 3).reshape(5, 4, 3) - 20).astype(dtype)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(image: Any, name: str = "image.nii.gz") -> Path:
        path = tmp_path / name
        sitk.WriteImage(image, str(path))
        return path

    return save


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("grid", GRIDS)
def test_round_trip(save: Save, tmp_path: Path, suffix: str, grid: str) -> None:
    path = save(picture(numbered(), grid), f"image{suffix}")
    of_file = sitk.ReadImage(str(path))
    oriented = sitk.DICOMOrient(of_file, "LPS")

    volume = read([path], modality="CT", channels=["CT"])
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(oriented))
    assert volume.array.dtype == np.int16
    assert volume.array.flags.c_contiguous
    assert volume.spacing == tuple(round(mm, 4) for mm in reversed(oriented.GetSpacing()))
    assert (volume.modality, volume.channels) == ("CT", ("CT",))
    header = read_header(path)
    assert (header.shape, header.spacing) == (volume.shape, volume.spacing)
    assert (header.orientation, header.native) == (volume.orientation, volume.native)
    assert header.channels == 1

    assert volume.native is not None
    back = to_native(volume.array, volume.native)
    write(volume.array, volume.native, tmp_path / f"again{suffix}")
    again = sitk.ReadImage(str(tmp_path / f"again{suffix}"))
    # NIfTI keeps the grid in single precision
    for image, precision in ((back, 0), (again, 1e-7 if "nii" in suffix else 1e-15)):
        assert np.array_equal(sitk.GetArrayFromImage(image), numbered())
        assert image.GetSize() == of_file.GetSize()
        for name in ("GetSpacing", "GetOrigin", "GetDirection"):
            new, old = getattr(image, name)(), getattr(of_file, name)()
            assert new == pytest.approx(old, rel=precision, abs=precision)


def test_orientation_is_that_of_the_file(save: Save) -> None:
    assert read([save(picture(numbered(), "PIR"))]).orientation == "PIR"
    assert Volume(np.zeros((2, 3, 4)), (1, 1, 1)).orientation == "LPS"


def test_measures_of_a_volume() -> None:
    volume = Volume(np.zeros((2, 3, 4, 12)), (1.0, 1.0, 1.0), channels=("PET", "CT"))
    assert volume.shape == (3, 4, 12)
    assert volume.grey.shape == (3, 4, 12)
    with pytest.raises(ValueError, match="a volume is"):
        Volume(np.zeros((3, 4)), (1, 1, 1))
    with pytest.raises(ValueError, match="a volume is"):
        Volume(np.zeros((3, 4, 5)), (1, 0, 1))


def test_micrometre_spacing_survives(save: Save) -> None:
    image = picture(numbered())
    image.SetSpacing((0.0026, 0.0026, 0.00263))
    path = save(image)
    assert read([path]).spacing == read_header(path).spacing == (0.00263, 0.0026, 0.0026)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_data_type_is_that_of_the_file(save: Save, dtype: type) -> None:
    assert read([save(picture(numbered(dtype)))]).array.dtype == dtype


def test_one_path_a_channel(save: Save) -> None:
    array = numbered()
    ct = save(picture(array, "RAS"), "ct.nii.gz")
    other = sitk.DICOMOrient(picture(array.astype(np.float32) / 2, "RAS"), "PIR")
    pet = save(other, "pet.mha")  # the same canonical grid in another orientation
    volume = read([ct, pet], channels=["CT", "PET"])
    assert volume.array.shape == (2, 5, 4, 3)
    assert np.array_equal(volume.array[1] * 2, volume.array[0])
    assert np.array_equal(volume.grey, read([ct]).array)
    assert volume.native == read([ct]).native


@pytest.mark.parametrize("suffix", FORMATS)
def test_vector_file_gives_channels(save: Save, tmp_path: Path, suffix: str) -> None:
    array = np.stack([numbered(), numbered() * 2], axis=-1)
    path = save(picture(array, "RAS", vector=True), f"v{suffix}")
    with pytest.raises(UserError, match=r"more than one volume.*2 values per voxel and names \[\]"):
        read([path])  # as well colours
    volume = read([path], channels=["PET", "CT"])
    assert volume.array.shape == (2, 5, 4, 3)
    assert np.array_equal(volume.array[0] * 2, volume.array[1])
    assert read_header(path).channels == 2
    assert volume.native is not None
    write(volume.array, volume.native, tmp_path / f"again{suffix}")
    again = sitk.ReadImage(str(tmp_path / f"again{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(again), array)


def four(volumes: int) -> Any:
    array = np.stack([numbered() + 100 * n for n in range(volumes)])
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((0.7, 1.25, 2.5, 1.0))
    return image


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_fourth_axis(save: Save, suffix: str) -> None:
    path = save(four(3), f"4d{suffix}")
    volume = read([path], channels=["T1", "T2", "FLAIR"])
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(four(3)))
    assert volume.spacing == (2.5, 1.25, 0.7)
    assert read_header(path).channels == 3
    with pytest.raises(UserError, match=r"more than one volume.*\(3, 4, 5, 3\).*Next step"):
        read([path])
    with pytest.raises(UserError, match="more than one volume"):
        read([path], channels=["T1", "T2"])


def test_fourth_axis_of_one_is_squeezed(save: Save) -> None:
    volume = read([save(four(1), "4d.mha")])
    assert np.array_equal(volume.array, numbered())
    assert volume.spacing == (2.5, 1.25, 0.7)


def test_number_of_names(save: Save) -> None:
    path = save(picture(numbered()))
    with pytest.raises(UserError, match=r"Expected 2 \(CT, PET\); got 1"):
        read([path], channels=["CT", "PET"])
    with pytest.raises(UserError, match="No image to read"):
        read([])


def test_channels_on_different_grids(save: Save) -> None:
    shifted = picture(numbered())
    shifted.SetOrigin((0, 0, 0))
    paths = [save(picture(numbered()), "a.nii.gz"), save(shifted, "b.nii.gz")]
    with pytest.raises(UserError, match=r"b\.nii\.gz: not on the grid.*origin differs"):
        read(paths, channels=["CT", "PET"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", FORMATS)
def test_not_finite(save: Save, value: float, dtype: type, suffix: str) -> None:
    array = numbered(dtype)
    array[1, 2, :2] = value
    path = save(picture(array), f"image{suffix}")
    with pytest.raises(
        UserError, match=r"finite values; got float.*2 of 60 .*Likely cause.*Next step"
    ):
        read([path])


def test_complex_image(save: Save) -> None:
    with pytest.raises(UserError, match="got complex64"):
        read([save(picture(numbered(np.complex64)), "c.nii")])


def test_picture_in_two_dimensions(save: Save) -> None:
    path = save(sitk.Image([4, 5], sitk.sitkUInt8), "slice.png")
    for reading in (read_header, read_labels, lambda path: read([path])):
        with pytest.raises(UserError, match=r"not a volume.*size \(4, 5\)"):
            reading(path)


def test_missing_file(tmp_path: Path) -> None:
    for reading in (read_header, read_labels, lambda path: read([path])):
        with pytest.raises(UserError, match=r"gone\.nii: no such image.*nothing there"):
            reading(tmp_path / "gone.nii")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32])
def test_integer_labels_are_left_alone(save: Save, dtype: type) -> None:
    array: NDArray[Any] = (numbered() % 3).astype(dtype)
    labels = read_labels(save(picture(array)))
    assert labels.array.dtype == dtype
    assert np.array_equal(labels.array, array)


@pytest.mark.parametrize(
    ("factor", "dtype"), [(0, np.uint8), (1, np.int16), (-1, np.int16), (10, np.int32)]
)
def test_whole_floats_become_labels(save: Save, factor: int, dtype: type) -> None:
    array: NDArray[np.float64] = numbered() * float(factor)
    labels = read_labels(save(picture(array)))
    assert labels.array.dtype == dtype
    assert np.array_equal(labels.array, array)


def test_floats_just_off_a_whole_number_become_labels(save: Save) -> None:
    array: NDArray[np.float32] = ((numbered() + 20) * np.float32(1 / 255) * 255).astype(np.float32)
    labels = read_labels(save(picture(array - np.float32(1e-5))))
    assert np.array_equal(labels.array, numbered() + 20)


def test_refused_labels(save: Save) -> None:
    array = numbered(np.float32)
    array[0, 0, 1] = 1.5
    with pytest.raises(UserError, match=r"whole numbers; got 1 other values, the first 1\.5"):
        read_labels(save(picture(array)))
    array[0, 0, 1] = math.nan
    with pytest.raises(UserError, match="NaN"):
        read_labels(save(picture(array)))
    colour = np.zeros((5, 4, 3, 3), np.uint8)
    with pytest.raises(UserError, match="got 3 channels"):
        read_labels(save(picture(colour, vector=True)))


@pytest.mark.parametrize("suffix", FORMATS)
def test_write_of_a_volume_in_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"image.seg{suffix}"
    write(numbered(), (5.0, 0.8, 0.7), path)
    image = sitk.ReadImage(str(path))
    assert image.GetSpacing() == pytest.approx((0.7, 0.8, 5.0))
    assert np.array_equal(np.reshape(image.GetDirection(), (3, 3)), np.eye(3))
    volume = read([path])
    assert volume.spacing == (5.0, 0.8, 0.7)
    assert np.array_equal(volume.array, numbered())
    assert same_grid(volume, Volume(numbered(), (5.0, 0.8, 0.7))) is None
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (numbered() > 0, np.uint8),
        (np.abs(numbered(np.int64)), np.uint8),
        (np.abs(numbered(np.int64)) * 1000, np.uint16),
        (numbered(np.int64), np.int16),
        (numbered(np.uint16), np.uint16),
        (numbered(np.float32), np.float32),
        (numbered(np.float64), np.float64),
    ],
)
def test_data_type_written(tmp_path: Path, array: NDArray[Any], dtype: type) -> None:
    path = tmp_path / "image.nii.gz"
    write(array, (1, 1, 1), path)
    back = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert back.dtype == dtype
    assert np.array_equal(back, array)


def test_write_refuses_unknown_formats_and_other_shapes(tmp_path: Path) -> None:
    for name in ("image.mhd", "image.dcm", "image"):
        with pytest.raises(UserError, match=r"Expected a name that ends in \.nii\.gz"):
            write(numbered(), (1, 1, 1), tmp_path / name)
    with pytest.raises(ValueError, match="canonical shape"):
        write(numbered(), Geometry((4, 4, 4), (1, 1, 1)), tmp_path / "image.nii")
    assert list(tmp_path.iterdir()) == []


def test_geometry_imports_no_image_library() -> None:
    code = "import sys, benchmark.geometry; sys.exit('SimpleITK' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
