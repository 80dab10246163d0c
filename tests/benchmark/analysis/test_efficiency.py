"""Inference and interaction times against values by hand and scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.analysis import efficiency, frames, interaction
from benchmark.analysis.settings import AnalysisSettings
from benchmark.errors import UserError

SETTINGS = AnalysisSettings(resamples=100)
RNG = np.random.default_rng(8)


def times(**methods: float) -> pd.DataFrame:
    rows = [
        {"method": method, "dataset": f"D{d}", "scan": "s", "object": f"{o}", "variant": ""}
        | {"device": "cpu", "load_s": 3.0, "read_s": 0.1, "segment_s": scale * RNG.uniform(1, 2)}
        for method, scale in (methods or {"fast": 1.0, "slow": 1.5}).items()
        for d in range(10)
        for o in range(3)
    ]
    return pd.DataFrame(rows)


def test_phases_and_tests() -> None:
    table = times()
    found = efficiency.analyse({"times": table}, SETTINGS)
    means = table.groupby(["method", "dataset"])["segment_s"].mean().unstack(0)
    rows: Any = found["times"].set_index(["method", "phase", "unit"])
    assert rows.loc[("fast", "total", "dataset"), "mean"] == pytest.approx(
        means["fast"].mean() + 0.1
    )
    assert rows.loc[("fast", "total_with_load", "object"), "n"] == 30
    ends = [rows.loc[("fast", "segment", unit), ["low", "high"]] for unit in ("dataset", "object")]
    interval = stats.ttest_1samp(means["fast"], 0).confidence_interval()
    assert ends[0].tolist() == pytest.approx(list(interval))
    assert ends[1].isna().all()  # the three objects of a dataset are not independent
    tests = found["times_tests"].set_index(["phase", "test"])
    unpaired = stats.mannwhitneyu(means["fast"], means["slow"], method="exact")
    paired = stats.wilcoxon(means["fast"], means["slow"])
    assert tests.loc[("segment", "wilcoxon rank-sum"), "p"] == pytest.approx(unpaired.pvalue)
    assert tests.loc[("segment", "wilcoxon signed-rank"), "p"] == pytest.approx(paired.pvalue)


def timed(method: str, dataset: str, name: str, seconds: float, **more: Any) -> dict[str, Any]:
    about = {"method": method, "dataset": dataset, "scan": name.split("/")[0], "object": name}
    return {**about, "variant": "", "device": "cpu", "segment_s": seconds, **more}


def total_tests(rows: list[dict[str, Any]]) -> Any:
    found = efficiency.analyse({"times": pd.DataFrame(rows)}, SETTINGS)["times_tests"]
    return found[found["phase"] == "total"].set_index("test")


def test_times_and_costs_by_hand() -> None:
    """The variant is the slowest and the largest by far, and counts nowhere."""
    rows = [
        timed("a", "D0", "s/1", 1.0, parameters=10, flops=100.0, peak_memory_mb=5.0),
        timed("a", "D0", "s/2", 2.0, peak_memory_mb=7.0, flops=300.0, peak_gpu_mb=3.0),
        timed("a", "D1", "t/1", 6.0, parameters=10, flops=np.nan, peak_memory_mb=6.0),
        timed("b", "D0", "s/1", 0.5, flops=1.0),
        timed("b", "D0", "s/2", 1.5, flops=2.0),
        timed("b", "D1", "t/1", 4.0, flops=6.0),
    ]
    large = {"variant": "x", "parameters": 99, "flops": 9e9, "peak_memory_mb": 900.0}
    rows.append(timed("a", "D0", "s/1", 500.0, **large))
    found: Any = efficiency.analyse({"times": pd.DataFrame(rows)}, SETTINGS)
    cost = found["costs"].set_index("method").loc["a"]
    wanted = ["parameters", "flops", "peak_memory_mb", "peak_gpu_mb", "objects"]
    assert cost[wanted].tolist() == [10, 200, 7, 3, 3]
    assert found["costs"].set_index("method")["flops"]["b"] == 3
    times = found["times"].set_index(["method", "phase", "unit"])
    row = times.loc[("a", "total", "object")]
    assert row[["q1", "median", "q3", "mean", "n"]].tolist() == [1.5, 2.0, 4.0, 3.0, 3]
    row = times.loc[("a", "total", "dataset")]
    assert row[["mean", "n", "objects"]].tolist() == [3.75, 2, 3]
    assert row["sd"] == pytest.approx(4.5 / 2**0.5)
    means = found["times_by_dataset"].query("phase == 'total' and method == 'a'")
    assert means[["objects", "seconds"]].to_numpy().tolist() == [[2, 1.5], [1, 6.0]]
    test = total_tests(rows).iloc[0]  # dataset means 1.5 and 6 against 1 and 4
    assert test[["n", "mean_a", "mean_b", "ratio"]].tolist() == [2, 3.75, 2.5, 1.5]
    assert test[["method_a", "method_b", "unit"]].tolist() == ["a", "b", "dataset"]


def test_the_total_is_from_reading_to_writing_and_loading_stands_apart() -> None:
    taken = {"read_s": 10.0, "write_s": 100.0, "load_s": 1000.0}
    rows = pd.DataFrame([timed("a", "D0", "s/1", 1.0, **taken)])
    found = efficiency.analyse({"times": rows}, SETTINGS)["times"].query("unit == 'object'")
    assert dict(zip(found["phase"], found["mean"], strict=True)) == {
        **{"read": 10, "segment": 1, "write": 100, "total": 111},
        **{"load": 1000, "total_with_load": 1111},
    }


def test_methods_are_compared_over_the_objects_that_both_timed() -> None:
    """``b`` takes twice as long; it failed on the large object of each dataset."""
    rows = []
    for d in range(4):
        for name, seconds in (("s/small", 1.0 + d), ("s/large", 100.0)):
            rows.append(timed("a", f"D{d}", name, seconds))
            if name == "s/small":
                rows.append(timed("b", f"D{d}", name, 2 * seconds))
    found = total_tests(rows)
    assert found["ratio"].tolist() == pytest.approx([0.5, 0.5])
    assert found["mean_a"].tolist() == [2.5, 2.5]
    assert set(zip(found["matched_by"], found["matches"], strict=True)) == {("object", 4)}


def test_methods_without_a_shared_object_are_compared_over_scans() -> None:
    """One is asked for structures; of a scan that it did not time there is nothing to compare."""
    rows = [timed("a", f"D{d}", f"s/liver/{i}", i) for d in range(3) for i in (1.0, 3.0)]
    rows += [timed("a", f"D{d}", "t/liver/1", 50.0) for d in range(3)]
    rows += [timed("b", f"D{d}", "s/liver", 8.0) for d in range(3)]
    row = total_tests(rows).iloc[0]
    assert row[["matched_by", "matches", "ratio"]].tolist() == ["scan", 3, 0.25]
    apart = [timed("a", "D0", "s/1", 1.0), timed("b", "D0", "t/1", 1.0)]
    found = total_tests(apart)
    assert set(found["reason"]) == {"no object and no scan was timed with both"}
    assert found["p"].isna().all()


def corrected(table: pd.DataFrame, family: list[str], size: int, named: str) -> None:
    for _, rows in table.groupby(family):
        right = multipletests(rows["p"], method="holm")[1]
        assert rows["p_holm"].to_numpy() == pytest.approx(right)
        assert set(rows["family"]) == {size}
        assert set(rows["family_of"]) == {named}


def test_holm_is_within_phase_and_test() -> None:
    found = efficiency.analyse({"times": times(a=1.0, b=1.1, c=1.3)}, SETTINGS)["times_tests"]
    assert len(found) == 3 * 3 * 2
    corrected(found, ["phase", "test"], 3, "pairs of methods within phase and test")


def measured(path: Path, **changed: Any) -> Path:
    sizes = RNG.uniform(0.5, 2, 20)
    rows = [
        {
            "reader": "A",
            "dataset": "D",
            "object": f"{o}",
            "prompt": prompt,
            "seconds": size * seconds,
        }
        for o, size in enumerate(sizes)
        for prompt, seconds in (("box2d", 4.0), ("box3d", 10.0))
    ]
    pd.DataFrame(rows).assign(**changed).to_csv(path, index=False)
    return path


def test_reduction_in_percent(tmp_path: Path) -> None:
    table = frames.read_interaction(measured(tmp_path / "t.csv"))
    scores = frames.checked_scores(
        pd.DataFrame(
            {"dataset": ["D", "E", "E"], "scan": ["s", "s", "t"], "structure": "x", "method": "m"}
            | {"prompt": "box2d", "dsc": [0.5, 0.9, None]}
        )
    )
    found = interaction.analyse({"interaction": table, "scores": scores}, SETTINGS)
    row = found["interaction_tests"].iloc[0]
    assert row["reduction_percent"] == pytest.approx(60)
    assert (row["low"], row["high"]) == pytest.approx((60, 60))
    assert not row["generated"]
    gain = found["interaction_gain"].iloc[0]
    assert gain[["datasets", "cells", "expected"]].tolist() == [2, 2, 3]
    assert gain["dsc_per_second"] == pytest.approx(
        0.7 / table.groupby("prompt")["seconds"].mean()["box2d"]
    )
    other = scores.rename(columns={"dsc": "nsd"})
    of_nothing = interaction.analyse({"interaction": table, "scores": other}, SETTINGS)
    assert of_nothing["interaction_gain"].empty


def test_times_of_prompts_by_hand() -> None:
    rows = [
        *(("1", "box2d", 1.0, False), ("2", "box2d", 2.0, False), ("3", "box2d", 6.0, False)),
        *(("1", "box3d", 4.0, False), ("2", "box3d", 8.0, True)),
    ]
    table = pd.DataFrame(rows, columns=["object", "prompt", "seconds", "generated"])
    table = table.assign(reader="R", dataset="D")
    found: Any = interaction.analyse({"interaction": table}, SETTINGS)
    summary = found["interaction"].set_index("prompt")
    columns = ["n", "readers", "objects", "mean", "median", "q1", "q3"]
    assert summary.loc["box2d", columns].tolist() == [3, 1, 3, 3.0, 2.0, 1.5, 4.0]
    assert summary.loc["box2d", "sd"] == pytest.approx(7**0.5)
    assert summary["generated"].to_dict() == {"box2d": False, "box3d": True}
    row = found["interaction_tests"].set_index("test").loc["wilcoxon rank-sum"]
    assert row[["prompt_a", "n_a", "mean_a"]].tolist() == ["box2d", 3, 3.0]
    assert row[["prompt_b", "n_b", "mean_b"]].tolist() == ["box3d", 2, 6.0]
    assert (row["generated"], row["reduction_percent"]) == (True, 50)
    theirs = stats.mannwhitneyu([1, 2, 6], [4, 8], method="exact")
    assert (row["statistic"], row["p"]) == pytest.approx((theirs.statistic, theirs.pvalue))


def readings(readers: int, objects: int, prompts: int = 2) -> pd.DataFrame:
    """Objects differ much, readers of one hardly: further readers tell little."""
    rng = np.random.default_rng(11)
    sizes = rng.lognormal(0, 0.5, objects)
    rows = [
        {"reader": f"R{r}", "dataset": f"D{o % 2}", "object": f"{o // 2}", "prompt": prompt}
        | {"seconds": seconds * sizes[o] * rng.uniform(0.99, 1.01) + gain[o]}
        for prompt, seconds, gain in (
            ("box2d", 4.0, rng.uniform(0, 2, objects)),
            ("box3d", 4.5, rng.uniform(0, 2, objects)),
            ("mask2d", 4.7, rng.uniform(0, 2, objects)),
        )[:prompts]
        for o in range(objects)
        for r in range(readers)
    ]
    return pd.DataFrame(rows).assign(generated=False)


def test_readers_of_one_object_are_not_independent() -> None:
    table = readings(readers=6, objects=40)
    settings = AnalysisSettings(resamples=4000)
    found = interaction.analyse({"interaction": table}, settings)
    objects: Any = table.groupby(["prompt", "dataset", "object"])["seconds"].mean().unstack(0)
    a, b = objects["box2d"].to_numpy(), objects["box3d"].to_numpy()

    signed = found["interaction_tests"].set_index("test").loc["wilcoxon signed-rank"]
    theirs = stats.wilcoxon(a - b)
    assert (signed["p"], signed["statistic"]) == pytest.approx((theirs.pvalue, theirs.statistic))

    def reduction(a: Any, b: Any, axis: int) -> Any:
        return 100 * (1 - a.mean(axis=axis) / b.mean(axis=axis))

    options: Any = {"paired": True, "method": "percentile", "n_resamples": 4000, "rng": 1}
    drawn = stats.bootstrap((a, b), reduction, **options).confidence_interval
    assert signed["high"] - signed["low"] == pytest.approx(drawn.high - drawn.low, rel=0.1)

    row = found["interaction"].set_index("prompt").loc["box2d"]
    assert (row["n"], row["readers"], row["objects"]) == (240, 6, 40)
    expected = 2 * stats.norm.isf(0.025) * a.std() / 40**0.5
    assert row["high"] - row["low"] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("objects", "known"), [(1, False), (2, False), (5, False), (6, True)])
def test_few_objects_have_no_interval(objects: int, known: bool) -> None:
    found = interaction.analyse({"interaction": readings(readers=3, objects=objects)}, SETTINGS)
    for table in ("interaction", "interaction_tests"):
        assert found[table][["low", "high"]].notna().eq(known).all(axis=None)


def test_objects_count_by_the_prompts_that_were_timed() -> None:
    table = readings(readers=3, objects=8)
    few = table[(table["prompt"] == "box2d") | table["object"].isin(["0", "1"])]
    found = interaction.analyse({"interaction": few}, SETTINGS)
    known = found["interaction"].set_index("prompt")["low"].notna()
    assert known.to_dict() == {"box2d": True, "box3d": False}
    assert found["interaction_tests"]["low"].isna().all()


def test_holm_is_within_test() -> None:
    table = readings(readers=3, objects=12, prompts=3)
    found = interaction.analyse({"interaction": table}, SETTINGS)["interaction_tests"]
    assert len(found) == 3 * 2
    corrected(found, ["test"], 3, "pairs of prompts within test")


@pytest.mark.parametrize(
    ("changed", "told"), [({"seconds": -1.0}, "positive"), ({"prompt": "x"}, "before")]
)
def test_bad_times_are_told(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        frames.read_interaction(measured(tmp_path / "t.csv", **changed))
