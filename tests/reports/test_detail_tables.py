"""The collapsible tables of the report match the scores."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from reports import detail_tables, html
from reports.formatting import NONE, format_p
from reports.results import Results


def test_dsc_by_structure_is_the_mean_over_its_scans(study: Path) -> None:
    results = Results(study)
    scores = pd.read_parquet(study / "scores.parquet")
    scores = scores[scores["level"] == "structure"]
    table = detail_tables.structures(results)
    assert table["head"] == ["Dataset", "Structure", "Scans", *results.methods_in_table_order]
    assert table["numeric"] == set(range(2, len(table["head"])))
    assert not table["opened"]
    assert len(table["rows"]) == len(scores[["dataset", "structure"]].drop_duplicates())
    for dataset, structure, scans, *cells in table["rows"]:
        here = scores[(scores["dataset"] == dataset) & (scores["structure"] == structure)]
        assert int(scans) == here["scan"].nunique()
        for method, cell in zip(results.methods_in_table_order, cells, strict=True):
            mine = here[here["method"] == method]
            mean = mine["dsc"].mean()
            assert cell.startswith(NONE if pd.isna(mean) else f"{mean:.3f}")
            lost = (mine["status"] != "ok").sum()
            assert (f"({len(mine) - lost}/{len(mine)})" in cell) == bool(lost)
            assert ("†" in cell) == mine["contaminated"].any()


def test_a_pair_has_a_row_a_dataset_by_the_test_that_fits(study: Path) -> None:
    results = Results(study)
    found = results.statistics("comparison_by_dataset")
    found = found[found["metric"] == "dsc"]
    scores = pd.read_parquet(study / "scores.parquet")
    scores = scores[scores["level"] == "structure"]
    table = detail_tables.within(results)
    assert table["opened"]
    assert len(table["rows"]) == len(found) / 2 == 3
    for row in table["rows"]:
        line = dict(zip(table["head"], row, strict=True))
        here = found[(found["dataset"] == line["Dataset"]) & found["chosen"]].iloc[0]
        trained = "†" if here["contaminated_a"] else ""
        assert (line["Method"], line["Against"]) == (here["method_a"] + trained, here["method_b"])
        line["Method"] = here["method_a"]
        assert line["Test"] == here["test"]
        assert line["P"] == (NONE if pd.isna(here["p"]) else format_p(here["p"]))
        wide = scores[scores["dataset"] == line["Dataset"]].pivot_table(
            index=["scan", "structure"], columns="method", values="dsc"
        )
        both = wide[[line["Method"], line["Against"]]].dropna()
        change = both[line["Method"]] - both[line["Against"]]
        assert line["Cells"] == str(len(both))
        assert line["n"] == str(change.groupby("scan").mean().size)
        assert line["Difference"] == f"{change.groupby('scan').mean().mean():+.3f}"


@pytest.mark.parametrize(("datasets", "opened"), [(1, True), (5, True), (6, False)])
def test_pairs_within_a_dataset_are_open_where_datasets_are_few(
    made: Callable[..., Path], tmp_path: Path, datasets: int, opened: bool
) -> None:
    folder = made(tmp_path, datasets, 2)
    assert detail_tables.within(Results(folder))["opened"] == opened
    text = html.render(Results(folder))
    assert ('id="table-comparison_by_dataset" open>' in text) == opened
    assert 'id="table-by_structure">' in text


def test_a_study_without_pairs_has_no_table_of_them(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made(tmp_path, 1, 1)
    assert detail_tables.within(Results(folder)) == {}
    text = html.render(Results(folder))
    assert "table-comparison_by_dataset" not in text
    assert "A comparison needs two methods other than controls." in text
