"""Tasks: the right slices and answers, and the network's input."""

import math

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.errors import UserError
from benchmark.masks import Mask
from pam.preprocess import Scan
from pam.training.augment import Augmentation
from pam.training.cases import Case, components
from pam.training.tasks import BoxTasks, PropTasks, Task, perturb_mask

SIDE = 32  # of the only crop that is possible, which is shown as it is


@pytest.fixture
def case() -> Case:
    """A cone on slices 5 to 14: on slice z, a bright disc that grows with z."""
    z, y, x = np.ogrid[:20, :SIDE, :SIDE]
    truth = (np.hypot(y - 16, x - 16) < (z - 3)) & (z >= 5) & (z < 15)
    volume = np.where(truth, 100 + default_rng(0).normal(0, 1, truth.shape), 0.0)
    return Case(Scan(volume, (3.0, 0.5, 0.5), "MR"), (Mask.of(truth),))


def _tasks(**settings: object) -> PropTasks:
    fixed = {"size": SIDE, "min_crop": SIDE, "crop_ratio": (1.0, 1.0), "queries": 6}
    return PropTasks.model_validate({**fixed, **settings})


def _radius(mask: torch.Tensor) -> float:
    return math.sqrt(float(mask.sum()) / math.pi)


def test_answers_are_those_of_the_slices_at_their_distance(case: Case) -> None:
    tasks = _tasks(near=1.0, near_slices=2)
    for seed in range(20):
        task = tasks.draw(case, default_rng(seed))
        guide = round(_radius(task.mask[0])) + 3
        assert 5 <= guide < 15
        steps = task.distance * (SIDE * 0.5) / 3.0
        assert torch.allclose(steps, steps.round(), atol=1e-4)
        assert 1 <= steps.abs().min() <= steps.abs().max() <= 2.001
        assert (steps.abs().diff() >= -1e-4).all()  # the nearest first
        for step, target in zip(steps.round().int().tolist(), task.target, strict=True):
            if target.any():
                assert round(_radius(target)) + 3 == guide + step
            else:
                assert not 5 <= guide + step < 15


def test_images_are_those_of_the_answers(case: Case) -> None:
    task = _tasks().draw(case, default_rng(3))
    for image, target in zip(task.adjacent[:, 0], task.target, strict=True):
        assert (image[target] > 0).float().mean() > 0.95 if target.any() else True
        assert (image[~target] == 0).all()
    assert task.image.dtype == task.adjacent.dtype == torch.uint8


def test_contrast_may_be_that_of_the_released_code(case: Case) -> None:
    """Each slice stretched to its own extremes: what is darker elsewhere looks as bright."""
    scan = case.scan
    scan.volume[::2] *= 0.5
    plain, stretched = (
        _tasks(**more).draw(case, default_rng(3)) for more in ({}, {"stretch": "slice"})
    )
    apart = (plain.adjacent.amax(dim=(1, 2, 3)) < 255).any()
    assert apart
    seen = torch.cat((stretched.image[None], stretched.adjacent)).flatten(1)
    for slice_ in seen:
        assert slice_.min() == 0
        assert slice_.max() in (0, 255)  # 0: nothing on it within the window
    ct = Case(Scan(scan.volume + 0.4, scan.spacing, "CT"), case.objects)
    whole = _tasks(integer_ct_window=True, percentiles=(0.5, 99.5)).draw(ct, default_rng(3))
    assert not torch.equal(whole.image, _tasks().draw(ct, default_rng(3)).image)


def test_the_crop_may_be_that_of_the_released_code(case: Case) -> None:
    """Before a bright background, near the last row: what the square has beyond it is black."""
    truth = np.roll(case.objects[0].dense(), (5, 5), axis=(1, 2))
    moved = Case(Scan(np.where(truth, 100.0, 200.0), case.spacing, "MR"), (Mask.of(truth),))
    seen = {"min_crop": 16, "crop_ratio": (1.4, 1.4), "largest": 1.0, "flat_window": "slice"}
    shifted, padded, short = (
        _tasks(**seen, **more).draw(moved, default_rng(0))
        for more in ({}, {"border": "pad"}, {"border": "pad", "last_pixel": False})
    )
    assert shifted.image[0, :, 0].all()
    # a square of int(1.4 * 21) = 29 pixels from row 21 - 14 on, of an image of 32 rows
    assert padded.image[0, : 32 * 25 // 29, 0].all()
    assert not padded.image[0, -(32 * 3 // 29) :].any()
    assert padded.mask.sum() < short.mask.sum()  # of int(1.4 * 20) = 28, whose pixels are larger


def test_grey_levels_may_be_those_of_the_released_code(case: Case) -> None:
    """A quarter of the window apart: by the divisor alone, not one that something is added to."""
    levels = np.where(case.objects[0].dense(), np.arange(SIDE) % 5, 0).astype(np.float32) * 5e-9
    faint = Case(Scan(levels, case.spacing, "MR"), case.objects)
    seen = {"percentiles": (0.0, 100.0), "largest": 1.0}
    plain, native = (
        _tasks(**seen, arithmetic=name).draw(faint, default_rng(0))
        for name in ("float32", "native")
    )
    assert plain.image.max() == int(2e-8 / 3e-8 * 255)
    assert native.image.max() == 255
    flat = Case(Scan(case.objects[0].dense() * 100.0, case.spacing, "MR"), case.objects)
    whole, blank = (
        _tasks(flat_window=name).draw(flat, default_rng(0)) for name in ("slice", "blank")
    )
    assert whole.image.any()
    assert not blank.image.any()


def test_around_the_ends_the_object_is_absent_on_some_slices(case: Case) -> None:
    def absent(tasks: PropTasks) -> float:
        drawn = [tasks.draw(case, default_rng(seed)) for seed in range(40)]
        return float(np.mean([not t.any() for task in drawn for t in task.target]))

    assert absent(_tasks(near=1.0)) < 0.3 < absent(_tasks(ends=1.0)) < 0.9


def test_guiding_slice_is_the_largest_or_large_enough(case: Case) -> None:
    radii = [_radius(_tasks(largest=1.0).draw(case, default_rng(s)).mask) for s in range(5)]
    assert min(radii) > 10.5
    large = _tasks(least_area=0.5)
    radii = [_radius(large.draw(case, default_rng(s)).mask) for s in range(30)]
    assert 7.5 < min(radii) < 10 < max(radii)


@pytest.mark.parametrize(("brightness", "most"), [(None, 0.1), (0.2, 0.2), (0, 0)])
def test_brightness_changes_by_its_share_or_half_of_the_contrasts(
    case: Case, brightness: float | None, most: float
) -> None:
    """A flat image of one half has no contrast to change."""
    plain = _tasks().draw(case, default_rng(0))
    flat = torch.full_like(plain.image, 128)
    task = Task(
        flat, plain.mask, torch.full_like(plain.adjacent, 128), plain.distance, plain.target
    )
    shade = Augmentation(flip=0, turn=0, grey=0.2, brightness=brightness, gamma=0)
    seen = [float(shade(task, default_rng(seed)).image.float().mean()) for seed in range(300)]
    assert max(seen) / 255 == pytest.approx(0.5 + most, abs=0.005)
    assert min(seen) / 255 == pytest.approx(0.5 - most, abs=0.005)


def test_a_volume_of_one_slice_gives_a_task(case: Case) -> None:
    flat = Case(
        Scan(case.scan.volume[10:11], case.spacing, "MR"),
        (Mask.of(case.objects[0].dense()[10:11]),),
    )
    task = _tasks().draw(flat, default_rng(0))
    assert not task.distance.any()
    assert torch.equal(task.target[0], task.mask[0])


def test_damage_is_a_plausible_error() -> None:
    y, x = np.ogrid[:96, :96]
    mask = torch.from_numpy(np.hypot(y - 48, x - 48) < 30)[None]
    overlaps = []
    for seed in range(20):
        wrong = perturb_mask(mask, default_rng(seed))
        overlaps.append(2 * float((wrong & mask).sum()) / float(wrong.sum() + mask.sum()))
    assert 0.6 < min(overlaps) < 0.97
    assert max(overlaps) < 1


def test_the_guiding_mask_may_be_that_of_box2mask(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that marks the rows of the box above its centre, of a cone that grows darker."""
    shown: list[tuple[int, ...]] = []

    def upper_half(
        _network: object, scan: Scan, index: int, box: tuple[int, ...], *_: object, **__: object
    ) -> NDArray[np.bool_]:
        shown.append((index, *box))
        mask = np.zeros(scan.volume.shape[1:], np.bool_)
        mask[box[0] : 16, box[2] : box[3]] = True
        return mask

    monkeypatch.setattr("pam.training.tasks.guiding_mask", upper_half)
    rows = np.arange(SIDE, dtype=np.float32)[:, None] * np.ones(SIDE, np.float32)
    ramp = Case(Scan(np.tile(rows, (20, 1, 1)), case.spacing, "MR"), case.objects)
    seen = {"largest": 1.0, "percentiles": (0.0, 100.0), "damaged": 1.0, "window_of_largest": 1.0}
    task = _tasks(boxed=1.0, **seen).draw(ramp, default_rng(0))
    assert shown == [(14, 6, 27, 6, 27)]  # a disc of radius 10 about (16, 16)
    expected = np.zeros((SIDE, SIDE), np.bool_)
    expected[6:16, 6:27] = True
    assert torch.equal(task.mask[0], torch.from_numpy(expected))
    levels = (rows.clip(6, 15) - 6) / 9 * 255  # the window of that mask, rows 6 to 15
    assert np.abs(task.image[0].numpy() - levels).max() <= 1
    plain = _tasks(**seen).draw(ramp, default_rng(0))
    assert not torch.equal(plain.mask, task.mask)


def test_the_shipped_box2mask_marks_a_disc_in_its_box(case: Case) -> None:
    task = _tasks(boxed=1.0, largest=1.0).draw(case, default_rng(0))
    y, x = np.ogrid[:SIDE, :SIDE]
    disc = torch.from_numpy(np.hypot(y - 16, x - 16) < 11)
    assert 2 * float((task.mask[0] & disc).sum()) / float(task.mask.sum() + disc.sum()) > 0.9


def test_weights_that_the_boxes_need_are_missing() -> None:
    _tasks(box_weights="nowhere.safetensors").check()
    with pytest.raises(UserError, match=r"nowhere\.safetensors"):
        _tasks(boxed=0.1, box_weights="nowhere.safetensors").check()


def test_with_context_slices_are_seen_in_a_wider_window_too(case: Case) -> None:
    """A ramp whose window is rows 6 to 26, of a disc of radius 10 about row 16."""
    rows = np.arange(SIDE, dtype=np.float32)[:, None] * np.ones(SIDE, np.float32)
    ramp = Case(Scan(np.tile(rows, (20, 1, 1)), case.spacing, "MR"), case.objects)
    seen = {"largest": 1.0, "percentiles": (0.0, 100.0)}
    task = _tasks(context=0.5, **seen).draw(ramp, default_rng(0))
    assert task.image.shape == (2, SIDE, SIDE)
    assert task.adjacent.shape == (6, 2, SIDE, SIDE)
    for image in (task.image, *task.adjacent):
        for shown, (low, high) in zip(image, ((6, 26), (-4, 36)), strict=True):
            levels = (rows.clip(low, high) - low) / (high - low) * 255
            assert np.abs(shown.numpy() - levels).max() <= 1


def test_box_tasks_show_the_box_alone(case: Case) -> None:
    tasks = BoxTasks(size=64, box_ratio=(1.0, 1.0), window="object", percentiles=(0, 100))
    for seed in range(5):
        task = tasks.draw(case, default_rng(seed))
        assert all(task.target[0].any(dim=d).all() for d in (0, 1))  # touches all four sides
        assert not task.adjacent.numel()
    wide = BoxTasks(size=64, box_ratio=(1.5, 1.5), centred=True, largest=1.0)
    spans = [wide.draw(case, default_rng(s)).target[0].any(dim=0).sum().item() for s in range(5)]
    assert all(span == pytest.approx(64 / 1.5, abs=3) for span in spans)


def test_the_box_may_be_that_of_the_object_in_space(case: Case) -> None:
    *_, first, stop = case.objects[0].box
    tasks = BoxTasks(size=64, box_ratio=(1.0, 1.0), whole=1.0)
    spans = [tasks.draw(case, default_rng(s)).target[0].any(dim=0).sum().item() for s in range(20)]
    possible = [64 * (2 * radius - 1) / (stop - first) for radius in range(2, 12)]
    assert all(min(abs(span - p) for p in possible) <= 2 for span in spans)
    assert min(spans) < 40 < 60 < max(spans)


@pytest.mark.parametrize("least", [1, 101, 10_000])
def test_box_tasks_leave_small_slices_out(case: Case, least: int) -> None:
    """In the box of the whole object, enlarged twice, an answer has four times the pixels."""
    areas = case.objects[0].dense().sum(axis=(1, 2))
    *_, first, stop = case.objects[0].box
    tasks = BoxTasks(size=2 * (stop - first), box_ratio=(1.0, 1.0), whole=1.0, least_pixels=least)
    drawn = {int(tasks.draw(case, default_rng(s)).target.sum()) / 4 for s in range(80)}
    large = areas[areas >= least]
    assert drawn == (set(large[large > 0]) if large.any() else {areas.max()})


def _drawing(channels: int = 1) -> Task:
    mask = torch.zeros(1, 24, 24, dtype=torch.bool)
    mask[:, 3:14, 5:19] = True
    mask[:, 3:6, 15:23] = True
    grey = (mask.to(torch.uint8) * 255).repeat(channels, 1, 1)
    several = grey.repeat(3, 1, 1, 1)
    return Task(grey, mask, several, torch.ones(3), mask.expand(3, 24, 24).clone())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("apart", [True, False])
def test_augmentation_moves_image_and_answer_alike(apart: bool, channels: int) -> None:
    same = []
    for seed in range(6):
        task = Augmentation(apart=apart, turn=1.0)(_drawing(channels), default_rng(seed))
        answers = torch.cat((task.mask, task.target))
        for channel in range(channels):
            images = torch.cat((task.image[None], task.adjacent))[:, channel] > 127
            assert (images == answers).float().mean() > 0.97
        same.append(all(torch.equal(answers[0], other) for other in answers[1:]))
    assert any(same) != apart
    assert all(same) != apart


@pytest.mark.parametrize(("fill", "peer"), [("black", "constant"), ("mirrored", "mirror")])
def test_what_a_rotation_brings_in_is_as_in_scipy(fill: str, peer: str) -> None:
    smooth = ndimage.gaussian_filter(default_rng(0).uniform(0, 255, (24, 24)), 2) + 40
    grey = torch.from_numpy(smooth).to(torch.uint8)[None]
    mask = grey > grey.median()
    task = Task(grey, mask, grey[None], torch.ones(1), mask)
    change = Augmentation.model_validate({"flip": 0, "turn": 1, "degrees": 30, "fill": fill})
    turned = change(task, default_rng(4))
    rng = default_rng(4)
    rng.random(3)  # no flip, no flip, a rotation
    degrees = float(rng.uniform(-30, 30))
    assert abs(degrees) > 10
    alike = ndimage.rotate(
        grey[0].numpy().astype(float), degrees, reshape=False, order=1, mode=peer
    )
    apart = np.abs(turned.image[0].numpy() - alike)
    assert np.quantile(apart, 0.9) <= 1
    corner = turned.image[0, :2, :2].float().mean()
    assert (corner < 20) == (fill == "black")


def test_augmentation_of_grey_values_leaves_answers() -> None:
    task = Augmentation(flip=0, turn=0, grey=0.3)(_drawing(), default_rng(0))
    assert torch.equal(task.target, _drawing().target)
    assert not torch.equal(task.image, _drawing().image)


def test_grey_values_change_as_often_and_as_told() -> None:
    still = Augmentation(flip=0, turn=0, grey=0.2, gamma=0, shaded=0.5)
    ramp = torch.arange(0, 250, 10, dtype=torch.uint8).reshape(1, 5, 5)
    none = torch.zeros(0)
    changed = 0
    for seed in range(200):
        image = still(Task(ramp, ramp > 0, none, none, ramp > 0), default_rng(seed)).image
        changed += not torch.equal(image, ramp)
        inner = image.flatten()[(image > 0).flatten() & (image < 255).flatten()].float()
        assert (inner.diff().diff().abs() <= 2).all()  # a straight line: no gamma
    assert 80 < changed < 120


def test_components_leave_out_specks_and_backgrounds() -> None:
    labels = np.zeros((4, 20, 20), np.int16)
    labels[:, :12] = 1  # 60 % of each slice
    labels[1:3, 14:18, 2:8] = 2
    labels[1:3, 14:18, 12:18] = 2
    labels[0, 19, 0] = 3
    found = components(labels)
    assert [mask.box for mask in found] == [(1, 3, 14, 18, 2, 8), (1, 3, 14, 18, 12, 18)]
