"""Table 1, the tables by dataset and their files, from a generated study."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmark.analysis import read_statistics
from benchmark.storage.files import read_json, write_json
from reports import html, main_tables, sections, tables
from reports.formatting import NONE, decimals, mean_cell, mean_sd
from reports.results import Results
from tests.reports.conftest import statistics


def test_table_1_holds_the_statistics(study: Path) -> None:
    results = Results(study)
    numbers = main_tables.table1(results.overall, results.methods, results.controls)
    assert numbers["method"].tolist() == ["classic-0", "PAM-1", "oracle"]
    for row in numbers.to_dict("records"):
        source = results.overall
        source = source[(source["method"] == row["method"]) & (source["split"] == "phantom")]
        for metric in main_tables.TABLE1:
            line = source[source["metric"] == metric].iloc[0]
            assert row[f"{metric}_mean"] == line["mean"]
            assert row[f"{metric}_sd"] == line["sd"]
            assert row[f"{metric}_cells"] == line["cells"]
            assert (row["ok"], row["expected"]) == (line["ok"], line["expected"])


def test_files_hold_numbers_and_denominators(study: Path) -> None:
    tables.make(Results(study))
    folder = study / "tables"
    written = read_statistics(folder / "table1.csv")
    line = written.iloc[0]
    text = f"{line['dsc_mean']:.3f} ± {line['dsc_sd']:.3f}"
    assert text in (folder / "table1.md").read_text(encoding="utf-8")
    latex = (folder / "table1.tex").read_text(encoding="utf-8")
    assert text.replace("±", r"$\pm$") in latex
    assert f"{line['ok']}/{line['expected']}" in latex
    for kind in ("md", "tex"):
        assert "Bold: best mean" in (folder / f"table1.{kind}").read_text(encoding="utf-8")
    wide = (folder / "dsc_by_dataset.md").read_text(encoding="utf-8")
    assert "†" in wide
    lines = [row.strip("|").split("|") for row in wide.splitlines() if row.startswith("|")]
    head, _, *body = [[cell.strip() for cell in row] for row in lines]
    cells = {(row[0], method): row[i] for row in body for i, method in enumerate(head)}
    means = read_statistics(study / "statistics" / "by_dataset.csv").query("metric == 'dsc'")
    for found in means.to_dict("records"):
        assert cells[found["dataset"], found["method"]].startswith(f"{found['mean']:.3f}")


def test_dsc_of_a_dataset_has_its_interval(made: Callable[..., Path], tmp_path: Path) -> None:
    """Twelve patients of one dataset: the interval is that of the table of averages."""
    folder = made(tmp_path, 1, 2, scans=12, oracle=False, failing=False)
    results = Results(folder)
    (row,) = sections.per_dataset(results)
    source = results.by_dataset[results.by_dataset["metric"] == "dsc"]
    long = main_tables.per_dataset(results.by_dataset, results.methods).set_index("method")
    shown = html.render(results).partition('id="by_dataset"')[2]
    for found in source.to_dict("records"):
        method, low, high = str(found["method"]), found["low"], found["high"]
        assert low < found["mean"] < high
        assert long["dsc_low"][method] == low
        assert long["dsc_high"][method] == high
        cell = f'{found["mean"]:.3f} <span class="interval">{low:.3f} to {high:.3f}</span>'
        assert shown.count(cell) == 1
        assert row["cells"][method]["interval"] == f"{low:.3f} to {high:.3f}"


def block(*means: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"split": "internal", "control": False, "n": 3, "datasets": 3, "dsc_mean": means}
        | {"hd95_mean": means, "ok": 12, "expected": 12, "contaminated": 0}
        | {"dsc_cells": 12, "hd95_cells": 12}
    )


def test_best_follows_the_direction_of_the_metric() -> None:
    numbers = block(0.5, 0.9, 0.7)
    assert main_tables.best(numbers, "dsc") == {1}
    assert main_tables.best(numbers, "hd95") == {0}


def test_best_leaves_out_controls_gaps_and_ties() -> None:
    numbers = block(0.5, 0.9, 0.7, 1.0)
    numbers.loc[3, "control"] = True
    assert main_tables.best(numbers, "dsc") == {1}
    numbers.loc[0, "dsc_cells"] = 8
    assert main_tables.best(numbers, "dsc") == {1}
    assert main_tables.best(block(0.5, 0.5), "dsc") == set()


def test_neither_a_method_that_failed_on_some_cells_nor_a_worse_one_is_best() -> None:
    numbers = block(0.5, 0.9, 0.7)
    numbers.loc[1, ["ok", "dsc_cells"]] = 11
    assert main_tables.best(numbers, "dsc") == set()
    numbers.loc[2, "dsc_mean"] = 0.9
    assert main_tables.best(numbers, "dsc") == {2}
    numbers[["ok", "dsc_cells"]] = 11
    assert main_tables.best(numbers, "dsc") == set()


def test_best_leaves_out_a_method_that_was_trained_on_some_of_the_data() -> None:
    numbers = block(0.5, 0.9, 0.7)
    numbers.loc[1, "contaminated"] = 1
    assert main_tables.best(numbers, "dsc") == {2}


def test_a_distance_that_hard_cells_lack_is_told_and_not_best(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """Under ``leave-out`` a method that predicts nothing in hard scans has no HD95 there."""
    folder = made(tmp_path, 3, 3, scans=5, oracle=False, failing=False)
    scores = pd.read_parquet(folder / "scores.parquet").assign(contaminated=False)
    easy = (scores["method"] == "classic-0") & (scores["structure"] == "liver")
    hard = (scores["method"] == "classic-0") & (scores["structure"] == "lesion")
    scores["hd95"] = scores["hd95"].mask(hard).mask(easy, 0.5)
    scores.to_parquet(folder / "scores.parquet")
    statistics(folder)
    results = Results(folder)
    numbers = main_tables.table1(results.overall, results.methods)
    assert numbers.loc[numbers["hd95_mean"].idxmin(), "method"] == "classic-0"
    assert main_tables.best(numbers, "hd95") == set()
    tables.make(results)
    by_dataset = (folder / "tables" / "hd95_by_dataset.md").read_text(encoding="utf-8")
    table1 = (folder / "tables" / "table1.md").read_text(encoding="utf-8")
    assert by_dataset.count("0.50 (5/10)") == 3
    assert "0.50 ± 0.00 (15/30) |" in table1
    assert table1.count("(15/30)") == 1


@pytest.mark.parametrize(
    ("mean", "sd", "metric", "text"),
    [
        (0.51234, 0.1, "dsc", "0.512 ± 0.100"),
        (27.951, 39.774, "hd95", "27.95 ± 39.77"),
        (0.5, math.nan, "dsc", "0.500"),
        (math.nan, math.nan, "dsc", NONE),
    ],
)
def test_print(mean: float, sd: float, metric: str, text: str) -> None:
    assert mean_sd(mean, sd, decimals(metric)) == text


def test_cell_shows_what_is_missing_or_was_trained_on() -> None:
    assert mean_cell(0.5, 4, 4, 0) == "0.500"
    assert mean_cell(0.5, 3, 4, 1) == "0.500 (3/4)†"


def described(study: Path, tmp_path: Path, **methods: dict[str, object]) -> Path:
    """A copy of the study whose record knows more of its methods."""
    folder = shutil.copytree(study, tmp_path / "copy")
    record = read_json(folder / "record.json")
    for name, more in methods.items():
        record["methods"][name.replace("_", "-")] |= more
    record["prompts"] = {
        "mask2d": {"views": 1, "clicks": 14, "clicks_low": 9, "clicks_high": 20.5},
        "box2d": {"views": 1, "clicks": 2, "clicks_low": 2, "clicks_high": 2},
    }
    write_json(folder / "record.json", record)
    tables.make(Results(folder))
    return folder / "tables"


def test_every_table_tells_how_to_get_weights_and_what_is_unknown(
    study: Path, tmp_path: Path
) -> None:
    command = "pambench weights fetch net --from DOWNLOADED"
    skipped = f"classic-0: skipped because its weights are missing. To get them: {command}"
    absent: dict[str, object] = {"weights": "net", "weights_state": "manual"}
    absent |= {"weights_command": command, "weights_trained_on": None}
    partly: dict[str, object] = {"weights": "pam", "weights_trained_on": ["D01"]}
    partly |= {"weights_trained_on_complete": False}
    folder = described(study, tmp_path, classic_0=absent, PAM_1=partly)
    for name in ("table1", "dsc_by_dataset"):
        for suffix in ("md", "tex"):
            text = (folder / f"{name}.{suffix}").read_text(encoding="utf-8")
            assert skipped in text
            assert "classic-0: it is not known what its weights were trained on" in text
            assert "PAM-1: the training data of its weights are only partly known" in text
            assert "were trained on this data" in text


def test_contaminated_methods_are_marked_in_table_1(study: Path) -> None:
    tables.make(Results(study))
    numbers = read_statistics(study / "tables" / "table1.csv")
    text = (study / "tables" / "table1.md").read_text(encoding="utf-8")
    for row in numbers.to_dict("records"):
        marked = f"| {row['method']}{' (control)' if row['control'] else ''}† |" in text
        assert marked == bool(row["contaminated"])
    assert numbers["contaminated"].any()
    assert not numbers["contaminated"].all()


def test_a_method_that_was_trained_on_the_data_has_a_dagger_and_is_not_bold(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """PAM-1 is the best, and was trained on the first dataset."""
    folder = made(tmp_path, 3, 3, oracle=False, failing=False)
    scores = pd.read_parquet(folder / "scores.parquet")
    best = scores["method"] == "PAM-1"
    scores["dsc"] = scores["dsc"].mask(best, 0.5 + scores["dsc"] / 2)
    for trained in (False, True):
        contaminated = best & (scores["dataset"] == "D01") & trained
        scores.assign(contaminated=contaminated).to_parquet(folder / "scores.parquet")
        statistics(folder)
        tables.make(Results(folder))
        texts = {
            name: (folder / "tables" / f"{name}.md").read_text(encoding="utf-8")
            for name in ("table1", "comparison", "ranking")
        }
        name = "PAM-1†" if trained else "PAM-1"
        (row,) = (line for line in texts["table1"].splitlines() if line.startswith(f"| {name} |"))
        assert row.split(" | ")[1].startswith("**") != trained
        for table in ("comparison", "ranking"):
            assert f"| {name} |" in texts[table]
            assert f"| {'PAM-1' if trained else 'PAM-1†'} |" not in texts[table]
            assert ("were trained on this data" in texts[table]) == trained
        pairs = sections.comparison(Results(folder).comparison)
        assert {row[key] for row in pairs for key in "ab"} == {"classic-0", name, "classic-2"}


def test_prompts_and_what_they_cost(study: Path, tmp_path: Path) -> None:
    folder = described(study, tmp_path)
    found = read_statistics(folder / "prompts.csv").set_index("method")
    assert found.index.tolist() == ["classic-0", "PAM-1", "oracle"]  # cheap prompts first
    assert found.loc["classic-0", "clicks"] == 2
    text = (folder / "prompts.md").read_text(encoding="utf-8")
    assert "| classic-0 | box2d | a box on one slice | 1 | 2 |" in text
    assert "| PAM-1 | mask2d | an outline on one slice | 1 | 14 (9 to 20.5) |" in text
    assert "| oracle | box3d | a 3D box, and the reference itself | – | – |" in text  # noqa: RUF001
    assert "were given the same for each object" in text


def test_nothing_gives_empty_tables() -> None:
    empty = pd.DataFrame(columns=["split", "method", "metric"])
    assert main_tables.table1(empty, []).empty
