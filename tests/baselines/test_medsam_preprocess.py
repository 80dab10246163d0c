"""What MedSAM is shown, against what the released scripts make of the same volumes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from baselines.medsam_preprocess import WINDOWS, to_square, to_uint8

Golden = Callable[[str], Mapping[str, Any]]


def test_the_volume_as_recorded(golden: Golden) -> None:
    recorded = golden("medsam_volume.npz")
    volume = recorded["vol"]
    ct = to_uint8(volume, "CT", WINDOWS["soft-tissue"])
    np.testing.assert_array_equal(ct[::2, ::3, ::3], recorded["ct_part"])
    mr = to_uint8(np.clip(volume.astype(np.float32) + 500, 0, None), "MR", (40, 400))
    np.testing.assert_array_equal(mr[::2, ::3, ::3], recorded["mr_part"])


@pytest.mark.parametrize("case", ["up", "down"])
def test_a_slice_as_recorded(golden: Golden, case: str) -> None:
    recorded = golden("medsam_slice.npz")
    square = to_square(recorded[f"img_{case}"], 128)
    assert square.dtype == np.float32
    np.testing.assert_allclose(square[::3, ::3], recorded[f"{case}_part"], atol=1e-6)


def test_the_window_is_that_of_the_option() -> None:
    values = np.array([-2000.0, -600.0, 0.0, 80.0])
    chest = to_uint8(values, "CT", WINDOWS["chest"])
    assert chest.tolist() == [0, 133, 240, 255]  # -1350 to 80, the highest there is
    brain = to_uint8(values, "CT", WINDOWS["brain"])
    assert brain.tolist() == [0, 0, 0, 255]


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("value", [0, -3, 7])
def test_a_volume_of_one_value_is_black(modality: str, value: float) -> None:
    flat = np.full((2, 3, 4), value, np.float32)
    assert not to_uint8(flat, modality, (40, 400)).any()
    assert not to_square(np.full((5, 6), 200, np.uint8), 8).any()


def test_zeros_stay_black_where_others_are_stretched() -> None:
    values = np.array([0, 0, -50, 10, 20, 30], np.float32)
    got = to_uint8(values, "MR", (40, 400))
    assert got[:2].tolist() == [0, 0]
    assert got[2] == 0
    assert got[5] == 255
