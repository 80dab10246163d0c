"""Averages over scans, structures and datasets, with their denominators."""

from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis import ANALYSES, aggregate, analyse, frames, read_statistics
from benchmark.analysis.settings import AnalysisSettings
from benchmark.metrics.definitions import METRICS
from benchmark.storage.tables import records


def row(
    dataset: str, scan: str, structure: str, method: str, dsc: float | None, **more: Any
) -> Any:
    status = "failed" if dsc is None else "ok"
    values: dict[str, Any] = dict.fromkeys(METRICS, dsc)
    return {
        **{"dataset": dataset, "split": "internal", "modality": "CT", "scan": scan},
        **{"level": "structure", "structure": structure, "method": method, "variant": ""},
        **{"prompt": "box2d", "deviation": 0.0, "status": status, "contaminated": False},
        **values,
        **more,
    }


CELLS = [
    row("A", "1", "liver", "m", 0.8),
    row("A", "2", "liver", "m", 0.6),
    row("A", "1", "tumour", "m", 0.3),
    row("A", "2", "tumour", "m", None),
    row("B", "1", "liver", "m", 0.9, split="external", contaminated=True),
    row("B", "2", "liver", "m", None, split="external", status="skipped", contaminated=True),
]
HAND = pd.DataFrame(CELLS)


def dsc(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["metric"] == "dsc"].reset_index(drop=True)


def keyed(table: pd.DataFrame, key: str) -> dict[str, dict[Any, Any]]:
    return {str(line[key]): line for line in records(dsc(table))}


def test_means_by_hand() -> None:
    structures = aggregate.by_structure(HAND)
    datasets = aggregate.by_dataset(structures)
    assert dsc(structures)["mean"].tolist() == pytest.approx([0.7, 0.3, 0.9])
    assert dsc(structures)["sd"].tolist() == pytest.approx([0.02**0.5, np.nan, np.nan], nan_ok=True)
    assert dsc(structures)["n"].tolist() == [2, 1, 1]
    assert dsc(datasets)["mean"].tolist() == pytest.approx([0.5, 0.9])
    whole = keyed(aggregate.overall(datasets), "split")
    assert list(whole) == ["internal", "external", "all"]
    assert whole["all"]["mean"] == pytest.approx(0.7)
    assert whole["all"]["sd"] == pytest.approx(stdev([0.5, 0.9]))


def test_denominators_by_hand() -> None:
    table = aggregate.by_dataset(aggregate.by_structure(HAND))
    datasets = keyed(table, "dataset")
    counts = ["ok", "expected", "skipped", "failed", "contaminated", "n", "structures"]
    assert [datasets["A"][name] for name in counts] == [3, 4, 0, 1, 0, 2, 2]
    assert [datasets["B"][name] for name in counts] == [1, 2, 1, 0, 2, 1, 1]
    whole = keyed(aggregate.overall(table), "split")["all"]
    assert [whole[name] for name in ("ok", "expected", "n", "datasets")] == [4, 6, 2, 2]


def test_a_dataset_without_a_value_stays_in_the_denominator() -> None:
    rows = pd.DataFrame([*CELLS, row("C", "1", "liver", "m", None)])
    table = aggregate.overall(aggregate.by_dataset(aggregate.by_structure(rows)))
    last = keyed(table, "split")["all"]
    assert (last["n"], last["datasets"], last["expected"]) == (2, 3, 7)
    assert last["mean"] == pytest.approx(0.7)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("AB"),
            st.sampled_from("12"),
            st.sampled_from("xyz"),
            st.sampled_from(["m", "k"]),
            st.one_of(st.none(), st.floats(0, 1)),
        ),
        min_size=1,
        unique_by=lambda cell: cell[:4],
    )
)
def test_equals_plain_loops(cells: list[tuple[str, str, str, str, float | None]]) -> None:
    found = aggregate.by_dataset(
        aggregate.by_structure(pd.DataFrame([row(*cell) for cell in cells]))
    )
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for dataset, _, structure, method, value in cells:
        given_values = values[dataset, method][structure]
        if value is not None:
            given_values.append(value)
    assert len(dsc(found)) == len(values)
    for line in dsc(found).to_dict("records"):
        inner = values[line["dataset"], line["method"]]
        means = [mean(v) for v in inner.values() if v]
        assert line["mean"] == pytest.approx(mean(means) if means else np.nan, nan_ok=True)
        assert line["expected"] == sum(
            cell[0] == line["dataset"] and cell[3] == line["method"] for cell in cells
        )


def test_reads_structures_of_the_base_variant_without_deviation(tmp_path: Path) -> None:
    others = [
        row("A", "1", "liver", "m", 0.1, level="object"),
        row("A", "1", "liver", "m", 0.1, variant="thick"),
        row("A", "1", "liver", "m", 0.1, deviation=0.05),
    ]
    pd.DataFrame([*CELLS, *others]).to_parquet(tmp_path / "scores.parquet")
    read = aggregate.read_scores(tmp_path / "scores.parquet", level="structure")
    pd.testing.assert_frame_equal(read[HAND.columns.tolist()], HAND)


def averages(table: pd.DataFrame, folder: Path, **changed: Any) -> dict[str, pd.DataFrame]:
    table.to_parquet(folder / "scores.parquet")
    settings = AnalysisSettings(resamples=100, **changed)
    analyse("averages", {"scores": folder / "scores.parquet"}, folder / "out", settings)
    given = ANALYSES["averages"].gives
    return {name: read_statistics(folder / "out" / f"{name}.csv") for name in given}


@pytest.mark.parametrize("rows", [0, 1, len(HAND)])
def test_writes_all_tables_even_of_nothing(tmp_path: Path, rows: int) -> None:
    tables = averages(HAND.astype({"dsc": float}).head(rows), tmp_path)
    assert len(tables["by_dataset"]) == len(METRICS) * HAND.head(rows)["dataset"].nunique()
    assert len(list((tmp_path / "out").iterdir())) == len(tables)


@pytest.mark.parametrize(
    ("datasets", "patients", "known"), [(1, 1, False), (1, 6, True), (5, 9, False), (6, 1, True)]
)
def test_few_units_give_no_interval(
    datasets: int, patients: int, known: bool, tmp_path: Path
) -> None:
    """Of datasets where there are several, of the patients of a single one."""
    rng = np.random.default_rng(1)
    names = [(f"D{d}", f"{p}") for d in range(datasets) for p in range(patients)]
    cells = [row(d, p, "liver", "m", float(rng.uniform()), patient=p) for d, p in names]
    tables = averages(pd.DataFrame(cells), tmp_path)
    assert dsc(tables["overall"])[["low", "high"]].notna().to_numpy().all() == known
    assert dsc(tables["by_dataset"])["low"].notna().eq(patients >= 6).all()


def scored(name: str, patients: int, **values: Any) -> list[dict[str, Any]]:
    """Cells of a dataset: patients of methods; None is a cell without a value."""
    return [
        {"dataset": name, "scan": f"{p}", "patient": f"{p}", "structure": "x", "method": method}
        | {"dsc": next(column, None)}
        for method, column in ((m, iter(v)) for m, v in values.items())
        for p in range(patients)
    ]


def intervals(rows: list[dict[str, Any]], resamples: int = 200) -> Any:
    """The tables ``by_dataset`` and ``overall`` (all datasets) of ``rows``."""
    scores = frames.checked_scores(pd.DataFrame(rows))
    found = aggregate.analyse({"scores": scores}, AnalysisSettings(resamples=resamples))
    whole = found["overall"]
    return found["by_dataset"], whole[whole["split"] == "all"]


def test_units_without_a_value_are_not_counted_and_not_drawn() -> None:
    """B has values in 2 of 8 datasets, C in 6; D in half of the patients of each."""
    rng = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for d in range(8):
        values = rng.uniform(size=(4, 12)).tolist()
        some = {"b": values[1] if d < 2 else [], "c": values[2] if d < 6 else []}
        rows += scored(f"D{d}", 12, a=values[0], **some, d=values[3][: 5 + d])
    datasets, whole = intervals(rows)
    table = whole.set_index("method")
    assert table["n"].to_dict() == {"a": 8, "b": 2, "c": 6, "d": 8}
    assert table["resampled"].to_dict() == {
        "a": "8 collections, 8 datasets, 96 patients",
        "b": "2 collections, 2 datasets, 24 patients",
        "c": "6 collections, 6 datasets, 72 patients",
        "d": "8 collections, 8 datasets, 68 patients",
    }
    assert table["low"].notna().to_dict() == {"a": True, "b": False, "c": True, "d": True}
    inner = datasets.set_index(["dataset", "method"])
    assert inner.loc[("D0", "d"), "resampled"] == "5 patients"
    assert inner.loc[("D7", "b"), "resampled"] == "0 patients"
    drawn = inner["low"].notna()
    assert not drawn["D0"]["d"]
    assert drawn["D1"]["d"]
    # Intervals are those of a table that holds nothing but the values.
    alone, outer = intervals([row for row in rows if row["dsc"] is not None])
    ends = ["low", "high"]
    theirs = alone.set_index(["dataset", "method"])[ends]
    np.testing.assert_array_equal(inner.loc[theirs.index, ends], theirs)
    np.testing.assert_array_equal(table[ends], outer.set_index("method").loc[table.index, ends])


def test_collections_are_drawn_whole() -> None:
    """Few collections give no interval, and copies of a dataset in one tell nothing more."""
    means = np.random.default_rng(5).uniform(size=12)

    def of(datasets: list[tuple[str, float]]) -> dict[str, Any]:
        rows = [
            {**cell, "collection": collection}
            for i, (collection, mean) in enumerate(datasets)
            for cell in scored(f"D{i}", 1, m=[mean])
        ]
        return dict(intervals(rows, resamples=2000)[1].iloc[0])

    few = of([(f"C{i % 3}", mean) for i, mean in enumerate(means)])
    assert few["resampled"] == "3 collections, 12 datasets, 12 patients"
    assert np.isnan([few["low"], few["high"]]).all()
    copies = of([(f"C{i}", means[i]) for i in range(8) for _ in range(4)])
    alone = of([(f"C{i}", means[i]) for i in range(8)])
    width = alone["high"] - alone["low"]
    assert copies["resampled"] == "8 collections, 32 datasets, 32 patients"
    assert (copies["low"], copies["high"]) == pytest.approx(
        (alone["low"], alone["high"]), abs=width / 10
    )


def test_each_interval_is_that_of_its_own_mean() -> None:
    rng = np.random.default_rng(6)
    rows = [
        {"dataset": f"D{d}", "scan": f"{p}", "structure": "x", "method": method}
        | {"dsc": level + rng.uniform(0, 0.1), "hd95": 100 * level + rng.uniform(0, 5)}
        for d in range(7)
        for p in range(8)
        for method, level in (("a", 0.2), ("b", 0.8))
    ]
    for table in intervals(rows):
        assert (table["low"] < table["mean"]).all()
        assert (table["mean"] < table["high"]).all()


def test_the_interval_of_one_dataset_is_that_of_its_patients() -> None:
    values = np.random.default_rng(7).gamma(2.0, 0.1, size=(2, 15))
    datasets, whole = intervals(scored("D", 15, a=values[0], b=values[1]), resamples=4000)
    for table in (datasets, whole):
        for method, mine in zip("ab", values, strict=True):
            row = table.set_index("method").loc[method]
            options: Any = {"method": "percentile", "n_resamples": 4000, "rng": 1}
            right = stats.bootstrap((mine,), np.mean, **options).confidence_interval
            near = (right.high - right.low) / 10
            assert (row["low"], row["high"]) == pytest.approx((right.low, right.high), abs=near)


def test_cells_with_a_value_are_counted_for_each_metric() -> None:
    """A distance may be left out where nothing was predicted: the cell is ok all the same."""
    cells = [row("A", f"{i}", "liver", "m", 0.5, hd95=None if i % 2 else 3.0) for i in range(10)]
    structures = aggregate.by_structure(pd.DataFrame(cells).astype({"hd95": float}))
    datasets = aggregate.by_dataset(structures)
    for table in (structures, datasets, aggregate.overall(datasets)):
        found: Any = table.set_index("metric")
        assert set(np.ravel(found.loc["hd95", "cells"])) == {5}
        assert set(np.ravel(found.loc["dsc", "cells"])) == {10}
        assert set(found["ok"]) == set(found["expected"]) == {10}


def test_a_method_named_na_is_read_back(tmp_path: Path) -> None:
    assert set(averages(HAND.assign(method="NA"), tmp_path)["overall"]["method"]) == {"NA"}
