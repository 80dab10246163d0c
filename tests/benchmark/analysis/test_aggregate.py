from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.analysis import ANALYSES, aggregate, analyse, read_statistics
from benchmark.analysis.settings import AnalysisSettings
from benchmark.metrics.definitions import METRICS
from benchmark.tables import records


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


def test_a_method_named_na_is_read_back(tmp_path: Path) -> None:
    assert set(averages(HAND.assign(method="NA"), tmp_path)["overall"]["method"]) == {"NA"}
