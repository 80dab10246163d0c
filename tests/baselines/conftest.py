"""Deterministic synthetic weights, with which outputs of the released code were recorded."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, NDArray[Any]]]:
    def load(name: str) -> dict[str, NDArray[Any]]:
        with np.load(GOLDEN / name) as file:
            return dict(file)

    return load


def by_rule(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the values of a tensor, a function of its published name and shape alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    normal = np.random.default_rng(seed).standard_normal(shape)
    tokens = r"(point_embeddings\.\d+|not_a_point_embed|no_mask_embed|iou_token|mask_tokens)"
    places = r"(pos_embed|rel_pos_[hw]|(position|cls|token)_\w+(\.weight)?)$"
    if key.endswith("positional_encoding_gaussian_matrix"):
        values = normal
    elif re.search(tokens + r"\.weight$", key):
        values = 0.5 * normal
    elif re.search(places, key) or key.endswith("bias"):
        values = 0.1 * normal
    elif key.endswith("output_upscaling.1.weight") or len(shape) == 1:
        values = 1 + 0.1 * normal
    else:
        values = normal / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def noise_image(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return smoothed uniform noise, scaled to [0, 1]."""
    image = np.random.default_rng(seed).random(shape)
    for axis in range(len(shape)):
        image = np.mean([np.roll(image, shift, axis) for shift in range(-2, 3)], axis=0)
    scaled: NDArray[np.float64] = (image - image.min()) / (image.max() - image.min())
    return scaled.astype(np.float32)


@pytest.fixture(scope="session")
def rule() -> Callable[[str, tuple[int, ...]], torch.Tensor]:
    return by_rule


@pytest.fixture(scope="session")
def noise() -> Callable[[int, tuple[int, ...]], NDArray[np.float32]]:
    return noise_image
