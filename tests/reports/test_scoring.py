"""The report's notes on scoring rules and on cells without a prediction."""

import re
import shutil
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import catalogue, metrics
from benchmark.metrics.empty import EmptyPolicy
from benchmark.storage.files import read_json, write_json
from reports import html, scoring, tables
from reports.figures import draw
from reports.results import Results

DIAGONAL = "HD95 and ASD are the diagonal of the scan"


def copied(study: Path, tmp_path: Path, rules: Mapping[str, Any] | None = None) -> Path:
    """A copy of the study whose record knows the rules of its scores."""
    folder = Path(shutil.copytree(study, tmp_path / "copy"))
    policy = EmptyPolicy().model_dump()
    told = {"empty": policy, "nsd_tolerance_mm": 2.0, "tolerances": {}, **(rules or {})}
    write_json(folder / "record.json", read_json(folder / "record.json") | {"scoring": told})
    return folder


def emptied(folder: Path, cells: int, level: str, method: str) -> pd.DataFrame:
    """Make the first cells of a method ones without a prediction; returns all scores."""
    path = folder / "scores.parquet"
    scores = pd.read_parquet(path)
    mine = (scores["method"] == method) & (scores["level"] == level) & (scores["status"] == "ok")
    scores.loc[scores.index[mine][:cells], "volume_ratio"] = 0.0
    scores.to_parquet(path)
    return scores


def test_the_volume_ratio_is_0_where_nothing_was_predicted_and_nowhere_else() -> None:
    nothing, some = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
    some[1, 2, 3] = True
    apart = np.roll(some, 1)

    def ratio(reference: Any, prediction: Any) -> float:
        settings = {"grid_voxels": reference.size, "tolerance_mm": 1.0}
        return metrics.score(reference, prediction, (1.0, 1.0, 1.0), **settings)["volume_ratio"]

    assert ratio(some, nothing) == 0
    assert ratio(some, apart) > 0
    assert np.isnan(ratio(nothing, nothing))


def test_structures_without_a_prediction_are_counted_by_method(study: Path, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    emptied(folder, 3, "object", "classic-0")
    emptied(folder, 1, "structure", "oracle")
    scores = emptied(folder, 2, "structure", "PAM-1")
    scored = scores[(scores["level"] == "structure") & (scores["status"] == "ok")]
    cells = scored["method"].value_counts()
    results = Results(folder)
    assert results.empty_predictions == {
        "classic-0": (0, cells["classic-0"]),
        "PAM-1": (2, cells["PAM-1"]),
        "oracle": (1, cells["oracle"]),
    }
    expected = f"Nothing was predicted by PAM-1 in 2 of {cells['PAM-1']} scored cells."
    assert scoring.empty_counts(results) == expected


def test_where_all_is_predicted_that_is_said(study: Path) -> None:
    assert scoring.empty_counts(Results(study)) == "Every scored cell has a prediction."


def test_scores_without_a_volume_ratio_are_not_judged(study: Path, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    path = folder / "scores.parquet"
    pd.read_parquet(path).drop(columns="volume_ratio").to_parquet(path)
    assert scoring.empty_counts(Results(folder)) == ""


def test_rules_that_nobody_recorded_are_not_made_up(study: Path) -> None:
    results = Results(study)
    assert "scoring" not in results.record
    assert (scoring.empty_rule(results), scoring.nsd_tolerance(results)) == ("", "")


@pytest.mark.parametrize(
    ("policy", "said", "unsaid"),
    [
        ({}, DIAGONAL, "no value"),
        ({"distance": "leave-out"}, "HD95 and ASD have no value", DIAGONAL),
    ],
)
def test_the_policy_in_force_is_told(
    policy: dict[str, Any], said: str, unsaid: str, study: Path, tmp_path: Path
) -> None:
    rules = {"empty": EmptyPolicy(**policy).model_dump()}
    text = " ".join(scoring.notes(Results(copied(study, tmp_path, rules))))
    assert said in text
    assert unsaid not in text


def test_the_tolerance_in_force_is_told(study: Path, tmp_path: Path) -> None:
    rules = {"nsd_tolerance_mm": 1.5, "tolerances": {"liver": 5.0}}
    folder = copied(study, tmp_path, rules)
    usual = "The tolerance of NSD is 1.5 mm, 5 mm for liver"
    assert scoring.nsd_tolerance(Results(folder)) == f"{usual}."
    scores = pd.read_parquet(folder / "scores.parquet")
    scores["tolerance_mm"] = scores["structure"].map({"liver": 5.0, "lesion": 1.5})
    scores.loc[scores["dataset"] == "D02", "tolerance_mm"] = 0.01
    scores.loc[scores["status"] != "ok", "tolerance_mm"] = None
    scores.to_parquet(folder / "scores.parquet")
    results = Results(folder)
    entries = "set by entries of datasets: 0.01 mm for liver of D02, 0.01 mm for lesion of D02"
    assert scoring.nsd_tolerance(results) == f"{usual}; {entries}."
    below = {table.name: " ".join(table.notes) for table in tables.printed(results)}
    told = {name for name, text in below.items() if entries in text}
    assert told == {"table1", "nsd_by_dataset"}
    assert entries in draw("fig4b", results)[1]


@pytest.mark.parametrize(("tolerance", "told"), [(0.5, ["D01", "D02", "D03"]), (50.0, [])])
def test_a_tolerance_below_a_voxel_is_told(
    study: Path, tmp_path: Path, tolerance: float, told: list[str]
) -> None:
    results = Results(copied(study, tmp_path, {"nsd_tolerance_mm": tolerance}))
    images = pd.read_parquet(results.folder / "images.parquet")
    smallest = images[["spacing_z", "spacing_y", "spacing_x"]].min(axis=1)
    assert ((smallest > tolerance) == bool(told)).all()
    text = scoring.below_voxel(results)
    assert re.findall(r"D\d+", text) == told
    assert (text in scoring.notes(results)) == bool(told)


def test_it_stands_where_the_numbers_are_read(study: Path, tmp_path: Path) -> None:
    results = Results(copied(study, tmp_path))
    emptied(results.folder, 2, "structure", "PAM-1")
    page = html.render(results)
    for sentence in scoring.notes(results):
        assert sentence in page
    assert page.index("How to read the numbers") < page.index(DIAGONAL)
    tables.make(results)
    folder = results.folder / "tables"
    for name in ("table1", "hd95_by_dataset", "asd_by_dataset"):
        for suffix in ("md", "tex"):
            assert DIAGONAL in (folder / f"{name}.{suffix}").read_text(encoding="utf-8")
    assert "Nothing was predicted by PAM-1" in (folder / "table1.md").read_text(encoding="utf-8")
    assert DIAGONAL not in (folder / "sensitivity_by_dataset.md").read_text(encoding="utf-8")
    assert DIAGONAL in draw("fig4b", results)[1]


def test_what_is_wrong_with_a_spacing_stands_below_distances(study: Path, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    record = read_json(folder / "record.json")
    lost = catalogue.load("D40").spacing_note
    assert lost is not None
    record["datasets"]["D01"]["spacing_note"] = lost
    record["datasets"]["D03"] |= {"spacing_note": "Not scored.", "scans": 0}
    write_json(folder / "record.json", record)
    results = Results(folder)
    assert scoring.spacing_notes(results) == [f"D01: {lost}"]
    data = html.render(results).partition('<h2 id="data">')[2].partition("</section>")[0]
    assert f"D01: {lost}" in data
    tables.make(results)
    for name, told in {
        "table1": True,
        "averages": True,
        "nsd_by_dataset": True,
        "hd95_by_dataset": True,
        "asd_by_dataset": True,
        "datasets": True,
        "sensitivity_by_dataset": False,
        "fingerprint": True,
        "object_types": True,
    }.items():
        text = (folder / "tables" / f"{name}.md").read_text(encoding="utf-8")
        assert (f"D01: {lost}" in text) == told, name
    assert draw("fig3b", results)[1].count(f"D01: {lost}") == 1


def test_patients_that_are_held_back_are_counted_and_few_pointed_out(
    study: Path, tmp_path: Path
) -> None:
    assert "held back" not in html.render(Results(study))
    folder = copied(study, tmp_path)
    record = read_json(folder / "record.json")
    first, second, *_ = record["datasets"]
    for name, kept in ((first, 4), (second, 2)):
        record["datasets"][name] |= {"held_back": kept, "patients": 20}
    write_json(folder / "record.json", record)
    results = Results(folder)
    tables.make(results)
    counted = f"Patients held back from methods that learn: {first} 4 of 20, {second} 2 of 20."
    few = f"Fewer than 3 patients are held back of {second}: "
    for text in (html.render(results), (folder / "tables" / "datasets.md").read_text("utf-8")):
        assert counted in text
        assert few in text


def test_the_report_tells_what_to_know_of_the_data(study: Path, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    record = read_json(folder / "record.json")
    quirks = catalogue.load("D34@released").quirks
    assert len(quirks) > len(catalogue.load("D34").quirks) > 0
    record["datasets"]["D01"]["quirks"] = quirks
    write_json(folder / "record.json", record)
    data = html.render(Results(folder)).partition('<h2 id="data">')[2].partition("</section>")[0]
    told = unescape(data.partition("What to know of each dataset")[2])
    for quirk in quirks:
        assert told.count(quirk) == 1


def test_scans_stand_beside_those_that_are_published(study: Path, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    record = read_json(folder / "record.json")
    record["datasets"]["D01"]["published"] = 3
    write_json(folder / "record.json", record)
    results = Results(folder)
    data = html.render(results).partition('<h2 id="data">')[2]
    assert '<td class="number" data-value="2">2 of 3</td>' in data
    assert data.count('<td class="number" data-value="2">2</td>') == 2
    tables.make(results)
    written = pd.read_csv(folder / "tables" / "datasets.csv", dtype=str).set_index("id")
    assert (written["scans"]["D01"], written["published"]["D01"]) == ("2", "3")
