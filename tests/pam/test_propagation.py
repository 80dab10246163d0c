"""Propagation by properties and by hand; `test_propagation_golden` has the recorded runs."""

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.errors import UserError
from benchmark.machine.precision import Precision
from pam.config import PropMaskConfig
from pam.network import PropMask
from pam.preprocess import Scan, Square
from pam.presets import PAPER, PRESETS, RIGOROUS, TUTORIAL, Propagation
from pam.propagation import (
    Guide,
    advance,
    foreground_margin,
    probability,
    propagate,
    propagate_many,
)
from pam.rounds import ObjectState
from tests.bench.memory import peak_mib

SIZE = 32


def small(settings: Propagation, **changes: Any) -> Propagation:
    return settings.model_copy(update={"size": SIZE, **changes})


class Bright:
    """A network that takes what lies in the window near the mask; notes what it is asked."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        assert image.shape == mask.shape == (len(image), 1, SIZE, SIZE)
        return (torch.nn.functional.max_pool2d(mask, 9, 1, 4)[:, None],)

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        self.batches.append((adjacent.shape[0], adjacent.shape[1]))
        foreground = (adjacent > -0.9) & (guide[0] > 0.5)
        score = 2 * foreground.float() - 1
        return [torch.cat((-score, score), dim=2)]


class All:
    """A network that takes everything, or, on slices that are ``dark`` throughout, nothing."""

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        return ()

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        score = (adjacent.amax(dim=(3, 4), keepdim=True) > -1).float() - 0.5
        return [torch.cat((-score, score), dim=2).expand(-1, -1, -1, SIZE, SIZE)]


def ball(depth: int = 40) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A bright ellipsoid with some texture, off the centre, and its mask."""
    z, y, x = np.ogrid[:depth, :48, :56]
    mask = (z - 17) ** 2 / 100 + (y - 20) ** 2 / 64 + (x - 31) ** 2 / 144 <= 1
    noise = np.random.default_rng(0).normal(0, 4, mask.shape)
    return (100 * mask + noise).astype(np.float32), mask


def dsc(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("thickness", [4.0, 20.0])
def test_an_object_is_found(name: str, thickness: float) -> None:
    volume, mask = ball()
    settings = small(PRESETS[name], thickness=thickness, percentiles=(0.5, 99.5))
    if name in ("released", "tutorial"):  # stretch of slices without the object is noise
        settings = settings.model_copy(update={"stretch": "window"})
    # From the whole slice, so that the background is dark.
    scan = Scan(np.where(volume > 50, volume, 0), (1.0, 1.0, 1.0))
    found = propagate(Bright(), scan, 17, mask[17], settings)
    assert found.dtype == np.bool_
    assert dsc(found, mask) > 0.9


def test_outward_asks_once_a_slice_and_ends_with_the_object() -> None:
    volume, mask = ball()
    state = ObjectState(Scan(volume, (1.0, 1.0, 1.0)), 17, mask[17], small(RIGOROUS, thickness=4.0))
    network = Bright()
    propagate_many(network, [state], batch=6)
    assert state.counts.max() == 1
    asked = np.flatnonzero(state.counts)
    held = np.flatnonzero(state.result().any(axis=(1, 2)))
    assert (asked[0], asked[-1]) == (held[0] - 1, held[-1] + 1)
    assert network.batches[0] == (2, 3)  # both directions in one batch
    assert max(n for _, n in network.batches) == 3


def _cone() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An object that widens by a pixel on every side from one slice to the next."""
    z, y, x = np.ogrid[:12, :64, :64]
    mask = np.maximum(abs(y - 32), abs(x - 32)) <= 8 + z
    return np.where(mask, 100, 0).astype(np.float32), mask


@pytest.mark.parametrize("batch", [1, 4, 50])
def test_a_round_ends_where_the_mask_reaches_the_side_of_its_square(batch: int) -> None:
    volume, mask = _cone()
    scan, rounds = Scan(volume, (1.0, 1.0, 1.0)), {}
    for recrop in (False, True):
        settings = small(RIGOROUS, crop_ratio=1.25, thickness=12.0, recrop=recrop, size=SIZE)
        state = ObjectState(scan, 0, mask[0], settings)
        propagate_many(All(), [state], batch=batch)  # marks the whole square
        rounds[recrop] = len(state.rounds)
        assert state.counts.max() == 1
    assert rounds[False] == 1
    # Sides of 21, 26, 32, 40, 50 and 62 pixels, then the whole slice, with nothing behind it.
    assert rounds[True] == 6 + 1
    assert len(pickle.dumps(state.rounds)) < mask[0].nbytes  # no mask of a guide is kept


@pytest.mark.parametrize("box", [None, (1, 8, 4, 18, 3, 25)])
@pytest.mark.parametrize("connectivity", [None, 6, 26])
@pytest.mark.parametrize("merge", ["union", "majority"])
def test_votes_are_merged(
    merge: str, connectivity: int | None, box: tuple[int, int, int, int, int, int] | None
) -> None:
    """By hand, on the whole volume."""
    rng = np.random.default_rng(7)
    scan = Scan(rng.normal(size=(9, 20, 30)), (1.0, 1.0, 1.0))
    prompt = np.zeros((20, 30), np.bool_)
    prompt[5:9, 6:12] = True
    settings = small(RIGOROUS, merge=merge, connectivity=connectivity)
    state = ObjectState(scan, 4, prompt, settings, box=box)
    votes, counts = np.zeros(scan.volume.shape), np.zeros((9, 1, 1))
    votes[4], counts[4] = prompt, 1
    for z in (2, 3, 3, 4, 5, 5, 5, 6):
        plane = np.zeros_like(prompt)
        plane[2:19, 2:27] = rng.uniform(size=(17, 25)) < 0.4
        state.add_votes(z, plane, plane)
        votes[z] += plane
        counts[z] += 1
    allowed = np.zeros(scan.volume.shape, np.bool_)
    allowed[state.region] = True
    expected = allowed & (votes > (0 if merge == "union" else counts / 2))
    if connectivity is not None:
        near = ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3)
        labels, _ = ndimage.label(expected, near)
        expected &= np.isin(labels, labels[4][prompt])
    assert expected.any()
    np.testing.assert_array_equal(state.result(), expected)


def memory_of_a_result() -> float:
    """Peak in MiB of the mask of a small object in a scan of 40 MiB as a mask."""
    volume = np.zeros((160, 512, 512), np.float32)
    prompt = np.zeros((512, 512), np.bool_)
    prompt[200:230, 300:330] = True
    volume[40:60, 200:230, 300:330] = 1
    state = ObjectState(Scan(volume, (1.0, 1.0, 1.0)), 50, prompt, RIGOROUS)
    for z in range(40, 60):
        state.add_votes(z, prompt, prompt)
    found: list[NDArray[np.bool_]] = []
    needed = peak_mib(lambda: found.append(state.result()))
    assert found[0].sum() == volume.sum()
    return needed


def test_the_memory_of_a_result_is_that_of_its_object() -> None:
    # In a new process, whose heap has no free part of 40 MiB: glibc then maps the mask, and pages
    # that nothing touches take no memory.
    code = f"from {__name__} import memory_of_a_result; print(memory_of_a_result())"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, stdout=PIPE, text=True
    )
    needed = float(done.stdout)
    assert np.isnan(needed) or needed < 10


@pytest.mark.parametrize("batch", [1, 4, 50])
def test_a_round_ends_where_the_mask_has_moved_off_its_guide(batch: int) -> None:
    """Six pixels that go two to the right from slice to slice: a DSC of 4/6, then of 2/6."""
    z, y, x = np.ogrid[:12, :SIZE, :SIZE]
    rod = (abs(y - 16) <= 3) & (x >= 2 + 2 * z) & (x < 8 + 2 * z)
    scan = Scan(np.where(rod, 100, 0).astype(np.float32), (1.0, 1.0, 1.0))
    guides, scores = {}, {}
    for overlap in (0.0, 0.5, 0.67):
        settings = small(RIGOROUS, crop_ratio=4.6, overlap=overlap)  # sees all there is
        state = ObjectState(scan, 0, rod[0], settings)
        propagate_many(Bright(), [state], batch=batch)
        assert state.counts.max() == 1
        scores[overlap] = dsc(state.result(), rod)
        guides[overlap] = [sweeps[-1].guide for sweeps in state.rounds]
    assert guides == {0.0: [0], 0.5: [0, 2, 4, 6, 8, 10], 0.67: list(range(11))}
    assert scores[0.5] == scores[0.67] == 1
    assert scores[0.0] < 0.6  # the network looks near the mask of its guide, and loses it


def test_a_mask_that_leaves_its_box_ends_a_round_sooner() -> None:
    """A guide of 20 pixels, which the mask repeats, and 40 beyond the box: a DSC of 40/80."""
    scan = Scan(np.arange(1800.0).reshape(3, 20, 30), (1.0, 1.0, 1.0))
    prompt = np.zeros((20, 30), np.bool_)
    prompt[5:9, 5:10] = True
    mask = np.zeros((30, 30), np.bool_)
    mask[5:9, 5:20] = True
    for overlap, moved in ((0.49, False), (0.51, True)):
        settings = small(RIGOROUS, overlap=overlap)
        state = ObjectState(scan, 1, prompt, settings, box=(0, 3, 5, 9, 5, 10))
        assert state.moved(mask, state.guiding(1), Square(0, 0, 30)) == moved


def test_a_mask_is_cut_off_only_where_there_is_more_of_the_image() -> None:
    settings = small(RIGOROUS)
    volume = np.arange(1800.0).reshape(3, 20, 30)
    scan, prompt = Scan(volume, (1.0, 1.0, 1.0)), np.ones((20, 30), np.bool_)
    state = ObjectState(scan, 1, prompt, settings)
    boxed = ObjectState(scan, 1, prompt, settings, box=(0, 3, 0, 20, 5, 15))
    top = np.zeros((10, 10), np.bool_)
    top[0, 3:7] = True
    assert state.cut_off(top, Square(5, 5, 10))
    assert not state.cut_off(top, Square(0, 5, 10))  # the first row of the image
    assert not state.cut_off(np.roll(top, 5, axis=0), Square(5, 5, 10))
    assert state.cut_off(top.T, Square(5, 5, 10))
    assert not boxed.cut_off(top.T, Square(5, 5, 10))  # nothing may be marked outside the box
    assert state.cut_off(top[::-1], Square(5, 5, 10))
    assert not state.cut_off(top[::-1], Square(10, 5, 10))
    assert state.cut_off(top.T[:, ::-1], Square(5, 5, 10))
    assert not boxed.cut_off(top.T[:, ::-1], Square(5, 5, 10))


@pytest.mark.parametrize("name", PRESETS)
def test_a_box_holds_what_is_marked_and_what_is_kept(name: str) -> None:
    """One of the whole volume changes nothing; of one inside the object, only that part is kept."""
    volume, mask = ball()
    scan, settings = Scan(volume, (1.5, 1.0, 1.0)), small(PRESETS[name], thickness=6.0)
    inside = np.zeros(mask.shape, np.bool_)
    inside[10:25, 15:27, 21:41] = True
    free, wide, tight = (
        ObjectState(scan, 17, mask[17], settings, box=box, keep_probabilities=True)
        for box in (None, (0, 40, 0, 48, 0, 56), (10, 25, 15, 27, 21, 41))
    )
    propagate_many(Bright(), [free, wide, tight])
    np.testing.assert_array_equal(free.result(), wide.result())
    found = tight.result()
    assert found.shape == mask.shape
    assert found[17][inside[17]].any()
    assert not found[~inside].any()
    assert tight.shares is not None
    assert tight.votes.shape == tight.shares.shape == (15, 12, 20)
    np.testing.assert_array_equal(
        tight.mask(17)[15:27, 21:41], tight.votes[7] * 2 > tight.counts[17]
    )


@pytest.mark.parametrize("settings", [RIGOROUS, TUTORIAL])
def test_a_box_beside_the_prompt_holds_nothing(settings: Propagation) -> None:
    volume, mask = ball()
    state = ObjectState(Scan(volume, (1.0, 1.0, 1.0)), 17, mask[17], settings, (10, 20, 0, 5, 0, 5))
    assert not state.result().any()


@pytest.mark.parametrize("name", PRESETS)
def test_the_batch_does_not_matter(name: str) -> None:
    volume, mask = ball()
    scan = Scan(volume, (1.5, 1.0, 1.0))
    settings = small(PRESETS[name])
    first, *others = (
        propagate(Bright(), scan, 5, mask[17], settings, batch=batch) for batch in (1, 3, 100)
    )
    assert first.any(axis=(1, 2)).sum() > 5
    for other in others:
        np.testing.assert_array_equal(first, other)
    with pytest.raises(ValueError, match="batch 0"):
        propagate(Bright(), scan, 5, mask[17], settings, batch=0)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_objects_together_are_as_objects_alone(name: str, batch: int) -> None:
    """Of other sizes, depths and rounds, so that they enter and leave the batch at other times."""
    volume, mask = ball()
    scan, settings = Scan(volume, (1.5, 1.0, 1.0)), small(PRESETS[name], thickness=6.0)
    corner = np.zeros(mask.shape[1:], np.bool_)
    corner[15:22, 25:30] = True
    tasks = [(17, mask[17]), (10, mask[10]), (20, corner), (25, mask[25]), (17, corner)]
    states = [ObjectState(scan, index, prompt, settings) for index, prompt in tasks]
    network = Bright()
    propagate_many(network, states, batch=batch)
    assert max(sweeps * slices for sweeps, slices in network.batches) <= batch
    assert len({len(state.rounds) for state in states}) > 1
    for state, (index, prompt) in zip(states, tasks, strict=True):
        alone = propagate(Bright(), scan, index, prompt, settings)
        np.testing.assert_array_equal(state.result(), alone)


def test_masks_of_two_scans_or_settings_are_not_mixed() -> None:
    volume, mask = ball()
    scan, other = (Scan(volume, (1.5, 1.0, 1.0)) for _ in range(2))
    first = ObjectState(scan, 17, mask[17], small(RIGOROUS))
    for second in (
        ObjectState(other, 17, mask[17], small(RIGOROUS)),
        ObjectState(scan, 17, mask[17], small(RIGOROUS, thickness=6.0)),
    ):
        with pytest.raises(ValueError, match="one scan with the same settings"):
            propagate_many(Bright(), [first, second])


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch computes: on a GPU, about as many kernels are launched."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += not func.is_view
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", PRESETS)
def test_more_objects_are_larger_operations_not_more_of_them(name: str) -> None:
    volume, mask = ball()
    scan, settings = Scan(volume, (1.5, 1.0, 1.0)), small(PRESETS[name], thickness=6.0)
    prompts = [np.roll(mask[17], shift, axis=1) for shift in range(-8, 8)]  # other squares each

    def operations(number: int) -> int:
        states = [ObjectState(scan, 17, prompt, settings) for prompt in prompts[:number]]
        counted = Operations()
        with torch.inference_mode(), counted:  # elsewhere torch shows the parts of an operation too
            assert advance(Bright(), states, batch=64) == states
        return counted.number

    # The masks of guiding slices alone are made one by one, on the CPU.
    assert operations(16) - operations(2) < 14 * 15


def test_a_prompt_is_encoded_once_for_both_directions() -> None:
    volume, mask = ball()
    encoded = []

    class Counts(Bright):
        def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
            encoded.append(len(image))
            return super().encode_guide(image, mask)

    scan, settings = Scan(volume, (1.0, 1.0, 1.0)), small(RIGOROUS, thickness=4.0)
    states = [ObjectState(scan, index, mask[index], settings) for index in (17, 15)]
    propagate_many(Counts(), states)
    assert encoded[:2] == [2, 4]


def test_bfloat16_is_the_networks_arithmetic_alone() -> None:
    torch.manual_seed(0)
    network = PropMask(PropMaskConfig(channels=8, stages=4, attended=2)).eval()
    kinds: set[torch.dtype] = set()
    network.decoder.register_forward_hook(lambda _, x, y: kinds.update(z.dtype for z in y))
    volume, mask = ball(depth=20)
    scan, settings = Scan(volume, (2.0, 1.0, 1.0)), small(RIGOROUS)
    precise = propagate(network, scan, 17, mask[17], settings)
    fast = propagate(network, scan, 17, mask[17], settings, precision="bfloat16")
    assert kinds == {torch.float32, torch.bfloat16}
    assert dsc(precise, fast) > 0.9


def test_bfloat16_casts_a_weight_once_a_round() -> None:
    torch.manual_seed(0)
    network = PropMask(PropMaskConfig(channels=8, stages=4, attended=2)).eval()
    weight = list(network.state_dict()["decoder.heads.0.weight"].shape)
    volume, mask = ball(depth=20)
    state = ObjectState(Scan(volume, (2.0, 1.0, 1.0)), 17, mask[17], small(RIGOROUS))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        propagate_many(network, [state], batch=2, precision="bfloat16")
    casts = profiled.key_averages(group_by_input_shape=True)
    found = [x.count for x in casts if x.key == "aten::_to_copy" and x.input_shapes[0] == weight]
    assert state.counts.sum() > 4 * len(state.rounds)
    assert found == [len(state.rounds)]


@pytest.mark.parametrize(("precision", "rounds"), [("float32", False), ("tf32", True)])
def test_tf32_is_used_where_asked_for_alone(precision: Precision, rounds: bool) -> None:
    seen = set()

    class Watched(Bright):
        def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
            seen.add(torch.backends.cudnn.allow_tf32)
            return super().decode(adjacent, guide)

    volume, mask = ball()
    scan = Scan(volume, (2.0, 1.0, 1.0))
    found = propagate(Watched(), scan, 15, mask[15], small(RIGOROUS), precision=precision)
    assert seen == {rounds}
    assert found.any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
@pytest.mark.parametrize("name", PRESETS)
def test_a_gpu_gives_the_masks_of_the_cpu(name: str) -> None:
    torch.manual_seed(0)
    network = PropMask(PropMaskConfig(channels=8, stages=4, attended=2, prior=True)).eval()
    volume, mask = ball(depth=20)
    scan, settings = Scan(volume, (2.0, 1.0, 1.0)), small(PRESETS[name])
    on_cpu = propagate(network, scan, 17, mask[17], settings)
    on_gpu = propagate(network.to("cuda"), scan, 17, mask[17], settings, device="cuda", batch=64)
    assert dsc(on_cpu, on_gpu) > 0.999


@pytest.mark.parametrize("settings", [RIGOROUS, PAPER])
def test_both_directions_are_alike(settings: Propagation) -> None:
    volume, mask = ball()
    scan, flipped = (Scan(v, (2.0, 1.0, 1.0)) for v in (volume, volume[::-1]))
    found = propagate(Bright(), scan, 15, mask[15], small(settings))
    mirrored = propagate(Bright(), flipped, 24, mask[15], small(settings))
    assert found.sum() > mask[15].sum()
    np.testing.assert_array_equal(mirrored[::-1], found)


def test_any_view_is_an_axis_moved_to_the_front() -> None:
    volume, mask = ball()
    stored = np.ascontiguousarray(volume.transpose(1, 2, 0))
    view = np.moveaxis(stored, 2, 0)
    got = propagate(Bright(), Scan(view, (2, 1, 1)), 17, mask[17], small(RIGOROUS))
    expected = propagate(Bright(), Scan(volume, (2, 1, 1)), 17, mask[17], small(RIGOROUS))
    np.testing.assert_array_equal(got, expected)


def test_an_empty_slice_ends_its_side() -> None:
    volume = np.full((12, 20, 20), 100, np.float32)
    volume[:, 9:11, 9:11] = 200
    volume[8] = 0
    prompt = volume[3] > 150
    wide = {"percentiles": (0.0, 100.0), "flat_window": "slice"}
    for batch in (1, 4, 20):
        settings = small(RIGOROUS, thickness=6.0, **wide)
        state = ObjectState(Scan(volume, (1, 1, 1)), 3, prompt, settings)
        propagate_many(All(), [state], batch=batch)
        assert state.counts.tolist() == [1] * 9 + [0] * 3
        assert state.result().any(axis=(1, 2)).tolist() == [True] * 8 + [False] * 4


def votes(settings: Propagation) -> ObjectState:
    """Slices 1 to 5 of 7 predicted once each, with 101 pixels at 1, and as many at 5."""
    scan = Scan(np.random.default_rng(0).random((7, 20, 20)), (5, 1, 1))
    prompt = np.zeros((20, 20), np.bool_)
    prompt[:5, :5] = True
    state = ObjectState(scan, 3, prompt, settings)
    for z in (1, 2, 4, 5):
        state.add_votes(z, np.arange(400).reshape(20, 20) < 101)
    state.rounds.append(())
    return state


def guides(state: ObjectState) -> list[int]:
    return [sweep.guide for sweep in state.next_sweeps()]


def test_stop_areas() -> None:
    for settings in (TUTORIAL, PAPER, RIGOROUS):
        assert guides(votes(settings)) == [1, 5]
    for settings, expected in ((TUTORIAL, [5]), (PAPER, []), (RIGOROUS, [1, 5])):
        state = votes(settings)
        state.votes[[1, 5], 0, 0] = 0  # 100 pixels
        assert guides(state) == expected
    # Votes are not pixels: 60 pixels twice are more than 100 votes.
    for settings, expected in ((TUTORIAL, [1, 5]), (PAPER, [])):
        state = votes(settings)
        state.votes[[1, 5]] = 2 * (np.arange(400).reshape(20, 20) < 60)
        state.counts[[1, 5]] = 2
        assert guides(state) == expected


def test_guiding_slices_that_predictions_disagree_on() -> None:
    agreed = np.zeros((20, 20), np.bool_)
    agreed[:2, :10] = True
    shown = []

    class Looks(Bright):
        def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
            shown.append(mask[0, 0].numpy() > 0)
            return super().encode_guide(image, mask)

    for around, side in (("votes", 28), ("mask", 16)):
        state = votes(small(TUTORIAL, crop_around=around))
        state.add_votes(1, agreed)  # of five rows and 20 columns
        assert state.next_sweeps()[0].square.side == side
        assert advance(Looks(), [state])
        rows, columns = (np.flatnonzero(shown[-1].any(axis=axis)) for axis in (1, 0))
        assert rows[-1] + 1 == pytest.approx(2 * SIZE / side, abs=1)
        assert columns[-1] + 1 == pytest.approx(10 * SIZE / side, abs=1)

    # Votes enough to go on, but nothing that most of them agree on.
    state = votes(small(TUTORIAL, crop_around="mask"))
    state.counts[1] += 1
    assert guides(state) == [5]


def test_the_first_and_last_slice_guide_nothing() -> None:
    state = votes(TUTORIAL)
    for z in (0, 6):
        state.add_votes(z, np.ones((20, 20), np.bool_))
    assert guides(state) == []


def test_next_sweeps() -> None:
    sweeps = votes(TUTORIAL.model_copy(update={"thickness": 15.0})).next_sweeps()
    assert [sweep.slices for sweep in sweeps] == [(0, 2, 3, 4), (2, 3, 4, 6)]
    state = votes(TUTORIAL)
    state.counts[1] = state.votes[1] = 0
    sweeps = state.next_sweeps()
    assert [len(sweep.slices) for sweep in sweeps] == [6, 5]
    assert [(sweep.guide, sweep.repeats) for sweep in sweeps] == [(2, 0), (5, 1)]
    sweeps = votes(RIGOROUS).next_sweeps()
    assert [sweep.slices for sweep in sweeps] == [(0,), (6,)]


def test_merging() -> None:
    state = votes(TUTORIAL)
    state.add_votes(2, np.zeros((20, 20), np.bool_))
    assert state.result()[2].any()
    state.settings = state.settings.model_copy(update={"merge": "majority", "connectivity": None})
    assert not state.result()[2].any()  # 1 of 2 is no majority
    assert not state.mask(2).any()
    assert state.result()[1].any()


def test_components_that_do_not_touch_the_prompt_go() -> None:
    def kept(connectivity: int | None) -> list[bool]:
        state = votes(small(TUTORIAL, connectivity=connectivity))
        state.votes[:3] = state.votes[4:] = 0
        state.votes[4, 4, 4] = state.votes[5, 5, 5] = state.votes[0, 9, 9] = 1
        state.counts[[0, 4, 5]] = 1
        result = state.result()
        assert result[3].sum() == 25
        return [bool(result[4, 4, 4]), bool(result[5, 5, 5]), bool(result[0, 9, 9])]

    assert kept(6) == [True, False, False]
    assert kept(26) == [True, True, False]
    assert kept(None) == [True, True, True]


def test_soft_vote() -> None:
    def logits(*ahead: float) -> list[Tensor]:
        return [
            torch.tensor([-a / 2, a / 2]).reshape(1, 1, 2, 1, 1).expand(-1, -1, -1, n, n)
            for a, n in zip(ahead, (SIZE, SIZE // 2, SIZE // 4), strict=True)
        ]

    def found(logits: Sequence[Tensor], average: str) -> Tensor:
        return foreground_margin(logits, (SIZE, SIZE), average) > 0

    # One scale is very sure, two lean to the other side.
    one_sure = logits(10.0, -3.0, -3.0)
    assert found(one_sure, "logits").all()
    assert not found(one_sure, "probabilities").any()
    assert not found(logits(0.3, -0.2, -0.2), "probabilities").any()  # 0.57, 0.45, 0.45
    assert found(logits(0.3, -0.1, -0.1), "probabilities").all()
    tie = logits(0.0, 0.0, 0.0)
    assert not found(tie, "logits").any()
    assert found(tie, "logits").shape == (1, 1, SIZE, SIZE)
    for average, expected in (("logits", torch.tensor(4 / 3).sigmoid()), ("probabilities", None)):
        mean = torch.tensor([10.0, -3.0, -3.0]).sigmoid().mean() if expected is None else expected
        got = probability(foreground_margin(one_sure, (SIZE, SIZE), average), average)
        torch.testing.assert_close(got, mean.expand_as(got))


def test_scales_are_aligned_at_their_corner_pixels() -> None:
    ahead = torch.tensor([-1.0, -1.0, 3.0]).expand(3, 3)
    coarse = torch.stack((torch.zeros(3, 3), ahead))[None, None]
    # Column i lies at 2 i / 31, and the foreground begins beyond 1.25.
    columns = foreground_margin([coarse], (SIZE, SIZE), "logits")[0, 0, 0] > 0
    assert columns.tolist() == [False] * 20 + [True] * 12


@pytest.mark.parametrize("name", PRESETS)
def test_a_real_network(name: str) -> None:
    torch.manual_seed(0)
    network = PropMask(PropMaskConfig(channels=2, stages=4, attended=2)).eval()
    volume, mask = ball(depth=16)
    found = propagate(network, Scan(volume, (2, 1, 1), "CT"), 9, mask[9], small(PRESETS[name]))
    assert found.shape == volume.shape
    assert found[9][mask[9]].all()


BAD: list[tuple[int, Any, str]] = [
    (40, None, "slice 40 of a volume with slices 0 to 39"),
    (-1, None, "slice -1"),
    (3, np.zeros((48, 56)), "slice 3 is empty"),
    (3, np.ones((56, 48)), r"\(56, 48\) pixels, a slice of the volume \(48, 56\)"),
    (3, np.ones((1, 48, 56)), r"\(1, 48, 56\)"),
    (3, np.full((48, 56), np.nan), "other than 0 and 1"),
    (3, np.full((48, 56), 3), "other than 0 and 1"),
]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((8, 11, 0, 48, 0, 56), r"slice 17 lies outside its box, slices 8 to 11"),
        ((17, 17, 0, 48, 0, 56), "is empty or leaves"),
        ((10, 41, 0, 48, 0, 56), "leaves a volume with slices 0 to 39 of 48 x 56 pixels"),
        ((10, 25, -1, 48, 0, 56), "leaves a volume"),
        ((10, 25, 0, 48, 0, 57), "leaves a volume"),
        ((10, 25, 30, 20, 0, 56), "is empty"),
        ((10, 25, 0, 48, 30, 20), "is empty"),
    ],
)
def test_a_bad_box(box: tuple[int, int, int, int, int, int], message: str) -> None:
    volume, mask = ball()
    with pytest.raises(UserError, match=message):
        ObjectState(Scan(volume, (1, 1, 1)), 17, mask[17], RIGOROUS, box=box)


@pytest.mark.parametrize("settings", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize(("index", "prompt", "message"), BAD)
def test_a_bad_prompt(settings: Propagation, index: int, prompt: Any, message: str) -> None:
    volume, mask = ball()
    with pytest.raises(UserError, match=message):
        propagate(
            Bright(),
            Scan(volume, (1, 1, 1)),
            index,
            mask[17] if prompt is None else prompt,
            small(settings),
        )


@pytest.mark.parametrize("name", PRESETS)
def test_an_unsigned_index(name: str) -> None:
    volume, mask = ball(24)
    scan, settings = Scan(volume, (1.0, 1.0, 1.0)), small(PRESETS[name], thickness=20.0)
    index: Any = np.uint8(17)  # less than the reach from the first slice
    found = propagate(Bright(), scan, index, mask[17], settings)
    np.testing.assert_array_equal(found, propagate(Bright(), scan, 17, mask[17], settings))


def test_thick_slices() -> None:
    volume, mask = ball()
    scan = Scan(volume, (25.0, 1.0, 1.0))
    for settings in (TUTORIAL, PAPER):
        with pytest.raises(UserError, match="25 mm apart"):
            propagate(Bright(), scan, 17, mask[17], small(settings))
    found = propagate(Bright(), scan, 17, mask[17], small(RIGOROUS))  # slice by slice
    assert dsc(found, mask) > 0.9


@pytest.mark.parametrize("settings", PRESETS.values(), ids=PRESETS)
def test_a_volume_of_one_slice_gives_the_prompt(settings: Propagation) -> None:
    volume, mask = ball()
    scan = Scan(volume[17:18], (30.0, 1.0, 1.0))
    found = propagate(All(), scan, 0, mask[17], small(settings))
    np.testing.assert_array_equal(found, mask[17:18])


@pytest.mark.parametrize("index", [0, 5])
@pytest.mark.parametrize("settings", PRESETS.values(), ids=PRESETS)
def test_a_prompt_on_the_first_or_last_slice(settings: Propagation, index: int) -> None:
    volume, mask = ball()
    scan = Scan(volume[14:20], (5.0, 1.0, 1.0))
    found = propagate(Bright(), scan, index, mask[14 + index], small(settings))
    assert found.any(axis=(1, 2)).all()


def test_a_constant_volume() -> None:
    scan = Scan(np.full((5, 20, 20), 3.0), (5, 1, 1), "CT")
    prompt = np.zeros((20, 20), np.bool_)
    prompt[5:10, 5:10] = True
    with pytest.raises(UserError, match="nothing to segment by"):
        propagate(Bright(), scan, 2, prompt, small(RIGOROUS))
    for settings in (TUTORIAL, PAPER):  # black images, in which nothing is bright
        found = propagate(Bright(), scan, 2, prompt, small(settings))
        np.testing.assert_array_equal(found.sum(axis=(1, 2)), [0, 0, 25, 0, 0])


class Distances:
    """Marks nothing, and notes how far the slices were said to be."""

    priors = (None,)

    def __init__(self) -> None:
        self.noted: list[float] = []

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        return (mask,)

    def decode(self, adjacent: Tensor, guide: Guide, distance: Tensor) -> Sequence[Tensor]:
        self.noted += distance.flatten().tolist()
        ones = torch.ones(*adjacent.shape[:2], 1, *adjacent.shape[-2:])
        return [torch.cat((-ones, ones), dim=2)]


def test_a_network_with_a_prior_is_told_distances() -> None:
    volume = np.random.default_rng(0).normal(size=(9, 40, 40))
    prompt = np.zeros((40, 40), np.bool_)
    prompt[10:30, 12:32] = True
    settings = Propagation(thickness=6.0, crop_ratio=1.5, size=32, recrop=False)
    network = Distances()
    scan = Scan(volume, (2.0, 0.5, 1.5))  # the crop's sides are 1 mm a pixel on average
    propagate(network, scan, 4, prompt, settings, batch=1)  # type: ignore[arg-type]
    # rounds of three slices 2, 4 and 6 mm away; crops of 30 mm, then of the whole 45
    assert sorted(round(d * 30, 4) for d in network.noted[:6]) == [2, 2, 4, 4, 6, 6]


class Remembers(Bright):
    """Takes what is bright near the mask; notes which slices it is to put together."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: set[tuple[int, int]] = set()

    def encode_guide(self, image: Tensor, mask: Tensor) -> Guide:
        return (*super().encode_guide(image, mask), image.amin(dim=(1, 2, 3)))

    def remember(self, guide: Guide, earlier: Guide) -> Guide:
        slices = ((float(darkest) + 1) * 127.5 for darkest in (guide[1], earlier[1]))
        now, then = (round(grey / 4) for grey in slices)
        self.noted.add((now, then))
        return guide

    def decode(self, adjacent: Tensor, guide: Guide) -> Sequence[Tensor]:
        return super().decode(adjacent - 0.9, guide)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_later_rounds_remember_the_slice_of_the_prompt(batch: int) -> None:
    tall = np.zeros((21, 40, 40), np.bool_)
    tall[:, 10:30, 12:32] = True
    volume = np.where(tall, 255.0, 4.0 * np.arange(21)[:, None, None])  # the ground tells the slice
    settings = small(RIGOROUS, thickness=5.0, normalisation="dynamic", memory="prompt")
    scan = Scan(volume, (1.0, 1.0, 1.0))
    states = [ObjectState(scan, z, tall[z], settings) for z in (8, 13)]
    for state in states:
        state.limits = (0.0, 255.0)
    network = Remembers()
    propagate_many(network, states, batch=batch)
    rounds = {(z, 8) for z in (8, 3, 13, 18)} | {(z, 13) for z in (13, 8, 3, 18)}
    assert network.noted == rounds
    assert all(state.result().any(axis=(1, 2)).all() for state in states)
