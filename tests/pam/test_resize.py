"""Resizing against closed-form results and torch in double precision."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pam.resize import resize_linear, resize_nearest, resize_smooth, smooth_weights


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 520), st.integers(2, 520), st.integers(2, 300))
def test_linear_is_within_a_grey_level_of_the_exact(height: int, width: int, size: int) -> None:
    grey = np.random.default_rng(height * width).integers(0, 256, (1, 1, height, width), np.uint8)
    image = torch.from_numpy(grey)

    exact = F.interpolate(image.double(), (size, size), mode="bilinear", align_corners=False)

    assert (resize_linear(image, size).double() - exact).abs().max() <= 1


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 300), st.lists(st.integers(1, 520), min_size=1, max_size=4))
def test_smooth_weights_are_those_of_torch(length: int, sizes: list[int]) -> None:
    rows = smooth_weights(length, torch.tensor(sizes), max(sizes))
    for found, size in zip(rows, sizes, strict=True):
        expected = resize_smooth(torch.eye(length)[None], (size, length))[0]
        torch.testing.assert_close(found[:size], expected, rtol=0, atol=1e-4)


def test_linear_by_hand() -> None:
    image = torch.tensor([[0, 1, 10, 20], [1, 0, 30, 41]] * 2, dtype=torch.uint8)
    assert resize_linear(image, 4) is image
    # means 0.5 and 25.25, rounded half up
    assert resize_linear(image, 2).tolist() == [[1, 25], [1, 25]]
    assert (resize_linear(torch.full((5, 9), 255, dtype=torch.uint8), 224) == 255).all()


@pytest.mark.parametrize("size", [17, 96, 224])
def test_nearest_takes_the_pixel_to_the_left(size: int) -> None:
    for length in range(2, 900):
        index = resize_nearest(torch.arange(length)[None].expand(2, -1), size)[0].numpy()
        product = np.arange(size) * length
        exact, remainder = product // size, product % size
        np.testing.assert_array_equal(index[remainder != 0], exact[remainder != 0])
        # In double precision, a whole number may come out a hair too small.
        assert ((exact - index)[remainder == 0] <= 1).all()
        assert (index <= exact).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 200), st.integers(2, 200), st.integers(1, 120), st.integers(1, 120))
@example(32, 32, 7, 1)
@example(9, 40, 30, 1)
@example(40, 9, 1, 30)
def test_smooth_is_what_pillow_does(height: int, width: int, rows: int, columns: int) -> None:
    image = np.random.default_rng(height * width).normal(size=(height, width)).astype(np.float32)
    peer = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
    twice = torch.from_numpy(image).expand(2, -1, -1)
    for ours in resize_smooth(twice, (rows, columns)):
        np.testing.assert_allclose(ours.numpy(), np.asarray(peer), atol=1e-4)
