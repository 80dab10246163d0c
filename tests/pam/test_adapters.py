"""PAM as a method, with a small network of random weights: the contract, not the quality."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import conformance, weights, weights_store
from benchmark.adapter import find
from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.prompts import Mask2D
from benchmark.volume import Volume
from pam import checkpoints
from pam.adapters import Pam2DMask
from pam.config import PropMaskConfig
from pam.network import PropMask
from pam.preprocess import Scan
from pam.presets import RELEASED
from pam.propagation import propagate

SIZE = {"size": 32}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    network = PropMask(PropMaskConfig(channels=4, stages=3, max_channels=8, attended=2))
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(network, path)
    return path


def test_it_meets_the_contract(file: Path) -> None:
    findings = conformance.check("pam-2dmask", {"propagation": SIZE}, weights=file)
    assert [f"{f.name}: {f.detail}" for f in findings if not f.ok] == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_is_the_propagation_along_the_view(file: Path, axis: int) -> None:
    rng = np.random.default_rng(5)
    array = rng.normal(size=(20, 24, 28)).astype(np.float32)
    array[6:14, 8:16, 8:18] += 4
    plane = np.zeros([n for a, n in enumerate(array.shape) if a != axis], dtype=bool)
    plane[8:13, 9:15] = True
    flat = np.moveaxis(np.zeros(array.shape, dtype=bool), axis, 0).copy()
    flat[10] = plane
    prompt = Mask2D(axis, 10, Mask.of(np.moveaxis(flat, 0, axis)))
    adapter = Pam2DMask({"protocol": "released", "propagation": SIZE | {"thickness": 9.0}})
    adapter.load(file, "cpu")
    spacing = (3.0, 2.0, 1.0)
    (prediction,) = adapter.segment(Volume(array, spacing, "CT"), [prompt])

    settings = RELEASED.model_copy(update=SIZE | {"thickness": 9.0})
    first = (spacing[axis], *(mm for a, mm in enumerate(spacing) if a != axis))
    scan = Scan(np.moveaxis(array, axis, 0), (first[0], first[1], first[2]), "CT")
    expected = propagate(adapter.network, scan, 10, plane, settings)
    assert prediction.mask is not None
    assert expected.any()
    assert np.array_equal(np.moveaxis(prediction.mask, axis, 0), expected)


def test_unknown_switches_are_refused_when_the_study_is_read() -> None:
    with pytest.raises(UserError, match="Did you mean: thickness"):
        Pam2DMask({"propagation": {"thicknes": 10}})


def test_weights_are_needed_and_named() -> None:
    with pytest.raises(UserError, match="weights: pam-propmask"):
        Pam2DMask().load(None, "cpu")
    entry = weights.load("pam-propmask")
    assert weights_store.fetch(entry, Path("nowhere")).state == "manual"
    assert find("pam-2dmask") is Pam2DMask
