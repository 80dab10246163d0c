"""Controls against closed-form results."""

from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from baselines.controls import BoxFill, CopyMask, Ellipsoid, Empty, Oracle, inscribed_ellipsoid
from benchmark.adapter import Adapter
from benchmark.masks import Mask
from benchmark.prompts import Box2D, Box3D, Mask2D, Prompt
from benchmark.volume import Volume

SHAPE = (12, 20, 30)
VOLUME = Volume(np.zeros(SHAPE, np.float32), (5.0, 1.0, 2.0))
BOX = (2, 9, 4, 17, 5, 25)


def only(adapter: Adapter, prompt: Prompt) -> NDArray[np.bool_]:
    (found,) = adapter.segment(VOLUME, [prompt])
    assert found.mask is not None
    return Mask.of(found.mask, offset=found.offset or (0, 0, 0), shape=SHAPE).dense()


@pytest.fixture
def reference() -> Mask:
    truth = np.random.default_rng(1).random(SHAPE) > 0.7
    truth[:, :, :7] = False
    truth[:3] = False
    return Mask.of(truth)


def test_box_fill_has_the_volume_of_the_box_and_its_place() -> None:
    found = only(BoxFill(), Box3D(BOX))
    assert found.sum() == 7 * 13 * 20
    assert found[2:9, 4:17, 5:25].all()


def test_large_ellipsoid_has_the_closed_form_volume() -> None:
    size = (60, 80, 50)
    share = inscribed_ellipsoid(size).mean()
    assert share == pytest.approx(pi / 6, rel=5e-3)


@given(st.tuples(*[st.integers(1, 12)] * 3))
def test_ellipsoid_is_symmetric_and_holds_the_centre(size: tuple[int, int, int]) -> None:
    found = inscribed_ellipsoid(size)
    assert np.array_equal(found, found[::-1, ::-1, ::-1])
    assert found[tuple(n // 2 for n in size)]


@pytest.mark.parametrize("size", [(1, 9, 9), (9, 1, 9), (9, 9, 1), (7, 11, 5)])
def test_ellipsoid_touches_all_faces_of_an_odd_box(size: tuple[int, int, int]) -> None:
    assert Mask.of(inscribed_ellipsoid(size)).box == (0, size[0], 0, size[1], 0, size[2])


def test_ellipsoid_stands_in_its_box() -> None:
    found = only(Ellipsoid(), Box3D(BOX))
    centre = np.argwhere(found).mean(axis=0)
    assert centre == pytest.approx([5, 10, 14.5])
    assert not found[:2].any()
    assert not found[9:].any()


@pytest.mark.parametrize(
    "prompt", [Box3D(BOX), Box2D(0, 2, (2, 3, 4, 17, 5, 25))], ids=lambda p: p.kind
)
def test_oracle_gives_the_reference_and_empty_nothing(prompt: Prompt, reference: Mask) -> None:
    oracle = Oracle()
    oracle.reference = lambda asked: {prompt.hash: reference}[asked.hash]
    assert np.array_equal(only(oracle, prompt), reference.dense())
    assert not only(Empty(), prompt).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_copy_mask_fills_the_true_extent_and_no_more(axis: int, reference: Mask) -> None:
    truth = reference.dense()
    index = 8
    guide = np.zeros_like(truth)
    place = tuple(index if a == axis else slice(None) for a in range(3))
    guide[place] = truth[place]
    copy = CopyMask()
    copy.reference = lambda _: reference
    found = np.moveaxis(only(copy, Mask2D(axis, index, Mask.of(guide))), axis, 0)
    slices_of_truth = np.flatnonzero(truth.any(axis=tuple(a for a in range(3) if a != axis)))
    first, last = slices_of_truth[0], slices_of_truth[-1]
    assert (found[first : last + 1] == truth[place]).all()
    assert found.sum() == truth[place].sum() * (last - first + 1)


def test_only_those_that_see_the_reference_say_so() -> None:
    marked = {c for c in (Oracle, Empty, BoxFill, Ellipsoid, CopyMask) if c.info.sees_reference}
    assert marked == {Oracle, CopyMask}
