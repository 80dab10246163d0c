"""Bad scans and bad methods are recorded with their reasons, and the study goes on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark import volume
from benchmark.machine.attempts import MAX_DEATHS
from benchmark.storage.files import read_json, write_json
from benchmark.storage.tables import read_table
from tests.workflow.conftest import Workplace, entry
from tests.workflow.faults import kill_when

WAITS = '''

import time
from pathlib import Path


class Waits(Slab):
    """Works on the second scan while there is a file ``hold``; tells which scans it is given."""

    def segment(self, volume, prompts):
        with open("given", "a") as file:
            print(volume.scan, file=file)
        while volume.scan == "case2" and Path("hold").exists():
            Path("begun").touch()
            time.sleep(0.1)
        yield from super().segment(volume, prompts)
'''


def spoil(place: Workplace) -> None:
    """Add a scan of each kind that cannot be used to dataset A."""
    images, labels = place.folder / "A" / "images", place.folder / "A" / "labels"
    for number, scan in enumerate(("truncated", "nan", "grids", "value", "empty")):
        place.add_scan("A", scan, seed=50 + number)
    whole = (images / "truncated.nii.gz").read_bytes()
    (images / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    spacing = (3.0, 1.0, 1.0)
    volume.write(np.full((8, 24, 24), np.nan, np.float32), spacing, images / "nan.nii.gz")
    volume.write(np.ones((8, 24, 25), np.uint8), spacing, labels / "grids.nii.gz")
    volume.write(np.full((8, 24, 24), 7, np.uint8), spacing, labels / "value.nii.gz")
    volume.write(np.zeros((8, 24, 24), np.uint8), spacing, labels / "empty.nii.gz")


METHODS = {
    name: {"adapter": f"mymethods:{adapter}", "prompt": "mask2d"}
    for name, adapter in {
        "slab": "Slab",
        "raising": "Raising",
        "wrong shape": "WrongShape",
        "dies": "Dies",
    }.items()
}


@pytest.fixture(scope="module")
def ended(make_workplace: Callable[[], Workplace]) -> Workplace:
    """A study of bad scans and bad methods that has ended, since it may lose all."""
    place = make_workplace()
    spoil(place)
    place.write("A.yaml", entry("A") | {"shards": 2})  # no scan of the second can be used
    study = place.study(datasets=["A.yaml"], methods=METHODS, budgets={"lost_share": 1})
    run = place.run(study)
    assert run.returncode == 0, run.stdout + run.stderr
    assert place.rerun(study) == set()
    return place


def test_all_is_set_aside_with_its_reason(ended: Workplace) -> None:
    folder = ended.folder / "results" / "small"
    failures = read_table(folder / "failures.parquet")
    reasons = failures[failures["method"].isna()].set_index("scan")["reason"]
    expected = {
        "truncated": "truncated",
        "nan": "NaN",
        "grids": "different grids",
        "value": "holds the values [7]",
        "empty": "is empty",
    }
    assert set(reasons.index) == set(expected)
    for scan, words in expected.items():
        assert words in reasons[scan]

    scores = ended.scores().set_index("method")
    assert set(scores["scan"]) == {"case1", "case2"}
    assert set(scores.loc["slab", "status"]) == {"ok"}
    for method, words in (("raising", "the network is on fire"), ("wrong shape", "(2, 3, 4)")):
        assert set(scores.loc[method, "status"]) == {"failed"}
        assert scores.loc[method, "reason"].str.contains(words, regex=False).all()
        assert scores.loc[method, "dsc"].isna().all()
    report = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("the network is on fire", "holds the values [7]", "different grids"):
        assert words in report


def test_a_scan_that_kills_its_process_is_failed_and_the_study_goes_on(ended: Workplace) -> None:
    scores = ended.scores().set_index(["method", "scan"]).sort_index()
    assert set(scores.loc["slab", "status"]) == {"ok"}
    assert set(scores.loc[("dies", "case2"), "status"]) == {"ok"}
    assert set(scores.loc[("dies", "case1"), "status"]) == {"failed"}
    reason = "the process ended 3 times on this scan"
    assert set(scores.loc[("dies", "case1"), "reason"]) == {reason}
    report = (ended.folder / "results" / "small" / "report.html").read_text(encoding="utf-8")
    assert reason in report


def test_more_lost_than_allowed_fails_the_study_at_its_end(ended: Workplace) -> None:
    folder = ended.folder / "results" / "small"
    (folder / "report.html").unlink()
    run = ended.run(ended.study(datasets=["A.yaml"], methods=METHODS))
    assert run.returncode != 0
    assert "lost, more than the budget of 20%" in run.stdout + run.stderr
    assert (folder / "report.html").exists()
    assert not (folder / "within-budget.json").exists()


def test_what_kills_the_workflow_as_well_costs_no_cell_and_no_finished_scan(
    make_workplace: Callable[[], Workplace],
) -> None:
    place = make_workplace()
    hold = place.folder / "hold"
    with (place.folder / "mymethods.py").open("a", encoding="utf-8") as file:
        file.write(WAITS)
    methods = {"waits": {"adapter": "mymethods:Waits", "prompt": "mask2d"}}
    study = place.study(datasets=["B.yaml"], methods=methods, budgets={"timed_objects": 0})
    target = "results/small/scores.parquet"
    hold.touch()

    def notes() -> list[Path]:
        return list(place.folder.glob("results/runs/*/times/B/*.attempts"))

    assert kill_when(place, study, lambda: (place.folder / "begun").exists(), "--", target)
    for note in notes():
        told = read_json(note)
        assert told["at"] == "scan case2"
        write_json(note, told | {"deaths": {told["at"]: MAX_DEATHS - 1}})  # of earlier attempts
    assert notes()
    hold.unlink()
    assert place.run(study, "--unlock").returncode == 0
    run = place.run(study, "--", target)
    assert run.returncode == 0, run.stdout + run.stderr
    assert set(place.scores()["status"]) == {"ok"}
    assert not notes()
    given = place.folder / "given"
    assert given.read_text(encoding="utf-8").split() == ["case1", "case2", "case2"]

    # A shard that the user forces begins again, also if it was cut off.
    (masks,) = place.folder.glob("results/runs/*/masks/B/0.parquet")
    forced = ("--forcerun", str(masks.relative_to(place.folder)), "--", target)
    hold.touch()
    (place.folder / "begun").unlink()
    assert kill_when(place, study, lambda: (place.folder / "begun").exists(), *forced)
    assert list(masks.with_suffix(".parts").iterdir())
    hold.unlink()
    given.unlink()
    assert place.run(study, "--unlock").returncode == 0
    run = place.run(study, *forced)
    assert run.returncode == 0, run.stdout + run.stderr
    assert given.read_text(encoding="utf-8").split() == ["case1", "case2"]
