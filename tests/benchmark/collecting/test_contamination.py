"""Methods that saw test data in training, by their weights or by what they learn in the study."""

from typing import Any

import pytest

from benchmark.collecting.contamination import contaminated
from benchmark.study import Study

LEARNER = "tests.benchmark.study.test_training:Learning"


@pytest.mark.parametrize(
    ("learns_from", "seen"),
    [
        ([], set()),  # a model for each dataset, which the split keeps from the test cases
        (["D13"], {"D01"}),  # which holds scans of D13 and D10 under other ids
        (["D01"], {"D10", "D13"}),
        (["D10", "D13"], {"D01"}),
        (["D05"], set()),
    ],
)
def test_methods_that_learn_see_the_same_scans_under_other_ids(
    learns_from: list[str], seen: set[str]
) -> None:
    method: dict[str, Any] = {"adapter": LEARNER, "prompt": "box3d"}
    method["options"] = {"learns_from": learns_from}
    assert marked(method) == seen


def test_a_model_of_one_dataset_is_not_marked_on_others_of_its_collection() -> None:
    """The split holds back the same patients in all datasets of a collection."""
    method = {"adapter": LEARNER, "prompt": "box3d", "options": {"learns_from": ["P01"]}}
    assert marked(method, "P01", "P02") == set()


def test_weights_are_marked_whether_or_not_the_method_learns() -> None:
    weights = {"prompt": "box3d", "weights": "segvol-v1"}
    plain = marked({"adapter": "tests.benchmark.study.test_training:Plain", **weights})
    assert plain == marked({"adapter": LEARNER, **weights})
    assert plain == {"D01", "D10", "D13"}


def marked(method: dict[str, Any], *datasets: str) -> set[str]:
    names = datasets or ("D01", "D05", "D10", "D13")
    content = {"study": "s", "datasets": names, "methods": {"m": method}}
    study = Study.read(content, "the test's study")
    run = study.runs["m"]
    entries = study.entries
    return {name for name, entry in entries.items() if contaminated(run, entry, entries)}
