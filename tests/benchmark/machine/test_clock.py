"""File times ahead of the clock are moved back in their order; others stay."""

import os
import time
from pathlib import Path

import pytest

from benchmark.machine.clock import reset_future_times

NOW = 1_700_000_000 * 10**9
HOUR = 3600 * 10**9
AHEAD = {
    "data/A/images.parquet/0.parquet": 5 * HOUR,
    "data/A/raw/status.json": HOUR,
    "results/runs/r/masks/A/0.parquet": 9 * HOUR,
    "results/runs/r/times/A/0.parquet": 9 * HOUR,
}
STAY = {
    "results/runs/r/settings.json": -HOUR,
    "results/logs/a.log": 2 * HOUR,
    "data/A/raw/files/case.nii.gz": 3 * HOUR,
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, ahead in {**AHEAD, **STAY}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, ns=(NOW + ahead, NOW + ahead))
    monkeypatch.setattr(time, "time_ns", lambda: NOW)
    return tmp_path


def test_what_is_ahead_comes_back_in_its_order(place: Path) -> None:
    told = reset_future_times(place)
    assert told is not None
    assert told.startswith("4 files had times ahead")
    assert "by 32400 s" in told
    at = {name: (place / name).stat().st_mtime_ns for name in {**AHEAD, **STAY}}
    status, images, masks, times = (
        at[name] for name in sorted(AHEAD, key=lambda name: (AHEAD[name], name))
    )
    assert NOW - HOUR < status < images < masks == times == NOW
    assert {name: at[name] - NOW for name in STAY} == STAY
    assert reset_future_times(place) is None
