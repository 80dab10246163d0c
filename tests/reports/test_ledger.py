"""The ledger on studies whose numbers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis import ANALYSES, aggregate, comparison, frames, read_statistics
from benchmark.analysis.grid import Grid
from benchmark.analysis.settings import AnalysisSettings
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.tables import records
from reports.paper import ledger, quantities
from reports.paper.ledger import DIFFERS, NOT_HERE, REPRODUCED, Measured, judge
from reports.results import Results

MEANS = {"pam-2dbox": 0.74, "pam-2dmask": 0.785, "medsam": 0.515, "segvol": 0.59}
"""Of the paper's Table 1."""


def study(folder: Path, weights: str = "pam-released", datasets: int = 44) -> Results:
    """Every dataset has one scan; means over the external ones are those of Table 1."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.05, 10)
    rows: list[dict[str, Any]] = []
    for method, mean in MEANS.items():
        for i in range(44 - datasets, 44):
            about = {"dataset": f"D{i + 1:02d}", "split": "external" if i > 33 else "internal"}
            value = mean + (noise - noise.mean())[i % 10]
            rows.append({**about, "scan": "s", "structure": "x", "method": method, "dsc": value})
    methods = {name: {"adapter": name, "weights": weights} for name in MEANS}
    (folder / "statistics").mkdir()
    write_json(folder / "settings.json", {})
    write_json(folder / "record.json", {"methods": methods})
    scores = frames.scores(pd.DataFrame(rows))
    found = aggregate.analyse({"scores": scores}, AnalysisSettings(resamples=100))
    found["comparison"] = comparison.compare(Grid.of(scores, ["dsc"]))
    for table in (name for analysis in ANALYSES.values() for name in analysis.gives):
        empty = pd.DataFrame(columns=columns_of(table))
        found.get(table, empty).to_csv(folder / f"statistics/{table}.csv", index=False)
    return Results(folder)


def columns_of(table: str) -> list[str]:
    """Columns of a table as the page on analyses tells them."""
    page = Path(__file__).parents[2] / "docs" / "analyses.md"
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if f"`{table}`" in line]
    return next(line.split("|")[3].strip(" `").split() for line in lines if line.count("|") == 4)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = ledger.make(study(tmp_path_factory.mktemp("paper")))
    return read_statistics(path).set_index("key")


def test_every_number_has_a_verdict_and_a_reason(paper: Any) -> None:
    assert paper["verdict"].isin([REPRODUCED, DIFFERS, NOT_HERE]).all()
    assert paper.loc[paper["verdict"] == NOT_HERE, "why"].notna().all()
    assert paper.loc[paper["verdict"] != NOT_HERE, "ours"].notna().all()
    assert paper.index.is_unique


def test_a_study_without_its_statistics_is_told_what_to_run(tmp_path: Path) -> None:
    results = study(tmp_path)
    (tmp_path / "statistics" / "interaction_tests.csv").unlink()
    with pytest.raises(UserError, match=r"interaction_tests\.csv is missing.*Next step"):
        ledger.make(results)


def test_numbers_of_table_1(paper: Any) -> None:
    for role in ("pam_2dbox", "pam_2dmask", "medsam", "segvol"):
        row = paper.loc[f"table1_{role}_dsc"]
        assert (row["verdict"], row["n"]) == (REPRODUCED, 10)
        assert row["ours"] == pytest.approx(row["stated"], abs=1e-9)
    assert paper.loc["table1_medsam_hd95", "verdict"] == NOT_HERE


def test_gains_and_wins(paper: Any) -> None:
    gain = paper.loc["dsc_gain_2dbox_vs_medsam"]
    assert gain["ours"] == pytest.approx(22.5, abs=0.5)
    assert paper.loc["wins_external_both_pam", "verdict"] == REPRODUCED
    assert paper.loc["wins_internal_both_pam", ["ours", "verdict"]].tolist() == [34, DIFFERS]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"weights": "pam-small"}, "other weights than the paper's"),
        ({"datasets": 43}, "43 of the paper's 44 datasets"),
    ],
)
def test_what_is_not_the_papers_is_not_compared(
    changed: dict[str, Any], why: str, tmp_path: Path
) -> None:
    row = ledger.ledger(study(tmp_path, **changed)).set_index("key")
    assert why in str(row.loc["dsc_gain_2dbox_vs_medsam", "why"])
    assert row.loc["dsc_gain_2dbox_vs_medsam", "verdict"] == NOT_HERE


@pytest.mark.parametrize(
    ("relation", "stated", "ours", "verdict"),
    [
        ("=", "0.740", Measured(0.7404), REPRODUCED),
        ("=", "0.740", Measured(0.7406), DIFFERS),
        ("=", "0.740", Measured(0.70, 0.66, 0.75), REPRODUCED),
        ("=", "0.740", Measured(0.70, 0.66, 0.73), DIFFERS),
        ("<", "-0.1249", Measured(-0.3), REPRODUCED),
        ("<=", "0.0078", Measured(0.01), DIFFERS),
        ("P", "0.6736", Measured(0.2), REPRODUCED),
        ("P", "0.013", Measured(0.2), DIFFERS),
        ("count", "31", Measured(31, 0, 44), REPRODUCED),
        ("count", "31", Measured(30, 0, 44), DIFFERS),
    ],
)
def test_verdicts(relation: str, stated: str, ours: Measured, verdict: str) -> None:
    assert judge(relation, stated, ours)[0] == verdict


def test_each_number_names_a_known_quantity() -> None:
    for row in records(read_statistics(ledger.NUMBERS)):
        assert str(row["quantity"]).split()[0] in quantities._QUANTITIES
