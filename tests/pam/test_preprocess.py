"""Window, crop and images, by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.errors import UserError
from pam import preprocess
from pam.preprocess import (
    Scan,
    Square,
    View,
    covered,
    images,
    prompt_image,
    resize_to_crop,
    square_around,
    window,
)
from pam.presets import PAPER, RELEASED, RIGOROUS, TUTORIAL, Propagation
from pam.resize import blended, resize_linear, resize_nearest, resize_smooth

SPACING = (2.0, 1.0, 1.0)


def box(shape: tuple[int, int], y: slice, x: slice) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[y, x] = True
    return mask


@pytest.mark.parametrize(
    ("volume", "spacing", "message"),
    [
        (np.zeros((3, 4)), SPACING, r"\(3, 4\).*three axes"),
        (np.zeros((3, 0, 4)), SPACING, "none of them empty"),
        (np.zeros((2, 2, 2), np.complex64), SPACING, "complex64"),
        (np.array([[[0.0, np.nan], [np.inf, 1.0]]]), SPACING, "2 of 4 voxels are NaN"),
        (np.zeros((2, 2, 2)), (0.0, 1.0, 1.0), "three positive numbers"),
        (np.zeros((2, 2, 2)), (float("nan"), 1.0, 1.0), "three positive numbers"),
        (np.zeros((2, 2, 2)), (1.0, 1.0), "three positive numbers"),
    ],
)
def test_a_bad_volume(volume: NDArray[Any], spacing: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scan(volume, spacing)


def test_window_by_preset_and_modality() -> None:
    image = np.arange(-100, 101, dtype=np.float32)[None] * np.float32(1.5)  # -150 .. 150
    everywhere = np.ones(image.shape, np.bool_)
    assert window(image, everywhere, "MR", TUTORIAL) == (-148.5, 148.5)
    # centre 0, width 297, so 148 on either side
    assert window(image, everywhere, "CT", TUTORIAL) == (-148, 148)
    assert window(image, everywhere, "CT", RIGOROUS) == (-148.5, 148.5)
    assert window(image, everywhere, "CT", PAPER) == (-135, 135)
    # centre -75.75 becomes -75: towards zero
    assert window(image, image <= 0, "CT", TUTORIAL) == (-149, -1)


@pytest.mark.parametrize("settings", [PAPER, RIGOROUS, RELEASED, TUTORIAL])
@pytest.mark.parametrize(
    ("name", "centre", "width"),
    [("soft-tissue", 50, 400), ("lung", -600, 1500), ("bone", 400, 1800), ("brain", 40, 80)],
)
def test_fixed_windows_look_at_no_pixel(
    settings: Propagation, name: str, centre: float, width: float
) -> None:
    fixed = settings.model_copy(update={"normalisation": name})
    image = np.full((4, 4), 3, np.float32)
    low, high = window(image, image > 0, "CT", fixed)
    assert ((low + high) / 2, high - low) == (centre, width)


def test_native_arithmetic() -> None:
    """As numpy does it on the image's own type: no small number in the divisor."""
    volume = np.array([[[-3, 0, 11, 24], [50, 51, 80, 99]]], np.int16)
    settings = RELEASED.model_copy(update={"size": 4})
    (shown,) = images(Scan(volume, SPACING), [View((0,), Square(0, 0, 4), (0, 90))], settings)
    expected = ((volume[0].clip(0, 90) - 0) / 90 * 255).astype(np.uint8)
    np.testing.assert_array_equal((shown[0, 0, :2] * 127.5 + 127.5).round(), expected)
    (flat,) = images(Scan(volume, SPACING), [View((0,), Square(0, 0, 4), (200, 300))], settings)
    assert (flat == -1).all()


def test_window_of_an_object_of_one_intensity() -> None:
    image = np.full((10, 10), 7, np.float32)
    mask = box((10, 10), slice(2, 4), slice(2, 4))
    image[6:] = [[9.0] * 10, [10.0] * 10, [11.0] * 10, [12.0] * 10]
    assert window(image, mask, "MR", TUTORIAL) == (7, 7)
    assert window(image, mask, "MR", RIGOROUS) == (7, 12)
    image[:] = 7
    image[9, 9] = 8  # beyond both percentiles
    settings = RIGOROUS.model_copy(update={"percentiles": (5.0, 95.0)})
    assert window(image, mask, "MR", settings) == (7, 8)
    image[9, 9] = 7
    with pytest.raises(UserError, match="is 7: there is nothing to segment by"):
        window(image, mask, "MR", RIGOROUS)


@pytest.mark.parametrize(
    ("y", "x", "released", "rigorous"),
    [
        # rows 20..39 are 19 or 20 long, columns 30..39
        (slice(20, 40), slice(30, 40), Square(15, 20, 28), Square(15, 20, 30)),
        # at the top left, both shift; rows 0..19
        (slice(0, 20), slice(2, 9), Square(0, 0, 28), Square(0, 0, 30)),
        # at the bottom right, only rigorous does; the image is 64 x 80
        (slice(44, 64), slice(70, 80), Square(39, 60, 28), Square(34, 50, 30)),
        # one pixel: the least side
        (slice(30, 31), slice(30, 31), Square(22, 22, 16), Square(22, 22, 16)),
        # larger than the image
        (slice(0, 64), slice(0, 80), Square(0, 0, 118), Square(0, 0, 120)),
    ],
)
def test_square(y: slice, x: slice, released: Square, rigorous: Square) -> None:
    mask = box((64, 80), y, x)
    assert square_around(mask, TUTORIAL) == released
    assert square_around(mask, RIGOROUS) == rigorous


def test_images_in_grey_levels() -> None:
    volume = np.zeros((3, 4, 4), np.float32)
    volume[0] = np.linspace(-10, 20, 16).reshape(4, 4)  # beyond both ends of 0..10
    volume[1] = 5.0
    volume[1, 0, 0] = 0.0  # of 0..5 alone
    scan = Scan(volume, SPACING)
    limits = (0.0, 10.0)
    whole = Square(0, 0, 4)

    def grey(settings: Any, square: Square = whole) -> NDArray[Any]:
        sized = settings.model_copy(update={"size": square.side})
        shown = images(scan, [View((0, 1, 2), square, limits)], sized)[0]
        assert shown.dtype == torch.float32
        return (shown[:, 0].numpy() * 127.5 + 127.5).round(3)

    stretched, windowed = grey(TUTORIAL), grey(RIGOROUS)
    np.testing.assert_array_equal(stretched[0], np.trunc(volume[0].clip(0, 10) * 25.5))
    np.testing.assert_array_equal(windowed[0], stretched[0])
    assert stretched[1].max() == 255
    assert windowed[1].max() == 127
    assert not stretched[2].any()
    # Two of three rows and columns lie outside: black, where the slice is 5.
    outside = grey(RIGOROUS, Square(3, 3, 3))
    assert outside[1].tolist() == [[127, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("preset", [TUTORIAL, RELEASED, RIGOROUS])
@pytest.mark.parametrize("integer", [False, True])
def test_views_of_all_sides_together_are_as_each_alone(preset: Propagation, integer: bool) -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(-200, 300, (7, 40, 33), np.int16)
    scan = Scan(volume if integer else volume * np.float32(0.7), SPACING, "CT")
    settings = preset.model_copy(update={"size": 24})
    native = integer and settings.arithmetic == "native"
    kind: Any = np.float64 if native else np.float32
    views = [
        View(z, Square(*square), limits)
        for z, square, limits in (
            ((0, 5), (3, 4, 11), (-100.0, 200.0)),
            ((6, 2), (0, 0, 48), (-200.0, 10.5)),  # beyond the slice, and twice the size
            ((3, 3), (20, 10, 24), (0.0, 1.0)),
            ((1, 0), (39, 32, 5), (5.0, 5.0)),  # of one intensity
        )
    ]
    together = images(scan, views, settings)
    assert together.shape == (4, 2, 1, 24, 24)
    for shown, view in zip(together, views, strict=True):
        whole = scan.volume[list(view.slices)].astype(kind).clip(*view.limits)
        low, high = (np.full((2, 1, 1), end, kind) for end in view.limits)
        if settings.stretch == "slice":
            low, high = (end(axis=(1, 2), keepdims=True) for end in (whole.min, whole.max))
        grey = whole[:, *view.square.inside(40, 33)] - low
        if settings.arithmetic == "float32":
            grey = grey / (high - low + kind(1e-8)) * kind(255)
        else:
            with np.errstate(invalid="ignore"):
                grey = np.nan_to_num(grey / (high - low) * 255)
        canvas = np.zeros((2, view.square.side, view.square.side), np.uint8)
        canvas[:, : grey.shape[1], : grey.shape[2]] = grey.astype(np.uint8)
        expected = resize_linear(torch.from_numpy(canvas), 24)
        np.testing.assert_array_equal((shown[:, 0] * 127.5 + 127.5).round(), expected)


@pytest.mark.parametrize("preset", [RELEASED, RIGOROUS])
def test_with_context_a_slice_is_seen_in_two_windows(preset: Propagation) -> None:
    volume = np.random.default_rng(0).normal(0, 100, (5, 30, 33)).astype(np.float32)
    scan, settings = Scan(volume, SPACING), preset.model_copy(update={"size": 24})
    squares = Square(3, 4, 20), Square(0, 0, 40)
    narrow, wide = (
        [View((0, 4), square, limits) for square in squares]
        for limits in ((-20.0, 40.0), (-110.0, 130.0))  # wider by one and a half of 60 at each end
    )
    both = images(scan, narrow, settings.model_copy(update={"context": 1.5}))
    assert both.shape == (2, 2, 2, 24, 24)
    torch.testing.assert_close(both[:, :, :1], images(scan, narrow, settings), rtol=0, atol=0)
    torch.testing.assert_close(both[:, :, 1:], images(scan, wide, settings), rtol=0, atol=0)


def test_what_lies_outside_a_slice_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = []

    def noted(image: torch.Tensor, *taps: Any) -> torch.Tensor:
        gathered.append(image.shape[-2:])
        return blended(image, *taps)

    monkeypatch.setattr(preprocess, "blended", noted)
    scan = Scan(np.arange(2640.0).reshape(2, 40, 33), SPACING)
    images(scan, [View((0, 1), Square(0, 0, 60), (0.0, 2000.0))], RIGOROUS)
    assert gathered == [(40, 40)]


@pytest.mark.parametrize("settings", [TUTORIAL, RIGOROUS])
def test_predictions_of_all_sides_are_brought_back_as_each_alone(settings: Propagation) -> None:
    ahead = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 24, 24))).float()
    sides = (5, 24, 90, 48)
    back = resize_to_crop(ahead, sides, settings)
    assert back.shape == (4, 3, 90, 90)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize_to_crop(ahead, sides, settings)[0, :, :5, :5], back[0, :, :5, :5])
    for found, before, side in zip(back, ahead, sides, strict=True):
        if settings is TUTORIAL:
            expected = resize_nearest(before, side)
        else:
            expected = resize_smooth(before, (side, side))
        torch.testing.assert_close(found[:, :side, :side], expected, rtol=0, atol=1e-5)


def test_prompt_image() -> None:
    mask = box((8, 8), slice(4, 8), slice(6, 7))
    settings = RIGOROUS.model_copy(update={"size": 8})
    shown = prompt_image(mask, Square(6, 6, 4), settings)[0]
    expected = np.zeros((8, 8))
    expected[:4, :2] = 1
    np.testing.assert_array_equal(shown.numpy(), expected)


def test_a_prompt_is_shown_by_nearest_pixels_or_by_half_coverage() -> None:
    """Column 1 of 3 as 8 columns: those that begin in it, or those covered by 0.44 and 0.81."""
    mask = box((3, 3), slice(0, 3), slice(1, 2))
    for preset, columns in ((TUTORIAL, [3, 4, 5]), (RIGOROUS, [2, 3, 4, 5])):
        sized = preset.model_copy(update={"size": 8})
        shown = prompt_image(mask, Square(0, 0, 3), sized)[0].numpy()
        assert [np.flatnonzero(row).tolist() for row in shown] == [columns] * 8


def there_and_back(mask: NDArray[np.bool_], switches: Propagation) -> NDArray[np.bool_]:
    """The mask as a network that copies it would give it."""
    square = square_around(mask, switches)
    shown = prompt_image(mask, square, switches)
    back = resize_to_crop(shown[None] - 0.5, [square.side], switches)[0, 0].numpy() > 0
    whole = np.zeros_like(mask)
    rows, columns = square.inside(*mask.shape)
    whole[rows, columns] = back[: rows.stop - rows.start, : columns.stop - columns.start]
    return whole


@settings(deadline=None, max_examples=60)
@given(
    st.floats(2.5, 28),
    st.floats(2.5, 28),
    st.sampled_from([32, 80, 224]),
    st.floats(1.0, 2.0),
    st.integers(0, 5),
)
def test_smooth_masks_come_back_where_they_were(
    high: float, wide: float, size: int, ratio: float, seed: int
) -> None:
    y, x = np.ogrid[:64, :70]
    at = np.random.default_rng(seed).uniform(30, 34, 2)
    mask = ((y - at[0]) / high) ** 2 + ((x - at[1]) / wide) ** 2 <= 1
    switches = RIGOROUS.model_copy(update={"size": size, "crop_ratio": ratio})
    back = there_and_back(mask, switches)
    moved = [np.nonzero(back)[a].mean() - np.nonzero(mask)[a].mean() for a in (0, 1)]
    wrong = (back ^ mask).sum() / (4 * (high + wide))  # of the sides of pixels along the outline
    coarse = square_around(mask, switches).side / size
    if coarse <= 1:
        assert np.abs(moved).max() < 0.4  # `nearest` moves more, see below
        assert wrong < 0.1
    else:  # an outline is held to half a pixel of the network's
        assert np.abs(moved).max() < coarse / 2
        assert wrong < coarse / 2


def test_nearest_masks_move_down_and_right() -> None:
    """As in the released code; a square of 26 pixels shown as 80."""
    mask = box((64, 64), slice(20, 41), slice(30, 45))
    switches = RELEASED.model_copy(update={"size": 80, "last_pixel": True})
    assert square_around(mask, switches).side == 26
    moved = there_and_back(mask, switches)
    centres = [np.argwhere(m).mean(axis=0) for m in (moved, mask)]
    assert ((centres[0] - centres[1]) > 0.4).all()
    smooth = switches.model_copy(update={"resampling": "smooth"})
    np.testing.assert_array_equal(there_and_back(mask, smooth), mask)


def test_a_pixel_counts_if_it_is_covered_by_half() -> None:
    mask = torch.zeros(12, 12)
    mask[:, :7] = 1
    assert covered(mask, 4)[0].tolist() == [1, 1, 0, 0]
    thin = torch.zeros(12, 12)
    thin[:, 5] = 1  # a third of what it is in at most
    assert covered(thin, 4).amax(dim=1).tolist() == [1, 1, 1, 1]
    assert covered(thin, 4)[0, 1] == 1
    assert not covered(torch.zeros(12, 12), 4).any()
