"""The split: no patient on both sides, across all datasets of a collection."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmark.learning.splits import Split, held_back, split

PATIENTS = st.sets(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=30)
SEEDS = st.integers(0, 5)


def rows(patients: Any, collection: str = "c", scans: int = 1) -> list[dict[str, Any]]:
    return [
        {"scan": f"{patient}-{n}", "patient": patient, "collection": collection}
        for patient in patients
        for n in range(scans)
    ]


def sides(divided: Split) -> tuple[set[str], set[str]]:
    learnt, kept = ({s.split("-")[0] for s in side} for side in (divided.train, divided.test))
    return learnt, kept


@given(PATIENTS, SEEDS, st.integers(1, 3))
def test_no_patient_is_on_both_sides_and_none_is_lost(
    patients: set[str], seed: int, scans: int
) -> None:
    divided = split(rows(sorted(patients), scans=scans), seed)
    learnt, kept = sides(divided)
    assert learnt
    assert kept
    assert learnt.isdisjoint(kept)
    assert learnt | kept == patients
    assert len(divided.train) + len(divided.test) == scans * len(patients)
    assert split(rows(sorted(patients, reverse=True), scans=scans), seed) == divided


@given(PATIENTS, PATIENTS, SEEDS)
def test_a_patient_in_two_datasets_is_on_one_side_by_the_hash_alone(
    one: set[str], two: set[str], seed: int
) -> None:
    for patients in (one, two):
        kept = {patient for patient in patients if held_back(seed, "c", patient)}
        found = sides(split(rows(patients), seed))
        if 0 < len(kept) < len(patients):
            assert found == (patients - kept, kept)
        else:  # all on one side: one of them changes it
            assert len(found[not kept]) == 1


def test_of_one_patient_nothing_is_learnt_and_of_none_nothing_is_held_back() -> None:
    assert sides(split(rows(["a"]), 0)) == (set(), {"a"})
    assert sides(split([], 0)) == (set(), set())


def test_four_fifths_are_learnt_from_and_seed_and_collection_choose_which() -> None:
    names = [f"patient{number}" for number in range(2000)]
    learnt, kept = sides(split(rows(names), 0))
    assert 340 < len(kept) < 460  # 400, over 3 standard deviations each way
    assert len(learnt & sides(split(rows(names), 1))[0]) < 1400  # 1280 of chance
    assert len(learnt & sides(split(rows(names, "d"), 0))[0]) < 1400
    # values that were written down: others would let a model be tested on what it was trained on
    assert [name for name in names[:6] if held_back(0, "c", name)] == ["patient1"]
