"""SAM 2 and MedSAM2 as methods, with a small network and synthetic weights.

The reference is transformers' own session over the whole video, with its own cache and iterator.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.nn.functional import interpolate
from transformers import Sam2VideoInferenceSession

from baselines import medsam2_network
from baselines.medsam2 import MedSam2, Sam2, largest_component
from baselines.medsam2_video import MEAN, STD, Features, to_frames
from baselines.medsam_preprocess import to_uint8
from benchmark.conformance import checks as conformance
from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.overview.estimate import RATES, Rates
from benchmark.prompts import Box2D, Mask2D
from benchmark.settings import load_yaml
from benchmark.volume import Volume
from benchmark.weights import registry as weights
from tests.baselines.test_medsam2_network import SMALL, inventory
from tests.pretended_gpu import PretendedGpu

COUNT, HEIGHT, WIDTH = 22, 40, 34


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, rule: Callable[..., torch.Tensor]) -> Path:
    published = {name: rule(name, shape) for name, shape in inventory(SMALL).items()}
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    # A head that always sees the object, so that masks do not end on the first slice.
    published["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 20
    torch.save(published, path.with_suffix(".pt"))
    network = medsam2_network.load(path.with_suffix(".pt"), SMALL.image, SMALL)
    medsam2_network.save(network, SMALL, path)
    return path


@pytest.fixture
def file(converted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a small network, for which the method makes small images."""
    monkeypatch.setattr(MedSam2, "image", SMALL.image)
    return converted


@pytest.fixture
def method(file: Path) -> Callable[..., MedSam2]:
    def make(**options: Any) -> MedSam2:
        adapter = MedSam2(options)
        adapter.load(file, "cpu")
        return adapter

    return make


@pytest.fixture(scope="module")
def volume(noise: Callable[..., NDArray[np.float32]]) -> Volume:
    array = noise(5, (COUNT, HEIGHT, WIDTH)) * 200
    array[4:16, 10:24, 8:20] += 150
    return Volume(array.astype(np.float32), (3.0, 1.0, 1.0), "MR")


def box(index: int = 9) -> Box2D:
    return Box2D(0, index, (index, index + 1, 10, 24, 8, 20))


def drawn(index: int = 9) -> Mask2D:
    flat = np.zeros((COUNT, HEIGHT, WIDTH), dtype=bool)
    flat[index, 11:23, 9:19] = True
    return Mask2D(0, index, Mask.of(flat))


def dense(adapter: Sam2, volume: Volume, prompt: Box2D | Mask2D) -> NDArray[np.bool_]:
    (found,) = adapter.segment(volume, [prompt])
    assert found.mask is not None
    return Mask.of(found.mask, offset=found.offset or (0, 0, 0), shape=volume.shape).dense()


def peer(network: Any, volume: Volume, prompt: Box2D | Mask2D) -> NDArray[np.bool_]:
    """The same by transformers' iterator, each direction in a session of its own."""
    video = to_frames(to_uint8(volume.grey, volume.modality, (40, 400)), SMALL.image)
    solid = np.zeros(volume.shape, dtype=bool)
    for reverse in (False, True):
        session = Sam2VideoInferenceSession(video=video, dtype=torch.float32)
        session.obj_id_to_idx(7)
        if isinstance(prompt, Mask2D):
            plane = torch.from_numpy(prompt.plane).float()[None, None]
            square = (SMALL.image, SMALL.image)
            scaled = interpolate(plane, square, mode="bilinear", antialias=True) >= 0.5
            session.add_mask_inputs(0, prompt.slice, scaled.float())
        else:
            y0, y1, x0, x1 = prompt.box[2:]
            corners = np.array([[x0, y0], [x1 - 1, y1 - 1]]) / [WIDTH, HEIGHT] * SMALL.image
            points = {
                "point_coords": torch.tensor(corners, dtype=torch.float32)[None, None],
                "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
            }
            session.add_point_inputs(0, prompt.slice, points)
        session.obj_with_new_inputs = [7]
        steps = network.propagate_in_video_iterator(
            session, start_frame_idx=prompt.slice, reverse=reverse
        )
        for step in steps:
            logits = interpolate(step.pred_masks.float(), (HEIGHT, WIDTH), mode="bilinear")
            solid[step.frame_idx] = (logits[0, 0] > 0).numpy()
    return solid


@pytest.mark.parametrize("prompt", [box(), drawn()])
def test_all_that_it_computes_with_is_on_its_device(
    method: Callable[..., MedSam2], file: Path, volume: Volume, prompt: Box2D | Mask2D
) -> None:
    expected = dense(method(reach_mm=9), volume, prompt)
    with PretendedGpu():
        there = MedSam2({"reach_mm": 9, "precision": "float32"})
        there.load(file, "cuda")
        found = dense(there, volume, prompt)
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


def test_the_embeddings_of_a_long_scan_do_not_fill_a_gpu(file: Path) -> None:
    frames = torch.rand(3, 3, SMALL.image, SMALL.image)
    here = Features(medsam2_network.load(file, SMALL.image), "cpu", "float32")
    here.embed(range(3), frames)
    with PretendedGpu() as gpu:
        network = medsam2_network.load(file, SMALL.image).to("cuda")
        there = Features(network, "cuda", "float32")
        there.embed(range(3), frames)
        assert not any(gpu.holds(level) for maps in there.maps.values() for level in maps)
        found = there.get_vision_features(1)["vision_feats"]
        assert all(level.is_cuda for level in found)
    for level, expected in zip(found, here.get_vision_features(1)["vision_feats"], strict=True):
        np.testing.assert_array_equal(level.numpy(), expected.numpy())


def test_slices_that_do_not_fit_into_memory_are_halved(
    method: Callable[..., MedSam2], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = dense(method(reach_mm=9, batch=1), volume, box())
    adapter, seen = method(reach_mm=9, batch=4), []
    embed = adapter.network.get_image_features

    def limited(frames: torch.Tensor, **more: Any) -> Any:
        seen.append(len(frames))
        if len(frames) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(frames, **more)

    monkeypatch.setattr(adapter.network, "get_image_features", limited)
    np.testing.assert_array_equal(dense(adapter, volume, box()), expected)
    assert seen == [4, 2, *7 * [1]]  # the guiding slice, and 3 to either side


def test_the_ct_of_a_pet_ct_is_followed_in_the_window_of_ct(
    method: Callable[..., MedSam2], volume: Volume
) -> None:
    def found(modality: str, channels: tuple[str, ...]) -> NDArray[np.bool_]:
        scan = replace(volume, modality=modality, channels=channels)
        return dense(method(largest=False), scan, box())

    np.testing.assert_array_equal(found("PETCT", ("CT",)), found("CT", ()))
    np.testing.assert_array_equal(found("PETCT", ("PET", "CT")), found("MR", ()))
    assert not np.array_equal(found("CT", ()), found("MR", ()))


def test_a_dataset_is_followed_in_its_own_window(
    method: Callable[..., MedSam2], volume: Volume
) -> None:
    def found(dataset: str, **options: Any) -> NDArray[np.bool_]:
        scan = replace(volume, modality="CT", dataset=dataset)
        return dense(method(largest=False, **options), scan, box())

    np.testing.assert_array_equal(
        found("D05", windows={"D05": "brain"}), found("D05", window="brain")
    )
    np.testing.assert_array_equal(found("D01", windows={"D05": "brain"}), found("D01"))
    assert not np.array_equal(found("D01", window="brain"), found("D01"))


@pytest.mark.parametrize("prompt", [box(), drawn(), box(0), drawn(COUNT - 1)])
def test_it_is_the_video_model_both_ways(
    method: Callable[..., MedSam2], volume: Volume, prompt: Box2D | Mask2D
) -> None:
    adapter = method(largest=False)
    expected = peer(adapter.network, volume, prompt)
    assert expected.any(axis=(1, 2)).sum() > 17  # further than the model remembers
    np.testing.assert_array_equal(dense(adapter, volume, prompt), expected)


@pytest.mark.parametrize("prompt", [box(), drawn()])
def test_mixed_precision_moves_little(
    method: Callable[..., MedSam2], volume: Volume, prompt: Box2D | Mask2D
) -> None:
    """Over all slices that are walked, though each is told of those before."""
    exact = dense(method(largest=False, precision="float32"), volume, prompt)
    near = dense(method(largest=False, precision="bfloat16"), volume, prompt)
    assert 0 < np.count_nonzero(near != exact) < 0.01 * exact.sum()


def test_it_meets_the_contract(file: Path) -> None:
    found = conformance.findings("medsam2", {"reach_mm": 4}, weights=file)
    assert [f"{f.name}: {f.detail}" for f in found if not f.ok] == []


def test_slices_are_embedded_once_for_all_objects(
    method: Callable[..., MedSam2], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, seen = method(reach_mm=10, batch=3), []
    embed = adapter.network.get_image_features

    def counted(frames: Any, **more: Any) -> Any:
        seen.append(len(frames))
        return embed(frames, **more)

    prompts: list[Box2D | Mask2D] = [box(4), drawn(5), box(20)]
    with monkeypatch.context() as patch:
        patch.setattr(adapter.network, "get_image_features", counted)
        found = [
            Mask.of(p.mask, offset=p.offset or (0, 0, 0), shape=volume.shape).dense()
            for p in adapter.segment(volume, prompts)
            if p.mask is not None
        ]
    # Ten millimetres are three slices: 1 to 8, and 17 to 21.
    assert sum(seen) == 13
    for mask, prompt in zip(found, prompts, strict=True):
        assert np.count_nonzero(mask != dense(method(reach_mm=10, batch=1), volume, prompt)) <= 3
        far = np.abs(np.flatnonzero(mask.any(axis=(1, 2))) - prompt.slice)
        assert far.max() == 3 or prompt.slice == 20


def test_the_rates_know_that_the_whole_scan_is_followed(
    method: Callable[..., MedSam2], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its defaults; the guiding slice is walked from twice, the embeddings are made once."""
    adapter, steps, embedded = method(), list[int](), list[int]()
    forward, embed = adapter.network.forward, adapter.network.get_image_features

    def step(session: Any, *, frame_idx: int, **more: Any) -> Any:
        steps.append(frame_idx)
        return forward(session, frame_idx=frame_idx, **more)

    def embedding(frames: Any, **more: Any) -> Any:
        embedded.append(len(frames))
        return embed(frames, **more)

    monkeypatch.setattr(adapter.network, "forward", step)
    monkeypatch.setattr(adapter.network, "get_image_features", embedding)
    prompts: list[Box2D | Mask2D] = [box(), drawn()]
    assert len(list(adapter.segment(volume, prompts))) == len(prompts)
    assert sorted(steps) == sorted([*range(COUNT), 9] * len(prompts))
    assert sum(embedded) == COUNT
    table = Rates.read(load_yaml(RATES), "rates")
    units = [rate.per for rate in table.rates if rate.of == "medsam2"]
    assert units == ["slice of a scan", "slice of a scan, per prompt"]


def test_only_the_largest_component_is_kept(method: Callable[..., MedSam2], volume: Volume) -> None:
    rng = np.random.default_rng(2)
    found = rng.random((8, 9, 10)) < 0.06
    labels, count = ndimage.label(found, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    assert count > 3
    assert np.count_nonzero(sizes == sizes.max()) == 1
    np.testing.assert_array_equal(largest_component(found), labels == 1 + sizes.argmax())
    assert not largest_component(np.zeros((2, 2, 2), dtype=bool)).any()
    whole = dense(method(largest=False), volume, drawn())
    assert dense(method(), volume, drawn()).sum() == largest_component(whole).sum()


@pytest.mark.parametrize("axis", [1, 2])
def test_other_views(method: Callable[..., MedSam2], volume: Volume, axis: int) -> None:
    expected = dense(method(), volume, drawn())
    turned = Volume(np.moveaxis(volume.array, 0, axis).copy(), (1.0, 1.0, 1.0), "MR")
    flat = np.moveaxis(drawn().mask.dense(), 0, axis)
    mask = dense(method(), turned, Mask2D(axis, 9, Mask.of(flat)))
    np.testing.assert_array_equal(np.moveaxis(mask, axis, 0), expected)


@pytest.mark.parametrize("shape", [(75, 60), (30, 64), (200, 150)])
def test_frames_are_those_of_pillow(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    plane = rng.integers(0, 256, shape).astype(np.uint8)
    # Pillow may take the two passes in another order; one at a time there is one way alone.
    across = Image.fromarray(plane).convert("RGB").resize((64, shape[0]))
    down = np.asarray(across.resize((64, 64)), dtype=np.float64).transpose(2, 0, 1)
    expected = (down / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    frame = to_frames(plane[None], 64)[0].numpy()
    level = 1 / 255 / np.reshape(STD, (3, 1, 1))
    assert (np.abs(frame - expected) < 1.01 * level).all()  # a grey level, where halves are rounded
    assert (np.abs(frame - expected) < 1e-5).mean() > 0.999


def test_weights_are_needed_and_named() -> None:
    for adapter, image in ((MedSam2, 512), (Sam2, 1024)):
        assert adapter.image == image
        with pytest.raises(UserError, match=f"weights: {adapter.info.weights}"):
            adapter().load(None, "cpu")
        assert adapter.info.weights
        assert weights.load(adapter.info.weights).file
