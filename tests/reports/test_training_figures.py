"""Fig. 6, from small tables of training runs: its artists match the tables."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from benchmark.analysis.generalisation import analyse
from benchmark.analysis.settings import AnalysisSettings
from reports import trained_models
from reports.figures import fig6a, fig6b, fig6c, fig6d
from reports.formatting import p_statement
from reports.style import method_styles
from tests.reports.test_figures import texts

KNOWN = method_styles(["other", "PAM"])
OF_ABLATIONS = ("ablation", "ablation_overall", "ablation_tests")
SETTINGS = {"normalisation": ("dynamic", "abdomen", "lung"), "scales": ("R1", "R2")}


def runs(datasets: int) -> pd.DataFrame:
    """Runs of one model and one reference on ``datasets`` datasets, and of two ablations."""
    rng = np.random.default_rng(5)
    names = [f"D{35 + i}" for i in range(datasets)]
    rows: list[dict[str, Any]] = []
    for tested in names:
        rows += [
            {"kind": "general", "method": "PAM", "tested_on": tested},
            {"kind": "general", "method": "PAM-2DBox", "tested_on": tested},
            {"kind": "reference", "method": "other", "tested_on": tested},
        ]
        for trained, kind in product(names, ("scratch", "finetuned")):
            about = {"kind": kind, "method": "PAM"}
            rows.append({**about, "tested_on": tested, "trained_on": trained})
        for ablation, settings in SETTINGS.items():
            for setting in settings:
                about = {"kind": "ablation", "method": "PAM", "tested_on": tested}
                about |= {"ablation": ablation, "setting": setting}
                rows.append({**about, "default": setting in ("dynamic", "R2")})
    columns = ["kind", "method", "tested_on", "trained_on", "ablation", "setting", "default"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(metric="dsc", seed=0, value=rng.uniform(0.3, 0.95, len(table)))


def test_a_model_looks_like_its_method_where_no_colour_is_left() -> None:
    known = method_styles([f"m{i}" for i in range(8)])
    models = ["m0-Finetuned", "m0-Scratch", "m1-Finetuned"]
    one, other = (trained_models.styles_of(names, known) for names in (models, models[:1]))
    assert one["m0-Finetuned"] == other["m0-Finetuned"]
    assert [one[name].colour for name in models] == [known[m].colour for m in ("m0", "m0", "m1")]
    looks = [(style.colour, style.line) for style in [*known.values(), *one.values()]]
    assert len(set(looks)) == len(looks)


def tables(datasets: int) -> dict[str, pd.DataFrame]:
    return analyse({"runs": runs(datasets)}, AnalysisSettings())


@pytest.mark.parametrize("datasets", [1, 4])
def test_bars_are_reference_general_and_finetuned(datasets: int) -> None:
    found = tables(datasets)
    figure = fig6a.draw(found["finetuning"], KNOWN)
    axes: Any = figure.axes[0]
    heights = {b.get_label(): [bar.get_height() for bar in b] for b in axes.containers}
    rows = {str(method): part for method, part in found["finetuning"].groupby("method")}
    assert heights == {
        "other": rows["PAM"]["reference_value"].tolist(),
        "PAM": rows["PAM"]["general"].tolist(),
        "PAM-2DBox": rows["PAM-2DBox"]["general"].tolist(),
        "PAM-Finetuned": rows["PAM"]["finetuned"].tolist(),
    }
    assert rows["PAM-2DBox"]["gain"].isna().all()
    assert set(found["finetuning_tests"]["method"]) == {"PAM"}
    colours = {b.get_label(): to_hex(b.patches[0].get_facecolor()).upper() for b in axes.containers}
    assert colours["PAM"] == KNOWN["PAM"].colour
    assert len(set(colours.values())) == len(colours)
    if datasets > 2:
        radar = fig6c.draw(found["transfer"], KNOWN, {}).axes[0]
        lines = {line.get_label(): line.get_color() for line in radar.get_lines()}
        assert colours["PAM-Finetuned"] == to_hex(lines["PAM-Finetuned"]).upper()
    assert axes.get_ylabel() == "DSC"
    text = fig6a.caption(found["finetuning"], found["finetuning_tests"], "95 %")
    assert f"on {datasets} dataset{'s' * (datasets > 1)};" in text
    gain = found["finetuning"]["gain"].mean()
    assert f"PAM, fine-tuned minus general: mean {gain:+.3f} (" in text
    assert text.count("95 % interval") == (0 if datasets == 1 else 3)
    assert "PAM, general minus reference (other): mean " in text
    assert ("P not computable" in text) == (datasets == 1)


def test_a_method_held_against_two_references_has_one_bar() -> None:
    rows = runs(3)
    second = rows[rows["kind"] == "reference"].assign(method="third", value=0.5)
    found = analyse({"runs": pd.concat([rows, second])}, AnalysisSettings())
    axes: Any = fig6a.draw(found["finetuning"], KNOWN).axes[0]
    shown = [b.get_label() for b in axes.containers]
    assert shown == ["other", "third", "PAM", "PAM-2DBox", "PAM-Finetuned"]


@pytest.mark.parametrize("datasets", [1, 4])
def test_the_map_holds_trained_on_rows_and_tested_on_columns(datasets: int) -> None:
    recovery = tables(datasets)["recovery"]
    figure = fig6b.draw(recovery)
    shown = np.asarray(figure.axes[0].collections[0].get_array())
    rows = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    columns = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    for row in recovery.to_dict("records"):
        place = rows.index(row["trained_on"]), columns.index(row["tested_on"])
        assert shown[place] == pytest.approx(row["recovery_percent"])
    assert len(figure.axes[0].patches) == datasets  # frames on the diagonal
    assert "Recovery (%)" in texts(figure)
    own = recovery[recovery["own"]]["recovery_percent"]
    assert f"own dataset: {own.min():.1f} to {own.max():.1f} %" in fig6b.caption(recovery)


def test_the_map_leaves_a_gap_where_the_general_model_has_no_score() -> None:
    rows = runs(3)
    rows = rows[~((rows["kind"] == "general") & (rows["tested_on"] == "D36"))]
    recovery = analyse({"runs": rows}, AnalysisSettings())["recovery"]
    wide = fig6b.matrix(recovery, "PAM")
    assert wide["D36"].isna().all()
    assert wide[["D35", "D37"]].notna().all(axis=None)
    assert texts(fig6b.draw(recovery)).count("\N{EN DASH}") == 3


def test_a_radar_a_dataset_trained_on_over_the_datasets_tested_on() -> None:
    transfer = tables(5)["transfer"]
    figure = fig6c.draw(transfer, KNOWN, {})
    assert len(figure.axes) == 5
    for axes, dataset in zip(figure.axes, sorted(set(transfer["trained_on"])), strict=True):
        lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
        here = transfer[transfer["trained_on"] == dataset].sort_values("tested_on")
        for kind, name in (("scratch", "PAM-Scratch"), ("finetuned", "PAM-Finetuned")):
            rows = here[here["kind"] == kind]
            np.testing.assert_array_equal(lines[name][:-1], rows["mean"])
        ring = here.loc[here["own"], "mean"]
        assert sorted(lines["trained on it"]) == sorted(ring)
    own = transfer[transfer["own"]].pivot(index="tested_on", columns="kind", values="mean")
    change = own["finetuned"] - own["scratch"]
    text = fig6c.caption(transfer)
    assert f"mean {change.mean():+.3f}" in text
    assert f"on {(change > 0).sum()} of 5 datasets" in text
    assert text.count("tested on each;") == text.count("tested on each.") == 1
    # Against the general model, on the 20 pairs of a dataset trained on and another.
    general = runs(5).query("kind == 'general' and method == 'PAM'").set_index("tested_on")["value"]
    others = transfer[(transfer["kind"] == "finetuned") & ~transfer["own"]]
    lost = others["mean"] - others["tested_on"].map(general)
    assert f"PAM-Finetuned minus PAM: mean {lost.mean():+.3f}" in text
    assert f"in {(lost > 0).sum()} of 20 tests" in text


def test_the_caption_says_which_models_were_tested_on_other_datasets() -> None:
    transfer = tables(5)["transfer"]
    text = fig6c.caption(transfer[transfer["own"] | (transfer["kind"] == "scratch")])
    assert "trained from scratch, tested on each;" in text
    assert "fine-tuned from the general model, each tested on its own dataset." in text
    assert "On other datasets" not in text


def test_one_radar_where_models_saw_their_own_dataset_alone() -> None:
    transfer = tables(5)["transfer"]
    own = transfer[transfer["own"]]
    figure = fig6c.draw(own, KNOWN, {})
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines()}
    for kind, name in (("scratch", "PAM-Scratch"), ("finetuned", "PAM-Finetuned")):
        values = own.loc[own["kind"] == kind, "mean"]
        np.testing.assert_array_equal(lines[name][:-1], values)
    assert "each tested on its own dataset" in fig6c.caption(own)


@pytest.mark.parametrize("datasets", [1, 6])
def test_ablations_hold_the_means_by_setting(datasets: int) -> None:
    found = tables(datasets)
    ablation, tests = found["ablation"], found["ablation_tests"]
    figure = fig6d.draw(ablation, found["ablation_overall"], tests)
    for axes, (name, settings) in zip(figure.axes, SETTINGS.items(), strict=True):
        assert axes.get_title(loc="left") == f"{name} (PAM)"
        assert [tick.get_text() for tick in axes.get_xticklabels()] == list(settings)
        points = [line for line in axes.get_lines() if line.get_marker() == "."]
        for setting, line in zip(settings, points, strict=True):
            rows = ablation[(ablation["ablation"] == name) & (ablation["setting"] == setting)]
            np.testing.assert_array_equal(np.asarray(line.get_ydata()), rows["mean"])
    row = tests[(tests["ablation"] == "scales") & (tests["test"] == fig6d.TEST)].iloc[0]
    if datasets == 1:
        assert fig6d.verdict(tests, "scales", "PAM") == "P not computable"
    else:
        expected = f"{p_statement(row['p'])} (n = 6); R2 best on {row['wins_of_default']}"
        assert fig6d.verdict(tests, "scales", "PAM") == expected
    mean = ablation.loc[ablation["setting"] == "R1", "mean"].mean()
    assert f"R1 {mean:.3f}" in fig6d.caption(ablation, found["ablation_overall"])


def test_costs_stand_below_the_settings_that_differ_in_them() -> None:
    rows = runs(6)
    scales = rows["ablation"] == "scales"
    rows.loc[rows["ablation"].notna(), ["flops", "seconds"]] = 2.5e9, 0.25
    rows.loc[scales & (rows["setting"] == "R1"), "flops"] = 0.8e9
    rows.loc[scales & (rows["setting"] == "R1") & (rows["tested_on"] == "D35"), "flops"] = 2e9
    found = analyse({"runs": rows}, AnalysisSettings())
    figure = fig6d.draw(*(found[name] for name in OF_ABLATIONS))
    normalisation, scales_panel = figure.axes
    assert "FLOP" not in "".join(text.get_text() for text in normalisation.texts)
    told = [text.get_text() for text in scales_panel.texts if "FLOP" in text.get_text()]
    assert told == ["1 GFLOP\n250 ms", "2.5 GFLOP\n250 ms"]
    assert "operations and time" in fig6d.caption(*(found[name] for name in OF_ABLATIONS[:2]))


def test_the_spread_over_seeds_is_drawn_and_told() -> None:
    rows = runs(6)
    again = rows[rows["ablation"] == "scales"].assign(seed=1, value=lambda r: r["value"] - 0.1)
    found = analyse({"runs": pd.concat([rows, again])}, AnalysisSettings())
    tables = [found[name] for name in OF_ABLATIONS]
    found_in: Any = fig6d.draw(*tables).axes[1].collections
    lines = [each for each in found_in if isinstance(each, LineCollection)]
    drawn = np.concatenate([bar.get_segments() for bar in lines])[:, :, 1]
    sd = 0.1 / np.sqrt(2)
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 2 * sd)
    assert len(drawn) == 2 * 6
    assert f"± {sd:.3f} (2 seeds)" in fig6d.caption(*tables[:2])


@pytest.mark.parametrize(
    ("figure", "caption", "takes"),
    [
        (
            lambda t: fig6a.draw(t, KNOWN),
            lambda table, tests: fig6a.caption(table, tests, "95 %"),
            ("finetuning", "finetuning_tests"),
        ),
        (fig6b.draw, fig6b.caption, ("recovery",)),
        (lambda t: fig6c.draw(t, KNOWN, {}), fig6c.caption, ("transfer",)),
        (
            fig6d.draw,
            lambda ablation, overall, tests: fig6d.caption(ablation, overall),
            OF_ABLATIONS,
        ),
    ],
)
def test_a_figure_without_runs_says_so(figure: Any, caption: Any, takes: tuple[str, ...]) -> None:
    empty = analyse({}, AnalysisSettings())
    shown = [empty[name] for name in takes]
    drawn = figure(*shown[:1]) if figure.__code__.co_argcount == 1 else figure(*shown)
    assert texts(drawn).startswith("No ")
    assert "none, since the study has no" in caption(*shown)
