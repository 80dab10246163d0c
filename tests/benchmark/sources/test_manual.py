"""Files that a person puts into the folder are checked, unpacked and watched for changes."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmark.sources.manual import ManualSource
from tests.benchmark.sources.test_fetched import content, zipped

SET = zipped(set__images__a=b"image", set__labels__a=b"label")
FILE = {"name": "set.zip", "sha256": hashlib.sha256(SET).hexdigest(), "size": len(SET)}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "data" / "D1" / "raw" / "files").mkdir(parents=True)
    return tmp_path / "data" / "D1" / "raw"


def manual(**keys: Any) -> ManualSource:
    return ManualSource.read({"kind": "manual", **keys}, "the entry")


@pytest.mark.parametrize("files", [[FILE], [{"name": "*.zip"}], []])
def test_an_archive_is_unpacked_where_it_lies(raw: Path, files: list[dict[str, Any]]) -> None:
    source = manual(files=files)
    assert source.fetch(raw).state == "manual"
    (raw / "files" / "set.zip").write_bytes(SET)
    got = source.fetch(raw)
    assert got.state == "ready"
    assert content(got.root) == {
        "set.zip": SET,
        "set/images/a": b"image",
        "set/labels/a": b"label",
    }
    assert got.fingerprint == source.fingerprint(raw)
    assert source.fetch(raw) == got


@pytest.mark.parametrize("file", [FILE, {"name": "set*"}])
def test_an_archive_may_be_deleted_once_it_is_unpacked(raw: Path, file: dict[str, Any]) -> None:
    source = manual(files=[file])
    (raw / "files" / "set.zip").write_bytes(SET)
    source.fetch(raw)
    (raw / "files" / "set.zip").unlink()
    assert source.fetch(raw).state == "ready"
    assert sorted(content(raw / "files")) == ["set/images/a", "set/labels/a"]


def test_a_person_may_unpack_it(raw: Path) -> None:
    zipfile.ZipFile(io.BytesIO(SET)).extractall(raw / "files")
    got = manual(files=[FILE]).fetch(raw)
    assert got.state == "ready"
    assert sorted(content(got.root)) == ["set/images/a", "set/labels/a"]


def test_links_of_a_person_are_followed(raw: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(SET)).extractall(tmp_path / "disk")
    (raw / "files" / "set").symlink_to(tmp_path / "disk" / "set")
    source = manual()
    assert source.fetch(raw).state == "ready"
    before = source.fingerprint(raw)
    (tmp_path / "disk" / "set" / "new").write_text("x")
    assert source.fingerprint(raw) != before


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("set.zip", SET[:-1], f"it has {len(SET) - 1} bytes, expected {len(SET)}"),
        ("set.zip", SET[:-1] + b"x", "its sha256 is"),
        ("Set.zip", SET, "put set.zip into"),
        ("other.nii", b"x", "put set.zip into"),
    ],
)
def test_what_is_wrong_is_told_and_asked_for_once(
    raw: Path, name: str, data: bytes, reason: str
) -> None:
    source = manual(page="https://example.org", steps=["sign", "download"], files=[FILE])
    (raw / "files" / name).write_bytes(data)
    before = source.fingerprint(raw)
    got = source.fetch(raw)
    assert got.state == "manual"
    assert reason in str(got.reason)
    assert source.fingerprint(raw) == before  # nothing to look at again until a person did it
    (raw / "files" / "set.zip").write_bytes(SET)
    assert source.fingerprint(raw) != before
    assert source.fetch(raw).state == "ready"


def test_what_a_person_put_there_is_never_replaced(raw: Path) -> None:
    own = raw / "files" / "set" / "images" / "a"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own")
    (raw / "files" / "set.zip").write_bytes(SET)
    got = manual(files=[FILE]).fetch(raw)
    assert got.state == "ready"
    assert content(got.root)["set/images/a"] == b"my own"
    assert content(got.root)["set/labels/a"] == b"label"
    assert manual(files=[FILE]).fetch(raw) == got
    assert own.read_bytes() == b"my own"


def test_names_with_wildcards_are_counted(raw: Path) -> None:
    source = manual(files=[{"name": "cases/*.nii.gz"}])
    (raw / "files" / "cases").mkdir()
    assert source.fetch(raw).state == "manual"
    (raw / "files" / "cases" / "1.nii.gz").write_text("x")
    assert source.fetch(raw).state == "ready"
    counting = manual(files=[{"name": "cases/*.nii.gz", "count": 2}])
    got = counting.fetch(raw)
    assert got.state == "manual"
    assert "2 files like cases/*.nii.gz, of which 1 are there" in str(got.reason)
    (raw / "files" / "cases" / "2.nii.gz").write_text("x")
    assert counting.fetch(raw).state == "ready"
