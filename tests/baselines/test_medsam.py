"""MedSAM as a method: its options, and masks recorded from the released code."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines import medsam_network
from baselines.medsam import MedSAM, MedSAMPerSlice
from baselines.medsam_network import SamSize
from baselines.medsam_preprocess import to_uint8
from baselines.medsam_slices import Job, Slices
from benchmark.conformance import checks as conformance
from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.prompts import Box3D
from benchmark.volume import Volume
from tests.baselines.test_medsam_network import KEYS, SMALL
from tests.pretended_gpu import PretendedGpu

Golden = Mapping[str, Any]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, rule: Callable[..., torch.Tensor]) -> Path:
    """The reduced network as a file."""
    places = medsam_network.build(SMALL).state_dict()
    names = (line.split("\t")[:2] for line in KEYS.read_text(encoding="utf-8").splitlines()[1:])
    published = {
        name: rule(name, tuple(places[here].shape)) for name, here in names if here in places
    }
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    torch.save(published, path.with_suffix(".pth"))
    medsam_network.save(medsam_network.load(path.with_suffix(".pth"), SMALL), SMALL, path)
    return path


@pytest.fixture
def method(weights: Path) -> Callable[..., MedSAM]:
    def make(cls: type[MedSAM] = MedSAM, **options: Any) -> MedSAM:
        adapter = cls(options)
        adapter.load(weights, "cpu")
        return adapter

    return make


def dense(adapter: MedSAM, volume: Volume, boxes: Sequence[Box3D]) -> list[Any]:
    return [
        Mask.of(p.mask, offset=p.offset or (0, 0, 0), shape=volume.shape).dense()
        for p in adapter.segment(volume, boxes)
        if p.mask is not None
    ]


@pytest.fixture(scope="module")
def recorded(golden: Callable[[str], Golden]) -> Golden:
    return golden("medsam_volume.npz")


@pytest.fixture(scope="module")
def volume(recorded: Golden) -> Volume:
    return Volume(recorded["vol"], (1.0, 1.0, 1.0), "CT")


@pytest.fixture(scope="module")
def box(recorded: Golden) -> Box3D:
    (z0, z1), (y0, y1), (x0, x1) = recorded["box_zyx"].tolist()
    return Box3D((z0, z1 + 1, y0, y1 + 1, x0, x1 + 1))


def test_the_volume_is_segmented_as_recorded(
    method: Callable[..., MedSAM], recorded: Golden, volume: Volume, box: Box3D
) -> None:
    (mask,) = dense(method(batch=3), volume, [box])
    expected = np.unpackbits(recorded["mask"])[: mask.size].reshape(mask.shape).astype(bool)
    first, last = recorded["box_zyx"][0]
    sure = np.abs(recorded["probs_part"] - 0.5) > 1e-4
    both = (m[first : last + 1, ::3, ::3][sure] for m in (mask, expected))
    np.testing.assert_array_equal(*both)
    assert 0 < expected.sum() < expected.size
    assert np.count_nonzero(mask != expected) <= 2  # where the probability is one half


def test_mixed_precision_moves_little(
    method: Callable[..., MedSAM], volume: Volume, box: Box3D
) -> None:
    """Of each number eight bits are kept, and many of this network lie near the threshold."""
    (exact,) = dense(method(precision="float32"), volume, [box])
    (near,) = dense(method(precision="bfloat16"), volume, [box])
    assert 0 < np.count_nonzero(near != exact) < 0.01 * exact.sum()


def test_the_ct_of_a_pet_ct_is_shown_in_the_window_of_ct(
    method: Callable[..., MedSAM], volume: Volume
) -> None:
    def shown(modality: str, channels: tuple[str, ...]) -> Any:
        scan = replace(volume, modality=modality, channels=channels)
        return Slices(method(), scan, 0).grey

    np.testing.assert_array_equal(shown("PETCT", ("CT",)), shown("CT", ()))
    np.testing.assert_array_equal(shown("PETCT", ("PET",)), shown("MR", ()))
    assert not np.array_equal(shown("CT", ()), shown("MR", ()))


def test_a_dataset_is_shown_in_its_own_window(
    method: Callable[..., MedSAM], volume: Volume
) -> None:
    made = method(windows={"D05": "chest"})
    chest = to_uint8(volume.grey, "CT", (-600, 1500))
    np.testing.assert_array_equal(Slices(made, replace(volume, dataset="D05"), 0).grey, chest)
    assert not np.array_equal(Slices(made, replace(volume, dataset="D01"), 0).grey, chest)


def test_it_computes_as_its_authors_do() -> None:
    assert MedSAM().options.precision == "float32"  # also on a GPU


def test_a_slice_from_image_to_mask(
    method: Callable[..., MedSAM], golden: Callable[[str], Golden]
) -> None:
    recorded = golden("medsam_slice.npz")
    image = recorded["e2e_img"]
    slices = Slices(method(), Volume(image[None], (1.0, 1.0, 1.0)), 0)
    slices.__dict__["grey"] = image[None]  # 0..255 already
    x0, y0, x1, y1 = (float(n) for n in recorded["e2e_box"])
    job = Job({0: (x0, y0, x1, y1)})
    slices.at_once([job])
    found = job.prediction(0)
    assert found.mask is not None
    mask = Mask.of(found.mask, offset=found.offset or (0, 0, 0), shape=(1, *image.shape)).dense()
    sure = np.abs(recorded["e2e_prob"] - 0.5) > 1e-4
    np.testing.assert_array_equal(mask[0][sure], recorded["e2e_mask"][sure])
    assert recorded["e2e_mask"].any()


def test_it_meets_the_contract(weights: Path) -> None:
    for options in ({}, {"slice_box": "propagate", "batch": 3}):
        found = conformance.findings("medsam", options, weights=weights)
        assert [f"{f.name}: {f.detail}" for f in found if not f.ok] == []


def test_a_slice_is_embedded_once_for_all_objects(
    method: Callable[..., MedSAM], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    embed = Slices.embed

    def counted(self: Slices, indices: Sequence[int]) -> Any:
        seen.extend(indices)
        return embed(self, indices)

    monkeypatch.setattr(Slices, "embed", counted)
    boxes = [Box3D((2, 5, 5, 20, 5, 30)), Box3D((3, 8, 10, 60, 8, 40)), Box3D((10, 11, 0, 9, 0, 9))]
    for how in ("3d", "propagate"):
        seen.clear()
        together = dense(method(slice_box=how), volume, boxes)
        assert sorted(seen) == [2, 3, 4, 5, 6, 7, 10]
        alone = [dense(method(slice_box=how, batch=1), volume, [one])[0] for one in boxes]
        for first, second in zip(together, alone, strict=True):
            assert np.count_nonzero(first != second) <= 3  # sums in another order


def test_masks_stay_on_the_slices_of_the_box(
    method: Callable[..., MedSAM], volume: Volume, box: Box3D
) -> None:
    for options in ({}, {"slice_box": "propagate"}):
        (mask,) = dense(method(**options), volume, [box])
        filled = np.flatnonzero(mask.any(axis=(1, 2)))
        assert len(filled)
        assert filled[0] >= box.box[0]
        assert filled[-1] < box.box[1]


def test_slices_lie_along_the_thick_axis(method: Callable[..., MedSAM], volume: Volume) -> None:
    box = Box3D((3, 9, 15, 50, 9, 40))
    (expected,) = dense(method(), volume, [box])
    turned = Volume(np.moveaxis(volume.array, 0, 2).copy(), (1.0, 1.0, 5.0), "CT")
    (mask,) = dense(method(), turned, [Box3D((15, 50, 9, 40, 3, 9))])
    np.testing.assert_array_equal(np.moveaxis(mask, 2, 0), expected)
    cubic = Volume(turned.array, (1.0, 1.0, 1.0), "CT")
    (across,) = dense(method(axis=2), cubic, [Box3D((15, 50, 9, 40, 3, 9))])
    np.testing.assert_array_equal(across, mask)


class Told(Slices):
    """Finds the whole rectangle but its last row, and notes what it was asked."""

    told: dict[int, tuple[float, ...]]

    def embed(self, indices: Sequence[int]) -> Any:
        return [None] * len(indices)

    def decode(self, embedded: Any, asked: Sequence[Any]) -> None:
        for index, job, (x0, y0, x1, y1) in asked:
            self.told[index] = (x0, y0, x1, y1)
            plane = np.zeros((70, 56), dtype=bool)
            if index != 5:
                plane[int(y0) : int(y1), int(x0) : int(x1) + 1] = True
            job.keep(index, plane)


def test_propagated_boxes_follow_the_mask_before(
    method: Callable[..., MedSAM], volume: Volume
) -> None:
    slices = Told(method(slice_box="propagate", margin=128 / 56), volume, 0)
    slices.told = {}
    given = (20.0, 30.0, 40.0, 50.0)
    slices.outward([Job(dict.fromkeys(range(2, 9), given))])
    assert sorted(slices.told) == list(range(2, 9))
    assert slices.told[5] == given  # the middle
    assert slices.told[6] == given  # nothing was found before
    x0, y0, x1, y1 = slices.told[7]  # a pixel wider, and 70 / 56 of one higher
    assert (x0, x1) == (19, 41)
    assert (y0, y1) == pytest.approx((30 - 1.25, 49 + 1.25))
    assert slices.told[4] == given
    assert slices.told[3] == pytest.approx((19, 28.75, 41, 50.25))


def test_the_bound_is_told_the_box_of_every_slice(method: Callable[..., MedSAM]) -> None:
    truth = np.zeros((6, 20, 30), dtype=bool)
    truth[1, 4:9, 5:8] = truth[2, 6:7, 9:20] = truth[4, 10:12, 3:4] = True
    bound = method(MedSAMPerSlice)
    assert isinstance(bound, MedSAMPerSlice)
    bound.reference = lambda prompt: Mask.of(truth)
    asked = dict(bound.rectangles(Box3D((1, 5, 4, 12, 3, 20)), 0))
    assert asked == {1: (5, 4, 7, 8), 2: (9, 6, 19, 6), 4: (3, 10, 3, 11)}
    sideways = dict(bound.rectangles(Box3D((1, 5, 4, 12, 3, 20)), 1))
    assert sideways[4] == (5, 1, 7, 1)
    assert sideways[11] == (3, 4, 3, 4)
    assert bound.info.sees_reference


@pytest.mark.parametrize("slice_box", ["3d", "propagate"])
def test_all_that_it_computes_with_is_on_its_device(
    method: Callable[..., MedSAM], weights: Path, volume: Volume, box: Box3D, slice_box: str
) -> None:
    expected = dense(method(slice_box=slice_box), volume, [box, box])
    with PretendedGpu():
        there = MedSAM({"slice_box": slice_box})
        there.load(weights, "cuda")
        found = dense(there, volume, [box, box])
    assert np.any(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("slice_box", ["3d", "propagate"])
def test_slices_that_do_not_fit_into_memory_are_halved(
    method: Callable[..., MedSAM],
    volume: Volume,
    box: Box3D,
    slice_box: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then they stay so, also for a variant; one slice that does not fit is an error."""
    expected = dense(method(slice_box=slice_box), volume, [box, box])
    adapter, embed, seen, most = method(slice_box=slice_box, batch=4), Slices.embed, [], 1

    def limited(self: Slices, indices: Sequence[int]) -> Any:
        seen.append(len(indices))
        if len(indices) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(self, indices)

    monkeypatch.setattr(Slices, "embed", limited)
    np.testing.assert_array_equal(dense(adapter, volume, [box, box]), expected)
    np.testing.assert_array_equal(dense(adapter.with_options({}), volume, [box, box]), expected)
    assert [number for number in seen if number > 1] == [4, 2]
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        list(adapter.segment(volume, [box]))


def test_weights_are_needed_and_named() -> None:
    with pytest.raises(UserError, match="weights: medsam-vit-b"):
        MedSAM().load(None, "cpu")


def test_the_full_size_is_the_default() -> None:
    assert (SamSize().image, SamSize().depth, SamSize().width) == (1024, 12, 768)
