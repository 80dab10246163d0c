"""Visibility of a surface, by hand, and of generated objects."""

from typing import Any

import numpy as np
import pytest

from pam.training.appearance import lay_septa
from pam.training.canvas import Canvas
from pam.training.generator import Generator
from pam.training.visibility import LEAST, visible

SMALL: dict[str, Any] = {"slices": (10, 14), "side": (64, 80)}


def test_the_share_of_a_cube_in_two_surroundings() -> None:
    labels = np.zeros((12, 12, 12), np.int16)
    labels[:, :, 6:] = 1
    labels[4:8, 4:8, 4:8] = 2  # half of it in either
    clean = np.where(labels == 1, 50.0, 0.0)
    share = visible(labels, clean, 50 / LEAST, (1.0, 1.0, 1.0))
    # The cube looks as what is around its half in 0: seen are a side and four halves of six.
    assert share[2] == pytest.approx((1 + 4 / 2) / 6)
    assert share[0] == pytest.approx((144 - 16) / (144 - 16 + 3 * 16))
    assert visible(labels, clean, 51 / LEAST, (1.0, 1.0, 1.0)).max() == 0


def test_faces_count_by_their_area() -> None:
    labels = np.zeros((6, 6, 6), np.int16)
    labels[2:4, 2:4, 2:4] = 1
    clean = np.zeros(labels.shape)
    clean[4:] = 9.0  # seen above alone
    share = visible(labels, clean, 1.0, (5.0, 1.0, 2.0))
    above, sides = 1 * 2, 2 * (1 * 2 + 5 * 2 + 5 * 1)
    assert share[1] == pytest.approx(above / sides)


def test_objects_that_cannot_be_seen_are_left_out_and_the_scan_stays() -> None:
    counts = {}
    for least in (0.0, 0.8):
        cases = [Generator(seed=5, visible=least, **SMALL).case(number) for number in range(6)]
        counts[least] = [len(case.objects) for case in cases]
    every, seen = counts.values()
    assert sum(seen) < sum(every)
    one, same = (Generator(seed=5, visible=v, **SMALL).case(0).scan.volume for v in (0.0, 0.3))
    np.testing.assert_array_equal(one, same)


def test_septa_part_what_looks_alike() -> None:
    drawn = Canvas(np.random.default_rng(0), (12, 40, 40), (1.0, 1.0, 1.0))
    drawn.labels[:, :, 20:] = 1
    drawn.labels[:, 20:, :] = 2
    values = np.where(drawn.labels == 2, np.float32(300), np.float32(50))  # 0 and 1 look alike
    clean = values.copy()
    lay_septa(drawn, values, septum=-95.0, alike=60.0)
    changed = np.argwhere(values != clean)
    assert set(changed[:, 2]) == {20}
    assert changed[:, 1].max() == 19
    assert (values <= clean).all()
    shares = [visible(drawn.labels, image, 10.0, drawn.spacing)[0] for image in (clean, values)]
    assert shares[0] == pytest.approx(0.5)
    assert shares[1] > 0.8


def test_slices_too_thick_have_no_septa_along_them() -> None:
    drawn = Canvas(np.random.default_rng(0), (12, 40, 40), (3.0, 1.0, 1.0))
    drawn.labels[6:] = 1
    values = np.zeros(drawn.shape, np.float32)
    lay_septa(drawn, values, septum=-95.0, alike=60.0)
    assert not values.any()


def test_a_scan_with_septa_differs_from_one_without() -> None:
    without, with_them = (Generator(seed=2, septa=s, **SMALL).case(1) for s in (0.0, 1.0))
    assert not np.array_equal(without.scan.volume, with_them.scan.volume)
