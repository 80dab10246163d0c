"""Preset `released` of box prompts against recorded runs of the authors' evaluation script."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pam import box_presets, checkpoints
from pam.box2mask import Network, guiding_mask
from pam.network import Box2Mask
from pam.preprocess import Scan
from pam.presets import RELEASED
from pam.propagation import Guide, propagate_many
from pam.rounds import ObjectState

Golden = dict[str, NDArray[Any]]
LOGIC = (
    *("border", "ct_bright", "emptyfinal", "emptypool", "few", "mr_like", "none", "nonsquare"),
)
NETWORK = ("border", "ct_bright", "mr_like", "none", "tiny")
SETTINGS = box_presets.RELEASED


@pytest.fixture(scope="module")
def recorded() -> Golden:
    with np.load(Path(__file__).parent / "golden" / "box2mask_inference.npz") as file:
        return dict(file)


def bits(packed: NDArray[Any], shape: Sequence[int]) -> NDArray[np.bool_]:
    return np.unpackbits(packed)[: int(np.prod(shape))].reshape(shape).astype(np.bool_)


def sha256(grey: NDArray[np.uint8]) -> str:
    return hashlib.sha256(grey.tobytes()).hexdigest()


class Disc:
    """The stand-in that runs were recorded with: bright, within a disc, at five scales."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.level, self.radius = params["T"], params["R"]
        self.bias = params.get("bias", [0] * 5)

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        place = torch.arange(224) - 111.5
        disc = place[:, None] ** 2 + place**2 < self.radius**2
        fine = 2 * ((image > self.level) & disc).float() - 1
        weights = (1, 1.37, 0.71, 1.13, 0.53)
        pooled = (w * (F.avg_pool2d(fine, 1 << i) if i else fine) for i, w in enumerate(weights))
        scales = (d + b for d, b in zip(pooled, self.bias, strict=True))
        return [torch.cat((-d / 2, d / 2), dim=1) for d in scales]


class Replay:
    """Answers with the recorded masks of the candidates, then with the recorded final lead."""

    def __init__(self, masks: NDArray[np.bool_], final: NDArray[np.float32]) -> None:
        self.masks, self.final, self.done = torch.from_numpy(masks), torch.from_numpy(final), 0

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        answers = self.masks[self.done : self.done + len(image)].float() - 0.5
        self.done += len(image)
        if not len(answers):
            answers = self.final[None]
        scale = torch.stack((-answers / 2, answers / 2), dim=1)
        return [scale, scale]


class Recorder:
    """Notes the images that a network is shown, as uint8 [224, 224]."""

    def __init__(self, inner: Network) -> None:
        self.inner, self.seen = inner, list[NDArray[np.uint8]]()

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        self.seen += list(np.rint(image[:, 0].numpy() * 127.5 + 127.5).astype(np.uint8))
        return self.inner(image)

    def check(self, recorded: Golden, name: str) -> None:
        *candidates, final = [sha256(grey) for grey in self.seen]
        together = hashlib.sha256("".join(candidates).encode()).hexdigest()
        assert len(candidates) == 96
        assert together == str(recorded[f"{name}/inputs_sha256"])
        assert final == str(recorded[f"{name}/final_input_sha256"])


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def check_box(recorded: Golden, name: str, network: Network) -> None:
    """Every pixel that the network is shown in 97 passes, and the mask."""
    image = recorded[f"{name}/image"]
    prompt = bits(recorded[f"{name}/mask_packbits"], image.shape)
    recorder = Recorder(network)
    scan = Scan(image[None], (1.0, 1.0, 1.0), "MR" if "mr_like" in name else "CT")
    found = guiding_mask(recorder, scan, 0, box_of(prompt), SETTINGS, batch=40)
    recorder.check(recorded, name)
    np.testing.assert_array_equal(found, bits(recorded[f"{name}/result_packbits"], image.shape))


@pytest.mark.parametrize("case", LOGIC)
def test_the_logic(recorded: Golden, case: str) -> None:
    name = f"trivial_box_{case}"
    check_box(recorded, name, Disc(json.loads(str(recorded[f"{name}/params"]))))


@pytest.mark.parametrize("case", NETWORK)
def test_the_masks_of_the_full_network(recorded: Golden, case: str) -> None:
    name = f"net_box_{case}"
    masks = bits(recorded[f"{name}/pred96_packbits"], (96, 112, 112))
    check_box(recorded, name, Replay(masks, recorded[f"{name}/final_diff"]))


def test_the_full_network_itself(
    recorded: Golden, released_weights: Callable[[str], dict[str, Tensor]], tmp_path: Path
) -> None:
    """Three of the candidates and the final pass; the others answer as recorded, to save time."""
    weights = released_weights("box2mask")
    fitted = {
        k.removeprefix("readout/"): v for k, v in recorded.items() if k.startswith("readout/")
    }
    assert len(fitted) == 10
    assert fitted.keys() <= weights.keys()
    weights.update({key: torch.from_numpy(value) for key, value in fitted.items()})
    path = tmp_path / "released.pth"
    torch.save(weights, path)
    full = checkpoints.load_released(path, Box2Mask)
    path.unlink()
    image = recorded["net_box_ct_bright/image"]
    prompt = bits(recorded["net_box_ct_bright/mask_packbits"], image.shape)
    masks = bits(recorded["net_box_ct_bright/pred96_packbits"], (96, 112, 112))

    class Partly(Replay):
        checked = 0

        def __call__(self, image: Tensor) -> Sequence[Tensor]:
            if self.done not in (0, 47, 95, 96):
                return super().__call__(image)
            logits: Sequence[Tensor] = full(image)
            if self.done < 96:
                found = (logits[1][0, 1] > logits[1][0, 0]).numpy()
                assert (found == masks[self.done]).mean() >= 0.9995
                self.checked += 1
            self.done += 1
            return logits

    network = Partly(masks, recorded["net_box_ct_bright/final_diff"])
    scan = Scan(image[None], (1.0, 1.0, 1.0), "CT")
    found = guiding_mask(network, scan, 0, box_of(prompt), SETTINGS, batch=1)
    expected = bits(recorded["net_box_ct_bright/result_packbits"], image.shape)
    assert network.checked == 3
    assert (found != expected).sum() <= 0.005 * expected.sum()


class Threshold:
    """The stand-in for PropMask: bright and near the mask; notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[NDArray[np.uint8], NDArray[np.bool_], list[NDArray[np.uint8]]]] = []

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        numbers = torch.arange(len(self.seen), len(self.seen) + len(image))
        self.seen += [(grey(i), m[0].numpy() > 0, []) for i, m in zip(image, mask, strict=True)]
        return numbers, F.max_pool2d(mask, 25, 1, 12)

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        for number, images in zip(guide[0].tolist(), adjacent, strict=True):
            self.seen[number][2].extend(grey(image) for image in images)
        fine = 2 * ((adjacent > 0.1) & (guide[1][:, None] > 0.5)).float() - 1
        scales = (fine, 1.37 * F.avg_pool3d(fine, (1, 2, 2)))
        return [torch.cat((-d / 2, d / 2), dim=2) for d in scales]


def grey(image: Tensor) -> NDArray[np.uint8]:
    return np.rint(image.numpy() * 127.5 + 127.5).astype(np.uint8)


@pytest.mark.parametrize("case", ["ct", "ct_boxfallback"])
def test_from_the_box_to_the_object(recorded: Golden, case: str) -> None:
    """Guiding mask, every pixel that both networks are shown, votes, result; the leak as well."""
    name = f"trivial_pipeline_{case}"
    origin = str(recorded.get(f"{name}/volume_of", name))
    volume = recorded[f"{origin}/volume"]
    index = int(recorded[f"{name}/guiding_z"])
    truth = bits(recorded[f"{name}/prompt_slice_packbits"], volume.shape[1:])
    spacing = (float(recorded[f"{name}/spacing_z"]), 1.0, 1.0)
    scan = Scan(volume, spacing, str(recorded[f"{name}/modality"]))
    recorder = Recorder(Disc(json.loads(str(recorded[f"{name}/params"]))))
    mask = guiding_mask(recorder, scan, index, box_of(truth), SETTINGS)
    recorder.check(recorded, name)
    np.testing.assert_array_equal(
        mask, bits(recorded[f"{name}/box_result_packbits"], volume.shape[1:])
    )

    state, network = ObjectState(scan, index, mask, RELEASED, first_vote=truth), Threshold()
    propagate_many(network, [state])

    seen = iter(network.seen)
    assert len(state.rounds) == int(recorded[f"{name}/n_rounds"])
    for r, sweeps in enumerate(state.rounds):
        about = {key: recorded[f"{name}/r{r}_{key}"] for key in ("guiding_z", "adjacent_ids")}
        assert [sweep.guide for sweep in sweeps] == about["guiding_z"].tolist()
        asked = [sweep.slices + sweep.repeats * sweep.slices[-1:] for sweep in sweeps]
        np.testing.assert_array_equal(asked, about["adjacent_ids"])
        shown = [next(seen) for _ in sweeps]
        images, masks = np.stack([s[0] for s in shown]), np.stack([s[1] for s in shown])
        assert sha256(images) == str(recorded[f"{name}/r{r}_support_x_sha256"])
        packed = recorded[f"{name}/r{r}_support_y_packbits"]
        np.testing.assert_array_equal(masks, bits(packed, masks.shape))
        queries = [s[2] + sweep.repeats * s[2][-1:] for s, sweep in zip(shown, sweeps, strict=True)]
        assert sha256(np.array(queries)) == str(recorded[f"{name}/r{r}_query_xs_sha256"])
    np.testing.assert_array_equal(state.votes, recorded[f"{name}/votes"])
    np.testing.assert_array_equal(state.counts, recorded[f"{name}/num"])
    expected = bits(recorded[f"{name}/result_packbits"], volume.shape)
    np.testing.assert_array_equal(state.result(), expected)
    assert (state.result()[index] & truth).sum() == truth.sum()


@pytest.mark.parametrize("prompt", ["box", "mask"])
def test_all_objects_of_a_scan(recorded: Golden, prompt: str) -> None:
    """Carried together; later objects overwrite earlier ones; a box of one row is left out."""
    about = {
        key.partition("/")[2]: value
        for key, value in recorded.items()
        if key.startswith("trivial_infer_instances/")
    }
    volume = about["volume"]
    scan = Scan(volume, (float(about["spacing_z"]), 1.0, 1.0), str(about["modality"]))
    prompts = bits(about["prompt_packbits"], (4, *volume.shape))
    disc = Disc(json.loads(str(about["params"])))
    states, labels = [], []
    for label, index, whole in zip(about["label_ids"], about["guiding_z"], prompts, strict=True):
        truth = whole[index]
        mask = truth
        if prompt == "box":
            y0, y1, x0, x1 = box_of(truth)
            if y1 - y0 == 1 or x1 - x0 == 1:
                continue
            mask = guiding_mask(disc, scan, int(index), (y0, y1, x0, x1), SETTINGS)
        states.append(ObjectState(scan, int(index), mask, RELEASED, first_vote=truth))
        labels.append(label)
    propagate_many(Threshold(), states)
    combined = np.zeros(volume.shape, np.uint8)
    for state, label in zip(states, labels, strict=True):
        combined[state.result()] = label
    assert len(states) == {"box": 3, "mask": 4}[prompt]
    np.testing.assert_array_equal(combined, about[f"{prompt}_pred"])
