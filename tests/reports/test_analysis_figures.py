"""Figures of the analyses, from small tables: their artists match the tables."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from benchmark.analysis.paired import WILCOXON
from benchmark.errors import UserError
from benchmark.storage.files import write_json
from reports import level_boxes
from reports.figures import fig4c, fig4e, fig5b, fig5e
from reports.results import Results
from reports.style import method_styles
from tests.reports.test_figures import METHODS, by_dataset, ranks, texts

LEVELS = (0.0, 0.1, 0.2)


def level_values(datasets: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"method": m, "selection": "all", "level": level, "dataset": f"D{d}", "mean": rng.random()}
        for m in METHODS
        for level in LEVELS
        for d in range(datasets)
    ]
    return pd.DataFrame(rows, columns=["method", "selection", "level", "dataset", "mean"])


def level_tests() -> pd.DataFrame:
    anova = {"selection": "all", "test": "one-way ANOVA", "p": 0.25}
    tost = {"selection": "effective", "test": "TOST", "p": 0.01, "margin": 0.02, "unaffected": 7}
    rows = [{"method": "first", **anova}]
    rows += [{"method": "first", **tost, "level": v, "equivalent": v < 0.15} for v in LEVELS[1:]]
    return pd.DataFrame(rows)


def draw_levels(values: pd.DataFrame) -> Figure:
    return level_boxes.draw(
        values, level_tests(), method_styles(METHODS), "Deviation", "{:.0%}".format
    )


def test_boxes_hold_the_means_by_level() -> None:
    values = level_values(5)
    figure = draw_levels(values)
    for axes, method in zip(figure.axes, METHODS, strict=True):
        assert axes.get_title(loc="left") == method
        points = [line for line in axes.get_lines() if line.get_marker() == "."]
        for level, line in zip(LEVELS, points, strict=True):
            rows = values[(values["method"] == method) & (values["level"] == level)]
            np.testing.assert_array_equal(np.asarray(line.get_ydata()), rows["mean"])
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0%", "10%", "20%"]
    assert "ANOVA: P = 0.250" in texts(figure)
    assert "equivalent within 0.02: 1 of 2 levels" in texts(figure)
    assert "equivalence: not computable" in texts(figure)  # of the second method
    some = level_tests()
    some.loc[some["level"] == LEVELS[1], ["p", "equivalent"]] = [np.nan, False]
    told = level_boxes.verdict(some, "first")
    assert told.endswith("equivalent within 0.02: 0 of 2 levels, 1 not testable")
    text = level_boxes.caption(values, level_tests(), "deviation")
    assert "2 methods on 5 datasets" in text
    assert "Objects that a level did not affect: 7." in text
    joined = [
        line
        for line in figure.axes[0].get_lines()
        if len(np.asarray(line.get_xdata())) == len(LEVELS)
    ]
    first = values[values["method"] == METHODS[0]]
    for line, (_, rows) in zip(joined, first.groupby("dataset"), strict=True):
        np.testing.assert_array_equal(
            np.asarray(line.get_ydata()), rows.sort_values("level")["mean"]
        )
    repeats = level_tests().iloc[[0]].assign(test="repeated-measures ANOVA", p=0.01)
    both = pd.concat([level_tests(), repeats])
    assert "repeated measures: P = 0.0100" in level_boxes.verdict(both, METHODS[0])
    alone = values[values["method"] == METHODS[0]]
    assert "of 1 method on 5 datasets;" in level_boxes.caption(alone, level_tests(), "deviation")


def test_one_dataset_has_a_point_a_level() -> None:
    assert len(draw_levels(level_values(1)).axes) == len(METHODS)


@pytest.mark.parametrize("datasets", [4, 5])
def test_a_box_is_of_five_points_or_more_and_a_bar_at_the_mean_of_fewer(datasets: int) -> None:
    values = level_values(datasets)
    axes: Any = draw_levels(values).axes[0]
    bars = [c.get_segments()[0] for c in axes.collections if isinstance(c, LineCollection)]
    assert (len(axes.patches), len(bars)) == ((0, 3) if datasets == 4 else (3, 0))
    means = values[values["method"] == METHODS[0]].groupby("level")["mean"].mean()
    assert [y for bar in bars for y in bar[:, 1]] == [m for m in means for _ in (0, 1)][
        : 2 * len(bars)
    ]
    shown = level_boxes.caption(values, level_tests(), "deviation")
    assert ("Bar: their mean." in shown, "Box: quartiles" in shown) == (
        datasets == 4,
        datasets == 5,
    )


def interaction(rows: int, generated: bool = True) -> pd.DataFrame:
    kinds = ["box2d", "mask2d", "box3d"][:rows]
    table = pd.DataFrame({"prompt": kinds, "generated": generated, "n": 40})
    for place, name in enumerate(("q1", "median", "low", "mean", "high", "q3")):
        table[name] = 2.0 + place + np.arange(rows)
    return table


PROMPT_TESTS = pd.DataFrame(
    {"prompt_a": ["mask2d"], "prompt_b": ["box3d"], "test": ["paired t"]}
    | {"reduction_percent": [63.4], "p": [0.0002], "p_holm": [0.0002]}
)


def test_prompt_times_are_quartiles_median_and_mean() -> None:
    table = interaction(3)
    figure = fig4e.draw(table)
    axes = figure.axes[0]
    bars: list[Any] = list(axes.patches)
    np.testing.assert_allclose([bar.get_x() for bar in bars], table["q1"])
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in bars], table["q3"])
    means = [line for line in axes.get_lines() if line.get_marker() == "D"]
    found = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in means])
    np.testing.assert_allclose(found, table["mean"])
    assert "nobody measured them" in texts(figure)
    assert "nobody measured" not in texts(fig4e.draw(interaction(3, generated=False)))
    told = "(paired t, P = 0.0002 after Holm's correction)"
    assert f"63.4 % less {told}" in fig4e.caption(table, PROMPT_TESTS)
    of_boxes = PROMPT_TESTS.assign(prompt_a="box3d", prompt_b="box2d")
    assert "A 3D box against a box on one slice" in fig4e.caption(table, of_boxes)
    longer = PROMPT_TESTS.assign(reduction_percent=-0.5)
    assert f"0.5 % more {told}" in fig4e.caption(table, longer)
    both = pd.concat([PROMPT_TESTS] * 2, ignore_index=True)
    both = both.assign(test=["wilcoxon rank-sum", WILCOXON], p=[1e-9, 0.04], p_holm=[1e-9, 0.04])
    assert "(Wilcoxon signed-rank, P = 0.0400 after" in fig4e.caption(table, both)
    few = both.assign(p=[1e-9, np.nan], p_holm=[1e-9, np.nan])  # one object: no pairs
    assert "(Wilcoxon rank-sum, P < 0.0001 after" in fig4e.caption(table, few)


def regularity_values(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        rng.random((rows, 4)), columns=["box_ratio", "convex_ratio", "iri", "change"]
    )
    table["modality"] = [("CT", "MR")[i % 2] for i in range(rows)]
    table["dataset"] = [f"D{i}" for i in range(rows)]
    table["structure"] = "liver"
    return table.assign(method="first", reference="second", dimension="2d", same_prompt=True)


def correlations() -> pd.DataFrame:
    facts = {"method": "first", "reference": "second", "dimension": "2d", "unit": "structure"}
    rows = [
        {
            **facts,
            "modality": "all",
            "correlation": "pearson",
            "shape": s,
            "r": r,
            "p": 0.04,
            "n": 8,
        }
        for s, r in (("box_ratio", -0.5), ("convex_ratio", 0.25), ("iri", np.nan))
    ]
    return pd.DataFrame(rows)


def test_change_over_shape_holds_the_points_and_their_correlation() -> None:
    values = regularity_values(8)
    figure = fig5b.draw(values, correlations())
    for axes, shape in zip(figure.axes, fig5b.SHAPE_LABELS, strict=True):
        for line, modality in zip(axes.get_lines()[:2], ("CT", "MR"), strict=True):
            rows = values[values["modality"] == modality]
            np.testing.assert_array_equal(np.asarray(line.get_xdata()), rows[shape])
            np.testing.assert_array_equal(np.asarray(line.get_ydata()), rows["change"])
    titles = [axes.get_title() for axes in figure.axes]
    told = [
        "r = \N{MINUS SIGN}0.50, P = 0.0400 (n = 8)",
        "r = 0.25, P = 0.0400 (n = 8)",
        "r not computable",
    ]
    assert titles == told
    alone = correlations().assign(p=np.nan)  # of a single dataset
    titles = [axes.get_title() for axes in fig5b.draw(values, alone).axes]
    assert titles == ["r = \N{MINUS SIGN}0.50 (n = 8)", "r = 0.25 (n = 8)", "r not computable"]
    assert "P: from draws of collections" in fig5b.caption(values, correlations().assign(reason=""))
    why = fig5b.caption(values, alone.assign(reason="1 cluster"))
    assert "P: from draws" not in why
    assert "Without P: 1 cluster." in why


def curves(methods: list[str]) -> pd.DataFrame:
    rows = []
    for method in methods:
        for measure in ("area", "volume"):
            for group, step in (("low", 0.1), ("high", 0.2)):
                for i in range(5):
                    rows.append(
                        {"cohort": "P11", "method": method, "measure": measure, "group": group}
                        | {"time": 10.0 * i, "survival": 1 - step * i, "low": 0.9 - step * i}
                        | {"high": 1 - step * i, "at_risk": 20 - 4 * i, "censored": i % 2}
                    )
    columns = ["cohort", "method", "measure", "group", "time", "survival", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "at_risk", "censored"])


SURVIVAL_TESTS = pd.DataFrame(
    [
        {"cohort": "P11", "method": "reference", "measure": measure, "logrank_p": p}
        | {"hazard_ratio": 2.5, "hr_low": 1.5, "hr_high": 4.0, "concordance": 0.7}
        | {"n": 37, "events": 21, "patients": 40, "reason": None}
        for measure, p in (("area", 0.04), ("volume", 0.0001))
    ]
)


def test_survival_curves_are_steps_with_numbers_at_risk() -> None:
    table = curves(["reference"])
    figure = fig5e.draw(table, SURVIVAL_TESTS, ["reference"])
    area, _, risk, _ = figure.axes
    (low, *_), (high, *_) = [
        [line for line in area.get_lines() if line.get_label() == name]
        for _, name in fig5e.GROUPS.values()
    ]
    for line, group in ((low, "low"), (high, "high")):
        rows = table[(table["measure"] == "area") & (table["group"] == group)]
        np.testing.assert_array_equal(np.asarray(line.get_ydata()), rows["survival"])
    written = [text.get_text() for text in risk.texts]
    assert [tick.get_text() for tick in area.get_xticklabels()] == ["0", "10", "20", "30", "40"]
    assert written[:5] == ["20", "16", "12", "8", "4"]
    longer = fig5e.draw(table.assign(time=1.16 * table["time"]), SURVIVAL_TESTS, ["reference"])
    at = [tick.get_text() for tick in longer.axes[0].get_xticklabels()]
    assert at == ["0", "10", "20", "30", "40"]  # of 46.4
    assert [text.get_text() for text in longer.axes[2].texts[:5]] == ["20", "16", "12", "8", "4"]
    assert area.get_xlabel() == "Time"
    in_months = fig5e.draw(table, SURVIVAL_TESTS, ["reference"], {"P11": "months"})
    assert in_months.axes[0].get_xlabel() == "Time (months)"
    assert (fig5e.unit("time_months"), fig5e.unit("follow-up")) == ("months", "")
    assert "log-rank P = 0.0400" in texts(figure)
    assert "log-rank P = 0.0001" in texts(figure)


def test_survival_is_captioned_with_what_its_numbers_are_of() -> None:
    caption = fig5e.caption(SURVIVAL_TESTS, ["reference"], "90 %")
    assert "hazard ratio 2.50 (1.50 to 4.00) per standard deviation" in caption
    assert "for one standard deviation of the change, with 90 % intervals" in caption
    assert "with 90 % intervals and numbers at risk" in caption
    assert "95 %" not in caption
    assert caption.count("concordance 0.70, 37 of 40 patients, 21 events.") == 2
    of_methods = SURVIVAL_TESTS.assign(method="first")
    whole = fig5e.caption(pd.concat([SURVIVAL_TESTS, of_methods]), ["first", "reference"], "90 %")
    # The area is a reader's, whatever the method.
    assert whole.count("P11, area: hazard ratio") == 1
    assert whole.count(", volume: hazard ratio") == 2
    assert "left out" in caption
    assert "not corrected" in caption
    absent = {"cohort": "D38", "reason": "no data: the dataset is manual"}
    skipped = SURVIVAL_TESTS[["method", "measure"]].assign(**absent)
    both = pd.concat([SURVIVAL_TESTS, skipped])
    told = "D38: no data: the dataset is manual."
    assert fig5e.caption(both, ["reference"], "90 %") == f"{caption} {told}"
    alone = skipped.reindex(columns=SURVIVAL_TESTS.columns)
    assert fig5e.caption(alone, ["reference"], "90 %") == f"Survival: none. {told}"
    assert texts(fig5e.draw(curves([]), alone, ["reference"])) == f"No survival curve. {told}"
    few = SURVIVAL_TESTS.assign(method="few", reason="n = 3", hazard_ratio=np.nan, logrank_p=np.nan)
    mixed = fig5e.caption(pd.concat([SURVIVAL_TESTS, few]), ["reference", "few"], "90 %")
    assert mixed == f"{caption} P11, few: n = 3."
    no_ratio = SURVIVAL_TESTS.assign(hazard_ratio=np.nan)  # Cox did not converge
    assert fig5e.caption(no_ratio, ["reference"], "90 %").startswith("Kaplan-Meier curves")


@pytest.mark.parametrize("datasets", [1, 4])
def test_bars_are_the_difference_of_the_two_boxes(datasets: int) -> None:
    table = by_dataset(datasets)
    table.loc[table["method"] == "first", "mean"] += 0.5  # over other cells than the bars
    shared = ranks(by_dataset(datasets))
    figure = fig4c.draw(table, shared, method_styles(METHODS), {}, ("first", "second"))
    wide = shared.pivot(index="dataset", columns="method", values="value")
    bars: list[Any] = list(figure.axes[-1].patches)
    np.testing.assert_allclose([bar.get_height() for bar in bars], wide["first"] - wide["second"])
    text = fig4c.caption(table, shared, METHODS, (), ("first", "second"))
    change = (wide["first"] - wide["second"]).mean()
    assert f"over the cells of a dataset that all methods have, mean {change:+.3f}" in text
    assert "No bars" in fig4c.caption(table, shared, METHODS, (), ("first",))


@pytest.mark.parametrize(
    "figure",
    [
        lambda: draw_levels(level_values(0)),
        lambda: fig4c.draw(by_dataset(0), ranks(by_dataset(0)), method_styles(METHODS), {}, ()),
        lambda: fig4e.draw(interaction(0)),
        lambda: fig5b.draw(regularity_values(0), correlations()),
        lambda: fig5e.draw(curves([]), SURVIVAL_TESTS, ["reference"]),
    ],
)
def test_a_figure_without_rows_says_so(figure: Any) -> None:
    assert texts(figure()).startswith("No ")


@pytest.mark.parametrize(
    ("methods", "analysis", "why"),
    [
        (["ours", "fill"], {}, "since ours is the only method that is not a control."),
        (["ours", "fill"], {"reference": "fill"}, "names, fill, is a control."),
        (["fill"], {}, "since every method is a control."),
        (["ours", "own"], {"controls": ["own"], "reference": "own"}, "names, own, is a control."),
        (["ours", "other"], {}, "no object has a shape and scores of two methods."),
    ],
)
def test_a_study_without_a_pair_is_told_why(
    tmp_path: Path, methods: list[str], analysis: dict[str, Any], why: str
) -> None:
    write_json(tmp_path / "settings.json", {"analysis": analysis})
    known = {method: {"control": method == "fill"} for method in methods}
    write_json(tmp_path / "record.json", {"methods": known})
    (tmp_path / "statistics").mkdir()
    tables = {"overall": pd.DataFrame({"method": methods})}
    tables |= {"regularity_values": regularity_values(0), "regularity": correlations()}
    for name, table in tables.items():
        table.to_csv(tmp_path / "statistics" / f"{name}.csv", index=False)
    assert fig5b.make(Results(tmp_path))[1].endswith(why)


@pytest.mark.parametrize("hashes", ["hh", "hx"])
def test_the_same_box_is_demanded(tmp_path: Path, hashes: str) -> None:
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    place = {"dataset": "D1", "scan": "s", "object": "o", "deviation": 0.0, "level": "object"}
    rows = [
        {**place, "method": method, "prompt": "box3d", "prompt_hash": told, "status": "ok"}
        for method, told in zip(METHODS, hashes, strict=True)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "scores.parquet")
    same = hashes == "hh"
    with nullcontext() if same else pytest.raises(UserError, match="prompts of o"):
        fig4c.require_same_boxes(Results(tmp_path), METHODS)
