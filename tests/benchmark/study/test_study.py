"""The study file: what is refused, and what each digest covers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmark import prompts
from benchmark.errors import UserError
from benchmark.masks import Mask
from benchmark.prompt_kinds import PromptKind
from benchmark.specs import PromptRules, Run
from benchmark.study import Study

METHODS = {
    "small": {"adapter": "baselines.classical:RegionGrowth", "prompt": "mask2d"},
    "fill": {"adapter": "baselines.controls:BoxFill", "prompt": "box3d"},
}
BASE: dict[str, Any] = {"study": "test", "datasets": ["P01", "P02"], "methods": METHODS}


def study(**changed: Any) -> Study:
    return Study.read({**BASE, **changed}, "study.yaml")


def with_method(**changed: Any) -> Study:
    return study(methods={**METHODS, "small": {**METHODS["small"], **changed}})


def digests(of: Study) -> dict[str, str]:
    runs = {name: run.id for name, run in of.runs.items()}
    return {"prompts": of.prompt_rules.id, "scoring": of.scoring.id, **runs}


def changed(of: Study) -> set[str]:
    """Names of the digests that differ from those of the study as it was."""
    before, after = digests(study()), digests(of)
    return {name for name in before if before[name] != after[name]}


REFUSED = [
    ({"method": {}}, "Unknown key 'method'. Did you mean: methods"),
    ({"budgets": {"lost_shar": 0.1}}, "Did you mean: lost_share"),
    ({"metrics": {"nsd_tolerance": 1}}, "Did you mean: nsd_tolerance_mm"),
    ({"metrics": {"empty": {"distanc": "diagonal"}}}, "Did you mean: distance"),
    ({"report": {"color": {}}}, "Did you mean: colours"),
    ({"methods": {"prompt": {**METHODS["fill"], "option": {}}}}, "Did you mean: options"),
    ({"datasets": ["P1"]}, "Unknown dataset 'P1'. Did you mean: P"),
    ({"datasets": ["P01", "P01"]}, "datasets named twice: P01"),
    ({"datasets": []}, "at least 1 item"),
    ({"methods": {}}, "at least 1 item"),
    ({"methods": {"a": {"adapter": "region-grow", "prompt": "box3d"}}}, "Unknown method"),
    ({"methods": {"a": {"adapter": "nowhere:Net", "prompt": "box3d"}}}, "cannot be imported"),
    (
        {"methods": {"a": {**METHODS["fill"], "prompt": "box"}}},
        "'box3d' or 'structure'",
    ),
    ({"methods": {"a": {**METHODS["fill"], "prompt": "box2d"}}}, "BoxFill takes box3d, not"),
    ({"methods": {"a": {**METHODS["small"], "options": {"slop": 1}}}}, "Did you mean: slope"),
    (
        {"methods": {"a": {**METHODS["small"], "variants": {"x": {"slop": 1}}}}},
        "Did you mean: slope",
    ),
    ({"methods": {"a": {**METHODS["small"], "variants": {"": {}}}}}, "must not be empty"),
    ({"methods": {"a": {**METHODS["small"], "variants": {"all": {}}}}}, "'all' is a row of"),
    ({"methods": {"": METHODS["fill"]}}, "must not be empty"),
    ({"methods": {" a": METHODS["fill"]}}, "space at its ends"),
    ({"methods": {"a\nb": METHODS["fill"]}}, "must be on one line"),
    ({"methods": {"\x01a": METHODS["fill"]}}, "without control characters"),
    ({"methods": {"a" * 81: METHODS["fill"]}}, "not be longer than 80"),
    ({"methods": {"../a": METHODS["fill"]}}, "must not hold a slash"),
    ({"methods": {"reference": METHODS["fill"]}}, "'reference' is a row of the tables already"),
    ({"methods": {"a": {**METHODS["fill"], "weights": "nothing"}}}, "Unknown weights 'nothing'"),
    (
        {"methods": {"a": {"adapter": "pam.adapters:Pam2DMask", "prompt": "mask2d"}}},
        "needs weights: set weights: pam-small",
    ),
    ({"deviations": [0.1]}, "must hold 0"),
    ({"deviations": [0, 20]}, "between -1 and 1"),
    ({"deviations": [0, float("nan")]}, "between -1 and 1"),
    ({"metrics": {"tolerances": {"livr": 3}}}, "Did you mean: liver"),
    ({"metrics": {"tolerances": {"liver": 0}}}, "greater than 0"),
    (
        {"datasets": ["D02", "P01"], "metrics": {"tolerances": {"right kidney": 3}}},
        "names 'right kidney', but other datasets of the study call this structure 'kidney_right'",
    ),
    (
        {"datasets": ["D02", "P01"], "metrics": {"tolerances": {"kidney_right": 3}}},
        "call this structure 'right kidney'",
    ),
    ({"metrics": {"nsd_tolerance_mm": -1}}, "greater than 0"),
    ({"report": {"colours": {"smal": "red"}}}, "Did you mean: small"),
    ({"report": {"panel_method": "smal"}}, "Did you mean: small"),
    ({"protocol": "papers"}, "'paper', 'released' or 'rigorous'"),
    ({"study": "../x"}, "String should match pattern"),
    ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ({"analysis": {"seed": -1}}, "analysis.seed: Input should be greater than or equal to 0"),
    ({"report": {"colours": {"small": "notacolour"}}}, "'notacolour' is not a colour"),
    ({"report": {"colours": {"small": "#12345"}}}, "'#12345' is not a colour"),
    ({"analysis": {"cohorts": {"P01": {"structure": "livr"}}}}, "Did you mean: liver"),
    (
        {"analysis": {"thickness": {"small": {"variants": {"far": 40}}}}},
        "Unknown variant in analysis.thickness.small 'far'",
    ),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_a_mistake_is_refused_with_what_was_meant(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        study(**content)
    assert str(caught.value).startswith("study.yaml: ")
    assert message in str(caught.value)


COVERED = [
    ("the title", {"report": {"title": "x"}}, set()),
    ("a colour", {"report": {"colours": {"small": "red"}}}, set()),
    ("the name", {"study": "other"}, set()),
    ("the datasets", {"datasets": ["P03"]}, set()),
    ("a budget", {"budgets": {"lost_share": 0.5}}, set()),
    ("the tolerance", {"metrics": {"nsd_tolerance_mm": 1}}, {"scoring"}),
    ("a tolerance", {"metrics": {"tolerances": {"liver": 1}}}, {"scoring"}),
    ("the empties", {"metrics": {"empty": {"distance": "leave-out"}}}, {"scoring"}),
    ("the reference", {"metrics": {"reference": "label"}}, {"scoring"}),
    ("the protocol", {"protocol": "paper"}, {"scoring"}),
    ("the deviations", {"deviations": [0, 0.1]}, {"prompts", "small"}),
    ("the timed objects", {"budgets": {"timed_objects": 5}}, {"small", "fill"}),
    ("the seed", {"seed": 1}, {"small", "fill"}),
]


@pytest.mark.parametrize(
    ("content", "covers"), [c[1:] for c in COVERED], ids=[c[0] for c in COVERED]
)
def test_a_digest_covers_what_its_stage_depends_on(
    content: dict[str, Any], covers: set[str]
) -> None:
    assert changed(study(**content)) == covers


def test_an_option_or_a_variant_changes_the_run_of_its_method_alone() -> None:
    assert changed(with_method(options={"slope": 0.9})) == {"small"}
    assert changed(with_method(variants={"steep": {"slope": 2.0}})) == {"small"}


def test_the_version_of_an_adapter_is_part_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from baselines.controls import BoxFill

    before = study().runs["fill"]
    monkeypatch.setattr(BoxFill, "info", replace(BoxFill.info, version=99))
    assert study().runs["fill"].id != before.id
    assert study().runs["fill"].fit.id != before.fit.id


def test_the_hash_of_the_weights_is_part_of_the_run(tmp_path: Path) -> None:
    def run_with(sha256: str, name: str = "Net") -> Run:
        content = {
            "id": "net",
            "name": name,
            "source": {"kind": "manual"},
            "files": [{"path": "net.pt", "sha256": sha256}],
        }
        path = tmp_path / "net.yaml"
        path.write_text(yaml.safe_dump(content))
        return with_method(weights=str(path)).runs["small"]

    first, without, other = run_with("0" * 64), study().runs["small"], run_with("1" * 64)
    assert len({first.id, without.id, other.id}) == 3
    assert len({first.fit.id, without.fit.id, other.fit.id}) == 3
    assert run_with("0" * 64, name="Another word for it") == first


@pytest.mark.parametrize("name", ["runs", "models", "prompts", "splits", "logs"])
def test_a_study_takes_no_folder_that_all_studies_share(name: str) -> None:
    with pytest.raises(UserError, match=f"results/{name} holds what all studies share"):
        study(study=name)


def test_a_model_is_that_of_its_training_however_it_is_asked() -> None:
    def model(of: Study) -> str:
        return of.runs["small"].fit.id

    trained = model(study())
    assert trained.startswith("regiongrowth-")
    for asked in (
        study(deviations=[-0.1, 0, 0.1]),
        study(budgets={"timed_objects": 9}),
        with_method(variants={"steep": {"slope": 2.0}}),
    ):
        assert asked.runs["small"].id != study().runs["small"].id
        assert model(asked) == trained
    others = {model(study(seed=1)), model(with_method(options={"slope": 0.9}))}
    assert len(others - {trained}) == 2


def test_options_that_are_no_part_of_a_model_train_none_anew() -> None:
    def run(adapter: str, prompt: str, weights: str | None = None, **options: Any) -> Run:
        told = {"adapter": adapter, "prompt": prompt, "weights": weights, "options": options}
        return study(methods={"m": told}).runs["m"]

    def nnunet(**options: Any) -> Run:
        return run("nnunet", "structure", **options)

    def pam(**options: Any) -> Run:
        return run("pam-2dmask-trained", "mask2d", "pam-small", **options)

    for make, same, other in (
        (nnunet, {"mirroring": False, "python": "/another/python"}, {"epochs": 7}),
        (pam, {"batch": 3, "precision": "bfloat16"}, {"seed": 7}),
    ):
        plain = make()
        for key, value in same.items():
            asked = make(**{key: value})
            assert asked.fit.id == plain.fit.id, key
            assert asked.fit.speed[key] == value  # for the training, which may need it
            assert asked.id != plain.id, key
        assert make(**other).fit.id != plain.fit.id


def test_a_variant_goes_over_the_options_mapping_by_mapping() -> None:
    def run(options: dict[str, Any], variant: dict[str, Any]) -> Run:
        told = {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "pam-small"}
        variants = {"variants": {"thin": {"propagation": variant}}}
        return study(methods={"m": {**told, **variants, "options": options}}).runs["m"]

    thin = {"thickness": 10}
    both = run({"propagation": {"resampling": "smooth"}}, thin)
    assert both.variants == {"thin": {"propagation": {"resampling": "smooth", "thickness": 10}}}
    assert run({}, thin).variants == {"thin": {"propagation": thin}}


def test_what_is_marked_as_a_control_is_one_in_the_statistics() -> None:
    assert study().statistics.controls == ("fill",)
    assert study(analysis={"controls": ["small"]}).statistics.controls == ("small", "fill")
    assert study(analysis={"controls": ["fill"]}).statistics.controls == ("fill",)


def test_a_method_under_another_name_shares_the_run() -> None:
    renamed = study(methods={"other": METHODS["small"]})
    assert renamed.runs["other"].id == study().runs["small"].id
    assert study(study="second", datasets=["P05"]).runs["small"].id == study().runs["small"].id
    assert study().runs["small"].id.startswith("regiongrowth-")


def test_the_order_and_number_of_deviations_do_not_matter() -> None:
    assert study(deviations=[0.1, 0, 0.1]).prompt_rules == study(deviations=[0, 0.1]).prompt_rules


@pytest.mark.parametrize(
    ("protocol", "reference"), [("paper", "label"), ("released", "label"), ("rigorous", "kept")]
)
def test_the_protocol_fills_in_the_scoring(protocol: str, reference: str) -> None:
    assert study(protocol=protocol).scoring.reference == reference
    other = "kept" if reference == "label" else "label"
    assert study(protocol=protocol, metrics={"reference": other}).scoring.reference == other


def test_a_protocol_reaches_a_method_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from baselines.controls import BoxFill
    from benchmark.adapter import Adapter

    class Options(Adapter.Options):
        protocol: str = "rigorous"

    monkeypatch.setattr(BoxFill, "Options", Options)
    assert study(protocol="paper").runs["fill"].options == {"protocol": "paper"}
    own = {"fill": {**METHODS["fill"], "options": {"protocol": "released"}}}
    assert study(protocol="paper", methods=own).runs["fill"].options == {"protocol": "released"}
    assert study(protocol="paper").runs["fill"].id != study().runs["fill"].id


def test_a_tolerance_under_every_name_of_a_structure() -> None:
    names = {"right kidney": 3.0, "kidney_right": 3.0}
    assert study(datasets=["D02", "P01"], metrics={"tolerances": names}).metrics.tolerances == names
    assert study(datasets=["D02", "D19"], metrics={"tolerances": {"right kidney": 3}})


def test_a_study_is_the_same_after_a_trip_through_json() -> None:
    whole = study(
        deviations=[-0.1, 0],
        metrics={"tolerances": {"liver": 3}, "empty": {"distance": "leave-out"}},
        methods={"small": {**METHODS["small"], "variants": {"steep": {"slope": 2.0}}}},
    )
    back = Study.read(whole.model_dump(mode="json"), "settings.json")
    assert back == whole
    assert digests(back) == digests(whole)


def test_own_datasets_are_named_by_their_file(tmp_path: Path) -> None:
    from benchmark import catalogue

    content = {**catalogue.load("P01").model_dump(mode="json"), "id": "mine"}
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(content))
    of = study(datasets=["P02", str(path)])
    assert list(of.entries) == ["P02", "mine"]
    assert of.entry_names == {"P02": "P02", "mine": str(path)}


@pytest.mark.parametrize("kind", ["box2d", "mask2d", "box3d", "structure"])
def test_deviations_change_the_runs_of_the_prompts_that_they_move(kind: PromptKind) -> None:
    rows = [
        *prompts.derive(Mask.of(np.ones((9, 4, 4), dtype=bool)), 0, (-0.2, 0.0)),
        prompts.structure_prompt_row("lesion", (9, 4, 4)),
    ]
    moves = len({row["hash"] for row in rows if row["kind"] == kind}) > 1
    rules = PromptRules(deviations=(-0.2, 0.0))
    assert (rules.of_kind(kind) != PromptRules(deviations=(0.0,)).of_kind(kind)) == moves
