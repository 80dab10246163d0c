"""SegVol as a method: from a scan to masks on its grid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines import segvol_network
from baselines.segvol import SegVol
from benchmark.boxes import Crop
from benchmark.conformance.checks import findings
from benchmark.errors import UserError
from benchmark.machine.batch import Batches
from benchmark.masks import Mask
from benchmark.prompts import Box3D
from benchmark.volume import Volume
from benchmark.weights import registry as weights
from tests.baselines import segvol_small
from tests.baselines.segvol_small import Counting
from tests.pretended_gpu import PretendedGpu


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("segvol") / "small.safetensors"
    segvol_network.save(segvol_small.network(), path)
    return path


@pytest.mark.parametrize("corrected", [False, True])
def test_conforms(file: Path, corrected: bool) -> None:
    found = findings("segvol", {"corrected": corrected}, weights=file)
    assert [finding for finding in found if not finding.ok] == []


def test_masks_lie_where_the_objects_are() -> None:
    """Through the turn to RAS, the crop of the background and the two looks, and back."""
    array = np.full((22, 70, 80), -1000, np.int16)
    z, y, x = np.ogrid[:22, :70, :80]
    array[3:20, 5:60, 12:75] = 0
    objects = [
        ((z - 9) / 4, (y - 20) / 9, (x - 30) / 7),
        ((z - 14) / 3, (y - 44) / 6, (x - 62) / 8),
    ]
    truths = [np.asarray(a**2 + b**2 + c**2 <= 1) for a, b, c in objects]
    for truth in truths:
        array[truth] = 100
    adapter = SegVol({"corrected": True})  # the released way is off by the padding of a window
    adapter.network, adapter.device = Counting(), "cpu"  # type: ignore[assignment]
    adapter.batches = Batches()
    prompts = [Box3D(Crop.of(truth).box) for truth in truths]
    scan = Volume(array, (2.0, 1.0, 1.0), "CT")
    for truth, answer in zip(truths, adapter.segment(scan, prompts), strict=True):
        assert answer.mask is not None
        found = Mask.of(answer.mask, offset=answer.offset or (0, 0, 0), shape=scan.shape)
        overlap = 2 * np.count_nonzero(found.dense() & truth) / (found.voxels + truth.sum())
        assert overlap > 0.98  # the zoomed-out box may lose a rim of the object


def test_all_that_it_computes_with_is_on_its_device(file: Path) -> None:
    array = np.random.default_rng(2).normal(size=(20, 70, 80)).astype(np.float32)
    scan = Volume(array, (2.0, 1.0, 1.0), "CT")
    prompts = [Box3D((4, 12, 10, 30, 10, 40)), Box3D((8, 15, 40, 60, 20, 60))]

    def masks(device: str) -> list[Mask]:
        adapter = SegVol()
        adapter.load(file, device)
        found = [(x.mask, x.offset or (0, 0, 0)) for x in adapter.segment(scan, prompts)]
        return [
            Mask.of(mask, offset=at, shape=scan.shape) for mask, at in found if mask is not None
        ]

    expected = masks("cpu")
    with PretendedGpu():
        found = masks("cuda")
    assert any(mask.voxels for mask in expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.dense(), other.dense())


def test_windows_that_do_not_fit_into_memory_are_halved(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.random.default_rng(2).normal(size=(40, 140, 160)).astype(np.float32)
    scan = Volume(array, (2.0, 1.0, 1.0), "CT")
    prompts = [Box3D((4, 12, 10, 30, 10, 40)), Box3D((8, 15, 40, 60, 20, 60))]

    def made() -> SegVol:
        adapter = SegVol({"batch": 8})
        adapter.load(file, "cpu")
        return adapter

    expected = [x.mask for x in made().segment(scan, prompts)]
    adapter, seen = made(), []

    def limited(pass_: Callable[..., Any]) -> Callable[..., Any]:
        def passed(first: torch.Tensor, *others: Any) -> Any:
            seen.append(max(map(len, (first, *others))))
            if seen[-1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return pass_(first, *others)

        return passed

    for name in ("embed", "decode"):
        monkeypatch.setattr(adapter.network, name, limited(getattr(adapter.network, name)))
    for found, mask in zip(adapter.segment(scan, prompts), expected, strict=True):
        np.testing.assert_array_equal(found.mask, mask)
    assert adapter.batches[8].size == 2
    assert 1 <= sum(number > 2 for number in seen) <= 2


def test_a_constant_scan_fails_with_the_reason(file: Path) -> None:
    adapter = SegVol()
    adapter.load(file, "cpu")
    flat = Volume(np.zeros((4, 9, 9), np.int16), (1.0, 1.0, 1.0))
    (answer,) = adapter.segment(flat, [Box3D((1, 2, 1, 4, 1, 4))])
    assert "constant" in str(answer.failure)


def test_it_asks_for_its_weights() -> None:
    with pytest.raises(UserError, match="weights: segvol-v1"):
        SegVol().load(None, "cpu")
    assert weights.load("segvol-v1").name == "SegVol v1"
