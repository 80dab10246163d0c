"""Supplementary tables: the files match the tidy tables."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis import (
    ANALYSES,
    efficiency,
    frames,
    ranking,
    read_statistics,
    survival,
)
from benchmark.analysis.generalisation import analyse
from benchmark.analysis.settings import AnalysisSettings
from benchmark.phantoms.cohort import HAZARD_PER_SD
from benchmark.storage.files import read_json, write_json
from benchmark.windows import CLINICAL
from reports import record_tables, supplement_tables, tables
from reports.columns import Column, Table
from reports.figures import fig5e, fig6a
from reports.printed import PrintedTable
from reports.results import Results
from reports.supplement import NAMES, SOURCES, SUPPLEMENT
from tests.benchmark.analysis.test_survival import cohort
from tests.reports.conftest import statistics
from tests.reports.test_training_figures import runs


@pytest.fixture(scope="module")
def written(study: Path) -> Path:
    made = tables.make(Results(study))
    suffixes = (".csv", ".md", ".tex")
    assert [path.name for path in made] == [name + s for name in NAMES for s in suffixes]
    return study / "tables"


def body(markdown: str) -> list[list[str]]:
    """Cells below the head of the only table of a text."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_tables_are_printed_in_the_order_that_the_workflow_names_them(study: Path) -> None:
    assert [table.name for table in tables.printed(Results(study))] == list(NAMES)


def test_every_table_is_made_from_one_of_the_analyses() -> None:
    known = {table for analysis in ANALYSES.values() for table in analysis.gives}
    assert set(SOURCES) <= known


@pytest.mark.parametrize("name", SUPPLEMENT)
def test_csv_holds_the_rows_and_print_one_line_each(name: str, study: Path, written: Path) -> None:
    entry = SUPPLEMENT[name]
    source = read_statistics(study / "statistics" / f"{entry.source}.csv")
    for key, values in entry.where.items():
        source = source.loc[[value in values for value in source[key]]]
    for key, values in entry.leaves_out.items():
        source = source.loc[[value not in values for value in source[key]]]
    if entry.beside is not None:
        source = source.head(0)  # the study has no method of that kind
    found = read_statistics(written / f"{name}.csv")
    assert len(found) == len(source)
    assert list(found.columns) == list(source.columns)
    text = (written / f"{name}.md").read_text(encoding="utf-8")
    latex = (written / f"{name}.tex").read_text(encoding="utf-8")
    assert entry.title in text
    if source.empty:
        assert entry.when_empty in text
        assert r"\multicolumn" in latex
        assert body(text) == []
    elif not entry.across:
        assert len(body(text)) == len(source)
        assert latex.count(r" \\") == len(source) + 2  # the head, and the title


def test_metrics_by_dataset_keep_denominators_and_what_was_trained_on(
    study: Path, written: Path
) -> None:
    found = read_statistics(study / "statistics" / "by_dataset.csv")
    text = (written / "hd95_by_dataset.md").read_text(encoding="utf-8")
    lines = {line[0]: line[2:] for line in body(text)}
    columns = Results(study).methods_in_table_order
    for row in found[found["metric"] == "hd95"].to_dict("records"):
        cell = lines[row["dataset"]][columns.index(row["method"])]
        assert cell.startswith(f"{row['mean']:.2f}")
        assert ("†" in cell) == bool(row["contaminated"])
        assert (f"({row['cells']}/{row['expected']})" in cell) == (row["cells"] < row["expected"])
    assert "were trained on this data" in text


@pytest.mark.parametrize("name", SUPPLEMENT)
def test_p_values_are_corrected_or_said_not_to_be(name: str, written: Path) -> None:
    entry = SUPPLEMENT[name]
    shown = {field for column in entry.columns if column.format == "p" for field in column.fields}
    below = (written / f"{name}.md").read_text(encoding="utf-8")
    bare = bool(shown) and not shown & {"p_holm", "p_holm_chosen"}
    assert ("P values are not corrected for the number of tests." in below) == bare


def test_every_interval_has_its_level_and_every_effect_its_name(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 6, 2)
    settings = read_json(folder / "settings.json") | {"analysis": {"confidence": 0.9}}
    write_json(folder / "settings.json", settings)
    statistics(folder, confidence=0.9)
    tables_of = {table.name: table for table in supplement_tables.printed(Results(folder))}
    for name, entry in SUPPLEMENT.items():
        table = tables_of[name]
        for place, shown in enumerate(entry.columns):
            if shown.format == "interval":
                assert table.head[place].startswith("90 % interval")
    (headline,) = (t for t in record_tables.printed(Results(folder)) if t.name == "headline")
    assert headline.heading == "DSC and ranks with 90 % intervals"
    comparison = tables_of["comparison"]
    named = {"paired t": "Cohen's d_z", "wilcoxon signed-rank": "rank-biserial"}
    rows = [dict(zip(comparison.head, cells, strict=True)) for cells in comparison.cells]
    assert rows
    assert [row["Effect is"] for row in rows] == [named[row["Test"]] for row in rows]
    for name in ("comparison", "finetuning_tests"):
        assert any("interval of the pseudomedian" in note for note in tables_of[name].notes)


@pytest.mark.parametrize("name", ["stability_tests", "thickness_tests"])
def test_the_interval_of_equivalence_is_said_to_be_of_90_percent(name: str, written: Path) -> None:
    assert "90 % interval (TOST)" in [column.heading for column in SUPPLEMENT[name].columns]
    assert "two one-sided tests, each at 5 %" in (written / f"{name}.md").read_text("utf-8")


def test_hazard_ratios_are_said_to_be_for_one_standard_deviation(written: Path) -> None:
    assert "Hazard ratio (per SD)" in [c.heading for c in SUPPLEMENT["survival"].columns]
    assert "per standard deviation of the change" in (written / "survival.md").read_text("utf-8")


def test_survival_tells_of_how_many_patients_it_is() -> None:
    """Of 40 patients three have no volume after treatment; of another cohort nobody is at hand."""
    tables = cohort(HAZARD_PER_SD, 1)
    measures = tables["measures"]
    lost = measures["scan"].isin([f"p{i}_post" for i in range(3)])
    measures.loc[lost, "volume_mm3"] = float("nan")
    skipped = pd.DataFrame({"dataset": ["D38"], "method": ["m"], "reason": ["no data"]})
    tables["measures"] = pd.concat([measures, skipped], ignore_index=True)
    found = survival.analyse(tables, AnalysisSettings(resamples=100))["survival_tests"]
    head, cells = supplement_tables.layout(found, SUPPLEMENT["survival"])
    shown = [line[head.index("n/patients")] for line in cells]
    assert shown == ["37/40"] * 3 + ["0"] * 3
    caption = fig5e.caption(found, ["m"], "95 %")
    assert caption.count(", 37 of 40 patients, ") == len(fig5e.PANEL_TITLES)


def test_times_are_told_with_the_objects_that_they_are_of() -> None:
    rows = [
        {"method": "m", "dataset": "D1", "scan": "s", "object": f"{i}", "variant": ""}
        | {"device": "cpu", "segment_s": seconds}
        for i, seconds in enumerate((1.0, 2.0))
    ]
    found = efficiency.analyse({"times": pd.DataFrame(rows)}, AnalysisSettings())
    entry = SUPPLEMENT["times_by_dataset"]
    rows_of = supplement_tables.selected(found["times_by_dataset"], entry)
    _, cells = supplement_tables.layout(rows_of, entry, ["m"])
    assert cells == [["D1", "cpu", "1.50 (2)"]]


def test_signs_that_latex_takes_for_others_are_written_as_mathematics(tmp_path: Path) -> None:
    columns = (Column("|d|", "text", ("name",)), Column("P", "p", ("p",)))
    rows = pd.DataFrame({"name": ["a > b"], "p": [1e-6]})
    head, cells = supplement_tables.layout(rows, Table("Title", "source", columns))
    PrintedTable.one_block("t", "Title", rows, head, cells).write(tmp_path)
    text = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert r"\textbar{}d\textbar{} & P \\" in text
    assert r"a $>$ b & $<$ 0.0001 \\" in text


def test_numbers_of_the_paper_stand_only_where_its_text_tells_them() -> None:
    headings = {name: entry.heading for name, entry in SUPPLEMENT.items()}
    assert headings["fingerprint"] == "Table S4: Fingerprints of the datasets"
    assert headings["nsd_by_dataset"] == "Of Tables S7-S11: NSD by dataset"
    assert headings["training_samples"].startswith("Tables S2, S3: ")
    assert not re.search(r"S\d", headings["ranking"])


def test_tables_of_what_is_recorded(
    study: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(study)
    datasets = read_statistics(written / "datasets.csv").set_index("id")
    assert datasets.index.tolist() == list(results.dataset_records)
    assert datasets.loc["D01", "homepage"] == "https://example.org/data"
    assert "Table S1: " in (written / "datasets.md").read_text(encoding="utf-8")
    (printed,) = (t for t in record_tables.printed(results) if t.name == "datasets")
    line = dict(zip(printed.head, printed.cells[0], strict=True))
    assert (line["Dataset"], line["Scans"], line["Objects"]) == ("D01", "2", "4")
    failures = read_statistics(written / "failures.csv")
    assert len(failures) == len(results.failures)
    assert "Sign the agreement at the data's site." in set(failures["reason"])
    text = (written / "headline.md").read_text(encoding="utf-8")
    rows = results.overall[results.overall["metric"] == "dsc"]
    for mean in rows["mean"]:
        assert re.search(rf"{mean:.3f}[^|]* \[no interval\]", text)  # of three datasets
    monkeypatch.setattr(Results, "overall", rows.assign(low=0.1234, high=0.9))
    (told,) = (t for t in record_tables.printed(Results(study)) if t.name == "headline")
    shown = " | ".join(cell for row in told.cells for cell in row)
    for mean in rows["mean"]:
        assert re.search(rf"{mean:.3f}[^|]* \[0\.123 to 0\.900\]", shown)


def test_fixed_windows_stand_with_their_source_and_what_was_measured(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(study)
    found = analyse({"runs": runs(3)}, AnalysisSettings())["ablation_overall"]
    monkeypatch.setattr(Results, "statistics", lambda results, name: found)
    table = record_tables.windows(results)
    assert table.heading.startswith("Table S18: ")
    assert table.head == ["Window", "Centre (HU)", "Width (HU)", "Source", "DSC, PAM"]
    windows = {row[0]: (float(row[1]), float(row[2])) for row in table.cells}
    assert {name: (c - w / 2, c + w / 2) for name, (c, w) in windows.items()} == CLINICAL
    lung = found.loc[found["setting"] == "lung", "mean"].item()
    shown = {row[0]: row[-1] for row in table.cells}
    assert shown == {**dict.fromkeys(CLINICAL, "\N{EN DASH}"), "lung": f"{lung:.3f}"}
    found[["matched", "expected"]] = 11, 12
    row = record_tables.windows(results).cells[list(shown).index("lung")]
    assert row[-1] == f"{lung:.3f} (11/12)"


def test_every_ablation_stands_in_one_table_of_the_paper() -> None:
    rows = analyse({"runs": runs(3)}, AnalysisSettings())["ablation"]
    normalisation, others = (
        supplement_tables.selected(rows, SUPPLEMENT[f"ablation_{name}"])
        for name in ("normalisation", "architecture")
    )
    assert set(normalisation["ablation"]) == {"normalisation"}
    assert set(others["ablation"]) == {"scales"}
    assert len(normalisation) + len(others) == len(rows)
    numbers = {name: SUPPLEMENT[name].number for name in SUPPLEMENT if SUPPLEMENT[name].number}
    assert numbers["ablation_normalisation"] == "S19"
    assert numbers["ablation_architecture"] == "S20-S21"
    assert numbers["finetuning"] == "S22"


def test_supervised_methods_stand_beside_the_others_on_their_datasets() -> None:
    rows = pd.DataFrame(
        {"dataset": ["D1", "D1", "D2", "D2"], "method": ["pam", "nnunet"] * 2, "metric": "dsc"}
        | {"prompt": ["box2d", "structure"] * 2, "value": [0.7, 0.8, 0.6, None]}
    )
    found = supplement_tables.selected(rows, SUPPLEMENT["supervised"])
    assert found[["dataset", "method"]].to_numpy().tolist() == [["D1", "pam"], ["D1", "nnunet"]]


def test_the_rank_with_failures_as_the_worst_stands_beside_the_other() -> None:
    """Method b is the better one where it has a score, which is on half of the datasets."""
    rows = [
        {"dataset": f"D{d}", "scan": "s", "structure": "x", "method": method, "dsc": value}
        for d in range(4)
        for method, value in (("a", 0.7), ("b", 0.8 if d % 2 else None))
    ]
    scores = frames.checked_scores(pd.DataFrame(rows))
    found = ranking.analyse({"scores": scores}, AnalysisSettings(resamples=100))["ranking"]
    entry = SUPPLEMENT["ranking"]
    head, cells = supplement_tables.layout(supplement_tables.selected(found, entry), entry)
    places = [head.index(name) for name in ("Method", "Rank", "Rank, failures as worst", "Failed")]
    assert [[row[i] for i in places] for row in cells[:2]] == [
        ["a", "2", "1", "0"],
        ["b", "1", "2", "2"],
    ]


def test_supervised_methods_are_compared_over_the_scans_that_they_held_back() -> None:
    """The easier half: there nnU-Net is worse, over all scans its mean is the better one."""
    rows: list[dict[str, Any]] = [
        {"dataset": "D1", "scan": f"{s}", "structure": "x", "modality": "CT"}
        | {"method": method, "prompt": prompt, "dsc": value, "contaminated": False}
        for s, hard in enumerate((0.0, 0.0, 0.4, 0.4))
        for method, prompt, value in (
            ("pam", "box2d", 0.9 - hard),
            ("nnunet", "structure", None if hard else 0.8),
        )
    ]
    found = ranking.analyse(
        {"scores": frames.checked_scores(pd.DataFrame(rows))}, AnalysisSettings()
    )
    entry = SUPPLEMENT["supervised"]
    shown = supplement_tables.selected(found[entry.source], entry)
    head, cells = supplement_tables.layout(shown, entry, ["pam", "nnunet"])
    assert head == ["Dataset", "Modality", "pam", "nnunet"]
    assert cells == [["D1", "CT", "0.900 (2/4)", "0.800 (2/4)"]]


def test_runs_become_tables() -> None:
    found = analyse({"runs": runs(3)}, AnalysisSettings())
    head, cells = supplement_tables.layout(found["recovery"], SUPPLEMENT["recovery"])
    assert head == ["Method", "Trained on", "D35", "D36", "D37"]
    wide = {line[1]: dict(zip(head[2:], line[2:], strict=True)) for line in cells}
    for row in found["recovery"].to_dict("records"):
        assert wide[row["trained_on"]][row["tested_on"]] == f"{row['recovery_percent']:.1f}"
    head, cells = supplement_tables.layout(found["finetuning"], SUPPLEMENT["finetuning"])
    gains = [line[head.index("Gain")] for line in cells]
    shown = found["finetuning"]["gain"]
    assert gains == ["\N{EN DASH}" if gain != gain else f"{gain:+.3f}" for gain in shown]


def test_tables_of_runs_show_their_denominators_where_cells_are_missing() -> None:
    table = runs(3).assign(expected=4)
    lost = table["tested_on"] == "D36"
    found = analyse({"runs": table.assign(matched=4 - lost)}, AnalysisSettings())
    of_datasets = ["recovery", "transfer", "ablation_normalisation", "ablation_architecture"]
    for name in of_datasets:
        entry = SUPPLEMENT[name]
        rows = supplement_tables.selected(found[entry.source], entry)
        head, cells = supplement_tables.layout(rows, entry)
        ends = {dataset: line[head.index(dataset)][-6:] for line in cells for dataset in head[-3:]}
        assert {dataset: end == " (3/4)" for dataset, end in ends.items()} == {
            "D35": False,
            "D36": True,
            "D37": False,
        }
    head, cells = supplement_tables.layout(found["finetuning"], SUPPLEMENT["finetuning"])
    assert {line[0] for line in cells if line[head.index("General")].endswith(" (3/4)")} == {"D36"}
    entry = SUPPLEMENT["ablation_overall"]
    head, cells = supplement_tables.layout(found["ablation_overall"], entry)
    assert all(line[head.index("DSC (SD of seeds)")].endswith(" (11/12)") for line in cells)
    nothing = table.assign(value=table["value"].mask(lost), matched=4 * ~lost)
    rows = analyse({"runs": nothing}, AnalysisSettings())["transfer"]
    head, cells = supplement_tables.layout(rows, SUPPLEMENT["transfer"])
    assert {line[head.index("D36")] for line in cells} == {"\N{EN DASH} (0/4)"}


OF_RUNS = ("recovery", "transfer", "finetuning", "ablation_normalisation", "ablation_overall")


@pytest.mark.parametrize("name", OF_RUNS)
def test_tables_of_runs_mark_what_was_seen_in_training(
    name: str, made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, before = Results(made(tmp_path, 3, 2)), Results.statistics
    unseen = Results(results.folder).overall.assign(contaminated=0)
    monkeypatch.setattr(Results, "overall", unseen)

    def printed(**marks: Any) -> PrintedTable:
        found = analyse({"runs": runs(3).assign(**marks)}, AnalysisSettings())
        monkeypatch.setattr(
            Results, "statistics", lambda r, n: found[n] if n in found else before(r, n)
        )
        (table,) = (t for t in supplement_tables.printed(results) if t.name == name)
        return table

    plain = printed()
    assert not any("†" in text for line in plain.cells for text in line)
    assert not any(note.startswith("†") for note in plain.notes)
    marked = printed(contaminated=lambda t: (t["tested_on"] == "D36") & (t["kind"] != "reference"))
    places = {
        (row[0] if name == "finetuning" else "", head)
        for row in marked.cells
        for head, text in zip(marked.head, row, strict=True)
        if "†" in text
    }
    assert places == {
        "finetuning": {("D36", "General"), ("D36", "Fine-tuned (SD of seeds)")},
        "ablation_overall": {("", "DSC (SD of seeds)")},
    }.get(name, {("", "D36")})
    assert any(note.startswith("†") for note in marked.notes)
    for old, new in zip(plain.cells, marked.cells, strict=True):
        assert [text.replace("†", "") for text in new] == list(old)


def test_an_absent_reference_is_told_beside_its_dash(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = made(tmp_path, 3, 2), Results.statistics
    record = read_json(folder / "record.json")
    record["methods"]["classic-0"] |= {
        **{"weights": "w.yaml", "weights_name": "W", "weights_state": "manual"},
        **{"weights_command": "pambench weights fetch w.yaml", "weights_trained_on": []},
    }
    write_json(folder / "record.json", record)
    table = runs(3).replace({"method": {"other": "classic-0"}}).assign(expected=4, ok=4, matched=4)
    absent = table["kind"] == "reference"
    for name, value in {"value": np.nan, "ok": 0, "matched": 0}.items():
        table[name] = table[name].mask(absent, value)
    table["reason"] = absent.map({True: "no weights: w", False: None})
    found = analyse({"runs": table}, AnalysisSettings())
    monkeypatch.setattr(
        Results, "statistics", lambda r, n: found[n] if n in found else before(r, n)
    )
    told = {table.name: table for table in supplement_tables.printed(Results(folder))}
    for name in ("finetuning", "finetuning_tests", "transfer"):
        assert any("pambench weights fetch w.yaml" in note for note in told[name].notes), name
    place = told["finetuning"].head.index("DSC of the reference")
    assert {line[place] for line in told["finetuning"].cells} == {"\N{EN DASH} (0/4)"}
    (line,) = told["lost_runs"].cells
    assert line[1] == "classic-0"
    assert line[-2:] == ["0/12", "no weights: w"]
    caption = fig6a.caption(found["finetuning"], found["finetuning_tests"], "95 %")
    assert caption.endswith("Without any score (why: table lost_runs): classic-0.")


def test_cells_in_print() -> None:
    columns = (
        Column("Mean ± SD", "pm", ("mean", "sd")),
        Column("P", "p", ("p",)),
        Column("Interval", "interval", ("low", "high")),
        Column("Size", "short", ("size",)),
    )
    rows = pd.DataFrame(
        {"mean": [0.5, 0.25, None], "sd": [0.125, None, None], "p": [0.0004, 0.25, None]}
        | {"low": [0.1, 0.2, None], "high": [0.3, None, None], "size": [123456.0, 0.1, None]}
    )
    _, cells = supplement_tables.layout(rows, Table("Title", "source", columns))
    assert cells == [
        ["0.500 ± 0.125", "0.0004", "0.100 to 0.300", "123,456"],
        ["0.250", "0.250", "–", "0.100"],  # noqa: RUF001
        ["–", "–", "–", "–"],  # noqa: RUF001
    ]


IN_CELLS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "fingerprint": (
        {"scans": 1, "patients": 2, "voxels": 3, "voxels_median": 4, "size_anisotropy": 0.5}
        | {
            "spacing_anisotropy": 0.6,
            "structures": 7,
            "objects": 8,
            "dataset": "D",
            "modality": "M",
        },
        {"Dataset": "D", "Modality": "M", "Scans": "1", "Voxels (median of a scan)": "4"}
        | {"Size anisotropy": "0.500", "Spacing anisotropy": "0.600", "Object types": "7"}
        | {"Objects": "8"},
    ),
    "object_types": (
        {"dataset": "D", "modality": "M", "structure": "x", "objects": 1, "scans": 2}
        | {"voxels_median": 3, "volume_mm3_median": 444},
        {"Structure": "x", "Objects": "1", "Scans": "2", "Volume (mm³, median)": "444"},
    ),
    "training_samples": (
        {"dataset": "D", "modality": "M", "part": "train", "scans": 1, "objects": 2, "slices": 3}
        | {"samples": 4, "tasks": 5},
        {"Part": "train", "Scans": "1", "Objects": "2", "Samples": "4", "Tasks": "5"},
    ),
    "averages": (
        {"split": "all", "metric": "dsc", "method": "m", "mean": 0.1, "sd": 0.2, "low": 0.3}
        | {"high": 0.4, "n": 5, "datasets": 6, "cells": 7, "expected": 8, "ok": 9}
        | {"contaminated": 0},
        {"Mean ± SD": "0.100 ± 0.200", "INTERVAL": "0.300 to 0.400", "n": "5", "Datasets": "6"}
        | {"Cells with a value": "7", "Expected": "8"},
    ),
    "comparison": (
        {"split": "all", "method_a": "a", "method_b": "b", "contaminated_a": 0, "contaminated_b": 1}
        | {"n": 1, "cells": 2, "expected": 3, "failed_a": 4, "failed_b": 5, "skipped_a": 6}
        | {"mean_a": 0.7, "mean_b": 0.8, "difference": -0.1, "low": -0.2, "high": 0.3, "test": "t"}
        | {"p": 0.15, "p_holm": 0.25, "p_holm_chosen": 0.35, "effect": 0.9, "effect_name": "d"}
        | {"reason": None, "statistic": 7.0, "normality_p": 0.45},
        {"Method": "a", "Against": "b†", "n": "1", "Cells": "2/3", "Failed": "4/5"}
        | {"Difference": "-0.100", "INTERVAL": "-0.200 to 0.300", "Test": "t", "P": "0.150"}
        | {"P (Holm)": "0.350", "Effect": "0.900", "Effect is": "d"},
    ),
    "prompt_times": (
        {"prompt": "box2d", "n": 1, "mean": 2.0, "sd": 3.0, "median": 4.0, "q1": 5.0, "q3": 6.0}
        | {"low": 7.0, "high": 8.0, "generated": True},
        {"n": "1", "Mean ± SD": "2.000 ± 3.000", "Median": "4.000", "Generated": "yes"},
    ),
    "prompt_time_tests": (
        {"prompt_a": "box2d", "prompt_b": "box3d", "mean_a": 1.0, "mean_b": 4.0, "test": "t"}
        | {
            "reduction_percent": 75.0,
            "p": 0.15,
            "p_holm": 0.25,
            "generated": False,
            "reason": None,
        },
        {"Prompt": "box2d", "Against": "box3d", "Reduction (%)": "75.0", "P": "0.150"}
        | {"P (Holm)": "0.250", "Generated": "no"},
    ),
    "regularity": (
        {"method": "m", "reference": "r", "dimension": "2d", "shape": "iri", "correlation": "c"}
        | {"n": 1, "clusters": 2, "expected": 3, "r": -0.4, "low": -0.5, "high": -0.3, "p": 0.15}
        | {"p_independent": 0.25, "reason": None},
        {"Method": "m", "Against": "r", "n": "1", "Collections": "2", "r": "-0.400"}
        | {"INTERVAL": "-0.500 to -0.300", "P": "0.150", "P (independent)": "0.250"},
    ),
    "ranking": (
        {"split": "all", "scheme": "mean", "method": "m", "contaminated": 0, "value": 0.1}
        | {"rank": 2.0, "rank_mean": 2.5, "low": 1.0, "high": 3.0, "first_share": 0.4}
        | {"rank_worst": 5.0, "datasets": 6, "cells": 7, "expected": 8, "failed": 9, "skipped": 10}
        | {"reason": None},
        {"Value": "0.100", "Rank": "2", "INTERVAL": "1.000 to 3.000"}
        | {"Share of first ranks": "0.400", "Rank, failures as worst": "5", "Datasets": "6"}
        | {"Cells": "7/8", "Failed": "9"},
    ),
    "survival": (
        {"cohort": "c", "method": "m", "measure": "volume", "patients": 2, "n": 1, "events": 3}
        | {"logrank_p": 0.15, "hazard_ratio": 1.5, "hr_low": 1.1, "hr_high": 1.9, "cox_p": 0.25}
        | {"ph_p": 0.35, "concordance": 0.6, "c_low": 0.5, "c_high": 0.7, "reason": None},
        {"n/patients": "1/2", "Events": "3", "Log-rank P": "0.150", "Concordance": "0.600"}
        | {"Hazard ratio (per SD)": "1.500", "INTERVAL": "1.100 to 1.900"},
    ),
    "finetuning": (
        {"dataset": "D", "method": "m", "reference": "r", "general": 0.1, "finetuned": 0.2}
        | {"finetuned_sd": 0.3, "reference_value": 0.4, "gain": 0.5, "gain_over_reference": -0.6}
        | {"runs": 7, "expected": 8, "matched": 8, "matched_finetuned": 8, "matched_reference": 8}
        | dict.fromkeys(("contaminated_general", "contaminated_reference"), False)
        | {"contaminated_finetuned": False},
        {"General": "0.100", "Fine-tuned (SD of seeds)": "0.200 ± 0.300", "Seeds": "7"}
        | {"Gain": "+0.500", "Reference": "r", "DSC of the reference": "0.400"}
        | {"Gain over it": "-0.600"},
    ),
    "ablation_overall": (
        {"ablation": "scales", "setting": "R3", "method": "m", "mean": 0.1, "sd_datasets": 0.2}
        | {"sd_runs": 0.3, "runs": 4, "datasets": 5, "seconds": 6.0, "flops": 7.0}
        | {"parameters": 8, "objects": 9, "matched": 3, "expected": 3, "contaminated": False},
        {"DSC (SD of seeds)": "0.100 ± 0.300", "Seeds": "4", "Datasets": "5", "Seconds": "6.00"}
        | {"Operations": "7.00", "Parameters": "8", "Timed objects": "9"},
    ),
}
"""A row of the statistics with a number of its own in each column, and its cells by heading."""


@pytest.mark.parametrize("name", IN_CELLS)
def test_each_number_stands_under_its_heading(name: str) -> None:
    row, expected = IN_CELLS[name]
    head, (cells,) = supplement_tables.layout(pd.DataFrame([row]), SUPPLEMENT[name], (), "INTERVAL")
    shown = {key.removesuffix(" interval"): cell for key, cell in zip(head, cells, strict=True)}
    assert {key: shown[key] for key in expected} == expected


def test_levels_are_columns_in_ascending_order_with_gaps() -> None:
    rows = pd.DataFrame(
        {"method": ["a", "a", "b"], "dataset": "D1", "level": [0.2, 0.05, 0.05]}
        | {"metric": "dsc", "selection": ["all", "all", "all"], "mean": [0.7, 0.8, 0.9]}
    )
    entry = SUPPLEMENT["stability"]
    head, cells = supplement_tables.layout(supplement_tables.selected(rows, entry), entry)
    assert head == ["Method", "Dataset", "0.05", "0.2"]
    assert cells == [["a", "D1", "0.800", "0.700"], ["b", "D1", "0.900", "\N{EN DASH}"]]
    assert supplement_tables.selected(rows.assign(selection="effective"), entry).empty
