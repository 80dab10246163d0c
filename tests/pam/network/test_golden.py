"""Both full-size networks against outputs of the released code, from a released-style file."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pam import checkpoints
from pam.network import Box2Mask, PropMask

TOLERANCE = 2e-4  # float32 is within 4e-5 of float64 here; the logits reach 9
Golden = dict[str, NDArray[Any]]


def image(grey: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy((grey.astype(np.float32) - 127.5) * np.float32(1 / 127.5))


def check_scales(logits: list[NDArray[Any]], recorded: Golden) -> None:
    """Each scale as a whole: its sum and sum of squares, its extreme."""
    assert [x.shape[-1] for x in logits] == [224, 112, 56, 28, 14]
    for i, scale in enumerate(logits):
        x = scale.astype(np.float64)
        _, _, extreme, total, squares = recorded[f"pred{i}_stats"]
        assert abs(x).max() == pytest.approx(extreme, abs=TOLERANCE)
        assert [x.mean(), (x * x).mean()] == pytest.approx(
            [total / x.size, squares / x.size], abs=1e-6
        )


def check_votes(logits: Iterable[NDArray[Any]], recorded: Golden) -> None:
    total = sum(
        F.interpolate(torch.from_numpy(x), size=224, mode="bilinear", align_corners=True)
        for x in logits
    )
    assert isinstance(total, torch.Tensor)
    foreground = (total[:, 1] > total[:, 0]).numpy()
    expected = np.unpackbits(recorded["softvote_argmax_packbits"])[: foreground.size]
    assert 0 < expected.mean() < 1
    assert (foreground.ravel() != expected).mean() <= 5e-4


def close(got: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


@pytest.fixture
def load(
    released_weights: Callable[[str], dict[str, torch.Tensor]], tmp_path: Path
) -> Iterable[Callable[[str], Any]]:
    path = tmp_path / "released.pth"

    def load(kind: str) -> Any:
        state = {f"module.{key}": value for key, value in released_weights(kind).items()}
        torch.save({"epoch": 1, "model_state_dict": state}, path)
        return checkpoints.load_released(path, kind)

    yield load
    path.unlink(missing_ok=True)  # 130 MB


@torch.inference_mode()
def test_propmask(load: Callable[[str], Any], golden: Callable[[str], Golden]) -> None:
    network, recorded = load("propmask"), golden("propmask_forward.npz")
    assert isinstance(network, PropMask)
    added: list[list[NDArray[Any]]] = [[], [], [], []]
    for j, attention in enumerate(network.attentions):
        attention.register_forward_hook(
            lambda _, inputs, output, j=j: added[j].append((output - inputs[0]).numpy())
        )
    mask = torch.from_numpy(recorded["guiding_prp_u8"])[:, None]
    guide = network.encode_guide(image(recorded["guiding_x_u8"])[:, None], mask)
    decoded = network.decode(image(recorded["adjacent_x_u8"])[:, :, None], guide)
    logits = [x.flatten(0, 1).numpy() for x in decoded]

    close(logits[0][1, :, 96:128], recorded["pred0_exact_b0n1_rows96_128"])
    close(logits[1][3], recorded["pred1_exact_b1n0"])
    for i in (2, 3, 4):
        close(logits[i], recorded[f"pred{i}"])
    for j, (values,) in enumerate(added):
        close(values[:, ::16, ::4, ::4], recorded[f"attn{j}_f64_sample"])
    check_scales(logits, recorded)
    check_votes(logits, recorded)


@torch.inference_mode()
def test_box2mask(load: Callable[[str], Any], golden: Callable[[str], Golden]) -> None:
    network, recorded = load("box2mask"), golden("box2mask_forward.npz")
    assert isinstance(network, Box2Mask)
    logits = [x.numpy() for x in network(image(recorded["query_xs_u8"]).reshape(2, 1, 224, 224))]

    close(logits[0][0, :, 96:128], recorded["pred0_exact_b0_rows96_128"])
    for i in (2, 3, 4):
        close(logits[i], recorded[f"pred{i}"])
    check_scales(logits, recorded)
    check_votes(logits, recorded)
