"""MedSAM's input images against those that the released scripts make of the same volumes."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from baselines.medsam import MedSAM
from baselines.medsam2 import Sam2
from baselines.medsam_preprocess import WINDOWS, WindowOptions, to_square, to_uint8
from benchmark.adapter import Adapter
from benchmark.errors import UserError
from benchmark.volume import Volume

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


def test_a_dataset_may_have_a_window_of_its_own() -> None:
    ends_and_middle_of_chest = np.array([-1350, -600, 150], np.int16).reshape(1, 1, 3)
    options = WindowOptions(windows={"D05": "chest", "D08": (0, 100)})

    def shown(dataset: str) -> list[int]:
        volume = Volume(ends_and_middle_of_chest, (1.0, 1.0, 1.0), "CT", dataset=dataset)
        return [*map(int, options.grey(volume, 0).ravel())]

    assert shown("D05") == [0, 127, 255]
    assert shown("D08") == shown("D01") == [0, 0, 255]  # -50 to 50; -160 to 150 of 240


def test_a_window_of_a_dataset_is_level_and_width() -> None:
    volume = Volume(np.array([-60, 0, 60]).reshape(1, 1, 3), (1.0, 1.0, 1.0), "CT", dataset="a")
    options = WindowOptions(windows={"a": (10, 100)})
    assert options.grey(volume, 0).ravel().tolist() == [0, 102, 255]  # -40 to 60


@pytest.mark.parametrize("method", [MedSAM, Sam2])
@pytest.mark.parametrize("window", [(240, -160), (40, 0), (40, math.inf), (math.nan, 400), "lung"])
def test_a_window_of_no_width_is_refused(method: type[Adapter], window: object) -> None:
    """Its lower and its upper end given by mistake, which would show a black volume."""
    for options in ({"window": window}, {"windows": {"D05": window}}):
        with pytest.raises(UserError, match="window"):
            method(options)


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
