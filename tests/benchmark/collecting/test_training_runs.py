"""The table of training runs, over held-back cases, against values by hand."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmark import inference, scoring
from benchmark.collecting.training_runs import table
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.tables import read_table, write_table
from benchmark.study import Study

LEARNER = "tests.benchmark.study.test_training:Learning"
PLAIN = "tests.benchmark.study.test_training:Plain"
HELD_BACK = {"P01": ("c", "d"), "P02": ("c",)}


def study(tested_on: str = "own") -> Study:
    content = {
        "study": "test",
        "datasets": ["P01", "P02"],
        "methods": {
            "general": {"adapter": PLAIN, "prompt": "box3d", "variants": {"far": {"reach": 2}}},
            "other": {"adapter": PLAIN, "prompt": "mask2d"},
        },
        "training": {
            "references": ["other"],
            "models": {
                "tuned": {
                    "kind": "finetuned",
                    "method": "general",
                    "adapter": LEARNER,
                    "tested_on": tested_on,
                    "options": {"reach": 3},
                },
                "scratch": {"kind": "scratch", "method": "general", "adapter": LEARNER},
                "joint": {
                    "kind": "together",
                    "method": "general",
                    "adapter": LEARNER,
                    "seeds": [0, 1],
                },
            },
            "ablations": {
                "reach": {"near": "general", "far": "general/far"},
                "training": {"joint": "joint", "none": "other"},
            },
        },
    }
    return Study.read(content, "the test's study")


def score(run: Run, number: float, lost: Collection[tuple[str, str]] = ()) -> None:
    """Write scores of ``run``: those of cases that were learnt from are far off.

    ``lost``: datasets and structures of which it has no value on the scan "c".
    """
    for dataset, test in HELD_BACK.items():
        cells, times = [], []
        for variant in ("", *run.variants):
            for scan in "abcd":
                for structure, more in (("one", 0.0), ("two", 0.2)):
                    value = number + more + 0.05 * (scan == "d") + 0.1 * bool(variant)
                    about: dict[str, Any] = {"dataset": dataset, "scan": scan, "patient": scan}
                    about |= {"structure": structure, "variant": variant, "prompt": run.prompt}
                    about |= {"level": "structure", "deviation": 0.0, "status": "ok"}
                    dsc = value if scan in test else 0.99
                    if scan == "c" and (dataset, structure) in lost:
                        cells.append({**about, "status": "failed", "reason": f"no {structure}"})
                    else:
                        cells.append({**about, "dsc": dsc, "nsd": dsc / 2})
                    cells.append({**about, "dsc": 0.1, "deviation": 0.2})
            timed = {"dataset": dataset, "scan": "c", "variant": variant, "device": "cpu"}
            times.append({**timed, "object": "c/1", "segment_s": number, "flops": 7})
            times.append({**timed, "object": "c/2", "segment_s": 90.0, "flops": None})
        fields = {"run": run.id, "dataset": dataset, "shard": 0, "scoring": study().scoring.id}
        write_table(cells, scoring.SCHEMA, paths.at(paths.SCORES, **fields))
        write_table(times, inference.TIME_SCHEMA, paths.at(paths.TIMES, **fields))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.chdir(tmp_path)
    for dataset, test in HELD_BACK.items():
        train = [scan for scan in "abcd" if scan not in test]
        content = {"seed": 0, "share": 0.8, "train": train, "test": list(test)}
        write_json(paths.at(paths.SPLIT, seed=0, dataset=dataset), content)
    known = study()
    values = (0.5, 0.4, 0.6, 0.1, 0.2, 0.3, 0.35)
    both = [*known.runs.values(), *(trained.run for trained in known.trained)]
    for run, value in zip(both, values, strict=True):
        score(run, value)
    return made()


def made(tested_on: str = "own") -> pd.DataFrame:
    found = table(study(tested_on))
    assert set(found["metric"]) == {"dsc", "nsd"}
    return found[found["metric"] == "dsc"]


def values(runs: pd.DataFrame, *keys: str, **where: Any) -> dict[Any, Any]:
    for name, value in where.items():
        runs = runs[runs[name] == value]
    found = runs.set_index(list(keys))["value"]
    return {key: pytest.approx(value) for key, value in found.items()}


def test_models_and_methods_are_held_to_the_same_cases(runs: pd.DataFrame) -> None:
    # Mean over scans, then over two structures that differ by 0.2; "d" is held back in P01 alone.
    assert values(runs, "tested_on", kind="general") == {"P01": 0.625, "P02": 0.6}
    assert values(runs, "tested_on", kind="reference") == {"P01": 0.525, "P02": 0.5}
    assert values(runs, "trained_on", "tested_on", kind="finetuned") == {
        ("P01", "P01"): 0.725,
        ("P02", "P02"): 0.7,
    }
    assert values(runs, "trained_on", "tested_on", kind="scratch") == {
        ("P01", "P01"): 0.225,
        ("P01", "P02"): 0.2,
        ("P02", "P01"): 0.325,
        ("P02", "P02"): 0.3,
    }


def test_fine_tuned_models_are_tested_on_all_datasets_unless_asked_for_their_own(
    runs: pd.DataFrame,
) -> None:
    for trained in study("all").trained:
        if trained.name == "tuned":
            score(trained.run, {"P01": 0.6, "P02": 0.7}[trained.learns_from[0]])
    found = made("all")
    assert values(found, "trained_on", "tested_on", kind="finetuned") == {
        ("P01", "P01"): 0.725,
        ("P01", "P02"): 0.7,
        ("P02", "P01"): 0.825,
        ("P02", "P02"): 0.8,
    }
    before, after = (part[part["kind"] != "finetuned"] for part in (runs, found))
    pd.testing.assert_frame_equal(before.reset_index(drop=True), after.reset_index(drop=True))


def test_a_cell_that_one_run_lost_is_taken_from_all_that_it_is_held_against(
    runs: pd.DataFrame,
) -> None:
    assert (runs["matched"] == runs["expected"]).all()
    score(study().runs["other"], 0.4, {("P01", "one")})
    found = made()
    # In P01 "one" is the scan "d" alone, "two" still both: means of 0.05 and of 0.2 + 0.025.
    assert values(found, "tested_on", kind="general") == {"P01": 0.6375, "P02": 0.6}
    assert values(found, "tested_on", kind="reference") == {"P01": 0.5375, "P02": 0.5}
    assert values(found, "setting", "seed", ablation="training", tested_on="P01") == {
        ("joint", 0): 0.4375,
        ("joint", 1): 0.4875,
        ("none", 0): 0.5375,
    }
    other = runs["ablation"] == "reach"
    pd.testing.assert_frame_equal(found[other], runs[other])
    there = found[(found["tested_on"] == "P01") & (found["ablation"] != "reach")]
    assert there["matched"].eq(3).all()
    assert there["expected"].eq(4).all()
    lost = there["method"].eq("other") | there["setting"].eq("none")
    assert there["ok"].tolist() == [3 if one else 4 for one in lost]
    assert there["reason"].fillna("").tolist() == ["no one" if one else "" for one in lost]


def test_shards_of_a_dataset_that_had_more_are_not_read(runs: pd.DataFrame) -> None:
    for path in [*Path().rglob("0.parquet")]:
        shutil.copy(path, path.with_name("1.parquet"))
    pd.testing.assert_frame_equal(made(), runs)


def test_a_run_without_any_value_takes_no_cell_from_the_others(runs: pd.DataFrame) -> None:
    scratch = next(one for one in study().trained if one.learns_from == ("P01",))
    score(scratch.run, 0.1, {("P02", "one"), ("P02", "two")})
    found = made()
    empty = found[(found["trained_on"] == "P01") & (found["tested_on"] == "P02")]
    assert empty[["ok", "matched", "expected"]].to_numpy().tolist() == [[0, 0, 2]]
    assert empty["value"].isna().all()
    pd.testing.assert_frame_equal(found.drop(index=empty.index), runs.drop(index=empty.index))


def test_ablations_take_methods_variants_and_models(runs: pd.DataFrame) -> None:
    ablation = runs[(runs["kind"] == "ablation") & (runs["tested_on"] == "P02")]
    assert values(ablation, "setting", "seed", ablation="training") == {
        ("joint", 0): 0.4,
        ("joint", 1): 0.45,
        ("none", 0): 0.5,
    }
    assert values(ablation, "setting", ablation="reach") == {"near": 0.6, "far": 0.7}
    assert ablation.groupby("ablation")["method"].unique().map(list).to_dict() == {
        "reach": ["general"],
        "training": ["general"],
    }
    assert ablation.loc[ablation["default"].astype(bool), "setting"].tolist() == [
        "near",
        "joint",
        "joint",
    ]
    assert ablation["seconds"].tolist() == [0.5, 0.5, 0.3, 0.35, 0.4]
    assert (ablation["flops"] == 7).all()
    assert (ablation["objects"] == 1).all()


def test_seconds_are_of_all_timed_objects_if_no_operations_are_counted(runs: pd.DataFrame) -> None:
    for path in Path().rglob("results/runs/*/times/*/*.parquet"):
        write_table(read_table(path).assign(flops=None), inference.TIME_SCHEMA, path)
    general = made().query("kind == 'general'")
    assert general["seconds"].tolist() == [(0.5 + 90) / 2] * 2
    assert general["flops"].isna().all()
    assert (general["objects"] == 2).all()


def test_values_on_data_that_the_weights_were_trained_on_are_marked(runs: pd.DataFrame) -> None:
    assert not runs["contaminated"].any()
    seen = {"datasets": ["P02"], "source": "its card"}  # of the collection of P01
    net = {"id": "net", "name": "Net", "files": ["net.pt"], "trained_on": seen}
    net["source"] = {"kind": "local", "path": "nowhere"}
    Path("net.yaml").write_text(yaml.safe_dump(net), encoding="utf-8")
    content = study().model_dump(mode="json")
    content["methods"]["other"]["weights"] = "net.yaml"
    known = Study.read(content, "the test's study")
    score(known.runs["other"], 0.4)
    found = table(known)
    expected = (found["kind"] == "reference") | (found["setting"] == "none")
    assert found["contaminated"].tolist() == expected.tolist()
    assert expected.sum() == 2 * 2 * 2
