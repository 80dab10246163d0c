"""The status of a study, from the files that it leaves at each moment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import inference, prepare, prompts
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.overview import status
from benchmark.overview.status import Cell, cells, final_check, set_aside, stages, summary
from benchmark.sources import Status
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.tables import write_table
from benchmark.study import Study

METHODS = {
    "box": {"adapter": "box-fill", "prompt": "box3d"},
    "slab": {"adapter": "copy-mask", "prompt": "mask2d", "variants": {"again": {}}},
}
AT = {"dataset": "T1", "shard": 0}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Callable[..., Dataset]) -> Study:
    monkeypatch.chdir(tmp_path)
    made = entry(tmp_path / "T1", id="T1", shards=2)
    Path("T1.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")), encoding="utf-8")
    content = {"study": "s", "datasets": ["T1.yaml"], "methods": METHODS}
    return Study.read(content, "study.yaml")


def done(study: Study) -> dict[str, tuple[int, int]]:
    return {stage.name: (stage.done, stage.expected) for stage in stages(study, Path())}


def masks(*statuses: str) -> list[dict[str, Any]]:
    reasons = {"failed": "the network is on fire"}
    about = {"dataset": "T1", "variant": "", "deviation": 0.0}
    return [{**about, "status": each, "reason": reasons.get(each)} for each in statuses]


def test_a_study_that_was_not_started(study: Study) -> None:
    assert done(study) == {
        "fetch": (0, 1),
        "prepare": (0, 2),
        "prompts": (0, 2),
        "predict": (0, 4),
        "score": (0, 4),
        "collect": (0, 1),
        "report": (0, 1),
    }
    nothing = dict.fromkeys(("ok", "skipped", "failed"), 0)
    assert cells(study, Path()) == [Cell(name, "T1", 0, 2, 0, nothing, None) for name in METHODS]


def test_a_dataset_that_waits_for_a_person_is_named_as_the_reason(study: Study) -> None:
    waits = Status(state="manual", root="", fingerprint="", reason="register first")
    write_json(paths.at(paths.STATUS, dataset="T1"), waits.model_dump())
    assert done(study)["fetch"] == (1, 1)
    assert {cell.reason for cell in cells(study, Path())} == {"manual: register first"}


def test_a_shard_without_predictions_is_counted_as_done(study: Study) -> None:
    empty = paths.at(paths.MASKS, run=study.runs["box"].id, **AT)
    write_table([], inference.MASK_SCHEMA, empty)
    lines = [line.split() for line in summary(study, Path()).splitlines()]
    assert ["box", "T1", "1/2", "0", "0", "0", "0"] in lines


def test_answers_are_counted_and_what_waits_is_the_rest(study: Study) -> None:
    write_table([], prepare.IMAGE_SCHEMA, paths.at(paths.IMAGES, **AT))
    asked = [
        {"dataset": "T1", "kind": kind, "deviation": deviation}
        for kind, deviations in (("box3d", [0.0] * 5), ("mask2d", [0.0] * 5 + [-0.2, 0.2]))
        for deviation in deviations
    ]
    where = paths.at(paths.PROMPTS, rules=study.prompt_rules.id, **AT)
    write_table(asked, prompts.SCHEMA, where)
    old = [{**row, "variant": "wide", "deviation": 0.2} for row in masks("ok")]
    answered = [*masks("ok", "ok", "failed"), *old]
    run = study.runs["box"].id
    write_table(answered, inference.MASK_SCHEMA, paths.at(paths.MASKS, run=run, **AT))

    assert done(study)["predict"] == (1, 4)
    box, slab = cells(study, Path())
    assert (box.shards_done, box.expected, box.waiting) == (1, 5, 2)
    assert box.states == {"ok": 2, "skipped": 0, "failed": 1}
    assert box.reason == "the network is on fire"
    assert (slab.shards_done, slab.expected, slab.waiting) == (0, 12, 12)


def test_the_text_has_a_line_a_stage_and_a_line_a_cell(study: Study) -> None:
    lines = [line.split() for line in summary(study, Path()).splitlines()]
    assert ["predict", "0", "of", "4"] in [line[:4] for line in lines]
    assert ["box", "T1", "0/2", "0", "0", "0", "0"] in lines


def test_scans_that_were_set_aside_are_counted_by_dataset(study: Study) -> None:
    assert set_aside(study, Path()) == {"T1": (0, 0)}
    assert "scans set aside" not in summary(study, Path())
    lost = [{"dataset": "T1", "scan": scan} for scan in ("a", "b", None, "c")]
    kept = [{"dataset": "T1", "scan": scan} for scan in ("d", "e")]
    write_table(lost[:3], prepare.FAILURE_SCHEMA, paths.at(paths.SET_ASIDE, **AT))
    write_table(kept[:1], prepare.IMAGE_SCHEMA, paths.at(paths.IMAGES, **AT))
    second = AT | {"shard": 1}
    write_table(lost[3:], prepare.FAILURE_SCHEMA, paths.at(paths.SET_ASIDE, **second))
    write_table(kept[1:], prepare.IMAGE_SCHEMA, paths.at(paths.IMAGES, **second))
    assert set_aside(study, Path()) == {"T1": (3, 5)}
    assert ["T1", "3", "of", "5"] in [line.split() for line in summary(study, Path()).splitlines()]


def test_the_final_check_is_that_of_the_scores_that_are_there(study: Study) -> None:
    def put(path: Path, text: str, time: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (time, time))

    folder = paths.at(paths.STUDY, study=study.study)
    log = paths.at(paths.CHECK_LOG, study=study.study)
    assert final_check(study, Path()) == "has not run"
    put(log, "", 5)
    assert final_check(study, Path()) == "has not run"
    put(folder / "scores.parquet", "", 10)
    assert final_check(study, Path()) == "has not run"
    put(log, "", 20)
    assert final_check(study, Path()) == "has not ended"
    put(log, "3 of 5 scans\n  were lost.\n", 20)
    assert final_check(study, Path()) == "failed: 3 of 5 scans were lost."
    assert "  check    failed: 3 of 5 scans were lost." in summary(study, Path()).splitlines()
    put(folder / "within-budget.json", "{}", 30)
    assert final_check(study, Path()) == "passed"
    put(folder / "scores.parquet", "", 40)
    assert final_check(study, Path()) == "has not run"


def test_it_tells_whether_a_workflow_is_at_it(study: Study, tmp_path: Path) -> None:
    assert summary(study, tmp_path).startswith("study s: no workflow runs here\n")
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert summary(study, tmp_path).startswith("study s: a workflow runs here, or was killed")


def test_a_damaged_table_is_told_and_one_that_vanishes_is_not_there(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = paths.at(paths.MASKS, run=study.runs["box"].id, **AT)
    write_table([], inference.MASK_SCHEMA, masks)
    masks.write_bytes(masks.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"rm {masks}"):
        summary(study, Path())

    def vanish(path: Path, columns: list[str]) -> None:
        path.unlink(missing_ok=True)
        raise UserError("gone")

    monkeypatch.setattr(status, "read_table", vanish)
    assert cells(study, Path())[0].shards_done == 0
