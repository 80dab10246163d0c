"""Generated cases: valid, seeded, and of the shape they claim to have."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pam.training import canvas, shapes
from pam.training.generator import Generator
from pam.training.scenes import SCENES

SMALL: dict[str, Any] = {"slices": (8, 14), "side": (48, 64)}


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_a_case_is_a_scan_with_separate_connected_objects(scene: str) -> None:
    generator = Generator(scenes={scene: 1.0}, **SMALL)
    for number in range(3):
        case = generator.case(number)
        volume = case.scan.volume
        assert 8 <= volume.shape[0] <= 14
        assert 48 <= volume.shape[1] == volume.shape[2] <= 64
        assert 0.69 < case.spacing[0] / case.spacing[1] < 4.01
        assert case.objects
        claimed = np.zeros(volume.shape, int)
        for found in case.objects:
            dense = found.dense()
            claimed += dense
            assert dense.sum() >= 30
            assert ndimage.label(dense, np.ones((3, 3, 3)))[1] == 1
            assert dense.mean(axis=(1, 2)).max() <= 0.35
        assert claimed.max() == 1
        low, high = (-1024, 3071) if case.scan.modality == "CT" else (0, 32767)
        assert low <= volume.min() < volume.max() <= high


def test_seed_and_number_are_the_case() -> None:
    one = Generator(seed=4, **SMALL).case(2)
    same = Generator(seed=4, **SMALL).case(2)
    assert np.array_equal(one.scan.volume, same.scan.volume)
    assert one.spacing == same.spacing
    assert [o.box for o in one.objects] == [o.box for o in same.objects]
    for other in (Generator(seed=5, **SMALL).case(2), Generator(seed=4, **SMALL).case(3)):
        assert not np.array_equal(one.scan.volume, other.scan.volume)


def test_slices_may_lie_far_apart() -> None:
    ratios = [
        case.spacing[0] / case.spacing[1]
        for case in (Generator(anisotropy=(3.0, 6.0), **SMALL).case(n) for n in range(8))
    ]
    assert 3 <= min(ratios) < max(ratios) <= 6.001


def test_objects_end_within_the_range() -> None:
    inside = [
        found.box[0] > 0 and found.box[1] < case.scan.volume.shape[0]
        for case in (Generator(slices=(20, 20), side=(64, 64)).case(n) for n in range(6))
        for found in case.objects
    ]
    assert 0.2 < np.mean(inside) < 1


def test_columns_run_through_the_volume() -> None:
    generator = Generator(scenes={"columns": 1.0}, **SMALL)
    cases = [generator.case(number) for number in range(6)]
    touched = [
        (found.box[0] == 0) + (found.box[1] == found.shape[0])
        for case in cases
        for found in case.objects
    ]
    assert np.mean([ends == 2 for ends in touched]) > 0.4
    assert min(touched) < 2


@pytest.mark.parametrize("knots", [(4, 9, 9), (12, 20, 20)])
def test_noise_has_unit_variance_and_is_smooth(knots: tuple[int, ...]) -> None:
    fields = [canvas.noise(np.random.default_rng(n), (40, 80, 80), knots) for n in range(6)]
    assert np.mean([f.var() for f in fields]) == pytest.approx(1, rel=0.15)
    # neighbours are alike, of which white noise has nothing
    assert all(np.corrcoef(f[..., 1:].ravel(), f[..., :-1].ravel())[0, 1] > 0.8 for f in fields)


def _volume(level: canvas.Level, reach: float) -> float:
    step = reach / 40
    axis = np.arange(-reach, reach, step, dtype=np.float32) + step / 2
    points = np.meshgrid(axis, axis, axis, indexing="ij")
    return float((level(*points) < 0).sum()) * step**3


def test_shapes_have_their_volumes() -> None:
    turn = Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix()
    ellipsoid = shapes.ellipsoid((0, 0, 0), (3, 5, 8), turn)
    assert _volume(ellipsoid, 9) == pytest.approx(4 / 3 * math.pi * 3 * 5 * 8, rel=0.01)
    box = shapes.ellipsoid((0, 0, 0), (3, 5, 8), np.eye(3), power=40)
    assert _volume(box, 9) == pytest.approx(8 * 3 * 5 * 8, rel=0.05)
    capsule = shapes.capsule((0, -3, 0), (0, 3, 0), 2, 2)
    assert _volume(capsule, 6) == pytest.approx(math.pi * 4 * 6 + 4 / 3 * math.pi * 8, rel=0.01)


def test_parts_of_a_split_organ_fill_it_and_touch() -> None:
    drawn = canvas.Canvas(np.random.default_rng(0), (20, 60, 60), (2.0, 1.0, 1.0))
    organ = shapes.lump(drawn, (0, 0, 0), (15, 20, 20))
    before = drawn.labels == organ
    parts = shapes.split(drawn, organ, 3)
    assert len(set(parts)) == 3
    assert np.array_equal(np.isin(drawn.labels, parts), before)
    assert all((drawn.labels == part).any() for part in parts)
