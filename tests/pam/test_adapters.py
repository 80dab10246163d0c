"""PAM's three methods with small random networks: the contract, not the quality."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import pam
from benchmark import prompts as prompting
from benchmark.conformance import checks as conformance
from benchmark.errors import UserError
from benchmark.inference.segmenting import segment_prompts
from benchmark.machine import compute_cost
from benchmark.masks import Mask
from benchmark.methods.registry import find
from benchmark.overview.estimate import RATES, Rates
from benchmark.prompts import Mask2D, Prompt
from benchmark.settings import load_yaml
from benchmark.volume import Volume
from benchmark.weights import registry as weights
from benchmark.weights import store as weights_store
from pam import checkpoints
from pam.adapters import Pam2DMask
from pam.box2mask import guiding_mask
from pam.box_adapters import fullest, spread, voted
from pam.config import Box2MaskConfig, PropMaskConfig
from pam.network import Box2Mask, PropMask
from pam.preprocess import Scan
from pam.presets import RELEASED
from pam.propagation import propagate, propagate_many
from pam.rounds import ObjectState
from tests.pretended_gpu import PretendedGpu

SIZE = {"size": 32}
METHODS = ("pam-2dmask", "pam-2dbox", "pam-3dbox")
SPACING = (3.0, 2.0, 1.0)
SHIPPED = Path(pam.__file__).parent / "weights"
NEEDS_GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both networks, made for 32 x 32 pixels."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights")
    unet: dict[str, Any] = {"channels": 4, "stages": 3, "max_channels": 8, "inference": SIZE}
    checkpoints.save(PropMask(PropMaskConfig(attended=2, **unet)), path / "prop.safetensors")
    checkpoints.save(Box2Mask(Box2MaskConfig(**unet)), path / "box.safetensors")
    return path


@pytest.fixture
def file(folder: Path) -> Path:
    return folder / "prop.safetensors"


def scene() -> tuple[Volume, NDArray[np.bool_]]:
    """A bright cuboid in noise, and where it is."""
    array = np.random.default_rng(5).normal(size=(20, 24, 28)).astype(np.float32)
    inside = np.zeros(array.shape, np.bool_)
    inside[6:14, 8:16, 8:18] = True
    return Volume(array + 4 * inside, SPACING, "CT"), inside


def prompts(inside: NDArray[np.bool_], kind: str, axis: int = 0) -> list[Prompt]:
    rows = prompting.derive(Mask.of(inside), axis, [0.0])
    return [prompting.from_row(row, inside.shape) for row in rows if row["kind"] == kind]


def loaded(
    name: str, folder: Path, options: dict[str, Any] | None = None, device: str = "cpu"
) -> Any:
    adapter: Any = find(name)(options)
    adapter.load(folder, device)
    return adapter


def dsc(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize(
    ("name", "protocol"), [*((name, "rigorous") for name in METHODS), ("pam-2dbox", "released")]
)
def test_they_meet_the_contract(folder: Path, name: str, protocol: str) -> None:
    options = {"protocol": protocol, "batch": 32}
    found = conformance.findings(name, options, weights=folder)
    assert [f"{f.name}: {f.detail}" for f in found if not f.ok] == []


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


def test_a_pet_ct_has_no_rules_of_ct(folder: Path) -> None:
    """In the released code those are of the modality CT alone, whatever channel is shown."""
    volume, inside = scene()
    limits, masks = {}, {}
    for modality, channels in (("CT", ()), ("MR", ()), ("PETCT", ("CT",))):
        shown = Volume(volume.array, SPACING, modality, channels)
        adapter = loaded("pam-2dmask", folder, {"protocol": "released"})
        (prompt,) = prompts(inside, "mask2d")
        (state,) = adapter._states(Scan.along(shown, 0), 0, prompt)
        limits[modality] = state.limits
        masks[modality] = next(adapter.segment(shown, [prompt])).mask
    assert limits["PETCT"] == limits["MR"] != limits["CT"]
    np.testing.assert_array_equal(masks["PETCT"], masks["MR"])
    assert (masks["PETCT"] != masks["CT"]).any()


@pytest.mark.parametrize(
    ("device", "precision", "least"),
    [
        ("cpu", "bfloat16", 0.97),
        pytest.param("cuda", "float32", 0.995, marks=NEEDS_GPU),
        pytest.param("cuda", "bfloat16", 0.97, marks=NEEDS_GPU),
    ],
)
@pytest.mark.parametrize("name", METHODS)
def test_the_weights_that_ship_give_the_masks_of_a_cpu_in_float32(
    name: str, device: str, precision: str, least: float
) -> None:
    """But for pixels of the border, where roundings decide; those of bfloat16 are larger."""
    volume, inside = scene()
    asked = prompts(inside, find(name).info.prompts[0])
    on_cpu, here = (
        next(loaded(name, SHIPPED, options, where).segment(volume, asked)).mask
        for options, where in (({}, "cpu"), ({"precision": precision}, device))
    )
    assert dsc(on_cpu, inside) > 0.8
    assert dsc(on_cpu, here) > least


@pytest.mark.parametrize("protocol", ["paper", "released", "rigorous"])
@pytest.mark.parametrize("name", METHODS)
def test_all_that_they_compute_with_is_on_their_device(
    folder: Path, name: str, protocol: str
) -> None:
    volume, inside = scene()
    asked = prompts(inside, find(name).info.prompts[0])
    options = {"protocol": protocol}
    (expected,) = loaded(name, folder, options).segment(volume, asked)
    with PretendedGpu():
        (found,) = loaded(name, folder, options, "cuda").segment(volume, asked)
    assert dsc(found.mask, expected.mask) > 0.99


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_that_does_not_fit_into_memory_is_halved(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it stays so; at one slice the error is that of each prompt."""
    volume, inside = scene()
    asked = 3 * prompts(inside, find(name).info.prompts[0])
    expected = loaded(name, folder, {"batch": 4}).segment(volume, asked)
    adapter, most = loaded(name, folder, {"batch": 64}), 4
    seen: list[int] = []

    def limited(forward: Any) -> Any:
        def passed(first: torch.Tensor, *others: Any, **more: Any) -> Any:
            seen.append(first.shape[:-3].numel())
            if seen[-1] > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(first, *others, **more)

        return passed

    networks = [(adapter.network, "decode")]
    networks += [(adapter.box_network, "forward")] if adapter.needs_boxes else []
    for network, passes in networks:
        monkeypatch.setattr(network, passes, limited(getattr(network, passes)))
    found = segment_prompts(adapter, volume, asked)
    for row, prediction in zip(found, expected, strict=True):
        assert isinstance(row, dict)
        mask = Mask.from_row(row, volume.shape)
        assert (mask.dense() != prediction.mask).mean() <= 1e-4
    assert adapter.batch.size == most
    assert 1 <= sum(number > most for number in seen) <= 4
    most = 0
    reason = "OutOfMemoryError: CUDA out of memory."
    answers = segment_prompts(adapter, volume, asked)
    assert [str(answer)[: len(reason)] for answer in answers] == 3 * [reason]


def test_unknown_switches_are_refused_when_the_study_is_read() -> None:
    with pytest.raises(UserError, match="Did you mean: thickness"):
        Pam2DMask({"propagation": {"thicknes": 10}})


def test_a_variant_keeps_the_switches_that_it_does_not_name() -> None:
    method = Pam2DMask({"propagation": {"resampling": "smooth", "thickness": 20}})
    variant = method.with_options({"propagation": {"thickness": 10}, "batch": 4})
    assert variant.options.propagation == {"resampling": "smooth", "thickness": 10}
    assert variant.options.batch == 4
    assert method.options.propagation == {"resampling": "smooth", "thickness": 20}


@pytest.mark.parametrize("name", METHODS)
def test_weights_are_needed_and_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weights: pam-small"):
        find(name)().load(None, "cpu")
    entry = weights.load("pam-released")
    assert len(entry.files) == 2
    assert weights_store.fetch(entry, tmp_path).state == "manual"


def test_the_size_of_the_weights_goes_before_the_presets_and_an_option_before_it(
    folder: Path,
) -> None:
    adapter = loaded("pam-2dbox", folder, {"protocol": "paper", "propagation": {"size": 64}})
    assert (adapter.propagation.size, adapter.conversion.size) == (64, 32)
    assert adapter.propagation.percentiles == (5, 95)
    wrong = adapter.with_options({"box2mask": {"size": 30}})
    volume, inside = scene()
    (answer,) = wrong.segment(volume, prompts(inside, "box2d"))
    assert "size 30; these weights need a multiple of 4" in answer.failure


def test_windows_that_the_weights_did_not_see(folder: Path) -> None:
    volume, inside = scene()
    wide = loaded("pam-2dmask", folder, {"propagation": {"context": 1.5}})
    (answer,) = wide.segment(volume, prompts(inside, "mask2d"))
    assert "context 1.5; these weights see a slice in one window" in str(answer.failure)
    small = find("pam-2dmask")({"propagation": {"context": 0}})
    small.load(weights_store.locate("pam-small", download=False)[0], "cpu")
    (answer,) = small.segment(volume, prompts(inside, "mask2d"))
    assert "context 0; these weights see a slice in two" in str(answer.failure)


def test_what_is_not_the_protocols_is_told(folder: Path) -> None:
    """Of weights and options alike; an option that says what the preset does is none of it."""
    options = {"protocol": "released", "propagation": {"thickness": 45, "max_slices": 10}}
    assert loaded("pam-2dmask", folder, options).protocol_overrides == {
        "propagation": {"size": 32, "thickness": 45.0}
    }
    options |= {"box2mask": {"lower": [5, 10], "size": 224}}
    assert loaded("pam-2dbox", folder, options).protocol_overrides == {
        "propagation": {"size": 32, "thickness": 45.0},
        "box2mask": {"lower": [5.0, 10.0]},
    }
    preset = {"propagation": {"size": 224}, "box2mask": {"size": 224}}
    assert loaded("pam-3dbox", folder, preset).protocol_overrides == {}


def test_a_box_in_space_is_not_taken_for_tight_on_a_slice(folder: Path) -> None:
    volume, inside = scene()
    never: dict[str, Any] = {"restarts": 0}
    for name, kind, once, differ in (
        ("pam-2dbox", "box2d", {}, True),
        ("pam-3dbox", "box3d", never, False),
    ):
        loose, tight = (
            next(loaded(name, folder, options).segment(volume, prompts(inside, kind)))
            for options in (once, {**once, "box2mask": {"tight": True}})
        )
        assert (loose.mask != tight.mask).any() == differ


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_is_the_mask_that_box2mask_makes_of_it(folder: Path, axis: int) -> None:
    volume, inside = scene()
    (prompt,) = prompts(inside, "box2d", axis)
    adapter = loaded("pam-2dbox", folder)
    (answer,) = adapter.segment(volume, [prompt])

    view = np.moveaxis(volume.array, axis, 0)
    order = [axis, *(a for a in range(3) if a != axis)]
    scan = Scan(view, tuple(SPACING[a] for a in order), "CT")  # type: ignore[arg-type]
    box: Any = np.array(prompt.box).reshape(3, 2)[order[1:]].ravel().tolist()
    mask = guiding_mask(adapter.box_network, scan, prompt.slice, box, adapter.conversion)  # type: ignore[union-attr]
    expected = propagate(adapter.network, scan, prompt.slice, mask, adapter.propagation)  # type: ignore[union-attr]
    np.testing.assert_array_equal(answer.mask, np.moveaxis(expected, 0, axis))


def test_the_true_mask_stays_under_released_alone(folder: Path) -> None:
    """The authors' script leaves it on the guiding slice; no other protocol does."""
    volume, inside = scene()
    corner = np.zeros_like(inside)
    corner[10, 8:16, 8:18] = True
    corner[10, 9:16, 9:18] = False  # a box of which Box2Mask can hardly find this edge
    options = {"box2mask": {"by": "full-box"}}
    for protocol, leaks in (("released", True), ("paper", False), ("rigorous", False)):
        adapter = loaded("pam-2dbox", folder, {"protocol": protocol, **options})
        (of_mask,), (of_box,) = (
            adapter.segment(volume, prompts(corner, kind)) for kind in ("mask2d", "box2d")
        )
        assert (of_mask.mask != of_box.mask).any() == leaks
        if leaks:
            assert of_mask.mask[10][corner[10]].all()


def test_a_box_in_space_holds_the_object(folder: Path) -> None:
    volume, inside = scene()
    (prompt,) = prompts(inside, "box3d")
    for axis in (None, 1, 2):
        options = {"axis": axis, "guides": 2, "box2mask": {"by": "full-box"}}
        (answer,) = loaded("pam-3dbox", folder, options).segment(volume, [prompt])
        assert answer.mask.any()
        assert not answer.mask[~inside].any()


def test_probabilities_are_voted(folder: Path) -> None:
    """By hand: the vote of what each of the guiding slices gives alone."""
    volume, inside = scene()
    (prompt,) = prompts(inside, "box3d")
    options = {"guides": 3, "restarts": 0, "propagation": {"connectivity": None}}
    adapter = loaded("pam-3dbox", folder, options)
    scan = Scan(volume.array, SPACING, "CT")
    alone = []
    assert spread(6, 14, 3, 0.5) == [8, 10, 11]
    for index in (8, 10, 11):
        mask = adapter._mask(scan, index, prompt.box[2:], adapter.conversion)
        state = ObjectState(
            scan, index, mask, adapter.propagation, box=prompt.box, keep_probabilities=True
        )
        propagate_many(adapter.network, [state])
        assert not state.counts[:6].any()
        assert not state.counts[14:].any()
        np.testing.assert_array_equal(state.probability()[index - 6], mask[state.plane])
        alone.append(state.probability())
    (answer,) = adapter.segment(volume, [prompt])
    expected = np.zeros_like(answer.mask)
    z0, z1, y0, y1, x0, x1 = prompt.box
    expected[z0:z1, y0:y1, x0:x1] = voted(alone)
    np.testing.assert_array_equal(answer.mask, expected)


def test_boxes_in_space_take_the_memory_of_boxes(folder: Path) -> None:
    """Not that of their propagations on the whole volume, of which each box has five and more."""
    array = np.random.default_rng(0).normal(size=(24, 200, 200)).astype(np.float32)
    inside = np.zeros(array.shape, np.bool_)
    inside[8:16, 80:96, 90:110] = True
    volume = Volume(array + 4 * inside, SPACING, "CT")
    asked = 4 * prompts(inside, "box3d")
    adapter = loaded("pam-3dbox", folder, {"box2mask": {"by": "full-box"}})
    carried: list[int] = []
    whole = adapter._propagate

    def noted(answers: Sequence[Sequence[ObjectState]]) -> None:
        whole(answers)
        for state in (state for answer in answers for state in answer):
            assert state.shares is not None
            carried.append(state.votes.nbytes + state.shares.nbytes)

    adapter._propagate = noted
    assert all(answer.mask.any() for answer in adapter.segment(volume, asked))
    assert len(carried) > 4 * 4  # so many start, and then some more
    assert max(carried) <= inside.sum() * (2 + 4)


def test_the_fullest_slices_of_an_answer_start_again(folder: Path) -> None:
    """By hand: from the first answer's own boxes there, still inside the box in space."""
    volume, inside = scene()
    (prompt,) = prompts(inside, "box3d")
    adapter, once = (loaded("pam-3dbox", folder, o) for o in ({}, {"restarts": 0}))
    (first,), (answer,) = (a.segment(volume, [prompt]) for a in (once, adapter))
    scan = Scan(volume.array, SPACING, "CT")
    states = []
    for index in fullest(first.mask, 3):
        _, _, *sides = Mask.of(first.mask[index][None]).box
        mask = adapter._mask(scan, index, sides, adapter.conversion)
        states.append(
            ObjectState(
                scan, index, mask, adapter.propagation, box=prompt.box, keep_probabilities=True
            )
        )
    assert len(states) > 1
    propagate_many(adapter.network, states)
    np.testing.assert_array_equal(answer.mask, adapter._merged(states))
    (as_authors,) = loaded("pam-3dbox", folder, {"protocol": "paper"}).segment(volume, [prompt])
    (never,) = loaded("pam-3dbox", folder, {"protocol": "paper", "restarts": 0}).segment(
        volume, [prompt]
    )
    np.testing.assert_array_equal(as_authors.mask, never.mask)


@pytest.mark.parametrize("protocol", ["paper", "released", "tutorial", "rigorous"])
@pytest.mark.parametrize(("name", "kind"), [("pam-2dbox", "box2d"), ("pam-3dbox", "box3d")])
def test_the_rates_know_the_passes_of_box2mask(
    folder: Path, name: str, kind: str, protocol: str
) -> None:
    """Those of a prompt, counted; a pass is that of a network of the published size."""
    with torch.device("meta"):
        published, image = Box2Mask(Box2MaskConfig()), torch.empty(1, 1, 224, 224)
    each = (compute_cost.flops(lambda: published(image)) or 0) / 1e9
    array = np.random.default_rng(5).normal(size=(24, 24, 28)).astype(np.float32)
    inside = np.zeros(array.shape, np.bool_)
    inside[2:22, 8:16, 8:18] = True
    shown: list[int] = []
    adapter = loaded(name, folder, {"protocol": protocol})
    adapter.box_network.register_forward_pre_hook(lambda _, args: shown.append(len(args[0])))
    list(adapter.segment(Volume(array + 4 * inside, SPACING, "CT"), prompts(inside, kind)))
    table = Rates.read(load_yaml(RATES), "rates")
    (rate,) = (
        rate.gpu_gflop
        for rate in table.rates
        if rate.of == name and rate.per == "prompt" and protocol in rate.protocols
    )
    assert rate == pytest.approx(sum(shown) * each, rel=1e-3)


def test_guiding_slices_of_one_intensity_are_passed_over(folder: Path) -> None:
    """By hand: the vote of the others; an error is left where there are none."""
    volume, inside = scene()
    array = volume.array.copy()
    array[10] = 3.0
    (prompt,) = prompts(inside, "box3d")
    adapter = loaded("pam-3dbox", folder, {"guides": 3, "restarts": 0})
    (answer,) = adapter.segment(Volume(array, SPACING, "CT"), [prompt])
    scan = Scan(array, SPACING, "CT")
    states = []
    for index in (8, 11):
        mask = adapter._mask(scan, index, prompt.box[2:], adapter.conversion)
        states.append(
            ObjectState(
                scan, index, mask, adapter.propagation, box=prompt.box, keep_probabilities=True
            )
        )
    propagate_many(adapter.network, states)
    expected = adapter._merged(states)
    assert expected.any()
    np.testing.assert_array_equal(answer.mask, expected)
    blank = array.copy()
    blank[[8, 11]] = 3.0
    (answer,) = adapter.segment(Volume(blank, SPACING, "CT"), [prompt])
    assert "nothing to segment by" in answer.failure


def test_a_slice_of_one_intensity_does_not_start_again(folder: Path) -> None:
    volume, inside = scene()
    array = volume.array.copy()
    array[[7, 12]] = 3.0
    (prompt,) = prompts(inside, "box3d")
    options = {"guides": 1, "restarts": 9, "propagation": {"connectivity": None}}
    adapter = loaded("pam-3dbox", folder, options)
    (state,) = adapter._states(Scan(array, SPACING, "CT"), 0, prompt)
    for index in (7, 12):  # as wide there as the box in space
        state.add_votes(index, inside[index], inside[index].astype(np.float32))
    assert {7, 12} < set(fullest(adapter._merged([state]), 9))
    assert not {7, 12} & {other.index for other in adapter._restarts([state])}


def test_the_fullest_slices_are_those_whose_box_is_largest() -> None:
    mask = np.zeros((14, 9, 9), np.bool_)
    for index, side in enumerate((0, 3, 5, 7, 7, 6, 6, 7, 8, 8, 8, 7, 2, 0)):
        mask[index, :side, :side] = np.eye(side, dtype=np.bool_)  # how much is marked is no matter
    assert fullest(mask, 9) == [8, 10, 3]  # 49 is three quarters of 64, 36 is not
    assert fullest(mask, 2) == [8, 10]
    assert fullest(mask, 0) == []
    assert fullest(np.zeros_like(mask), 3) == []
    deep = np.ones((18, 2, 2), np.bool_)  # a sixth of which is three slices
    assert fullest(deep, 9) == [0, 3, 6, 9, 12, 15]


def test_a_slice_is_voted_by_those_that_mark_something_on_it() -> None:
    rng = np.random.default_rng(2)
    answers = rng.uniform(size=(3, 4, 6, 5)).astype(np.float32)
    answers[0, 1:] = 0  # came to its end early
    answers[1, 2:] *= 0.5  # marks nothing, though it was there
    answers[:, 3] *= 0.5
    mask = voted(list(answers))
    np.testing.assert_array_equal(mask[0], answers[:, 0].sum(axis=0) > 1.5)
    np.testing.assert_array_equal(mask[1], answers[1:, 1].sum(axis=0) > 1)
    np.testing.assert_array_equal(mask[2], answers[2, 2] > 0.5)
    assert not mask[3].any()


@pytest.mark.parametrize(
    ("low", "high", "guides", "span", "expected"),
    [
        (0, 9, 3, 0.5, [2, 4, 6]),
        (0, 9, 3, 1.0, [0, 4, 8]),
        (4, 13, 1, 1.0, [8]),
        (4, 5, 5, 1.0, [4]),
        (0, 2, 5, 1.0, [0, 1]),
    ],
)
def test_guiding_slices_of_a_box(
    low: int, high: int, guides: int, span: float, expected: list[int]
) -> None:
    assert spread(low, high, guides, span) == expected


@pytest.mark.parametrize("name", METHODS)
def test_objects_together_are_as_objects_alone(folder: Path, name: str) -> None:
    volume, inside = scene()
    other = np.zeros_like(inside)
    other[9:17, 3:12, 15:26] = True
    kind = find(name).info.prompts[0]
    asked = [p for mask in (inside, other, inside & other) for p in prompts(mask, kind)]
    adapter = loaded(name, folder)
    together = list(adapter.segment(volume, asked))
    assert len(together) == 3
    for options in ({"objects": 1}, {"objects": 2, "batch": 3}, {"batch": 64}):
        answers = list(adapter.with_options(options).segment(volume, asked))
        for answer, expected in zip(answers, together, strict=True):
            assert answer.mask.any()
            assert (answer.mask != expected.mask).mean() <= 1e-4
