from pathlib import Path

import pytest

from benchmark.collecting.study_record import MethodRecord, StudyRecord
from benchmark.errors import UserError

PATH = Path("results/s/record.json")


def test_keys_that_are_absent_have_defaults_and_unknown_ones_are_ignored() -> None:
    about = {"methods": {"a": {"prompt": "box2d", "later": 1}}, "datasets": {"D1": {}}}
    record = StudyRecord.read({"commit": None, **about}, PATH)
    assert record.methods == {"a": MethodRecord(prompt="box2d")}
    assert record.methods["a"].protocol_overrides == {}
    assert record.datasets["D1"].scans is None  # not recorded, which is not 0


def test_protocol_overrides_are_those_of_the_job_that_made_the_masks() -> None:
    found = {"propagation": {"max_slices": 3}}
    assert MethodRecord(made_by={"departures": found}).protocol_overrides == found
    assert MethodRecord(made_by={"departures": None}).protocol_overrides == {}


def test_what_is_written_is_what_was_set() -> None:
    record = StudyRecord(methods={"a": MethodRecord(adapter="fill", weights=None)})
    written = record.model_dump(mode="json", exclude_unset=True)
    assert written == {"methods": {"a": {"adapter": "fill", "weights": None}}}
    assert StudyRecord.read(written, PATH) == record


def test_a_damaged_record_is_named_with_its_key() -> None:
    with pytest.raises(UserError, match=r"s/record\.json: methods\.a\.gpu: .*Next step: run"):
        StudyRecord.read({"methods": {"a": {"gpu": "perhaps"}}}, PATH)
