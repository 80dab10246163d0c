"""Files are either complete or absent."""

import contextlib
import json
import os
from pathlib import Path

import pytest

from benchmark.errors import UserError, unknown_name
from benchmark.storage.files import atomic, read_json, write_json


def test_atomic_replaces_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scan.nii.gz"
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert temporary.name == path.name  # image writers go by the suffixes
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["scan.nii.gz"]


def test_the_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "a.txt", []
    fsync = os.fsync

    def watched(number: int) -> None:
        fsync(number)
        flushed.append((os.fstat(number).st_ino, os.fstat(number).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    with atomic(path) as temporary:
        temporary.write_text("content")
    assert flushed == [(path.stat().st_ino, len("content"), False)]


def test_atomic_keeps_the_old_file_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_with_its_keys_in_their_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [1, None, "ü"]})
    assert list(read_json(tmp_path / "a").items()) == [("b", 1), ("a", [1, None, "ü"])]


def test_json_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file: .*absent\.json"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"broken\.json is not valid JSON"):
        read_json(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("p01", "P01"),
        ("P-01", "P01"),
        ("pam-2dbx", "PAM-2DBox"),
        ("PAM2DBOX", "PAM-2DBox"),
        ("Liver", "liver"),
    ],
)
def test_the_nearest_name_is_suggested_whatever_its_case(name: str, nearest: str) -> None:
    message = unknown_name("thing", name, ["P01", "PAM-2DBox", "liver", "spleen"])
    assert message.startswith(f"Unknown thing {name!r}. Did you mean: {nearest}")
    assert message.endswith("Known: P01, PAM-2DBox, liver, spleen.")


def test_no_suggestion_where_nothing_is_near() -> None:
    assert unknown_name("thing", "xyz", ["liver"]) == "Unknown thing 'xyz'. Known: liver."
    assert unknown_name("thing", "xyz", []) == "Unknown thing 'xyz'. Known: none."


def test_json_that_was_changed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "settings.json"
    content = {"adapter": "slab", "options": {"reach": 1}, "seed": 0}
    write_json(path, content)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with contextlib.suppress(UserError):
                read = read_json(path)
                # the key of the checksum was hit: readers of settings refuse the unknown one
                assert read == content or set(read) > set(content)
    path.write_bytes(whole.replace(b'"reach": 1', b'"reach": 2'))
    with pytest.raises(UserError, match=rf"not as it was written.* rm {path}"):
        read_json(path)
    mine = path.rename(tmp_path / "mine.json")  # which no run would make anew
    with pytest.raises(UserError, match=r"not as it was written.* Repair the file"):
        read_json(mine)
    path.write_text(json.dumps(content))  # of other origin
    assert read_json(path) == content
