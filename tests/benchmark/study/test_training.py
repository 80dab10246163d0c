"""The section `training` of a study: the runs it defines, and what it refuses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.adapter import Adapter, Learner, MethodInfo, Prediction
from benchmark.errors import UserError
from benchmark.learning.fitting import Case
from benchmark.prompts import Prompt
from benchmark.study import Study
from benchmark.study.training import Trained
from benchmark.volume import Volume


class Plain(Adapter):
    info = MethodInfo(summary="plain", prompts=("mask2d", "box3d"))

    class Options(Adapter.Options):
        reach: int = 1

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        raise NotImplementedError


class Wider(Plain):
    class Options(Plain.Options):
        width: int = 1


class Learning(Plain, Learner):
    class Options(Plain.Options, Learner.Options):
        seed: int = 0

    def plan(self, cases: Sequence[Case], structures: Sequence[str], workdir: Path) -> None:
        raise NotImplementedError

    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        raise NotImplementedError


def study(**training: Any) -> Study:
    plain = {"adapter": f"{__name__}:Plain", "prompt": "box3d", "weights": "pam-small"}
    content = {
        "study": "test",
        "datasets": ["P01", "P02"],
        "methods": {"plain": {**plain, "variants": {"far": {"reach": 2}}}},
        "training": training,
    }
    return Study.read(content, "the test's study")


def model(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "method": "plain", "adapter": f"{__name__}:Learning", **more}


ALL = {"tested_on": "all"}


@pytest.mark.parametrize(
    ("kind", "tested_on", "weights", "learns_from"),
    [
        ("finetuned", "all", "pam-small", [["P01"], ["P02"]]),
        ("finetuned", "own", "pam-small", [[]]),
        ("scratch", "all", None, [["P01"], ["P02"]]),
        ("scratch", "own", None, [[]]),
        ("together", "all", None, [["P01", "P02"]]),
    ],
)
def test_a_model_is_trained_once_a_seed_on_what_its_kind_says(
    kind: str, tested_on: str, weights: str | None, learns_from: list[list[str]]
) -> None:
    """A model of one dataset that predicts all names that dataset; one of its own names none."""
    asked = model(kind, options={"reach": 3}, seeds=[5, 6])
    assert study(models={"m": asked}).trained == study(models={"m": asked | ALL}).trained
    trained = study(models={"m": asked | {"tested_on": tested_on}}).trained
    runs = [t.run for t in trained]
    expected = [(seed, names) for seed in (5, 6) for names in learns_from]
    assert [(r.options["seed"], r.options["learns_from"]) for r in runs] == expected
    assert {(r.weights, r.prompt, r.options["reach"]) for r in runs} == {(weights, "box3d", 3)}
    assert len({r.id for r in runs}) == len(runs)


@pytest.mark.parametrize("kind", ["finetuned", "scratch", "together"])
def test_a_model_differs_from_its_method_in_what_it_learned_alone(kind: str) -> None:
    """Options of the method are those of the model, which may replace some."""
    asked = {"propagation": {"thickness": 10, "max_slices": 20}, "batch": 4, "protocol": "released"}
    content = {
        "study": "s",
        "datasets": ["P01"],
        "methods": {
            "pam": {
                "adapter": "pam-2dmask",
                "prompt": "mask2d",
                "weights": "pam-small",
                "options": asked,
            }
        },
        "training": {
            "models": {
                "same": {"kind": kind, "method": "pam"},
                "own": {
                    "kind": kind,
                    "method": "pam",
                    "options": {"propagation": {"max_slices": 9}, "batch": 2},
                },
            }
        },
    }
    same, own = (t.run.options for t in Study.read(content, "s").trained)
    assert {name: same[name] for name in asked} == asked
    assert own["propagation"] == {"thickness": 10, "max_slices": 9}
    assert (own["batch"], own["protocol"]) == (2, "released")


def test_options_that_the_adapter_lacks_are_not_taken_from_the_method() -> None:
    content = study(models={"m": model("scratch")}).model_dump(mode="json")
    content["methods"]["plain"] |= {"adapter": f"{__name__}:Wider", "options": {"width": 3}}
    (one, _) = Study.read(content, "the test's study").trained
    assert one.run.options == {"seed": 0, "learns_from": ["P01"]}


def test_models_are_no_methods_of_the_comparison() -> None:
    assert list(study(models={"m": model("scratch")}).runs) == ["plain"]


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"models": {"m": model("scratch") | {"method": "plan"}}}, "Did you mean: plain"),
        ({"models": {"m": model("scratch", options={"reech": 1})}}, "Did you mean: reach"),
        ({"models": {"m": model("together", tested_on="own")}}, "has no own dataset"),
        ({"models": {"m": model("scratch", options={"seed": 9})}}, "set by the key seeds"),
        ({"models": {"m": model("scratch", options={"learns_from": ["P01"]})}}, "by the key kind"),
        ({"models": {"m": model("scratch") | {"adapter": f"{__name__}:Plain"}}}, "Unknown|learn"),
        ({"models": {"plain": model("scratch")}}, "both a method and a model"),
        ({"models": {"a/b": model("scratch")}}, "must not hold a slash"),
        ({"models": {"m": model("scratch", seeds=[-1])}}, "greater than or equal to 0"),
        ({"references": ["plane"]}, "Did you mean: plain"),
        ({"ablations": {"reach": {"near": "plain"}}}, "needs at least two settings"),
        ({"ablations": {"reach": {"near": "plain", "far": "plain/fa"}}}, "Did you mean: plain/far"),
        (
            {"models": {"m": model("scratch")}, "ablations": {"a": {"x": "plain", "y": "m"}}},
            "method, variant or model",
        ),
    ],
)
def test_what_does_not_fit_is_told(training: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        study(**training)


def test_an_ablation_alone_makes_the_table_of_runs() -> None:
    ablation = {"ablations": {"reach": {"near": "plain", "far": "plain/far"}}}
    assert study(**ablation).training.makes_runs
    assert not study().training.makes_runs
    content = study(**ablation).model_dump(mode="json") | {"analysis": {"runs": "runs.csv"}}
    with pytest.raises(UserError, match=r"remove analysis\.runs"):
        Study.read(content, "the test's study")


def test_what_a_method_learns_from_is_in_the_study() -> None:
    options = {"learns_from": ["P3"]}
    learner = {"adapter": f"{__name__}:Learning", "prompt": "box3d", "options": options}
    content = {"study": "test", "datasets": ["P01"], "methods": {"m": learner}}
    with pytest.raises(UserError, match="learns_from of m"):
        Study.read(content, "the test's study")


def test_options_of_speed_alone_are_in_no_digest() -> None:
    """They reach the training all the same."""

    def trained(workers: int) -> Trained:
        options = {"workers": workers, "training": {"steps": 4}}
        models = {"m": {"kind": "scratch", "method": "pam", "options": options}}
        content = {
            "study": "s",
            "datasets": ["P01"],
            "methods": {
                "pam": {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "pam-small"}
            },
            "training": {"models": models},
        }
        (one,) = Study.read(content, "s").trained
        return one

    few, many = (trained(workers).run for workers in (1, 12))
    assert (few.id, few.fit.id) == (many.id, many.fit.id)
    assert few.model_dump() == many.model_dump()
    assert many.fit.model_dump()["options"]["training"] == {"steps": 4}
    assert many.fit.speed == {"workers": 12}
