"""Complete zoom-out-zoom-in runs: equal to the recorded ones, however the work is shared."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from baselines.segvol_network import SegVolNet
from baselines.segvol_windows import positive
from baselines.segvol_zoom import ZoomOutZoomIn
from benchmark.boxes import Box
from tests.baselines import segvol_small
from tests.baselines.segvol_small import SMALL, Counting

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def network() -> SegVolNet:
    return segvol_small.network()


def at_full_size(low: Floats, shape: tuple[int, ...]) -> Floats:
    tensor = torch.from_numpy(low)[None, None]
    full: Floats = torch.nn.functional.interpolate(tensor, shape, mode="nearest")[0, 0].numpy()
    return full


@pytest.mark.parametrize("case", ["multi", "single"])
def test_a_whole_run_as_recorded(
    case: str,
    network: SegVolNet,
    golden: Callable[[str], Mapping[str, Any]],
    noise: Callable[..., Any],
) -> None:
    recorded = {
        k.partition("/")[2]: v for k, v in golden("segvol_scan.npz").items() if k.startswith(case)
    }
    shape = tuple(recorded["shape"].tolist())
    (z0, z1), (y0, y1), (x0, x1) = recorded["label_box"].tolist()
    box: Box = (z0, z1, y0, y1, x0, x1)
    with torch.inference_mode():
        zoom = ZoomOutZoomIn(network, noise(int(recorded["seed"]), shape), SMALL.window)
        ((corners, low),) = zoom.zoom_out([box])
        np.testing.assert_array_equal([corners], recorded["box"])
        before = at_full_size(low, shape)
        np.testing.assert_allclose(before[::3, ::8, ::8], recorded["zoom_out_part"], atol=1e-4)
        given = [look.box for look in zoom._looks([box], deque())]
        np.testing.assert_array_equal(given, recorded["window_boxes"])
        (found,) = zoom.logits([box])
    assert found is not None
    crop, logits = found
    np.testing.assert_array_equal(crop[::2], recorded["roi"][:3])
    np.testing.assert_array_equal(crop[1::2], recorded["roi"][3:] + 1)
    np.testing.assert_allclose(logits[::3, ::8, ::8], recorded["final_part"], atol=1e-4)
    mask = np.unpackbits(recorded["final_mask"])[: np.prod(shape)].reshape(shape).astype(bool)
    sure = np.abs(logits) > 1e-4
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(positive(logits)[sure], mask[sure])


BOXES: list[Box] = [
    (3, 11, 20, 60, 30, 70),
    (5, 9, 0, 30, 10, 40),
    (20, 39, 60, 119, 50, 99),
    (3, 11, 20, 60, 30, 70),
    (0, 1, 0, 1, 0, 1),
]


@pytest.mark.parametrize("corrected", [False, True])
def test_the_answer_does_not_depend_on_how_the_work_is_shared(
    corrected: bool, network: SegVolNet, noise: Callable[..., Any]
) -> None:
    image = noise(41, (40, 120, 100))

    def run(boxes: list[Box], batch: int) -> list[tuple[Box, Floats] | None]:
        zoom = ZoomOutZoomIn(network, image, SMALL.window, batch=batch, corrected=corrected)
        return list(zoom.logits(boxes))

    with torch.inference_mode():
        together = run(BOXES, 5)
        alone = [run([box], 1)[0] for box in BOXES]
    for one, other in zip(together, alone, strict=True):
        assert one is not None
        assert other is not None
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1], other[1], atol=1e-4)


def balls(shape: tuple[int, int, int], *centres: tuple[int, int, int]) -> Floats:
    image = np.full(shape, 0.1, np.float32)
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    for centre in centres:
        image[sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= 25] = 0.9
    return image


def test_the_scan_and_shared_windows_are_embedded_once() -> None:
    image = balls((12, 50, 60), (6, 10, 10), (6, 30, 40))
    network = Counting()
    boxes: list[Box] = [(1, 12, 5, 16, 5, 16), (1, 12, 25, 36, 35, 46)]
    both = list(ZoomOutZoomIn(network, image, (16, 64, 64), corrected=True).logits(boxes))
    # the objects' crops differ, so each has a window of its own beside the zoomed-out scan
    assert network.embedded == 3
    for box, found in zip(boxes, both, strict=True):
        assert found is not None
        crop, logits = found
        mask = np.zeros(image.shape, bool)
        z0, z1, y0, y1, x0, x1 = crop
        mask[z0:z1, y0:y1, x0:x1] = positive(logits)
        z, y, x = (slice(box[2 * a], box[2 * a + 1]) for a in range(3))
        expected = np.zeros(image.shape, bool)
        expected[z, y, x] = image[z, y, x] > 0.5
        assert np.array_equal(mask, expected)
    again = [*boxes, boxes[0], boxes[1], boxes[0]]
    network.embedded = 0
    list(ZoomOutZoomIn(network, image, (16, 64, 64), batch=2).logits(again))
    assert network.embedded == 3


def test_where_nothing_is_found_there_is_no_second_look() -> None:
    network = Counting()
    image = balls((12, 50, 60), (6, 10, 10))
    boxes: list[Box] = [(1, 5, 40, 45, 40, 45), (1, 12, 5, 16, 5, 16), (1, 5, 40, 45, 40, 45)]
    first, second, third = ZoomOutZoomIn(network, image, (16, 64, 64)).logits(boxes)
    assert first is None
    assert third is None
    assert second is not None
    assert network.embedded == 2
