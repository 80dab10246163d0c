"""Classical propagation on synthetic volumes with known shapes."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from baselines.classical import FlowPropagation, RegionGrowth, SliceWalker
from benchmark.adapter import Prediction
from benchmark.masks import Mask
from benchmark.prompts import Mask2D, derive, from_row
from benchmark.volume import Volume

SHAPE = (40, 72, 76)
BOTH = pytest.mark.parametrize("method", [RegionGrowth, FlowPropagation])
Z, Y, X = np.ogrid[:40, :72, :76]
BALL = ((Z - 19) / 12) ** 2 + ((Y - 38) / 17) ** 2 + ((X - 33) / 18) ** 2 <= 1
TILTED = ((Y - 20 - 0.8 * Z) ** 2 + (X - 50 + 0.5 * Z) ** 2 <= 8**2) & (Z >= 4) & (Z < 36)


def scan(
    truth: NDArray[np.bool_], contrast: float = 60, spacing: Sequence[float] = (3, 3, 3)
) -> Volume:
    """An object in texture and noise."""
    random = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(random.normal(size=truth.shape), (2, 5, 5))
    grey = texture / texture.std() * 12 + random.normal(0, 15, truth.shape) + contrast * truth
    grey = grey.astype(np.float32)
    grey.flags.writeable = False
    return Volume(grey, (spacing[0], spacing[1], spacing[2]))


def guide(truth: NDArray[np.bool_], axis: int = 0) -> Mask2D:
    mask = Mask.of(truth)
    rows = (row for row in derive(mask, axis, [0.0]) if row["kind"] == "mask2d")
    prompt = from_row(next(rows), mask.shape)
    assert isinstance(prompt, Mask2D)
    return prompt


def dense(found: Prediction, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    assert found.mask is not None
    assert found.offset is not None
    return Mask.of(found.mask, offset=found.offset, shape=(shape[0], shape[1], shape[2])).dense()


def segmented(method: SliceWalker, volume: Volume, prompt: Mask2D) -> NDArray[np.bool_]:
    (found,) = method.segment(volume, [prompt])
    return dense(found, volume.shape)


def dsc(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def extruded(truth: NDArray[np.bool_], prompt: Mask2D) -> NDArray[np.bool_]:
    """The guiding mask over the object's true slices, which neither method is told."""
    others = tuple(a for a in range(3) if a != prompt.axis)
    extent = truth.any(axis=others, keepdims=True)
    return np.expand_dims(prompt.plane, prompt.axis) & extent


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ball_in_noise(method: type[SliceWalker], axis: int) -> None:
    prompt = guide(BALL, axis)
    found = dsc(segmented(method(), scan(BALL), prompt), BALL)
    assert found > 0.9
    assert found > dsc(extruded(BALL, prompt), BALL) + 0.1


@BOTH
def test_tilted_cylinder_is_followed(method: type[SliceWalker]) -> None:
    prompt = guide(TILTED)
    found = dsc(segmented(method(), scan(TILTED, 90), prompt), TILTED)
    assert found > 0.8
    assert found > 2 * dsc(extruded(TILTED, prompt), TILTED)


@BOTH
def test_thick_slices(method: type[SliceWalker]) -> None:
    truth = (5 * (Z[:20] - 10)) ** 2 + (1.5 * (Y - 36)) ** 2 + (1.5 * (X - 38)) ** 2 <= 30**2
    volume = scan(truth, spacing=(5, 1.5, 1.5))
    assert dsc(segmented(method(), volume, guide(truth)), truth) > 0.93


def test_growth_holds_back_the_leak_into_a_touching_neighbour_of_the_same_grey() -> None:
    neighbour = (Z - 19) ** 2 + (Y - 63) ** 2 + (X - 33) ** 2 <= 11**2
    volume = scan(BALL | neighbour)
    found = segmented(RegionGrowth(), volume, guide(BALL))
    assert dsc(found, BALL) > 0.9
    # Growth by grey values alone takes the neighbour whole: both are one connected region.
    assert ndimage.label(BALL | neighbour)[1] == 1
    assert (found & neighbour & ~BALL).sum() < 0.5 * (neighbour & ~BALL).sum()


@BOTH
def test_object_of_dark_values(method: type[SliceWalker]) -> None:
    assert dsc(segmented(method(), scan(BALL, -60), guide(BALL)), BALL) > 0.9


@BOTH
def test_object_at_the_corner(method: type[SliceWalker]) -> None:
    truth = Z**2 + Y**2 + X**2 <= 14**2
    assert dsc(segmented(method(), scan(truth, 90), guide(truth)), truth) > 0.85


@BOTH
def test_guiding_slice_is_kept_as_it_is(method: type[SliceWalker]) -> None:
    prompt = guide(BALL, 1)
    assert np.array_equal(segmented(method(), scan(BALL), prompt)[:, prompt.slice], prompt.plane)


@BOTH
def test_reach_bounds_the_walk(method: type[SliceWalker]) -> None:
    prompt = guide(BALL)
    found = segmented(method({"reach_mm": 7}), scan(BALL), prompt)
    slices = np.flatnonzero(found.any(axis=(1, 2)))
    assert slices.tolist() == list(range(prompt.slice - 2, prompt.slice + 3))


@BOTH
@pytest.mark.parametrize("grey", [0, 1000])
def test_constant_volume_gives_an_answer_with_the_guide_in_it(
    method: type[SliceWalker], grey: int
) -> None:
    prompt = guide(BALL)
    volume = Volume(np.full(SHAPE, grey, np.int16), (3, 3, 3))
    assert np.array_equal(segmented(method(), volume, prompt)[prompt.slice], prompt.plane)


@BOTH
def test_one_slice_gives_the_guide(method: type[SliceWalker]) -> None:
    truth = BALL[19:20]
    assert np.array_equal(segmented(method(), scan(truth), guide(truth)), truth)


@BOTH
def test_mask_of_the_whole_slice(method: type[SliceWalker]) -> None:
    truth = np.ones((5, 12, 9), dtype=bool)
    found = segmented(method(), scan(truth), guide(truth))
    assert found[4].all()  # the guide; there are no surroundings to tell the object from


@BOTH
def test_empty_guide_is_a_failure_with_a_reason(method: type[SliceWalker]) -> None:
    prompt = Mask2D(0, 3, Mask.of(np.zeros(SHAPE, dtype=bool)))
    (found,) = method().segment(scan(BALL), [prompt])
    assert found.mask is None
    assert found.failure == "the guiding mask is empty"


def test_growth_is_bounded_by_millimetres_within_the_plane() -> None:
    """From one pixel: 2.7 x 3 mm along the axis and a pixel of 4 mm are 12.1 mm each way."""
    grey = np.full((3, 61, 25), 100, np.float32)
    grey[1] = 0
    grey[1, 30, 12] = 100
    seed = np.zeros(grey.shape, dtype=bool)
    seed[1, 30, 12] = True
    volume = Volume(grey, (3, 1, 4))
    found = segmented(RegionGrowth({"slope": 2.7}), volume, Mask2D(0, 1, Mask.of(seed)))
    for plane in found[[0, 2]]:
        assert np.flatnonzero(plane.any(axis=1)).tolist() == list(range(30 - 12, 30 + 13))
        assert np.flatnonzero(plane.any(axis=0)).tolist() == list(range(12 - 3, 12 + 4))
