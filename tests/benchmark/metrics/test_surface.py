"""Surface metrics against surface-distance, a brute-force oracle and closed-form results."""

import warnings
from functools import cache
from math import isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest
import surface_distance as sd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from skimage.measure import marching_cubes, mesh_surface_area

from benchmark.metrics import surface_metrics

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

SPACINGS: list[Spacing] = [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (0.8, 1.25, 3.0)]


def filled(shape: tuple[int, int, int]) -> st.SearchStrategy[Mask]:
    return arrays(np.bool_, shape).filter(lambda mask: bool(mask.any()))


shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
pairs = shapes.flatmap(lambda shape: st.tuples(filled(shape), filled(shape)))
spacings = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 1.3, 5.0])] * 3)
tolerances = st.sampled_from([0.0, 0.6, 1.0, 2.2])
slow = settings(deadline=None, max_examples=40)


def blobs(shape: tuple[int, int, int], seed: int) -> tuple[Mask, Mask]:
    """Two overlapping random smooth objects somewhere in a scan of ``shape``."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal(shape), 3)
    change = gaussian_filter(rng.standard_normal(shape), 2)
    window = np.zeros(shape, np.bool_)
    window[4:-5, 3:-6, :-4] = True  # touches the border of the scan on one side
    reference = (field > np.quantile(field, 0.8)) & window
    prediction = (field + 0.3 * change > np.quantile(field, 0.8)) & window
    return reference, prediction


def ball(radius: float, half: int) -> Mask:
    z, y, x = np.mgrid[-half : half + 1, -half : half + 1, -half : half + 1]
    return np.asarray(z**2 + y**2 + x**2 <= radius**2)


# --- brute force: every 2 x 2 x 2 neighbourhood by itself, every pair of surface corners ---


@cache
def cell_area(cell: bytes, spacing: Spacing) -> float:
    """Area of the marching-cubes surface in one cell, of the smaller of inside and outside."""
    corners = np.frombuffer(cell, np.uint8).reshape(2, 2, 2).astype(float)
    if corners.sum() > 4:
        corners = 1 - corners
    mesh = marching_cubes(corners, 0.5, spacing=spacing, method="lorensen")
    return float(mesh_surface_area(*mesh[:2]))


def oracle_surface(mask: Mask, spacing: Spacing) -> tuple[NDArray[np.float64], Any]:
    padded = np.pad(mask, 1).astype(np.uint8)
    places, areas = [], []
    for corner in np.ndindex(*[size - 1 for size in padded.shape]):
        cell = padded[tuple(slice(i, i + 2) for i in corner)]
        if 0 < cell.sum() < 8:
            places.append(np.multiply(corner, spacing))
            areas.append(cell_area(cell.tobytes(), spacing))
    return np.array(places), np.array(areas)


def oracle(reference: Mask, prediction: Mask, spacing: Spacing, tolerance: float) -> dict[str, Any]:
    (here, area_here), (there, area_there) = (
        oracle_surface(mask, spacing) for mask in (reference, prediction)
    )
    between = cdist(here, there)
    directed = [(between.min(1), area_here), (between.min(0), area_there)]
    means = [np.average(distance, weights=area) for distance, area in directed]
    within = sum(area[distance <= tolerance].sum() for distance, area in directed)

    def beyond(distance: Any, area: Any, limit: float) -> float:
        return float(area[distance > limit].sum() / area.sum())

    return {
        "nsd": within / (area_here.sum() + area_there.sum()),
        "hd95": max(  # the least distance that at most 5 % of the area exceeds
            min(d for d in distance if beyond(distance, area, d) <= 0.05)
            for distance, area in directed
        ),
        "hd": max(distance.max() for distance, _ in directed),
        "asd": np.mean(means),
        "asd_to_prediction": means[0],
        "asd_to_reference": means[1],
        "assd": sum((distance * area).sum() for distance, area in directed)
        / sum(area.sum() for _, area in directed),
    }


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.75, 0.5)])
@pytest.mark.parametrize("seed", range(3))
def test_brute_force_agrees(seed: int, spacing: Spacing) -> None:
    reference, prediction = blobs((16, 17, 15), seed)
    expected = oracle(reference, prediction, spacing, tolerance=0.75)
    got = surface_metrics(reference, prediction, spacing, 0.75)
    assert 0 < got["nsd"] < 1
    assert got == pytest.approx(expected, rel=1e-6)  # skimage computes areas in float32


# --- the library itself, on the whole scan ---


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_crop_equals_library_on_whole_scan(seed: int, spacing: Spacing) -> None:
    reference, prediction = blobs((22, 26, 24), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = sd.compute_surface_distances(reference, prediction, spacing)
    union = np.argwhere(reference | prediction)
    box = tuple(slice(a, b + 1) for a, b in zip(union.min(0), union.max(0), strict=True))
    got = surface_metrics(reference[box], prediction[box], spacing, 1.0)
    assert got.pop("assd") <= got["hd"]  # the library has none
    directed = sd.compute_average_surface_distance(distances)
    assert got == pytest.approx(
        {
            "nsd": sd.compute_surface_dice_at_tolerance(distances, 1.0),
            "hd95": sd.compute_robust_hausdorff(distances, 95),
            "hd": sd.compute_robust_hausdorff(distances, 100),
            "asd": sum(directed) / 2,
            "asd_to_prediction": directed[0],
            "asd_to_reference": directed[1],
        },
        rel=1e-9,
    )


# --- closed forms ---


@pytest.mark.parametrize(
    ("tolerance", "left_out"), [(0.0, ("far", "near")), (3.0, ("far",)), (6.0, ())]
)
def test_cube_against_shifted_cube(tolerance: float, left_out: tuple[str, ...]) -> None:
    """A cube of 10 voxels moved by 2 along the slices, 3 mm apart; in-plane steps are long."""
    reference = np.zeros((12, 10, 10), np.bool_)
    prediction = reference.copy()
    reference[:10], prediction[2:] = True, True
    spacing = (3.0, 30.0, 30.0)
    # Areas by corner: on a face the face's own; on an edge and in a corner the slanted cut.
    lid, wall = 30.0 * 30.0, 3.0 * 30.0
    upright = sqrt(2) / 2 * wall  # edge along z
    lying = sqrt((wall / 2) ** 2 + (lid / 2) ** 2)  # edge between lid and wall
    tip = sqrt(lid**2 + 2 * wall**2) / 8
    face = 81 * lid + 36 * lying + 4 * tip
    ring = 36 * wall + 4 * upright  # one layer of the four walls
    total = 2 * face + 9 * ring
    # The outer face is two slices away; so is the inside of the other face, as the walls of the
    # other cube are further in plane; the layer between is one slice away.
    area = {"far": face + 81 * lid, "near": ring}
    got = surface_metrics(reference, prediction, spacing, tolerance)
    assert got["hd"] == got["hd95"] == 6.0
    assert got["asd"] == pytest.approx((6.0 * area["far"] + 3.0 * area["near"]) / total)
    assert got["nsd"] == pytest.approx(1 - sum(area[name] for name in left_out) / total)


@pytest.mark.parametrize("spacing", [0.5, 2.0])
@pytest.mark.parametrize("gap", [4, 8])
def test_concentric_balls_are_their_difference_of_radius_apart(gap: int, spacing: float) -> None:
    """Up to half a voxel, as the corners of a slanted surface are a layer about a voxel thick."""
    spacings = (spacing, spacing, spacing)
    got = surface_metrics(ball(12, 21), ball(12 + gap, 21), spacings, (gap + 1) * spacing)
    assert (gap - 0.6) * spacing < got["asd"] < gap * spacing
    assert (gap - 0.6) * spacing < got["hd95"] < (gap + 0.6) * spacing
    assert got["nsd"] == 1.0


def test_surface_is_closed_at_the_border_of_the_scan() -> None:
    """Both masks reach the border; open contours there would make the distances larger."""
    reference = np.ones((10, 10, 10), np.bool_)
    prediction = reference.copy()
    prediction[-1] = False
    assert surface_metrics(reference, prediction, (1.0, 1.0, 1.0), 1.0)["hd"] == 1.0


def test_hd95_leaves_out_a_small_far_island_and_hd_does_not() -> None:
    reference = np.zeros((40, 20, 20), np.bool_)
    reference[2:18, 2:18, 2:18] = True
    prediction = reference.copy()
    prediction[37, 10, 10] = True
    got = surface_metrics(reference, prediction, (1.0, 1.0, 1.0), 1.0)
    assert got["hd95"] == 0.0
    assert got["hd"] == 20.0  # from the island's far corners, at 38, to the face at 18


def test_a_leak_is_far_from_the_reference_and_a_miss_from_the_prediction() -> None:
    """A cube and the same one with an island far from it."""
    cube = np.zeros((30, 10, 10), np.bool_)
    cube[2:8, 2:8, 2:8] = True
    more = cube.copy()
    more[17, 4:6, 4:6] = True
    leak = surface_metrics(cube, more, (1.0, 1.0, 1.0), 1.0)
    assert leak["asd_to_prediction"] == 0 < leak["asd_to_reference"]
    assert leak["asd"] == leak["asd_to_reference"] / 2
    miss = surface_metrics(more, cube, (1.0, 1.0, 1.0), 1.0)
    assert miss["asd_to_reference"] == 0 < miss["asd_to_prediction"] == leak["asd_to_reference"]


# --- empty masks ---


@pytest.mark.parametrize(
    ("with_reference", "with_prediction", "nsd"),
    [(False, False, nan), (True, False, 0.0), (False, True, 0.0)],
)
def test_empty_masks(with_reference: bool, with_prediction: bool, nsd: float) -> None:
    reference, prediction = np.zeros((2, 3, 4, 4), np.bool_)
    reference[1, 1, 1], prediction[1, 1, 1] = with_reference, with_prediction
    got = surface_metrics(reference, prediction, (1.0, 1.0, 1.0), 1.0)
    np.testing.assert_equal(got.pop("nsd"), nsd)
    assert set(got) == {"hd95", "hd", "asd", "assd", "asd_to_reference", "asd_to_prediction"}
    assert all(isnan(value) for value in got.values())


# --- properties ---


@slow
@given(pair=pairs, spacing=spacings, tolerance=tolerances)
def test_symmetric_and_in_range(
    pair: tuple[Mask, Mask], spacing: Spacing, tolerance: float
) -> None:
    forth = surface_metrics(*pair, spacing, tolerance)
    back = surface_metrics(*pair[::-1], spacing, tolerance)
    ways = "asd_to_reference", "asd_to_prediction"
    assert [back.pop(name) for name in ways] == pytest.approx([forth[name] for name in ways[::-1]])
    assert back == pytest.approx({name: forth[name] for name in back}, rel=1e-12)
    assert 0 <= forth["nsd"] <= 1
    assert 0 <= forth["hd95"] <= forth["hd"]
    assert 0 <= forth["asd"] <= forth["hd"]
    assert 0 <= forth["assd"] <= forth["hd"]


@slow
@given(mask=shapes.flatmap(filled), spacing=spacings)
def test_identical_masks_are_perfect(mask: Mask, spacing: Spacing) -> None:
    got = surface_metrics(mask, mask.copy(), spacing, 0.0)
    assert got.pop("nsd") == 1
    assert set(got.values()) == {0}


@slow
@given(pair=pairs, margins=st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 3))
def test_value_does_not_depend_on_the_crop(
    pair: tuple[Mask, Mask], margins: tuple[tuple[int, int], ...]
) -> None:
    spacing = (2.0, 0.7, 1.1)
    wider = [np.pad(mask, margins) for mask in pair]
    assert surface_metrics(*pair, spacing, 1.0) == pytest.approx(
        surface_metrics(wider[0], wider[1], spacing, 1.0), rel=1e-12
    )


@slow
@given(pair=pairs, spacing=spacings, factor=st.sampled_from([0.25, 2.0, 8.0]))
def test_scaled_scan_scales_distances(
    pair: tuple[Mask, Mask], spacing: Spacing, factor: float
) -> None:
    """Powers of two scale without rounding, so that ties at the tolerance stay ties."""
    got = surface_metrics(*pair, spacing, 1.0)
    z, y, x = (factor * step for step in spacing)
    scaled = surface_metrics(*pair, (z, y, x), factor)
    assert scaled.pop("nsd") == pytest.approx(got.pop("nsd"))
    assert scaled == pytest.approx({name: factor * value for name, value in got.items()})


@slow
@given(pair=pairs, spacing=spacings, order=st.permutations(range(3)), flip=st.integers(0, 2))
def test_axes_have_no_preference(
    pair: tuple[Mask, Mask], spacing: Spacing, order: list[int], flip: int
) -> None:
    turned = [np.flip(mask, flip).transpose(order) for mask in pair]
    z, y, x = (spacing[axis] for axis in order)
    got = surface_metrics(turned[0], turned[1], (z, y, x), 1.01)
    assert got == pytest.approx(surface_metrics(*pair, spacing, 1.01), rel=1e-9)
