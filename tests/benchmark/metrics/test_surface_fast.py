"""The fast engines against the library that defines the values, and the choice between them."""

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import surface_distance as sd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from benchmark.boxes import Crop
from benchmark.metrics import (
    engines,
    nearest_kernels,
    score,
    surface_fast,
    surface_kernels,
    surface_metrics,
    surface_numpy,
)
from benchmark.metrics.engines import Engine
from benchmark.metrics.surface import percentile
from tests.bench.scenes import FAILURES, failed, halves

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

FAST: tuple[Engine, ...] = ("numpy", "numba")
UNIT = (1.0, 1.0, 1.0)
UNDECIDED = -1.0


def assert_as_the_library(
    reference: Mask, prediction: Mask, spacing: Spacing = UNIT, tolerance: float = 1.0
) -> None:
    expected = surface_metrics(reference, prediction, spacing, tolerance, engine="reference")
    for engine in FAST:
        got = surface_metrics(reference, prediction, spacing, tolerance, engine=engine)
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), engine


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> Mask:
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return np.asarray((grid**2).sum(axis=0) <= radius**2)


# --- the same values ---

small = st.integers(1, 7)
shapes = st.one_of(
    st.tuples(small, small, small),
    st.permutations((st.just(1), small, small)).flatmap(lambda sides: st.tuples(*sides)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(60, 140)),  # more than one word
    st.tuples(st.integers(60, 90), st.integers(1, 2), st.integers(1, 2)),
)
steps = st.one_of(
    st.sampled_from([0.1, 0.5, 0.7, 1.0, 1.3, 5.0]),
    st.floats(0.05, 12.0).map(lambda mm: round(mm, 4)),  # as volumes are read
)
KINDS = ("drawn", "noise", "empty", "voxel", "border", "slice", "box", "shell", "full")


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, int, int]) -> Mask:
    """A mask of one of `KINDS`; what it leaves open is random."""
    kind = draw(st.sampled_from(KINDS))
    if kind == "drawn" and np.prod(shape) < 200:
        return draw(arrays(np.bool_, shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind in ("drawn", "noise"):
        return rng.random(shape) < draw(st.sampled_from([0.01, 0.1, 0.5, 0.95]))
    mask = np.zeros(shape, np.bool_)
    low, high = np.sort(rng.integers(0, shape, (2, 3)), axis=0)
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    axis = int(rng.integers(3))
    if kind == "voxel":
        mask[tuple(low)] = True
    elif kind == "border":
        mask.swapaxes(0, axis)[[0, -1]] = rng.random(mask.swapaxes(0, axis)[[0, -1]].shape) < 0.5
    elif kind == "slice":
        mask.swapaxes(0, axis)[low[axis]] = True
    elif kind in ("box", "shell"):
        mask[box] = True
    elif kind == "full":
        mask[:] = True
    if kind == "shell":
        mask[tuple(slice(a + 1, b) for a, b in zip(low, high, strict=True))] = False
    return mask


# On small masks only other limits lead to each of the ways to find the nearest corner.
LIMITS: dict[str, dict[str, int]] = {
    "as they are": {},
    "rows, then all pairs": {"_FEW_PAIRS": 0, "_STEP": 10**9},
    "rows, then planes": {"_FEW_PAIRS": 0, "_PAIR": 10**9},
    "planes": {"_FEW_PAIRS": 0, "_STEP": 0},
    "tree": {"_FAR": 0, "_VOXELS_A_QUERY": 0},
    "transform": {"_FAR": 0, "_VOXELS_A_QUERY": 10**9},
    "tree, then transform": {"_FAR": 1, "_VOXELS_A_QUERY": 10**9},
}


def limit(patch: pytest.MonkeyPatch, limits: dict[str, int]) -> None:
    for name, value in limits.items():
        patch.setattr(surface_fast if hasattr(surface_fast, name) else surface_numpy, name, value)


@settings(deadline=None, max_examples=600)
@given(
    pair=shapes.flatmap(lambda shape: st.tuples(masks(shape), masks(shape))),
    spacing=st.tuples(steps, steps, steps),
    tolerance=st.sampled_from([0.0, 0.7, 1.0, 1.4, 2.1, 5.0]),
    steps=st.sampled_from([1, 20, 200]),
    offsets=st.sampled_from([20, 2048]),
    limits=st.sampled_from(list(LIMITS.values())),
)
def test_random_masks(
    pair: tuple[Mask, Mask],
    spacing: Spacing,
    tolerance: float,
    steps: int,
    offsets: int,
    limits: dict[str, int],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        limit(patch, {"_STEPS": steps, "_OFFSETS": offsets, **limits})
        assert_as_the_library(*pair, spacing, tolerance)


SHAPE = (20, 24, 70)
FULL = np.ones(SHAPE, np.bool_)
HOLLOW = FULL.copy()
HOLLOW[1:-1, 1:-1, 1:-1] = False
BALL = ball(SHAPE, (9, 11, 30), 8)
SHELL = BALL & ~ball(SHAPE, (9, 11, 30), 6)
FIRST, LAST = np.zeros((2, *SHAPE), np.bool_)
FIRST[0, 0, 0] = LAST[-1, -1, -1] = True
SLICE = np.zeros(SHAPE, np.bool_)
SLICE[7] = BALL[7]
OBJECTS = {
    "full": FULL,
    "hollow": HOLLOW,
    "ball": BALL,
    "shell": SHELL,
    "first voxel": FIRST,
    "last voxel": LAST,
    "ball and far voxel": BALL | LAST,
    "slice": SLICE,
    "empty": np.zeros(SHAPE, np.bool_),
}
every_two = pytest.mark.parametrize(
    ("one", "other"), [(a, b) for a in OBJECTS for b in OBJECTS if a <= b]
)


@every_two
def test_objects(one: str, other: str) -> None:
    assert_as_the_library(OBJECTS[one], OBJECTS[other], (3.0, 0.7, 0.8), 2.0)


@every_two
@pytest.mark.parametrize("limits", LIMITS)
def test_corners_beyond_the_table_of_offsets(
    monkeypatch: pytest.MonkeyPatch, one: str, other: str, limits: str
) -> None:
    limit(monkeypatch, {"_STEPS": 1, "_OFFSETS": 20, **LIMITS[limits]})
    assert_as_the_library(OBJECTS[one], OBJECTS[other], (0.8, 1.3, 0.7), 2.0)


@pytest.mark.parametrize("spacing", [UNIT, (5.0, 0.7, 0.7), (0.8, 1.3, 3.0)])
@pytest.mark.parametrize("failure", FAILURES)
def test_far_apart(monkeypatch: pytest.MonkeyPatch, failure: str, spacing: Spacing) -> None:
    transforms: list[None] = []
    by_planes = nearest_kernels.by_planes
    monkeypatch.setattr(
        nearest_kernels, "by_planes", lambda *args: transforms.append(by_planes(*args))
    )
    pair = failed(failure, (40, 80, 100))
    assert_as_the_library(*pair, spacing, 2.0)
    assert_as_the_library(*pair[::-1], spacing, 2.0)
    assert transforms


@pytest.mark.parametrize("spacing", [UNIT, (5.0, 0.7, 0.7)])
def test_halves_that_touch(spacing: Spacing) -> None:
    assert_as_the_library(*halves(50), spacing, 2.0)


def test_slabs_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface_numpy, "_SLAB", 1)
    assert_as_the_library(BALL, HOLLOW, (3.0, 0.7, 0.8))


@pytest.mark.parametrize("engine", FAST)
def test_layout_of_the_array_does_not_matter(engine: Engine) -> None:
    other = SHELL | LAST
    expected = surface_metrics(BALL, other, UNIT, 1.0, engine="reference")
    expected_back = surface_metrics(other, BALL, UNIT, 1.0, engine="reference")
    wide = np.zeros((40, 24, 140), np.bool_)
    wide[::2, :, ::2] = BALL
    fixed = BALL.copy()
    fixed.flags.writeable = False
    for mask in (wide[::2, :, ::2], np.asfortranarray(BALL), fixed):
        got = surface_metrics(mask, other, UNIT, 1.0, engine=engine)
        assert got == pytest.approx(expected, rel=1e-9)
        back = surface_metrics(other, mask, UNIT, 1.0, engine=engine)
        assert back == pytest.approx(expected_back, rel=1e-9)


def test_areas_are_those_of_the_library() -> None:
    table = sd.lookup_tables.create_table_neighbour_code_to_surface_area
    for spacing in ((1.0, 1.0, 1.0), (5.0, 0.7, 0.9)):
        got = surface_numpy.corner_areas(spacing)
        np.testing.assert_allclose(got, table(spacing), rtol=1e-15)


def test_reference_is_the_library() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = sd.compute_surface_distances(BALL, SHELL | LAST, UNIT)
    values = score(
        BALL, SHELL | LAST, UNIT, grid_voxels=BALL.size, tolerance_mm=1.0, engine="reference"
    )
    assert values["nsd"] == sd.compute_surface_dice_at_tolerance(distances, 1.0)
    assert values["hd95"] == sd.compute_robust_hausdorff(distances, 95)


# --- where the last bit counts ---


def test_of_corners_equally_far_the_tolerance_sees_the_least() -> None:
    """The same offset in another order is another number in the last bit."""
    spacing = (0.7, 0.7, 0.7)
    tied = np.array(list(permutations((1, 2, 3))))
    lengths = surface_numpy.offset_length(tied, spacing)
    least = float(lengths.min())
    assert least < lengths.max() < least * (1 + 1e-12)
    for order in permutations(range(len(tied)), 3):
        corners = tied[list(order)]
        expected = surface_numpy.offset_length(corners, spacing).min()
        for place in (np.zeros(3, np.int64), np.array([5, 40, 300])):
            got = surface_numpy.nearest_distances(place[None], place + corners, spacing, least)
            assert (got[0] <= least) == (expected <= least)


@pytest.mark.parametrize("offset", [(1, 2, 3), (2, 3, 7), (1, 5, 8)])
def test_of_corners_equally_far_the_transform_too_sees_the_least(
    monkeypatch: pytest.MonkeyPatch, offset: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(surface_fast, "_PAIR", 10**9)
    spacing = (0.7, 0.7, 0.7)
    for two in combinations(permutations(offset), 2):
        tied = np.array(two)
        least = surface_numpy.offset_length(tied, spacing).min()
        mask = np.zeros((9, 9, 9), np.bool_)
        mask[tuple(tied.T)] = True  # the nearest corner of a voxel has the index of that voxel
        there = surface_fast._surface(surface_fast.of_mask(Crop.of(mask)), spacing)
        origin = there.corners[:1] - tied[:1].astype(np.int32)
        assert np.sqrt(surface_fast._farther(origin, there, spacing, least)) == least


def library_percentile(distances: Any, areas: Any, share: float) -> float:
    distances, areas = np.array(sorted(zip(distances, areas, strict=True))).T
    found: float = sd.compute_robust_hausdorff(
        {
            "distances_gt_to_pred": distances,
            "distances_pred_to_gt": distances,
            "surfel_areas_gt": areas,
            "surfel_areas_pred": areas,
        },
        100 * share,
    )
    return found


@pytest.mark.parametrize("count", [1, 7, 20_000])
@pytest.mark.parametrize("distinct", [1, 5, 3000])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 1.0])
def test_percentile_of_many(count: int, distinct: int, share: float) -> None:
    rng = np.random.default_rng(count + distinct)
    distances = np.sqrt(rng.integers(0, distinct, count))
    for areas in (rng.uniform(0.1, 2, count), np.full(count, 0.1)):
        expected = library_percentile(distances, areas, share)
        assert percentile(distances, areas, share) == expected
        fast = surface_kernels.percentile(distances, areas, share, areas.sum())
        assert fast in (expected, UNDECIDED)
        assert fast == expected or distinct == 1 or share == 1.0 or len(np.unique(areas)) == 1


def test_percentile_on_the_very_boundary() -> None:
    """95 % of the area lie within 1 mm by counting; which side it falls is rounding."""
    distances = np.repeat([0.0, 1.0, 2.0], [9000, 10_000, 1000])
    for area in (0.1, 0.3, 1 / 3, 0.7):
        areas = np.full(20_000, area)
        assert percentile(distances, areas, 0.95) == library_percentile(distances, areas, 0.95)
        assert surface_kernels.percentile(distances, areas, 0.95, areas.sum()) == UNDECIDED


@given(
    distances=st.lists(st.floats(0, 1e3).map(lambda mm: round(mm, 6)), min_size=1, max_size=60),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.05, 0.5, 0.95]),
)
def test_compiled_percentile(distances: list[float], seed: int, share: float) -> None:
    areas = np.random.default_rng(seed).uniform(0.1, 2, len(distances))
    fast = surface_kernels.percentile(np.array(distances), areas, share, areas.sum())
    assert fast == library_percentile(distances, areas, share)


# --- which engine ---


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="one of auto, reference, numpy, numba, got cuda"):
        surface_metrics(BALL, BALL, UNIT, 1.0, engine="cuda")  # type: ignore[arg-type]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(engines, "_spent", 0)
    monkeypatch.setattr(engines, "_numba_fails", False)
    return monkeypatch


def test_auto_turns_to_numba_when_there_is_enough_to_do(fresh: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def recorded(name: str, engine: Callable[..., Any]) -> Callable[..., Any]:
        def record(*arguments: Any) -> Any:
            used.append(name)
            return engine(*arguments)

        return record

    for name, module in (("numpy", surface_numpy), ("numba", surface_fast)):
        fresh.setattr(module, "surface_metrics", recorded(name, module.surface_metrics))
    cost = engines.cost(Crop.of(BALL).box, Crop.of(LAST | SHELL).box)
    fresh.setattr(engines, "_WORTH_NUMBA", 2 * cost)
    values = [surface_metrics(BALL, LAST | SHELL, UNIT, 1.0) for _ in range(4)]
    assert used == ["numpy", "numpy", "numba", "numba"]
    assert all(value == pytest.approx(values[0], rel=1e-12) for value in values)
    fresh.setattr(engines, "_spent", 0)
    fresh.setattr(engines, "_WORTH_NUMBA", cost - 1)
    surface_metrics(BALL, LAST | SHELL, UNIT, 1.0)
    assert used[-1] == "numba"


@pytest.mark.parametrize(
    "error",
    [ImportError("no numba"), OSError("disk full"), EOFError(), pickle.UnpicklingError("cut off")],
)
def test_auto_does_without_numba(fresh: pytest.MonkeyPatch, error: Exception) -> None:
    expected = surface_metrics(BALL, SHELL, UNIT, 1.0, engine="numpy")

    def fail(*_: object) -> None:
        raise error

    fresh.setattr(surface_fast, "surface_metrics", fail)
    fresh.setattr(engines, "_WORTH_NUMBA", 0)
    assert [surface_metrics(BALL, SHELL, UNIT, 1.0) for _ in range(2)] == [expected] * 2
    with pytest.raises(type(error)):
        surface_metrics(BALL, SHELL, UNIT, 1.0, engine="numba")


ONE_OBJECT = """
import sys, numpy, benchmark.metrics
print("numba" in sys.modules, end=" ")
mask = numpy.ones((3, 3, 3), bool)
values = benchmark.metrics.score(
    mask, mask & (numpy.arange(3) < 2), (1.0, 1.0, 1.0), grid_voxels=27, tolerance_mm=0.5
)
print("numba" in sys.modules, values["hd"])
"""


def test_numba_is_imported_only_where_it_is_used() -> None:
    command = [sys.executable, "-c", ONE_OBJECT]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "1.0"]
