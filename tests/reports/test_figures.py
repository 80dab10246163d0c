"""Figures from a generated study: their artists and captions match the tables."""

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from benchmark.analysis import aggregate, frames, ranking
from benchmark.analysis.settings import AnalysisSettings
from benchmark.prompts import SCHEMA as PROMPTS
from benchmark.storage.files import read_json, write_json
from benchmark.storage.tables import read_arrow, write_table
from reports import html, panels, tables
from reports.cases.loading import Answer, Case
from reports.figures import FIGURES, draw, fig3a, fig3b, fig4a, fig4b, fig4c, fig4d, fig5a, make
from reports.notes import weights
from reports.paper.caption import STATED, stated
from reports.paper.ledger import NUMBERS
from reports.results import Results
from reports.style import (
    COLOURS,
    CONTROL,
    NONE_DRAWN,
    MethodStyle,
    luminance,
    method_styles,
    nothing,
    save,
    styled,
)
from reports.supplement import SUPPLEMENT
from tests.reports.conftest import statistics

METHODS = ["first", "second"]
COUNTS = {"ok": 4, "expected": 4, "skipped": 0, "contaminated": 0}


def by_dataset(count: int, gap: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(count)
    rows = [
        {
            "dataset": f"D{i}",
            "split": "internal",
            "method": m,
            "metric": "dsc",
            "mean": rng.random(),
            **COUNTS,
        }
        for i in range(count)
        for m in METHODS
    ]
    columns = ["dataset", "split", "method", "metric", "mean", *COUNTS]
    table = pd.DataFrame(rows, columns=columns)
    if gap:
        table.loc[0, "mean"] = np.nan
    return table


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Means over shared cells that are those over all cells, since each method has all."""
    return table.rename(columns={"mean": "value"})


def times(datasets: int) -> pd.DataFrame:
    rows = [
        {"dataset": f"D{d}", "object": "s/liver/1", "method": m, "variant": "", "device": "cpu"}
        | {"segment_s": s * (d + 1)}
        for d in range(datasets)
        for m, s in (("first", 0.1), ("first", 0.3), ("second", 2.0))
    ]
    columns = ["dataset", "object", "method", "variant", "device", "segment_s"]
    return pd.DataFrame(rows, columns=columns)


def case(**answers: Answer) -> Case:
    truth = np.zeros((6, 8, 10), dtype=bool)
    truth[2:4, 2:6, 3:7] = True
    image = np.arange(truth.size, dtype=np.float32).reshape(truth.shape)
    about: Any = {"rank": "best", "dataset": "D1", "structure": "liver", "object": "s/liver/1"}
    place: Any = {"spacing": (5.0, 1.0, 1.0), "axis": 0, "index": 3, "prompt": (3, 4, 2, 6, 3, 7)}
    return Case(image=image, truth=truth, answers=answers, **about, **place)


def texts(figure: Figure) -> str:
    found = [artist for artist in figure.findobj(Text) if isinstance(artist, Text)]
    return "\n".join(text.get_text() for text in found if text.get_text())


@pytest.mark.parametrize("gap", [False, True])
def test_radar_holds_the_table(gap: bool) -> None:
    table = by_dataset(5, gap)
    figure = fig4a.draw(table, method_styles(METHODS), {})
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for method in METHODS:
        values = table.loc[table["method"] == method, "mean"].to_numpy()
        shown = np.asarray(lines[method].get_ydata())
        np.testing.assert_array_equal(shown, np.append(values, values[0]))
        assert to_hex(lines[method].get_color()).upper() == method_styles(METHODS)[method].colour


def test_many_methods_have_a_radar_each_with_the_others_behind() -> None:
    names = [f"m{i}" for i in range(8)]
    parts = [by_dataset(5).query("method == 'first'").assign(method=name) for name in names]
    table = pd.concat(parts, ignore_index=True)
    table["mean"] = np.random.default_rng(1).random(len(table))
    figure = fig4a.draw(table, method_styles(names), {})
    assert len(figure.axes) == len(names)
    for axes, name in zip(figure.axes, names, strict=True):
        (line,) = (line for line in axes.get_lines() if line.get_label() == name)
        values = table.loc[table["method"] == name, "mean"]
        np.testing.assert_array_equal(np.asarray(line.get_ydata())[:-1], values)
        assert to_hex(line.get_color()).upper() == method_styles(names)[name].colour
    assert "One chart per method" in fig4a.caption(table, ranks(table), names, [])


def test_text_in_the_colour_of_a_method_is_legible_on_white() -> None:
    """#767676 is the lightest grey of contrast 4.5 on white; WCAG 2 asks that of small text."""
    inks = {c: MethodStyle(c, "o", "-").ink.upper() for c in (*COLOURS, CONTROL, "#767676")}
    assert inks["#767676"] == "#767676"
    assert inks["#0072B2"] == "#0072B2"
    assert {colour for colour, ink in inks.items() if ink != colour} >= {"#E69F00", "#56B4E9"}
    assert max(map(luminance, inks.values())) < luminance("#777777")


def test_methods_of_one_colour_are_told_apart_by_their_dashes() -> None:
    names = [f"m{i}" for i in range(17)]
    found = method_styles([*names, "control"], ["control"])
    assert len({(found[name].colour, *found[name].dash) for name in names}) == len(names)
    assert found["m0"].dash == []
    assert found["m8"].dash == [5, 1.5]
    assert found["control"].dash == [1, 1.5]


def led(*means: tuple[float, ...]) -> pd.DataFrame:
    """A dataset for each row of means, of a metric of each kind."""
    rows = [
        {"dataset": f"D{d}", "split": "external", "method": method, "metric": metric, "mean": mean}
        for d, row in enumerate(means)
        for method, mean in zip(("a", "b", "c"), row, strict=True)
        for metric in ("dsc", *fig4b.SHOWN)
    ]
    return pd.DataFrame(rows).assign(**COUNTS)


def test_a_shared_lead_counts_for_each_that_has_it_in_any_order() -> None:
    table = led((0.9, 0.9, 0.1), (0.5, 0.8, 0.8), (0.7, 0.2, 0.1), (math.nan, 0.4, 0.3))
    for order in (["a", "b", "c"], ["c", "b", "a"]):
        caption = fig4a.caption(table, ranks(table), order, [])
        assert "; each method over its own scored cells." in caption
        assert "b on 3" in caption
        assert {"a on 2", "c on 1"} <= set(re.findall(r"[ac] on \d", caption))
        assert "of 4 datasets, 2 of them shared by methods that are equal." in caption
    table = led((0.9, 0.8, 0.1))
    assert "shared" not in fig4a.caption(table, ranks(table), ["a", "b", "c"], [])


def test_those_that_are_best_equally_often_are_all_named() -> None:
    table = led((0.9, 0.9, 0.1), (0.8, 0.8, 0.2))
    caption = fig4b.caption(table, ranks(table), ["a", "b", "c"])
    assert ", each method over its own scored cells" in caption
    assert "NSD, a and b (2 of 2); HD95, c (2 of 2); " in caption


def test_a_method_that_has_easy_cells_alone_does_not_lead() -> None:
    """B is worse in each cell that both have, and its mean is the better one."""
    cells = [
        {"dataset": f"D{d}", "split": "external", "scan": f"{s}", "structure": "x"}
        | {"method": method, "dsc": value, "nsd": value, "hd95": 1 - value}
        for d in range(4)
        for s in range(2)
        for method, value in (("a", 0.9 - 0.5 * s), ("b", math.nan if s else 0.8))
    ]
    scores = {"scores": frames.checked_scores(pd.DataFrame(cells))}
    settings = AnalysisSettings(resamples=100)
    means = aggregate.analyse(scores, settings)["by_dataset"]
    ours = means[means["metric"] == "dsc"].set_index(["dataset", "method"])["mean"]
    assert (ours.xs("b", level="method") > ours.xs("a", level="method")).all()
    matched = ranking.analyse(scores, settings)["ranks_by_dataset"]
    assert "have: a on 4 of 4 datasets." in fig4a.caption(means, matched, ["a", "b"], [])
    further = fig4b.caption(means, matched, ["a", "b"])
    assert "have: NSD, a (4 of 4); HD95, a (4 of 4)." in further
    change: Any = fig4c.difference(matched, ("a", "b"))
    np.testing.assert_allclose(change, 0.1)
    assert "mean +0.100; greater than 0 on 4 of 4" in fig4c.caption(
        means, matched, ["a", "b"], (), ("a", "b")
    )


def test_a_supervised_method_is_drawn_over_the_cells_that_it_did_not_learn_from(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """Its scores are those of classic-2, with the same box, but it has them on one scan only."""
    names = {"PAM-3": "supervised"}
    folder = made(tmp_path, 3, 4, names=names, oracle=True, failing=False, shown=0)
    scores = pd.read_parquet(folder / "scores.parquet").assign(contaminated=False)
    metrics = ["dsc", *fig4b.SHOWN]
    ours, other = scores["method"] == "supervised", scores["method"] == "classic-2"
    scores.loc[ours, metrics] = scores.loc[other, metrics].to_numpy()
    learnt = ours & (scores["scan"] == "scan0")
    scores.loc[learnt, metrics] = None
    scores.loc[learnt, ["status", "reason"]] = ["skipped", "it learnt from this scan"]
    scores.loc[ours, "prompt"] = "structure"
    scores.to_parquet(folder / "scores.parquet")
    record = read_json(folder / "record.json")
    record["methods"]["supervised"]["prompt"] = "structure"
    write_json(folder / "record.json", record)
    statistics(folder, controls=("oracle",))
    figure, caption = fig4c.make(Results(folder))
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines()}
    held_back = scores[other & (scores["scan"] == "scan1") & (scores["level"] == "structure")]
    means = held_back.groupby("dataset")["dsc"].mean()
    for method in ("classic-2", "supervised"):
        np.testing.assert_allclose(lines[method][:-1], means)
    assert "over the 6 of 12 cells that all have." in caption
    told = "not to be compared with the others here: supervised (6 of 12 cells scored)."
    assert told not in caption
    assert told in fig4a.make(Results(folder))[1]
    assert told in fig4b.make(Results(folder))[1]


def test_dots_have_their_intervals() -> None:
    table = by_dataset(1).assign(low=[0.1, math.nan], high=[0.3, math.nan])
    axes = fig4a.draw(table, method_styles(METHODS), {}).axes[0]
    lines = [found for found in axes.collections if isinstance(found, LineCollection)]
    (drawn,) = (segment for line in lines for segment in line.get_segments() if len(segment))
    np.testing.assert_allclose(drawn, [[0.1, 0], [0.3, 0]])


def test_captions_tell_whose_weights_were_trained_on_what_is_shown() -> None:
    table = led((0.9, 0.8, 0.1), (0.5, 0.8, 0.6))
    told = "Weights were trained on datasets shown here: b on 1."
    seen = (table["method"] == "b") & (table["dataset"] == "D1")
    trained = table.assign(contaminated=3 * seen)
    for shown, said in ((table, False), (trained, True)):
        a = fig4a.caption(shown, ranks(shown), ["a", "b"], [])
        b = fig4b.caption(shown, ranks(shown), ["a", "b"])
        c = fig4c.caption(shown, ranks(shown), ["a", "b"], (), ())
        assert [told in caption for caption in (a, b, c)] == [said] * 3
        assert told not in fig4a.caption(shown, ranks(shown), ["a", "c"], [])


def test_times_stand_by_dataset_below() -> None:
    table = times(3)
    below = fig4d.draw(table, method_styles(METHODS)).axes[1]
    lines = {line.get_label(): line for line in below.get_lines()}
    means = table.groupby(["method", "dataset"])["segment_s"].mean()
    for method in METHODS:
        np.testing.assert_allclose(np.asarray(lines[method].get_ydata()), means[method])
    assert [tick.get_text() for tick in below.get_xticklabels()] == ["D0", "D1", "D2"]
    assert len(fig4d.draw(times(1), method_styles(METHODS)).axes) == 1


def test_a_device_is_filled_or_hollow_for_all_methods() -> None:
    first, second = METHODS[:2]
    table = times(3)
    table = table[table["method"].isin([first, second])]
    table = table.assign(device=table["method"].map({first: "cuda", second: "cpu"}))
    below = fig4d.draw(table, method_styles(METHODS)).axes[1]
    faces = {line.get_label(): line.get_markerfacecolor() for line in below.get_lines()}
    assert faces[first] == method_styles(METHODS)[first].colour
    assert faces[second] == "white"
    assert "filled: cuda, hollow: cpu." in fig4d.caption(table)
    assert "hollow" not in fig4d.caption(table.assign(device="cpu"))


def test_a_study_without_3d_boxes_has_no_numbers_in_the_caption() -> None:
    shown = by_dataset(3)
    assert fig4c.caption(shown, ranks(shown), [], (), ()).endswith("no such method has a score.")


def test_controls_alone_are_not_compared(study: Path) -> None:
    results = Results(study)
    assert {results.method_record(m).prompt for m in results.controls} == {fig4c.SAME_PROMPT}
    figure, caption = fig4c.make(results)
    assert not figure.axes
    assert caption.endswith("none, since no such method has a score.")


def test_captions_name_methods_without_any_score() -> None:
    for c, lost in ((math.nan, True), (0.2, False)):
        table = led((0.9, math.nan, math.nan), (0.8, 0.8, c))
        a = fig4a.caption(table, ranks(table), ["a", "b", "c"], [])
        b = fig4b.caption(table, ranks(table), ["a", "b", "c"])
        assert [("Without any score: c." in caption) for caption in (a, b)] == [lost] * 2
        assert [("Without" in caption) for caption in (a, b)] == [lost] * 2


def test_times_run_from_reading_the_scan_to_the_result() -> None:
    table = times(2).assign(read_s=0.5, write_s=0.25, load_s=9.0)
    points = figure_points(fig4d.draw(table, method_styles(METHODS)))
    assert points[1] == [2.75, 4.75]
    # 2 s of 4.2 s of the first, and 1 s of 7.5 s of the second.
    told = "Reading takes 13 to 48 % of it, by method."
    assert told in fig4d.caption(table.assign(segment_s=times(2)["segment_s"] * 1.0))
    assert "Reading" not in fig4d.caption(times(2))


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_datasets_are_dots_and_say_why(count: int) -> None:
    table = by_dataset(count)
    figure = fig4a.draw(table, method_styles(METHODS), {})
    shown = [float(np.asarray(line.get_xdata())[0]) for line in figure.axes[0].get_lines()]
    assert shown == table["mean"].tolist()
    assert "needs three datasets" in texts(figure)


def test_box_plot_holds_objects_or_means_of_datasets() -> None:
    few, many = times(2), times(5)
    points = figure_points(fig4d.draw(few, method_styles(METHODS)))
    assert points == [[0.1, 0.3, 0.2, 0.6], [2.0, 4.0]]
    points = figure_points(fig4d.draw(many, method_styles(METHODS)))
    np.testing.assert_allclose(points[0], 0.2 * np.arange(1, 6))
    np.testing.assert_allclose(points[1], 2.0 * np.arange(1, 6))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.08e-5, "20.8 µs"), (0.001, "1 ms"), (0.0281, "28.1 ms"), (1.0, "1 s"), (1234.0, "1,230 s")],
)
def test_times_are_printed_with_units(seconds: float, text: str) -> None:
    assert fig4d.duration(seconds) == text


def figure_points(figure: Figure) -> list[list[float]]:
    lines = figure.axes[0].get_lines()
    return [np.asarray(line.get_xdata()).tolist() for line in lines if line.get_marker() == "o"]


def test_panels_show_image_reference_and_each_mask() -> None:
    given = np.roll(case().truth, 1, axis=2)
    shown = case(first=Answer(given, 0.75), second=Answer(None, None, "out of memory"))
    figure = fig5a.draw([shown], method_styles(METHODS))
    cuts = [axes for axes in figure.axes if axes.axison]
    assert len(cuts) == 2 * 3
    np.testing.assert_array_equal(cuts[0].images[0].get_array(), shown.image[3])
    np.testing.assert_array_equal(cuts[1].images[0].get_array(), shown.image[:, 2])
    assert [len(axes.collections) for axes in cuts] == [1, 1, 2, 2, 1, 1]
    place = cuts[2].collections[1].get_paths()[0].vertices
    low, high = np.asarray(place).min(axis=0), np.asarray(place).max(axis=0)
    assert (low.tolist(), high.tolist()) == ([3.5, 1.5], [7.5, 5.5])  # x 4..7, y 2..5
    surfaces: list[Any] = [axes.images[0].get_array() for axes in figure.axes if not axes.axison]
    assert len(surfaces) == 2  # the reference, and the method that gave a mask
    truth, answer = (np.argwhere(surface[..., 3]).mean(axis=0) for surface in surfaces)
    assert answer[1] > truth[1] + 1  # it lies further to the patient's left
    assert "DSC 0.750" in texts(figure)
    assert "out of memory" in texts(figure)


def test_contours_and_letters_are_seen_on_any_tissue() -> None:
    shown = case(first=Answer(case().truth, 1.0))
    for colour, edges in (("#000000", ["black", "white"]), ("#FFFFFF", ["black"])):
        axes = fig5a.draw([shown], {"first": MethodStyle(colour, "o", "-")}).axes[3]
        effects: list[Any] = [line.get_path_effects() for line in axes.collections]
        assert [found[0]._gc["foreground"] for found in effects if found] == edges
        assert all(letter.get_path_effects() for letter in axes.texts)


@pytest.mark.parametrize("name", ["fig4a", "fig4d", "fig5a"])
def test_no_rows_are_said_in_the_place_of_the_figure(name: str) -> None:
    figures = {
        "fig4a": lambda: fig4a.draw(by_dataset(0), method_styles(METHODS), {}),
        "fig4d": lambda: fig4d.draw(times(0), method_styles(METHODS)),
        "fig5a": lambda: fig5a.draw([], method_styles(METHODS)),
    }
    figure = figures[name]()
    assert not figure.axes
    assert texts(figure).startswith("No ")


def test_a_method_keeps_its_look_beside_controls_and_own_colours() -> None:
    plain = method_styles(METHODS)
    more = method_styles(["oracle", *METHODS], ["oracle"], {"second": "#123456"})
    assert more["first"] == plain["first"]
    assert more["oracle"].colour == CONTROL
    assert more["second"].colour == "#123456"


def test_twelve_methods_all_look_different() -> None:
    given = method_styles([str(i) for i in range(12)])
    assert len({(style.colour, str(style.line)) for style in given.values()}) == 12


def test_choice_takes_best_median_and_worst_once_each() -> None:
    objects = pd.DataFrame(
        {
            **{"dataset": "D", "scan": "s", "method": "m", "status": "ok"},
            **{"object": list("abcde"), "dsc": [0.1, 0.9, 0.5, 0.7, 0.3]},
        }
    )
    chosen = panels.choose(objects, "m", 1, {"D"})
    assert dict(zip(chosen["rank"], chosen["object"], strict=True)) == {
        "best": "b",
        "median": "c",
        "worst": "a",
    }
    assert len(panels.choose(objects.head(2), "m", 1, {"D"})) == 2
    assert panels.choose(objects, "m", 1, {"other"}).empty
    assert panels.choose(objects, "m", 0, {"D"}).empty


def test_cases_are_loaded_from_redistributable_data_alone(study: Path) -> None:
    results = Results(study)
    cases = panels.load(results)
    assert {found.dataset for found in cases} == {"D01"}
    for found in cases:
        oracle = found.answers["oracle"].mask
        assert oracle is not None
        np.testing.assert_array_equal(oracle, found.truth)
        inside = found.image[found.truth].mean() - found.image[~found.truth].mean()
        assert inside > 50
        assert found.truth.take(found.index, axis=found.axis).any()


def test_private_images_are_shown_where_the_study_says_so(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, failing=False, shown=3)
    record = read_json(folder / "record.json")
    for dataset in ("D02", "D03"):
        record["datasets"][dataset]["redistributable"] = False
    write_json(folder / "record.json", record)
    settings = folder / "figures" / "settings.json"
    told = "Contains patient images, not for passing on"
    for private, datasets in ((False, {"D01"}), (True, {"D01", "D02", "D03"})):
        write_json(settings, {**read_json(settings), "private_images": private, "panels": 9})
        results = Results(folder)
        cases = panels.load(results)
        assert {found.dataset for found in cases} == datasets
        page = html.render(results)
        assert (told in page) == private
        assert ("not for passing on</td>" in page) == private
    record["datasets"]["D03"]["scans"] = 0
    write_json(folder / "record.json", record)
    assert Results(folder).restricted_images_shown == ["D02"]


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        figure = fig4a.draw(by_dataset(4), method_styles(METHODS), {})
        save(figure, tmp_path / folder / "fig", "caption")
    for suffix in ("pdf", "svg", "png", "txt"):
        first, second = (tmp_path / f / f"fig.{suffix}" for f in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    assert "<text" in (tmp_path / "one" / "fig.svg").read_text(encoding="utf-8")
    pdf = (tmp_path / "one" / "fig.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, which editors keep as text
    assert b"/Type3" not in pdf


def test_dollars_in_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    with styled():
        figure = Figure()
        figure.subplots().set_title("cost$_$1")
    for name, drawn in (("title", figure), ("nothing", nothing("cost$_$1"))):
        save(drawn, tmp_path / name, "caption")
        assert ">cost$_$1<" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


def test_captions_end_with_what_the_paper_states(study: Path) -> None:
    known = pd.read_csv(NUMBERS, dtype=str).set_index("key")
    for name, keys in STATED.items():
        text = stated(name)
        for key in set(keys) - {"n_3d_objects"}:
            assert str(known.loc[key, "stated"]) in text
    assert set(STATED) <= set(FIGURES)
    assert "PAM-2DBox P = 0.6736, of PAM-2DMask P = 0.5985." in stated("fig4f")
    assert "objects 1,645,871. " in stated("fig3a")
    assert "1,345,871 tasks" in stated("fig3a")
    assert stated("fig4f").count("which needs a test of equivalence") == 1
    assert "instead of two 63.6 %" in stated("fig4e")
    assert "above MedSAM 23.1 percentage points" in stated("fig4a")
    assert draw("fig4f", Results(study))[1].endswith(stated("fig4f"))
    assert stated("fig5a") == ""


@pytest.mark.parametrize(("adapter", "against"), [("medsam", True), ("region-growth", False)])
def test_r_of_the_paper_stands_below_changes_against_medsam_alone(
    adapter: str, against: bool, study: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    record = read_json(folder / "record.json")
    record["methods"]["classic-0"]["adapter"] = adapter
    write_json(folder / "record.json", record)
    assert draw("fig5b", Results(folder))[1].endswith(stated("fig5b")) == against


def test_panels_take_the_guiding_slice_of_their_own_study(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """Another study, whose digest comes first, moved it."""
    folder = made(tmp_path, 1, 1)
    root = folder.parent
    ours = [c.index for c in panels.load(Results(folder))]
    shard = Path("D01") / "0.parquet"
    prompts = read_arrow(root / "prompts" / "abc" / shard).to_pylist()
    theirs = [row | {"slice": 0} for row in prompts]
    write_table(theirs, PROMPTS, root / "prompts" / "aaa" / shard)
    assert [c.index for c in panels.load(Results(folder))] == ours


def test_captions_tell_weights_and_protocol(study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    assert weights(Results(folder)) == ""
    record = read_json(folder / "record.json")
    small: dict[str, Any] = {"weights": "pam-small", "weights_name": "Small PAM"}
    small |= {"options": {"protocol": "rigorous"}}
    nets = {"weights": "w", "weights_name": "Net"}
    record["methods"] |= {"PAM-1": record["methods"]["PAM-1"] | small}
    record["methods"] |= {"classic-0": record["methods"]["classic-0"] | nets}
    write_json(folder / "record.json", record)
    told = "Weights: classic-0: Net (w); PAM-1: Small PAM (pam-small), under the protocol rigorous."
    assert told in draw("fig4a", Results(folder))[1]
    assert told not in draw("fig3a", Results(folder))[1]
    assert "Weights" not in draw("fig6a", Results(folder))[1]  # nothing is drawn
    for name in tables.make(Results(folder)):
        if name.stem == "table1" and name.suffix != ".csv":
            assert told in name.read_text(encoding="utf-8")


def test_make_writes_what_was_asked_for(study: Path) -> None:
    made = make(Results(study), "fig4d")
    assert made == [study / "figures" / "fig4d"]
    assert (study / "figures" / "fig4d.pdf").read_bytes().startswith(b"%PDF")


def object_types(datasets: int) -> pd.DataFrame:
    rows = [
        {
            "dataset": f"D{d}",
            "split": "internal",
            "modality": ("CT", "MR")[d % 2],
            "structure": f"type{t}",
            "objects": 10 ** (d + t),
        }
        for d in range(datasets)
        for t in range(d + 1)
    ]
    return pd.DataFrame(rows, columns=["dataset", "split", "modality", "structure", "objects"])


def test_bars_around_the_circle_are_logarithms_of_the_counts() -> None:
    types = object_types(3)
    figure = fig3a.draw(types)
    drawn = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    heights = np.array([bar.get_height() for bar in drawn if bar.get_y() == fig3a.INNER])
    expected = types.sort_values(["dataset", "objects"], ascending=[True, False])["objects"]
    powers = np.log10(expected.to_numpy(float))
    np.testing.assert_allclose(heights - 0.02, powers / powers.max(), atol=1e-12)
    for text in ("D0 (1)", "D1 (2)", "D2 (3)", "1,000", "CT", "MR", "internal"):
        assert text in texts(figure) or text in [t.get_text() for t in figure.legends[0].texts]
    types.loc[0, "structure"] = "Type0"
    told = "objects of 6 types (a structure of a dataset; 3 different names as spelled) in 3"
    assert f"{types['objects'].sum():,} {told}" in fig3a.caption(types)


def fingerprint(datasets: int) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"dataset": [f"D{d}" for d in range(datasets)]})
    table["modality"] = [("MR", "CT")[d % 2] for d in range(datasets)]
    for name in ("scans", "voxels", "size_anisotropy", "spacing_anisotropy", "structures"):
        table[name] = rng.integers(1, 100, datasets)
        table[f"z_{name}"] = rng.normal(size=datasets)
    return table


def test_fingerprints_hold_the_z_scores_by_modality() -> None:
    table = fingerprint(5)
    figure = fig3b.draw(table)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    ordered = table.sort_values("modality", kind="stable")
    expected = ordered[[name for name in table if str(name).startswith("z_")]].to_numpy().T
    np.testing.assert_array_equal(shown, expected)
    labels = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert labels == ordered["dataset"].tolist()


def test_one_dataset_has_no_fingerprint_to_compare() -> None:
    """Over one value there is no standard deviation, so no z-score."""
    table = fingerprint(1)
    table.loc[:, table.columns.str.startswith("z_")] = np.nan
    figure = fig3b.draw(table)
    assert figure.axes == []
    assert figure.texts[0].get_gid() == NONE_DRAWN
    assert "statistics/fingerprint.csv" in fig3b.caption(table)


def test_voxels_are_told_apart_from_those_of_a_scan() -> None:
    """The figure has the sum over the scans of a dataset, the table the median of a scan."""
    assert "Voxels (all scans)" in texts(fig3b.draw(fingerprint(5)))
    assert "Voxels: of all scans of a dataset together." in fig3b.caption(fingerprint(5))
    (voxels,) = (c for c in SUPPLEMENT["fingerprint"].columns if c.fields == ("voxels_median",))
    assert voxels.heading == "Voxels (median of a scan)"


def further(metric: str, scale: float) -> pd.DataFrame:
    table = by_dataset(4).assign(metric=metric, split="external")
    return table.assign(mean=table["mean"] * scale)


def test_further_metrics_normalise_distances_by_dataset() -> None:
    table = pd.concat([further("sensitivity", 1), further("hd95", 30)], ignore_index=True)
    figure = fig4b.draw(table, method_styles(METHODS))
    sensitivity, hd95 = figure.axes
    for axes, rows in ((sensitivity, table[:8]), (hd95, table[8:])):
        wide = rows.pivot(index="dataset", columns="method", values="mean")
        if axes is hd95:
            wide = wide.div(wide.max(axis=1), axis=0)
        lines = {line.get_label(): line for line in axes.get_lines()}
        for method in METHODS:
            np.testing.assert_allclose(np.asarray(lines[method].get_ydata()), wide[method])
    assert "lower is better" in texts(figure)
    internal = pd.concat([table, by_dataset(2)])
    assert set(fig4b.chosen(internal)["split"]) == {"external"}


@pytest.mark.parametrize(
    "figure",
    [
        lambda: fig3a.draw(object_types(0)),
        lambda: fig3b.draw(fingerprint(0)),
        lambda: fig4b.draw(further("dsc", 1), method_styles(METHODS)),
    ],
)
def test_nothing_to_draw_is_said(figure: Any) -> None:
    assert "No dataset" in texts(figure())


@pytest.mark.parametrize("figure", [fig3a.draw, fig3b.draw])
def test_one_row_is_drawn(figure: Any) -> None:
    table = object_types(1) if figure is fig3a.draw else fingerprint(1)
    assert "D0" in texts(figure(table))
