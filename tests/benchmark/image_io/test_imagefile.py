"""NIfTI files with unusual headers and values, written by the byte offsets of the standard."""

import gzip
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.geometry import same_grid
from benchmark.prepare import rasters
from benchmark.transforms import ImageGrid, Spacing
from benchmark.volume import read, read_header, write


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_not_finite_in_nifti(tmp_path: Path, order: str, kind: str, packed: bool) -> None:
    values = np.linspace(-1, 1, 5 * 7 * 3).astype(order + kind)
    values[[3, 104]] = np.nan, np.inf
    code = {"f4": 16, "f8": 64}[kind]
    plain = nifti_bytes(affine(), (2, 2, 3), (5, 7, 3), values=values, code=code, order=order)
    path = tmp_path / ("image.nii.gz" if packed else "image.nii")
    path.write_bytes(gzip.compress(plain) if packed else plain)
    with pytest.raises(UserError, match="2 of 105 values NaN or infinite"):
        read([path])
    values[[3, 104]] = 0
    plain = nifti_bytes(affine(), (2, 2, 3), (5, 7, 3), values=values, code=code, order=order)
    path.write_bytes(gzip.compress(plain) if packed else plain)
    assert np.array_equal(np.sort(read([path]).array.ravel()), np.sort(values))


def test_not_an_image(tmp_path: Path) -> None:
    for name in ("page.nii.gz", "page.mha", "page.html"):
        (tmp_path / name).write_text("<html>please log in</html>")
        with pytest.raises(UserError, match="unreadable image") as caught:
            read_header(tmp_path / name)
        assert "\n" not in str(caught.value)  # not the trace of ITK


def nifti_bytes(
    sform: NDArray[np.float64],
    pixdim: tuple[float, ...],
    dims: tuple[int, ...],
    *,
    units: int = 2,
    values: NDArray[Any] | None = None,
    code: int = 4,
    order: str = "<",
) -> bytes:
    """A NIfTI-1 file by the byte offsets of the standard, with an sform and no qform."""
    if values is None:
        values = np.arange(np.prod(dims), dtype="<i2")
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, len(dims), *dims, *[1] * (7 - len(dims)))
    struct.pack_into(f"{order}2h", header, 70, code, 8 * values.itemsize)
    struct.pack_into(f"{order}4f", header, 76, 1.0, *pixdim)
    struct.pack_into(f"{order}3f", header, 108, 352.0, 1.0, 0.0)
    header[123] = units  # 2 for millimetres, 3 for micrometres
    struct.pack_into(f"{order}2h", header, 252, 0, 1)
    struct.pack_into(f"{order}12f", header, 280, *sform.ravel())
    header[344:348] = b"n+1\0"
    return bytes(header) + values.tobytes()


def nifti(
    path: Path,
    sform: NDArray[np.float64],
    pixdim: tuple[float, ...],
    dims: tuple[int, ...] = (5, 6, 7),
    units: int = 2,
) -> Path:
    path.write_bytes(nifti_bytes(sform, pixdim, dims, units=units))
    return path


def affine(shear: float = 0.0, scale: tuple[float, ...] = (2.0, 2.0, 3.0)) -> NDArray[np.float64]:
    matrix = np.diag([*scale, 1.0])[:3]
    matrix[0, 2] = shear * scale[2]
    return matrix


@pytest.mark.parametrize("shear", [0.0, 1e-4, 0.003])
def test_slightly_sheared_nifti_gets_the_nearest_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shear: float
) -> None:
    monkeypatch.delenv("ITK_NIFTI_SFORM_PERMISSIVE", raising=False)
    path = nifti(tmp_path / "image.nii", affine(shear), (2, 2, 3))
    before = dict(os.environ)
    volume = read([path])
    assert dict(os.environ) == before
    assert volume.native == read_header(path).native
    assert volume.spacing == (3, 2, 2)
    assert volume.orientation == "RAS"
    assert volume.native is not None
    direction = np.reshape(volume.native.direction, (3, 3))
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    assert np.allclose(direction, np.diag([-1, -1, 1]), atol=shear + 1e-9)


def test_threads_read_sheared_files_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `pambench score` does. Whether ITK corrects a sform is a setting of the whole process."""
    monkeypatch.delenv("ITK_NIFTI_SFORM_PERMISSIVE", raising=False)
    sheared = nifti(tmp_path / "sheared.nii", affine(0.003), (2, 2, 3), (30, 30, 30))
    plain = bytearray(nifti_bytes(affine(0.5, (2, 2, 6)), (2, 2, 3), (5, 6, 7)))
    struct.pack_into("<2h", plain, 252, 1, 1)  # by its qform, unless ITK corrects the sform
    (other := tmp_path / "other.nii").write_bytes(plain)
    with ThreadPoolExecutor(8) as pool:
        volumes = list(pool.map(lambda n: read([(sheared, other)[n % 2]]), range(400)))
    assert {volume.spacing for volume in volumes} == {(3, 2, 2)}
    assert "ITK_NIFTI_SFORM_PERMISSIVE" not in os.environ


@pytest.mark.parametrize("shear", [0.02, 0.5])
def test_sheared_nifti_is_refused(tmp_path: Path, shear: float) -> None:
    length = 3 * (1 + shear**2) ** 0.5  # of the sheared axis
    path = nifti(tmp_path / "image.nii", affine(shear), (2, 2, length))
    with pytest.raises(UserError, match=r"grid is sheared.*Next step: resample"):
        read([path])


@pytest.mark.parametrize("pixdim", [(2.0, 2.0, 5.0), (0.0, 2.0, 3.0), (1.0, 1.0, 1.0)])
def test_contradicting_voxel_sizes(tmp_path: Path, pixdim: tuple[float, ...]) -> None:
    path = nifti(tmp_path / "image.nii", affine(), pixdim)
    with pytest.raises(UserError, match=r"contradicts itself.*\[2\.0, 2\.0, 3\.0\] against"):
        read_header(path)


@pytest.mark.parametrize("pixdim", [(0.0, 0.0, 0.0), (2.0, 2.0, np.nan), (np.inf, 2.0, 3.0)])
@pytest.mark.parametrize("packed", [False, True])
def test_voxel_size_that_is_not_told(
    tmp_path: Path, pixdim: tuple[float, ...], packed: bool
) -> None:
    plain = bytearray(nifti_bytes(affine(), pixdim, (5, 6, 7)))
    path = tmp_path / ("image.nii.gz" if packed else "image.nii")
    for codes in ((0, 0), (1, 0), (1, 1)):
        struct.pack_into("<2h", plain, 252, *codes)
        path.write_bytes(gzip.compress(plain) if packed else plain)
        for reading in (read_header, lambda path: read([path])):
            with pytest.raises(UserError, match=r"no valid grid.*pixdim"):
                reading(path)


def test_voxel_size_is_told_by_pixdim_or_sform(tmp_path: Path) -> None:
    plain = bytearray(nifti_bytes(affine(), (2, 2, 3), (5, 6, 7)))
    path = tmp_path / "image.nii"
    for codes in ((0, 0), (1, 0), (0, 1)):
        struct.pack_into("<2h", plain, 252, *codes)
        path.write_bytes(plain)
        assert read([path]).spacing == (3, 2, 2)
    nifti(path, affine(scale=(1.0, 1.0, 1.0)), (0, 0, 0))
    assert read([path]).spacing == (1, 1, 1)


@pytest.mark.parametrize(
    "transform", [ImageGrid(name="image-grid"), Spacing(name="spacing", mm=(3, 2, 2))]
)
def test_voxel_size_that_a_transform_sets(tmp_path: Path, transform: ImageGrid | Spacing) -> None:
    plain = bytearray(nifti_bytes(affine(), (0, 0, 0), (5, 6, 7)))
    struct.pack_into("<h", plain, 254, 0)  # no sform
    path = tmp_path / "label.nii"
    path.write_bytes(plain)
    assert rasters.read(path, transforms=[transform]).array.shape == (1, 7, 6, 5)
    with pytest.raises(UserError, match="no valid grid"):
        rasters.read(path)


@pytest.mark.parametrize("units", [0, 1, 2, 3, 3 | 8])
def test_units_of_nifti_become_millimetres(tmp_path: Path, units: int) -> None:
    """xyzt_units of nifti1.h: none, metres, millimetres and micrometres; 8 is about time."""
    factor = {1: 1e-3, 3: 1e3}.get(units & 7, 1)
    size = tuple(mm * factor for mm in (0.0026, 0.0026, 0.325))
    path = nifti(tmp_path / "image.nii", affine(scale=size), size, units=units)
    assert read([path]).spacing == (0.325, 0.0026, 0.0026)


@pytest.mark.parametrize("dims", [(5, 6), (0, 6, 7)])
def test_not_a_volume(tmp_path: Path, dims: tuple[int, ...]) -> None:
    path = nifti(tmp_path / "image.nii", affine(), (2, 2, 3), dims)
    with pytest.raises(UserError, match=r"not a volume|unreadable image"):
        read([path])


def test_single_slice_is_a_volume(tmp_path: Path) -> None:
    path = nifti(tmp_path / "image.nii", affine(), (2, 2, 3), (5, 6, 1))
    assert read([path]).shape == (1, 6, 5)
    plain = bytearray(nifti_bytes(affine(), (2, 2, 0), (5, 6, 1)))
    struct.pack_into("<h", plain, 254, 0)  # no sform
    path.write_bytes(plain)
    assert read([path]).spacing == (1, 2, 2)


def test_a_reason_is_the_same_each_time_and_names_the_fault(tmp_path: Path) -> None:
    """ITK's messages hold the address of an object."""
    path = tmp_path / "a.mha"
    write(np.zeros((3, 4, 5), dtype=np.int16), (1.0, 1.0, 1.0), path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"MET_SHORT", b"MET_NAUGHT"))
    reasons = []
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            read([path])
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    assert "got from the reader: Unknown PixelType: unknown(0)" in reasons[0]


def test_grid_that_is_not_finite(tmp_path: Path) -> None:
    matrix = affine()
    matrix[1, 3] = np.nan
    path = nifti(tmp_path / "image.nii", matrix, (2, 2, 3))
    with pytest.raises(UserError, match=r"no valid grid|unreadable image"):
        read_header(path)


@pytest.mark.parametrize("second", [False, True])
def test_formats_under_the_name_of_another(tmp_path: Path, second: bool) -> None:
    """The first field of a NIfTI-2 header is its length, 540 (nifti2.h)."""
    plain = nifti_bytes(affine(), (2, 2, 3), (5, 6, 7))
    if second:
        plain = struct.pack("<i8s", 540, b"n+2\0\r\n\x1a\n") + bytes(532) + plain
    for name, content in (("a.nii", plain), ("b.nii.gz", gzip.compress(plain))):
        (tmp_path / name).write_bytes(content)
        if second:
            with pytest.raises(UserError, match=r"got NIfTI-2\..*Next step: convert"):
                read([tmp_path / name])
    if second:
        return
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain))
    with pytest.raises(UserError, match=r"got a compressed file\..*Next step: rename"):
        read([tmp_path / "c.nii"])
    (tmp_path / "d.nii.gz").write_bytes(plain)
    expected = read([tmp_path / "a.nii"])
    assert np.array_equal(read([tmp_path / "d.nii.gz"]).array, expected.array)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        (2, 5, [5, 7, 9]),
        (0, 0, [0, 1, 2]),
        (np.nan, np.nan, [0, 1, 2]),
        (np.nan, 0, [0, 1, 2]),
        (0, 5, None),
        (np.nan, 5, None),
        (1, np.nan, None),
    ],
)
def test_scale_of_the_values(
    tmp_path: Path, slope: float, intercept: float, expected: list[int] | None
) -> None:
    """nifti1.h scales by a slope that is not zero; nibabel refuses a slope without intercept."""
    plain = bytearray(nifti_bytes(affine(), (2, 2, 3), (3, 1, 1)))
    struct.pack_into("<2f", plain, 112, slope, intercept)
    path = tmp_path / "image.nii"
    path.write_bytes(plain)
    if expected is None:
        with pytest.raises(UserError, match=r"scale of the values.*scl_inter"):
            read_header(path)
    else:
        assert sorted(read([path]).array.ravel().tolist()) == expected


@pytest.mark.parametrize(
    ("sform_code", "shear", "height", "refused"),
    [(1, 0, 3, False), (1, 0, 6, True), (1, 0.5, 6, False), (2, 0, 6, False)],
)
def test_a_size_that_the_sform_contradicts(
    tmp_path: Path, sform_code: int, shear: float, height: float, refused: bool
) -> None:
    """Beside a qform, ITK goes by a rectangular sform of code 1, with the sizes in pixdim."""
    plain = bytearray(nifti_bytes(affine(shear, (2, 2, height)), (2, 2, 3), (5, 6, 7)))
    struct.pack_into("<2h", plain, 252, 1, sform_code)
    path = tmp_path / "image.nii"
    path.write_bytes(plain)
    if refused:
        with pytest.raises(UserError, match=r"contradicts itself on the voxel size"):
            read_header(path)
    else:
        assert read_header(path).spacing == (3, 2, 2)


@pytest.mark.parametrize(("sform_code", "same"), [(1, True), (2, False), (3, False), (4, False)])
def test_two_grids_in_one_header(tmp_path: Path, sform_code: int, same: bool) -> None:
    """nibabel takes the sform and writes a label with it alone; ITK goes by its code."""
    moved = affine()
    moved[:, 3] = 10, 20, 30
    plain = bytearray(nifti_bytes(moved, (2, 2, 3), (5, 6, 7)))
    struct.pack_into("<2h", plain, 252, 1, sform_code)  # the qform is at the origin
    (image := tmp_path / "image.nii").write_bytes(plain)
    label = nifti(tmp_path / "label.nii", moved, (2, 2, 3))
    difference = same_grid(read_header(image), read_header(label))
    assert (difference is None) == same
    assert same or "The origin differs" in str(difference)
