"""Tables are written with their schema, completely or not at all."""

import contextlib
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from benchmark.errors import UserError
from benchmark.storage.tables import (
    column_names,
    forget_shards,
    read_arrow,
    read_groups,
    read_record,
    read_table,
    records,
    table_of_parts,
    write_table,
)

SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int32()), ("share", pa.float64())])


def test_round_trip_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a" / "0.parquet"
    write_table([{"name": "x", "count": 1}, {"share": 0.5}], SCHEMA, path)
    table = read_table(path)
    assert list(table.columns) == ["name", "count", "share"]
    first, second = records(table)
    assert (first["name"], first["count"]) == ("x", 1)
    assert pd.isna(first["share"])
    assert second["name"] is None
    assert second["share"] == 0.5


def test_a_frame_and_rows_give_the_same_table(tmp_path: Path) -> None:
    rows = [{"name": "x", "count": 1}, {"name": "y", "count": 2}]
    write_table(rows, SCHEMA, tmp_path / "rows.parquet")
    write_table(pd.DataFrame(rows)[["count", "name"]], SCHEMA, tmp_path / "frame.parquet")
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "rows.parquet"), read_table(tmp_path / "frame.parquet")
    )


def test_parts_give_the_same_table_as_the_whole(tmp_path: Path) -> None:
    rows = [{"name": "x", "count": 1}, {"name": "y", "share": 0.5}, {"name": "z", "count": 2}]
    write_table(rows, SCHEMA, tmp_path / "whole.parquet")
    with table_of_parts(SCHEMA, tmp_path / "parts.parquet") as add:
        add(rows[:1])
        add(pa.table({"share": [0.5], "name": ["y"]}))
        add(pd.DataFrame(rows[2:]))
        assert not (tmp_path / "parts.parquet").exists()
    whole, parts = (read_arrow(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    assert parts.equals(whole)
    assert read_record(tmp_path / "parts.parquet") == read_record(tmp_path / "whole.parquet")
    groups = list(read_groups(tmp_path / "parts.parquet", ["name"]))
    assert [name for group in groups for name in group["name"].to_pylist()] == ["x", "y", "z"]


def test_a_table_whose_parts_ended_in_an_error_is_absent(tmp_path: Path) -> None:
    def fail() -> None:
        with table_of_parts(SCHEMA, tmp_path / "a.parquet") as add:
            add([{"name": "x"}])
            add([{"size": 1}])

    with pytest.raises(ValueError, match="size"):
        fail()
    assert not list(tmp_path.iterdir())


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write_table([], SCHEMA, tmp_path / "rows.parquet")
    write_table(pd.DataFrame(), SCHEMA, tmp_path / "frame.parquet")
    for name in ("rows", "frame"):
        table = read_table(tmp_path / f"{name}.parquet")
        assert list(table.columns) == SCHEMA.names
        assert len(table) == 0


@pytest.mark.parametrize("frame", [False, True])
def test_an_unknown_column_is_an_error(tmp_path: Path, frame: bool) -> None:
    rows: list[dict[str, Any]] = [{"name": "x"}, {"name": "y", "size": 1}]
    with pytest.raises(ValueError, match=r"\['size'\] are not in the schema of a\.parquet"):
        write_table(pd.DataFrame(rows) if frame else rows, SCHEMA, tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def test_shards_are_joined_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for shard in (10, 2, 0):
        write_table([{"count": shard}], SCHEMA, tmp_path / "t.parquet" / f"{shard}.parquet")
    assert read_table(tmp_path / "t.parquet")["count"].tolist() == [0, 2, 10]
    assert list(read_table(tmp_path / "t.parquet", ["count"]).columns) == ["count"]


def test_shards_that_there_were_before_are_forgotten(tmp_path: Path) -> None:
    for shard in (0, 1, 2, 10):
        write_table([{"count": shard}], SCHEMA, tmp_path / f"{shard}.parquet")
    forget_shards(tmp_path, 2)
    assert read_table(tmp_path)["count"].tolist() == [0, 1]


def test_the_record_travels_with_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table([], SCHEMA, path, facts={"device": "cpu"})
    record = read_record(path)
    assert record["device"] == "cpu"
    assert record["libraries"]["numpy"]
    assert {"pambench", "commit", "dirty", "python", "system", "processor"} <= set(record)


def test_a_table_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("data", "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet cannot be read"):
        read_table(path)
    write_table([{"name": "x" * 1000}], SCHEMA, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"a\.parquet cannot be read .* Delete it"):
        read_table(path)
    with pytest.raises(UserError, match=r"mine\.parquet cannot be read .* Repair the file"):
        read_table(path.rename("mine.parquet"))
    for read in (read_table, column_names):
        with pytest.raises(UserError, match="The folder data holds no tables"):
            read(Path("data"))


def test_no_damage_gives_another_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "a.parquet"
    rows = [{"name": f"scan {n}", "count": n, "share": n / 7} for n in range(20)]
    write_table(rows, SCHEMA, path)
    whole, written = path.read_bytes(), read_table(path)
    rng = random.Random(0)
    for at in rng.sample(range(len(whole)), 400):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            pd.testing.assert_frame_equal(read_table(path), written)
    path.write_bytes(whole[:-1] + b"x")
    read: Any
    for read in (read_table, read_record, column_names, lambda path: list(read_groups(path, []))):
        with pytest.raises(UserError, match=rf"damaged.*the next run makes it again: rm {path}"):
            read(path)


def test_a_table_of_other_origin_has_no_checksum(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")["a"].tolist() == [1, 2]
    assert column_names(tmp_path / "a.parquet") == ["a"]
