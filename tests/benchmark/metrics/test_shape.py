"""Shape metrics against closed-form results, scikit-image and brute-force hulls."""

from itertools import product
from math import pi, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from skimage.measure import inertia_tensor_eigvals, marching_cubes, mesh_surface_area

from benchmark.metrics.shape import shape_2d, shape_3d

Mask = NDArray[np.bool_]

CUBE_IRI = 0.6 * (3 / (4 * pi)) ** (2 / 3) * 4  # 0.924; a cube's second moment is side^2 / 4


def filled(dimensions: int, most: int) -> st.SearchStrategy[Mask]:
    shapes = st.tuples(*[st.integers(1, most)] * dimensions)
    return shapes.flatmap(lambda shape: arrays(np.bool_, shape)).filter(lambda mask: mask.any())


masks_2d, masks_3d = filled(2, 8), filled(3, 5)
steps = st.sampled_from([0.5, 0.7, 1.0, 3.0])
slow = settings(deadline=None, max_examples=60)


def ellipsoid(z: float, y: float, x: float) -> Mask:
    """Semi-axes in voxels."""
    grid = np.mgrid[tuple(slice(-int(a) - 1, int(a) + 2) for a in (z, y, x))]
    return np.asarray(sum((g / a) ** 2 for g, a in zip(grid, (z, y, x), strict=True)) <= 1)


def drawn_ellipse(a: float, b: float, degrees: float = 0.0) -> Mask:
    """Semi-axes in pixels, the first turned away from the rows."""
    row, column = np.mgrid[-110:111, -110:111]
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    along, across = row * cosine + column * sine, column * cosine - row * sine
    return np.asarray((along / a) ** 2 + (across / b) ** 2 <= 1)


# --- closed forms ---


@pytest.mark.parametrize("side", [1, 2, 7])
def test_square(side: int) -> None:
    got = shape_2d(np.ones((side, side), np.bool_), (0.8, 0.8))
    assert got == pytest.approx(
        {"box_ratio": 1.0, "convex_ratio": 1.0, "iri": 3 / pi, "elongation": 1.0}
    )


@pytest.mark.parametrize("side", [1, 2, 5])
def test_cube(side: int) -> None:
    got = shape_3d(np.ones((side, side, side), np.bool_), (2.0, 2.0, 2.0))
    assert got.pop("surface_to_volume") > 0
    assert got == pytest.approx(
        {"box_ratio": 1.0, "convex_ratio": 1.0, "iri": CUBE_IRI, "elongation": 1.0}
    )
    assert round(CUBE_IRI, 3) == 0.924


def test_spacing_is_applied() -> None:
    """A cube and a square in mm, of unequal voxel counts; and a cuboid of equal counts."""
    assert shape_3d(np.ones((2, 6, 4), np.bool_), (3.0, 1.0, 1.5))["iri"] == pytest.approx(CUBE_IRI)
    assert shape_2d(np.ones((2, 6), np.bool_), (3.0, 1.0))["iri"] == pytest.approx(3 / pi)
    cuboid = shape_3d(np.ones((4, 4, 4), np.bool_), (5.0, 1.0, 2.0))
    assert cuboid["elongation"] == pytest.approx(1 / 5)
    sides = np.multiply(4, (5.0, 1.0, 2.0))
    ball_radius = (3 * sides.prod() / (4 * pi)) ** (1 / 3)
    assert cuboid["iri"] == pytest.approx(0.6 * ball_radius**2 / (np.sum(sides**2) / 12))


def test_disc_and_ball() -> None:
    disc = shape_2d(drawn_ellipse(100, 100), (1.0, 1.0))
    assert 0.9999 < disc["iri"] <= 1
    assert disc["box_ratio"] == pytest.approx(pi / 4, rel=0.01)
    ball = shape_3d(ellipsoid(10, 30, 20), (3.0, 1.0, 1.5))  # a ball of 30 mm
    assert 0.995 < ball["iri"] <= 1
    assert ball["box_ratio"] == pytest.approx(4 / 3 * pi * 10 * 30 * 20 / (21 * 61 * 41), rel=0.01)
    assert ball["elongation"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_ellipse(degrees: float) -> None:
    """IRI = 2ab / (a^2 + b^2), elongation b/a, in any direction."""
    got = shape_2d(drawn_ellipse(100, 40, degrees), (1.0, 1.0))
    assert got["elongation"] == pytest.approx(40 / 100, abs=0.004)
    assert got["iri"] == pytest.approx(2 * 100 * 40 / (100**2 + 40**2), abs=0.005)
    assert 0.97 < got["convex_ratio"] < 1


def test_ring_spreads_out_but_has_the_hull_of_its_disc() -> None:
    ring = drawn_ellipse(100, 100) & ~drawn_ellipse(80, 80)
    got = shape_2d(ring, (1.0, 1.0))
    # RI of a ring: pi/2 (R^4 - r^4), so IRI = (R^2 - r^2) / (R^2 + r^2).
    assert got["iri"] == pytest.approx((100**2 - 80**2) / (100**2 + 80**2), rel=0.01)
    assert got["convex_ratio"] == pytest.approx(1 - 0.8**2, rel=0.01)


def test_hulls_by_hand() -> None:
    corner = np.array([[1, 0], [1, 1]], np.bool_)
    assert shape_2d(corner, (1.0, 1.0))["convex_ratio"] == pytest.approx(3 / 3.5)
    diagonal = np.eye(2, dtype=np.bool_)
    assert shape_2d(diagonal, (1.0, 1.0))["convex_ratio"] == pytest.approx(2 / 3)
    far_apart = np.zeros((1, 1, 9), np.bool_)
    far_apart[..., [0, -1]] = True
    assert shape_3d(far_apart, (1.0, 1.0, 1.0))["convex_ratio"] == pytest.approx(2 / 9)


# --- other libraries ---


def hull_of_every_corner(mask: Mask) -> float:
    corners = [
        np.add(voxel, offset)
        for voxel in np.argwhere(mask)
        for offset in product((0, 1), repeat=mask.ndim)
    ]
    return float(ConvexHull(np.array(corners)).volume)


@slow
@given(mask=masks_2d | masks_3d)
def test_hull_equals_that_of_every_corner(mask: Mask) -> None:
    expected = mask.sum() / hull_of_every_corner(mask)
    got = shape_2d(mask, (1.0, 3.0)) if mask.ndim == 2 else shape_3d(mask, (1.0, 3.0, 0.5))
    assert got["convex_ratio"] == pytest.approx(expected, rel=1e-12)


@slow
@given(mask=masks_2d | masks_3d)
def test_moments_equal_those_of_scikit_image(mask: Mask) -> None:
    """Which takes voxels as points; a unit voxel adds 1/12 to each principal moment."""
    eigenvalues = inertia_tensor_eigvals(mask.astype(float))
    total = float(np.sum(eigenvalues))
    # In 3D the eigenvalues of the inertia tensor are sums of two moments.
    points = eigenvalues if mask.ndim == 2 else [total / 2 - value for value in eigenvalues]
    low, *_, high = sorted(value + 1 / 12 for value in points)
    got = shape_2d(mask, (1.0, 1.0)) if mask.ndim == 2 else shape_3d(mask, (1.0, 1.0, 1.0))
    assert got["elongation"] == pytest.approx(sqrt(low / high), rel=1e-6)


@slow
@given(mask=masks_2d | masks_3d, step=st.tuples(steps, steps, steps))
def test_iri_equals_that_of_a_finer_grid_of_points(mask: Mask, step: tuple[float, ...]) -> None:
    """The definition, sum of |x - c|^2 over points, on voxels split into 9 parts an axis."""
    spacing, fine = step[: mask.ndim], mask
    for axis in range(mask.ndim):
        fine = fine.repeat(9, axis=axis)
    points = np.argwhere(fine) * np.divide(spacing, 9)
    inertia = np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1))
    size = mask.sum() * np.prod(spacing)
    if mask.ndim == 2:
        expected = size / (2 * pi) / inertia
        got = shape_2d(mask, (spacing[0], spacing[1]))
    else:
        expected = 0.6 * (3 * size / (4 * pi)) ** (2 / 3) / inertia
        got = shape_3d(mask, (spacing[0], spacing[1], spacing[2]))
    assert got["iri"] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.7, 0.9)])
def test_area_equals_the_mesh_of_scikit_image(spacing: tuple[float, float, float]) -> None:
    """On a smooth object, where marching cubes has no ambiguous case."""
    mask = ellipsoid(6, 11, 8)
    mesh = marching_cubes(mask.astype(float), 0.5, spacing=spacing, method="lorensen")
    area = mesh_surface_area(*mesh[:2])
    expected = area / (mask.sum() * np.prod(spacing))
    assert shape_3d(mask, spacing)["surface_to_volume"] == pytest.approx(expected, rel=1e-5)


# --- properties ---


@slow
@given(mask=masks_3d, step=st.tuples(steps, steps, steps), factor=st.sampled_from([0.1, 3.0]))
def test_scaled_object_keeps_its_shape(
    mask: Mask, step: tuple[float, float, float], factor: float
) -> None:
    got = shape_3d(mask, step)
    scaled = shape_3d(mask, (factor * step[0], factor * step[1], factor * step[2]))
    got["surface_to_volume"] /= factor
    assert scaled == pytest.approx(got, rel=1e-9)


@slow
@given(
    mask=masks_3d,
    step=st.tuples(steps, steps, steps),
    margins=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 3),
    order=st.permutations(range(3)),
    flip=st.integers(0, 2),
)
def test_shape_depends_on_neither_crop_nor_axes(
    mask: Mask,
    step: tuple[float, float, float],
    margins: tuple[tuple[int, int], ...],
    order: list[int],
    flip: int,
) -> None:
    turned = np.flip(np.pad(mask, margins), flip).transpose(order)
    z, y, x = (step[axis] for axis in order)
    assert shape_3d(turned, (z, y, x)) == pytest.approx(shape_3d(mask, step), rel=1e-9)


@slow
@given(mask=masks_2d, step=st.tuples(steps, steps))
def test_values_are_in_range(mask: Mask, step: tuple[float, float]) -> None:
    got = shape_2d(mask, step)
    assert all(0 < value <= 1 for value in got.values())
    assert got["box_ratio"] <= got["convex_ratio"] + 1e-12


# --- refusals ---


@pytest.mark.parametrize(
    ("mask", "spacing", "message"),
    [
        (np.zeros((2, 2, 2), np.bool_), (1.0, 1.0, 1.0), "empty mask"),
        (np.ones((2, 2, 2), np.uint8), (1.0, 1.0, 1.0), "bool mask in 3D, got uint8"),
        (np.ones((2, 2), np.bool_), (1.0, 1.0, 1.0), r"bool mask in 3D.*\(2, 2\)"),
        (np.ones((2, 2, 2), np.bool_), (1.0, 1.0), "3 positive numbers"),
        (np.ones((2, 2, 2), np.bool_), (1.0, 0.0, 1.0), "3 positive numbers"),
        (np.ones((2, 2, 2), np.bool_), (1.0, float("nan"), 1.0), "3 positive numbers"),
    ],
)
def test_what_has_no_shape_is_refused(mask: Any, spacing: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape_3d(mask, spacing)
