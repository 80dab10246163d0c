"""Bad input to each method: a helpful message or a sensible mask."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.adapter import Adapter, Prediction
from benchmark.boxes import Box
from benchmark.masks import Mask
from benchmark.methods.registry import find
from benchmark.prompts import Box2D, Box3D, Mask2D, Prompt
from benchmark.volume import Volume
from pam import checkpoints
from pam.config import Box2MaskConfig, PropMaskConfig
from pam.network import Box2Mask, PropMask

SHAPE = (12, 30, 32)
INSIDE: Box = (4, 9, 8, 18, 9, 21)
METHODS = ("pam-2dmask", "pam-2dbox", "pam-3dbox")


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Adapter]:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("weights")
    unet: dict[str, Any] = {"channels": 4, "stages": 3, "inference": {"size": 32}}
    checkpoints.save(PropMask(PropMaskConfig(attended=2, **unet)), folder / "a.safetensors")
    checkpoints.save(Box2Mask(Box2MaskConfig(**unet)), folder / "b.safetensors")
    loaded = {name: find(name)() for name in METHODS}
    for adapter in loaded.values():
        adapter.load(folder, "cpu")
    return loaded


def volume() -> Volume:
    array = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    array[4:9, 8:18, 9:21] += 5
    return Volume(array, (2.0, 1.0, 1.0), "CT")


def prompt(name: str, box: Box = INSIDE, index: int = 6, shape: Any = SHAPE) -> Prompt:
    """The prompt that a method takes: the whole of a box, on a slice of it or in space."""
    if name == "pam-3dbox":
        return Box3D(box)
    flat = (index, index + 1, *box[2:])
    if name == "pam-2dbox":
        return Box2D(0, index, flat)
    array = np.zeros(shape, np.bool_)
    array[index : index + 1, box[2] : box[3], box[4] : box[5]] = True
    return Mask2D(
        0, index, Mask(shape, flat, array[index : index + 1, box[2] : box[3], box[4] : box[5]])
    )


def answer(methods: dict[str, Adapter], name: str, scan: Volume, asked: Prompt) -> Prediction:
    (given,) = methods[name].segment(scan, [asked])
    return given


@pytest.mark.parametrize("name", METHODS)
def test_a_prompt_outside_the_volume(methods: dict[str, Adapter], name: str) -> None:
    beyond: Box = (12, 15, 8, 18, 9, 21)
    asked = prompt(name, beyond, index=13, shape=(20, 30, 32))
    failure = answer(methods, name, volume(), asked).failure
    assert "of a volume with slices 0 to 11" in str(failure)


@pytest.mark.parametrize("ends", [(-2, 9), (4, 13), (-1, 13)])
def test_a_box_in_space_that_leaves_the_volume(
    methods: dict[str, Adapter], ends: tuple[int, int]
) -> None:
    failure = answer(methods, "pam-3dbox", volume(), Box3D((*ends, 8, 18, 9, 21))).failure
    assert "leaves a volume with slices 0 to 11" in str(failure)


@pytest.mark.parametrize("name", ["pam-2dbox", "pam-3dbox"])
def test_a_box_beside_the_slice(methods: dict[str, Adapter], name: str) -> None:
    failure = answer(methods, name, volume(), prompt(name, (4, 9, 8, 18, 20, 33))).failure
    assert "leaves a slice of 30 x 32 pixels" in str(failure)


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_mask_and_a_box_of_no_area(methods: dict[str, Adapter], name: str) -> None:
    failure = answer(methods, name, volume(), prompt(name, (4, 9, 8, 8, 9, 21))).failure
    expected = "slice 6 is empty" if name == "pam-2dmask" else "no area"
    assert expected in str(failure)


def test_a_box_of_no_depth(methods: dict[str, Adapter]) -> None:
    failure = answer(methods, "pam-3dbox", volume(), Box3D((4, 4, 8, 18, 9, 21))).failure
    assert "has no depth" in str(failure)


def test_a_mask_of_another_shape(methods: dict[str, Adapter]) -> None:
    asked = prompt("pam-2dmask", shape=(12, 31, 32))
    for name in ("pam-2dmask", "pam-2dbox"):
        failure = answer(methods, name, volume(), asked).failure
        assert "(31, 32) pixels, a slice of the volume (30, 32)" in str(failure)


@pytest.mark.parametrize("name", METHODS)
def test_slices_further_apart_than_the_thickness(methods: dict[str, Adapter], name: str) -> None:
    scan = replace(volume(), spacing=(25.0, 1.0, 1.0))
    found = answer(methods, name, scan, prompt(name)).mask
    assert found is not None
    assert found.shape == SHAPE
    for protocol in ("released", "paper"):
        small = {"lower": [5], "upper": [95]} if name != "pam-2dmask" else {}
        options = {"protocol": protocol, **({"box2mask": small} if small else {})}
        (given,) = methods[name].with_options(options).segment(scan, [prompt(name)])
        assert "25 mm apart" in str(given.failure)


@pytest.mark.parametrize("name", METHODS)
def test_a_volume_of_one_slice(methods: dict[str, Adapter], name: str) -> None:
    """The guiding mask is the answer, as there is nowhere to carry it."""
    whole = volume()
    scan = replace(whole, array=whole.array[6:7])
    asked = prompt(name, (0, 1, 8, 18, 9, 21), index=0, shape=(1, 30, 32))
    found = answer(methods, name, scan, asked).mask
    assert found is not None
    assert found.shape == (1, 30, 32)
    assert found.any()
    assert not found[0, :8].any()
    if name == "pam-2dmask":
        assert found.sum() == found[0, 8:18, 9:21].sum() == 120


@pytest.mark.parametrize("name", METHODS)
def test_one_intensity_inside_the_prompt(methods: dict[str, Adapter], name: str) -> None:
    scan = volume()
    scan.array[4:9, 8:18, 9:21] = 7
    asked = prompt(name)
    assert answer(methods, name, scan, asked).mask is not None
    # A first answer is not bound to the box where networks of random weights start anew from it.
    adapter = methods[name]
    once = adapter.with_options({"restarts": 0}) if name == "pam-3dbox" else adapter
    found = answer({name: once}, name, scan, asked).mask
    assert found is not None
    assert found[6, 8:18, 9:21].all()  # nothing tells the object from the box


@pytest.mark.parametrize("name", METHODS)
def test_one_intensity_everywhere(methods: dict[str, Adapter], name: str) -> None:
    scan = replace(volume(), array=np.full(SHAPE, 3, np.int16))
    failure = answer(methods, name, scan, prompt(name)).failure
    assert "nothing to segment by" in str(failure)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("protocol", ["paper", "released", "tutorial"])
@pytest.mark.parametrize("part", [(slice(4, 9), slice(8, 18), slice(9, 21)), ...])
def test_one_intensity_under_the_authors_protocols(
    methods: dict[str, Adapter], name: str, protocol: str, part: Any
) -> None:
    """In the prompt, or everywhere: the images are black, and there is an answer all the same."""
    scan = volume()
    scan.array[part] = 7
    small = {"box2mask": {"lower": [5], "upper": [95]}} if name != "pam-2dmask" else {}
    adapter = methods[name].with_options({"protocol": protocol, **small})
    (given,) = adapter.segment(scan, [prompt(name)])
    assert given.failure is None
    assert given.mask is not None
    assert given.mask[6, 8:18, 9:21].any()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(methods: dict[str, Adapter], name: str, value: float) -> None:
    scan = volume()
    scan.array[0, 0, 0] = value
    failure = answer(methods, name, scan, prompt(name)).failure
    assert "1 of 11520 voxels are NaN or infinite" in str(failure)


@pytest.mark.parametrize("name", METHODS)
def test_a_bad_prompt_is_no_harm_to_the_others(methods: dict[str, Adapter], name: str) -> None:
    good, bad = prompt(name), prompt(name, (4, 9, 8, 8, 9, 21))
    given = list(methods[name].segment(volume(), [good, bad, good]))
    (alone,) = methods[name].segment(volume(), [good])
    assert [prediction.failure is None for prediction in given] == [True, False, True]
    assert alone.mask is not None
    for prediction in (given[0], given[2]):
        assert prediction.mask is not None
        assert (prediction.mask != alone.mask).mean() <= 1e-4
