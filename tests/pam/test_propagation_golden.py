"""The preset `tutorial` equals recorded runs of the released code exactly."""

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

from pam import checkpoints
from pam.preprocess import Scan
from pam.presets import TUTORIAL
from pam.propagation import Guide, Network, advance, propagate_many
from pam.rounds import ObjectState

Golden = dict[str, NDArray[Any]]
TRIVIAL = (
    *("ct_2mm", "ct_5mm", "ct_edge_pad", "ct_maxZ6", "ct_small_area"),
    *("mr_4mm", "mr_two_components"),
)


class Case:
    """One recorded run."""

    def __init__(self, recorded: Golden, name: str) -> None:
        self.recorded, self.name = recorded, name
        origin = str(self["volume_of"]) if f"{name}/volume_of" in recorded else name
        volume = recorded[f"{origin}/volume"]
        self.shape = volume.shape
        self.rounds = int(self["n_rounds"])
        self.index = int(self["guiding_z"])
        self.prompt = self.bits("prompt_packbits", self.shape)[self.index]
        self.scan = Scan(volume, (float(self["spacing_z"]), 1.0, 1.0), str(self["modality"]))
        most = json.loads(str(self["params"])).get("maxZ", TUTORIAL.max_slices)
        self.state = ObjectState(
            self.scan, self.index, self.prompt, TUTORIAL.model_copy(update={"max_slices": most})
        )

    def __getitem__(self, key: str) -> NDArray[Any]:
        return self.recorded[f"{self.name}/{key}"]

    def bits(self, key: str, shape: Sequence[int]) -> NDArray[np.bool_]:
        flat = np.unpackbits(self[key])[: int(np.prod(shape))]
        return flat.reshape(shape).astype(np.bool_)

    def check_votes(self) -> None:
        np.testing.assert_array_equal(self.state.votes, self["votes"])
        np.testing.assert_array_equal(self.state.counts, self["num"])
        result = self.bits("result_packbits", self.shape)
        np.testing.assert_array_equal(self.state.result(), result)

    def check_round(self, network: "Recorder", r: int) -> None:
        """Guiding slices, neighbours, crops, and every pixel that the network saw."""
        sweeps = self.state.rounds[r]
        assert [sweep.guide for sweep in sweeps] == self[f"r{r}_guiding_z"].tolist()
        asked = [sweep.slices + sweep.repeats * sweep.slices[-1:] for sweep in sweeps]
        np.testing.assert_array_equal(asked, self[f"r{r}_adjacent_ids"])
        inside = [sweep.square.inside(*self.shape[1:]) for sweep in sweeps]
        crops = [(x.start, y.start, x.stop, y.stop) for y, x in inside]
        np.testing.assert_array_equal(crops, self[f"r{r}_crop"])

        seen = network.seen
        masks = np.stack([mask for _, mask, _ in seen])
        np.testing.assert_array_equal(masks, self.bits(f"r{r}_guiding_prp", masks.shape))
        assert digest([image for image, _, _ in seen]) == str(self[f"r{r}_guiding_x_u8_sha256"])
        adjacent = [
            images + sweep.repeats * images[-1:]
            for (_, _, images), sweep in zip(seen, sweeps, strict=True)
        ]
        assert digest(adjacent) == str(self[f"r{r}_adjacent_x_u8_sha256"])


def digest(images: Any) -> str:
    grey = np.rint(np.array(images) * 127.5 + 127.5).astype(np.uint8)
    return hashlib.sha256(grey.tobytes()).hexdigest()


class Recorder:
    """Notes what a network is shown, by guiding slice: image, mask, adjacent slices."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seen: list[tuple[Any, Any, list[Any]]] = []

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        numbers = torch.arange(len(self.seen), len(self.seen) + len(image))
        self.seen += [(i.numpy(), m[0].numpy(), []) for i, m in zip(image, mask, strict=True)]
        return (numbers, *self.inner.encode_guide(image, mask))

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        numbers, *inner = guide
        self.asked = [(number, len(self.seen[number][2])) for number in numbers.tolist()]
        for (number, _), images in zip(self.asked, adjacent, strict=True):
            self.seen[number][2].extend(images.numpy())
        logits: Sequence[Tensor] = self.inner.decode(adjacent, tuple(inner))
        return logits


class Threshold:
    """The stand-in that the runs were recorded with: bright and near the mask, at two scales."""

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        return (F.max_pool2d(mask, 25, 1, 12),)

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        fine = 2 * ((adjacent > 0.1) & (guide[0][:, None] > 0.5)).float() - 1
        scales = (fine, 1.37 * F.avg_pool3d(fine, (1, 2, 2)))
        return [torch.cat((-d / 2, d / 2), dim=2) for d in scales]


class Replay:
    """Answers with the recorded masks; knows from the recorder beside it which are asked for."""

    recorder: Recorder
    masks: NDArray[np.bool_]

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        return ()

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        count = adjacent.shape[1]
        answers = [self.masks[b, first : first + count] for b, first in self.recorder.asked]
        score = torch.from_numpy(np.stack(answers))[:, :, None].float() - 0.5
        return [torch.cat((-score, score), dim=2)]


@pytest.fixture(scope="module")
def recorded() -> Golden:
    with np.load(Path(__file__).parent / "golden" / "propagation.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", TRIVIAL)
def test_the_logic(recorded: Golden, name: str) -> None:
    case = Case(recorded, name)
    for r in range(case.rounds):
        recorder = Recorder(Threshold())
        assert advance(recorder, [case.state])
        case.check_round(recorder, r)
    assert not advance(Recorder(Threshold()), [case.state])
    case.check_votes()


def test_the_masks_of_the_full_network(recorded: Golden) -> None:
    case = Case(recorded, "propagate_ct")
    for r in range(case.rounds):
        replay = Replay()
        replay.recorder = Recorder(replay)
        shape = (*case[f"r{r}_adjacent_ids"].shape, 224, 224)
        replay.masks = case.bits(f"r{r}_pred", shape)
        assert advance(replay.recorder, [case.state], batch=6)
        case.check_round(replay.recorder, r)
    assert not advance(replay, [case.state])
    case.check_votes()


def test_the_full_network_itself(
    recorded: Golden,
    released_weights: Callable[[str], dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    """Takes 15 s of a CPU: 43 slices at full size. Its masks are the recorded ones, too."""
    weights = released_weights("propmask")
    fitted = {
        k.removeprefix("readout/"): v for k, v in recorded.items() if k.startswith("readout/")
    }
    assert len(fitted) == 10
    assert fitted.keys() <= weights.keys()
    weights.update({key: torch.from_numpy(value) for key, value in fitted.items()})
    path = tmp_path / "released.pth"
    torch.save(weights, path)
    network: Network = checkpoints.load_released(path, "propmask")  # type: ignore[assignment]
    path.unlink()  # 130 MB

    case = Case(recorded, "propagate_ct")
    propagate_many(network, [case.state])

    np.testing.assert_array_equal(case.state.counts, case["num"])
    expected = case.bits("result_packbits", case.shape)
    assert (case.state.result() == expected).mean() >= 0.9999
    assert (case.state.votes == case["votes"]).mean() >= 0.9999
