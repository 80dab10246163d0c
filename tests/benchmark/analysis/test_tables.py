"""Every analysis table has the columns documented in ``docs/analyses.md``, for any input."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmark.analysis import ANALYSES, OPTIONAL_TABLES, analyse, frames, read_statistics
from benchmark.analysis.regularity import DIMENSIONS, SHAPE_NAMES
from benchmark.analysis.settings import AnalysisSettings
from benchmark.cli import app
from benchmark.errors import UserError

PAGE = Path(__file__).parents[3] / "docs" / "analyses.md"
SETTINGS = AnalysisSettings(resamples=100)
ON_SCORES = [name for name, analysis in ANALYSES.items() if analysis.takes == ("scores",)]


def documented() -> dict[str, list[str]]:
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3 and " " in cells[2].strip("`"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                found[name] = cells[2].strip("`").split()
    return found


def scores(datasets: int = 4, methods: int = 3, **more: Any) -> pd.DataFrame:
    """The least a table of other origin must have, with two metrics."""
    rng = np.random.default_rng(5)
    rows = [
        {"dataset": f"D{d}", "scan": f"s{s}", "structure": structure, "method": f"m{m}"}
        for d in range(datasets)
        for s in range(3)
        for structure in ("liver", "lesion")
        for m in range(methods)
    ]
    values: dict[str, Any] = {n: rng.uniform(0.3, 0.9, len(rows)) for n in ("dsc", "nsd")}
    return pd.DataFrame(rows).assign(**(values | more))


BAD = {
    "nothing": scores().head(0),
    "one row": scores().head(1),
    "one dataset": scores(1),
    "one method": scores(methods=1),
    "no value": scores(dsc=np.nan, nsd=np.nan),
    "no variance": scores(dsc=0.5, nsd=0.5),
    "good": scores(),
}


@pytest.mark.parametrize("name", ON_SCORES)
@pytest.mark.parametrize("what", BAD)
def test_tables_have_their_columns_and_no_silent_gap(name: str, what: str, tmp_path: Path) -> None:
    BAD[what].to_csv(tmp_path / "scores.csv", index=False)
    analyse(name, {"scores": tmp_path / "scores.csv"}, tmp_path, SETTINGS)
    for table in ANALYSES[name].gives:
        found = read_statistics(tmp_path / f"{table}.csv")
        assert found.columns.tolist() == documented()[table]
        if "p" in found:
            assert (found["p"].isna() == found["reason"].notna()).all()
            assert found["p"].dropna().between(0, 1).all()


@pytest.mark.parametrize("name", ["comparison", "ranking", "regularity", "efficiency"])
def test_a_control_is_compared_with_no_method(name: str) -> None:
    """The tables are those without its rows."""
    table = scores(level="object" if name == "regularity" else "structure")
    table = frames.checked_scores(table.assign(object=table["scan"] + "/" + table["structure"]))
    objects = table[["dataset", "object"]].drop_duplicates(ignore_index=True)
    shapes = {f"{shape}_{d}": objects.index / 99.0 for shape in SHAPE_NAMES for d in DIMENSIONS}
    objects = objects.assign(volume_mm3=objects.index + 1.0, **shapes)
    times = table[["method", "dataset", "scan", "object"]]
    times = times.assign(variant="", device="cpu", segment_s=table["dsc"])

    def analysed(method: str, **changed: Any) -> Any:
        tables = {"scores": table, "times": times}
        tables = {key: rows[rows["method"] != method] for key, rows in tables.items()}
        module = import_module(f"benchmark.analysis.{ANALYSES[name].module}")
        settings = AnalysisSettings(resamples=100, **changed)
        return module.analyse({**tables, "objects": objects}, settings)

    with_control, without = analysed("", controls=("m1",)), analysed("m1")
    for key in without.keys() - {"times", "times_by_dataset", "costs"}:
        assert len(without[key])
        pd.testing.assert_frame_equal(with_control[key], without[key])


@pytest.mark.parametrize("name", ON_SCORES)
def test_each_is_a_subcommand(name: str, tmp_path: Path) -> None:
    scores().to_parquet(tmp_path / "scores.parquet")
    (tmp_path / "my.yaml").write_text("resamples: 100\n")
    arguments = ["--scores", tmp_path / "scores.parquet", "--settings", tmp_path / "my.yaml"]
    arguments += ["--output", tmp_path / "out"]
    done = CliRunner().invoke(app, ["analyse", name, *map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(ANALYSES[name].gives)
    assert set(map(Path, done.output.split())) == set((tmp_path / "out").iterdir())


def test_every_analysis_is_a_subcommand() -> None:
    text = CliRunner().invoke(app, ["analyse", "--help"]).output
    assert all(name in text for name in ANALYSES)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (scores().drop(columns="method"), "lacks the column 'method'"),
        (scores().rename(columns={"structure": "structures"}), "Did you mean: structures"),
        (scores().drop(columns=["dsc", "nsd"]), "no metric"),
        (scores(dsc="high"), "'dsc' is not numeric"),
        (pd.concat([scores(), scores().tail(2)]), "2 rows whose key occurs before"),
        (scores(status="done"), "got 'done'"),
        (scores().replace({"method": {"m1": ""}}), "'method' is empty in row 2. Rows without it"),
        (scores().replace({"dataset": {"D3": ""}}), "Rows without it: 18"),
        (scores().replace({"structure": {"liver": ""}}), "'structure' is empty in row 1"),
        (scores().assign(scan=None), "'scan' is empty"),
        (scores(hd95=np.inf), "'hd95' is inf in row 1. Leave the field empty"),
        (scores(hd95=-1.0), "'hd95' is -1 in row 1. It is at least 0"),
        (scores(dsc=85.0), "'dsc' is 85 in row 1. It lies between 0 and 1"),
        (scores(split=["a", "b"] * 36), "dataset D0 has more than one split (a, b)"),
        (scores(modality=["CT", "MR"] * 36), "dataset D0 has more than one modality (CT, MR)"),
        (scores(collection=["a", None] * 36), "more than one collection (D0, a)"),
        (scores(patient=["a", "b"] * 36), "dataset D0 scan s0 has more than one patient (a, b)"),
        (scores(split="all"), "no split may be named 'all'"),
        (scores(prompt=["box2d"] * 71 + [None]), "m2 has more than one prompt (box2d, unknown)"),
    ],
)
def test_a_bad_table_is_an_error_that_says_so(table: pd.DataFrame, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        frames.checked_scores(table)


def test_missing_numbers_as_written_by_r_and_numpy(tmp_path: Path) -> None:
    lines = ["dataset,scan,structure,method,dsc", "NA,1,x,m,NA", "NA,2,x,m,nan", "NA,3,x,m,0.5"]
    (tmp_path / "scores.csv").write_text("\n".join(lines))
    found = frames.read_scores(tmp_path / "scores.csv")
    assert found["dsc"].isna().tolist() == [True, True, False]
    assert found["dataset"].eq("NA").all()  # a name stays text
    assert found["status"].tolist() == ["failed", "failed", "ok"]


def test_what_a_failed_row_holds_is_not_checked() -> None:
    table = scores(dsc=-1.0, nsd=np.inf, status="failed")
    assert frames.checked_scores(table)["dsc"].isna().all()


NAMELESS = {
    "objects": "dataset,object\nD,\n",
    "times": "method,dataset,object,segment_s\n,D,o,1\n",
    "interaction": "reader,dataset,object,prompt,seconds\nr,D,o,,1\n",
    "runs": "kind,method,tested_on,value\ngeneral,m,,0.5\n",
    "cohorts": "patient,time,event,pre_scan,post_scan\n,1,1,a,b\n",
    "measures": "scan,method,diameter_mm,area_mm2,volume_mm3\na,,1,1,1\n",
}
INFINITE = {
    "times": "method,dataset,object,segment_s\nm,D,o,inf\n",
    "interaction": "reader,dataset,object,prompt,seconds\nr,D,o,box2d,inf\n",
    "runs": "kind,method,tested_on,value\ngeneral,m,D,inf\n",
    "cohorts": "patient,time,event,pre_scan,post_scan\np,inf,1,a,b\n",
    "measures": "scan,method,diameter_mm,area_mm2,volume_mm3\na,m,1,1,inf\n",
}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        *((name, text, "is empty in row 1") for name, text in NAMELESS.items()),
        *((name, text, "is inf in row 1") for name, text in INFINITE.items()),
    ],
)
def test_bad_rows_of_other_tables(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UserError, match=told):
        frames.READERS[name](tmp_path / "table.csv")


@pytest.mark.parametrize("name", ON_SCORES)
def test_metrics_of_what_is_not_ok_are_not_read(name: str) -> None:
    """Tables of other origin may hold a score of 0 where a method failed."""
    table = scores()
    failed = (table["scan"] == "s0") & (table["method"] == "m1")
    table = table.assign(status=np.where(failed, "failed", "ok"))
    empty = table.assign(**{m: table[m].mask(failed) for m in ("dsc", "nsd")})
    filled = table.assign(**{m: table[m].mask(failed, 0.0) for m in ("dsc", "nsd")})
    first, second = (run(name, frames.checked_scores(t)) for t in (empty, filled))
    for key in ANALYSES[name].gives:
        pd.testing.assert_frame_equal(first[key], second[key])


def test_the_plain_method_may_be_an_empty_field(tmp_path: Path) -> None:
    table = scores().assign(variant="", segment_s=1.0)
    table["object"] = table["structure"]
    table.to_csv(tmp_path / "table.csv", index=False)
    for read in (frames.read_scores, frames.read_times):
        found = read(tmp_path / "table.csv")
        assert found["variant"].eq("").all(), read


def test_an_empty_field_is_what_a_missing_column_is(tmp_path: Path) -> None:
    """Of some datasets the optional columns are filled in, of the others they are empty."""
    told: dict[str, Any] = {
        **{"split": "unsplit", "modality": "unknown", "level": "structure", "prompt": "unknown"},
        **{"deviation": 0.0, "contaminated": False, "patient": "p", "collection": "c"},
    }
    table = scores(methods=2).assign(**told)
    theirs = table["dataset"].isin(["D2", "D3"])
    table.loc[theirs, ["patient", "collection"]] = table.loc[theirs, ["scan", "dataset"]].to_numpy()
    table.to_csv(tmp_path / "whole.csv", index=False)
    for name in told:
        table[name] = table[name].mask(theirs)
    table.to_csv(tmp_path / "gaps.csv", index=False)
    whole, gaps = (frames.read_scores(tmp_path / f"{name}.csv") for name in ("whole", "gaps"))
    pd.testing.assert_frame_equal(gaps, whole)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"a,b\n1,2\n1,2,3\n"])
def test_a_csv_that_is_none_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"scores\.csv cannot be read as a csv table"):
        frames.read_scores(tmp_path / "scores.csv")


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no tables"):
        frames.read_scores(tmp_path / "empty")
    with pytest.raises(UserError, match="No such table"):
        frames.read_scores(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ON_SCORES)
def test_order_of_rows_does_not_matter(name: str) -> None:
    """But for the order of methods, which is that of their first row."""
    table = scores()
    shuffled = table.sample(frac=1, random_state=1)
    shuffled = shuffled.sort_values("method", kind="stable")
    found = [run(name, frames.checked_scores(t.reset_index(drop=True))) for t in (table, shuffled)]
    for key in ANALYSES[name].gives:
        first, second = (ordered(tables[key]) for tables in found)
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("name", ON_SCORES)
def test_names_of_methods_do_not_matter(name: str) -> None:
    names = {"m0": "zebra", "m1": "a b, c", "m2": "NA"}
    table = scores()
    renamed = table.assign(method=table["method"].map(names))
    first, second = (run(name, frames.checked_scores(t)) for t in (table, renamed))
    for key in ANALYSES[name].gives:
        pd.testing.assert_frame_equal(first[key].replace(names), second[key])


@pytest.mark.parametrize("name", ["efficiency", "interaction", "generalisation", "survival"])
def test_tables_of_nothing_have_their_columns(name: str, tmp_path: Path) -> None:
    heads: dict[str, Any] = {
        "times": ["method", "dataset", "scan", "object", "segment_s"],
        "interaction": frames.INTERACTION_COLUMNS,
        "runs": frames.RUN_COLUMNS,
        "cohorts": frames.COHORT_COLUMNS,
        "measures": frames.MEASURE_COLUMNS,
        "scores": scores().columns,
    }
    inputs = {}
    for table in ANALYSES[name].takes:
        inputs[table] = tmp_path / f"{table}.csv"
        pd.DataFrame(columns=list(heads[table])).to_csv(inputs[table], index=False)
    some = {table: path for table, path in inputs.items() if table not in OPTIONAL_TABLES}
    for given in (inputs, some):
        analyse(name, given, tmp_path / "out", SETTINGS)
        for table in ANALYSES[name].gives:
            found = read_statistics(tmp_path / "out" / f"{table}.csv")
            assert found.columns.tolist() == documented()[table]


def run(name: str, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    from importlib import import_module

    module = import_module(f"benchmark.analysis.{ANALYSES[name].module}")
    found: dict[str, pd.DataFrame] = module.analyse({"scores": table}, SETTINGS)
    return found


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    named = [c for c in table if table[c].dtype == object]
    rounded = table.round(9)
    return rounded.sort_values([str(c) for c in (*named, *rounded.columns)]).reset_index(drop=True)
