"""Deterministic synthetic weights of the released size, with which outputs were recorded."""

import csv
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "golden"


class Entry(NamedTuple):
    """A key of the released state dict; ``alias_of`` is the tensor's first key, if not this one."""

    key: str
    shape: tuple[int, ...]
    alias_of: str


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


def read_inventory() -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {"propmask": [], "box2mask": []}
    with (GOLDEN / "state_dicts.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            shape = tuple(int(size) for size in row["shape"].split())
            found[row["network"]].append(Entry(row["key"], shape, row["alias_of"]))
    return found


@pytest.fixture(scope="session")
def inventory() -> dict[str, list[Entry]]:
    """Return the entries of the released state dicts by network, in order."""
    return read_inventory()


def _values(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    values = np.random.default_rng(seed).standard_normal(shape)
    if len(shape) == 4:
        values /= np.sqrt(shape[0] if "transpconvs" in key else np.prod(shape[1:]))
    elif len(shape) == 2:
        values *= (2 if ".keys." in key or ".queries." in key else 1) / np.sqrt(shape[1])
    else:
        values = 0.1 * values + (1 if key.endswith("norm.weight") else 0)
    return torch.from_numpy(values.astype(np.float32))


def filled(entries: list[Entry]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for key, shape, alias_of in entries:
        tensors[key] = tensors[alias_of] if alias_of else _values(key, shape)
    return tensors


@pytest.fixture(scope="session")
def released_weights(inventory: dict[str, list[Entry]]) -> Callable[[str], dict[str, torch.Tensor]]:
    """Return a function that makes a network's released-style state dict, aliases included."""
    return lambda network: filled(inventory[network])
