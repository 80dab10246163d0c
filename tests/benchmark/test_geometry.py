"""Grids against SimpleITK's DICOMOrient and TransformIndexToPhysicalPoint."""

from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from benchmark.errors import UserError
from benchmark.geometry import Geometry, diagonal_mm, round_spacing, same_grid, view_axis

UNIT = {"L": (1, 0, 0), "P": (0, 1, 0), "S": (0, 0, 1)}
UNIT |= {"R": (-1, 0, 0), "A": (0, -1, 0), "I": (0, 0, -1)}
CODES = ["".join(c) for order in permutations(("LR", "PA", "SI")) for c in product(*order)]


def matrix(code: str) -> NDArray[np.float64]:
    """Direction cosines whose columns run as the letters of ``code`` say."""
    return np.array([UNIT[letter] for letter in code], dtype=float).T


def scan(direction: NDArray[np.float64]) -> tuple[Any, Geometry]:
    """An image of numbered voxels with three sizes and spacings, and its grid."""
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    image.SetSpacing((0.71234567, 1.5, 2.25))
    image.SetOrigin((-12.3, 45.6, 7.89))
    image.SetDirection(direction.ravel())
    return image, Geometry(
        image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    )


def check_canonical(direction: NDArray[np.float64]) -> None:
    image, grid = scan(direction)
    array = sitk.GetArrayFromImage(image)
    canonical = grid.to_canonical(array)

    oriented = sitk.DICOMOrient(image, "LPS")
    assert np.array_equal(canonical, sitk.GetArrayFromImage(oriented))
    assert grid.canonical.size == oriented.GetSize()
    assert grid.shape == canonical.shape
    assert grid.canonical.spacing == oriented.GetSpacing()
    assert grid.canonical.origin == pytest.approx(oriented.GetOrigin(), abs=1e-12)
    assert grid.canonical.direction == pytest.approx(oriented.GetDirection(), abs=0)

    # a voxel found by its number lies at the same point of the world on either grid
    empty = sitk.Image(grid.canonical.size, sitk.sitkUInt8)
    empty.SetSpacing(grid.canonical.spacing)
    empty.SetOrigin(grid.canonical.origin)
    empty.SetDirection(grid.canonical.direction)
    for number in (0, 1, 7, 31, 59):
        z, y, x = (int(index[0]) for index in np.nonzero(canonical == number))
        k, j, i = (int(index[0]) for index in np.nonzero(array == number))
        assert empty.TransformIndexToPhysicalPoint((x, y, z)) == pytest.approx(
            image.TransformIndexToPhysicalPoint((i, j, k)), abs=1e-9
        )
    back = grid.from_canonical(canonical)
    assert back.shape == array.shape
    assert np.array_equal(back, array)
    two = np.stack([array, -array])
    assert np.array_equal(grid.to_canonical(two), np.stack([canonical, -canonical]))
    assert np.array_equal(grid.from_canonical(grid.to_canonical(two)), two)


@pytest.mark.parametrize("code", CODES)
def test_every_axis_code(code: str) -> None:
    check_canonical(matrix(code))
    grid = scan(matrix(code))[1]
    assert grid.orientation == code
    # canonical axes run to the left, the back and upward
    assert np.array_equal(np.reshape(grid.canonical.direction, (3, 3)), np.eye(3))


def test_there_are_48_codes() -> None:
    assert len(set(CODES)) == 48


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.sampled_from(CODES),
)
def test_oblique_grids(angles: tuple[float, float, float], code: str) -> None:
    check_canonical(Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ matrix(code))


def test_canonical_spacing_is_rounded_and_the_grid_is_not() -> None:
    grid = scan(matrix("SRA"))[1]
    assert grid.rounded_spacing == (0.7123, 2.25, 1.5)  # x runs upward, z to the front
    assert grid.canonical.spacing == (1.5, 2.25, 0.71234567)


def test_grid_of_an_array_in_memory() -> None:
    grid = Geometry.canonical_of((2, 3, 4), (5.0, 0.8, 0.7))
    assert grid.size == (4, 3, 2)
    assert grid.spacing == (0.7, 0.8, 5.0)
    assert (grid.orientation, grid.shape, grid.rounded_spacing) == (
        "LPS",
        (2, 3, 4),
        (5.0, 0.8, 0.7),
    )


def test_from_canonical_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match=r"canonical shape \(3, 4, 5\).*\(5, 4, 3\)"):
        scan(matrix("LPS"))[1].from_canonical(np.zeros((3, 4, 5)))


@pytest.mark.parametrize("code", CODES)
def test_views(code: str) -> None:
    assert [view_axis(view, code) for view in ("axial", "coronal", "sagittal")] == [0, 1, 2]
    world = int(np.argmax(np.abs(matrix(code)[:, 2])))  # of the file's slowest index axis
    assert view_axis("acquisition", code) == 2 - world


@pytest.mark.parametrize(("code", "axis"), [("RAS", 0), ("PIR", 2), ("LSA", 1)])
def test_slices_of_the_acquisition_are_those_of_the_file(code: str, axis: int) -> None:
    image, grid = scan(matrix(code))
    array = sitk.GetArrayFromImage(image)
    canonical = grid.to_canonical(array)
    assert view_axis("acquisition", code) == axis
    of_file = {frozenset(slice_.ravel().tolist()) for slice_ in array}
    assert {frozenset(s.ravel().tolist()) for s in np.moveaxis(canonical, axis, 0)} == of_file


def test_unknown_view_and_orientation() -> None:
    with pytest.raises(UserError, match="Did you mean: axial"):
        view_axis("axail", "LPS")
    with pytest.raises(ValueError, match="'LRS' is not an orientation code"):
        view_axis("acquisition", "LRS")


@pytest.mark.parametrize(
    ("mm", "rounded"),
    [
        (0.9765625, 0.9766),
        (1.0000001, 1.0),
        (0.699999988079071, 0.7),
        (0.0026, 0.0026),
        (0.00259999993, 0.0026),
        (0.00263, 0.00263),
        (0.000325, 0.000325),
        (0.00032512345, 0.00032512),
        (4e-05, 4e-05),
        (0.0156249, 0.015625),
        (0.00505, 0.00505),  # 0.005 would make volumes 3 % smaller
    ],
)
def test_rounding_of_spacing(mm: float, rounded: float) -> None:
    assert round_spacing(mm) == rounded


@given(st.floats(1e-9, 1e3))
def test_rounding_changes_little(mm: float) -> None:
    change = abs(round_spacing(mm) - mm)
    assert change <= 2e-4 * mm
    assert change <= 5.0001e-5


@given(st.floats(0.25, 1e3))
def test_ordinary_spacings_are_rounded_to_a_tenth_of_a_micrometre(mm: float) -> None:
    assert round_spacing(mm) == round(mm, 4)


@dataclass
class OnGrid:
    native: Geometry | None
    shape: tuple[int, int, int] = (5, 4, 3)
    spacing: tuple[float, float, float] = (2.25, 1.5, 0.7123)

    @classmethod
    def of(cls, grid: Geometry) -> "OnGrid":
        return cls(grid, grid.shape, grid.rounded_spacing)


BASE = scan(matrix("LPS"))[1]


def turned(degrees: float) -> Geometry:
    rotation = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    return replace(BASE, direction=tuple(rotation.ravel().tolist()))


def test_files_of_other_orientation_share_a_canonical_grid() -> None:
    image, grid = scan(matrix("RAS"))
    other = sitk.DICOMOrient(image, "PIR")
    same = Geometry(other.GetSize(), other.GetSpacing(), other.GetOrigin(), other.GetDirection())
    assert same_grid(OnGrid.of(grid), OnGrid.of(same)) is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(BASE, size=(3, 4, 6)), "shape differs: (5, 4, 3) and (6, 4, 3) voxels"),
        (replace(BASE, spacing=(0.71234567, 1.5, 2.4)), "spacing differs: (2.25, 1.5, 0.712346)"),
        (replace(BASE, origin=(-12.3, 45.9, 7.89)), "origin differs by 0.2 voxels"),
        (replace(BASE, direction=scan(matrix("RAS"))[1].direction), "origin differs"),
        (turned(5), "direction differs, by up to 0.7"),
    ],
)
def test_same_grid_tells_what_differs(other: Geometry, message: str) -> None:
    sentence = same_grid(OnGrid.of(BASE), OnGrid.of(other))
    assert sentence is not None
    assert message in sentence
    assert sentence.endswith(".")
    assert same_grid(OnGrid.of(other), OnGrid.of(BASE)) is not None


def test_same_grid_tolerates_a_fraction_of_a_voxel() -> None:
    shifted = OnGrid.of(replace(BASE, origin=(-12.3, 45.7, 7.89)))  # a fifteenth of 1.5 mm
    assert same_grid(OnGrid.of(BASE), shifted) is None
    assert "origin" in str(same_grid(OnGrid.of(BASE), shifted, tolerance=0.05))
    assert same_grid(OnGrid.of(BASE), OnGrid.of(turned(0.1))) is None
    stretched = OnGrid.of(replace(BASE, spacing=(0.71234567, 1.5, 2.251)))
    assert same_grid(OnGrid.of(BASE), stretched) is None
    assert "spacing" in str(same_grid(OnGrid.of(BASE), stretched, tolerance=1e-3))


@pytest.mark.parametrize("noise", [-1e-12, 1e-12])
def test_same_grid_of_a_spacing_that_noise_rounds_up_or_down(noise: float) -> None:
    wide = replace(BASE, size=(512, 512, 24), spacing=(0.46875, 0.46875, 3.0))
    other = replace(wide, spacing=(0.46875 + noise, 0.46875 - noise, 3.0))
    assert wide.rounded_spacing != other.rounded_spacing
    assert same_grid(OnGrid.of(wide), OnGrid.of(other)) is None


def test_same_grid_in_memory_has_no_origin() -> None:
    assert same_grid(OnGrid(None), OnGrid.of(BASE)) is None
    assert "shape" in str(same_grid(OnGrid(None, shape=(5, 4, 2)), OnGrid.of(BASE)))


def test_the_diagonal_of_a_grid() -> None:
    assert diagonal_mm((3, 4, 12), (1.0, 1.0, 1.0)) == 13.0
    assert diagonal_mm((1, 1, 1), (5.0, 3.0, 4.0)) == pytest.approx(50**0.5)
