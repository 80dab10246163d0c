"""The strict schema of the source of an entry, for every kind."""

from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.settings import Settings
from benchmark.sources import AnySource

HASH = "0" * 40
ZIP = {"name": "a.zip", "md5": "0" * 32, "size": 5}
KINDS: dict[str, dict[str, Any]] = {
    "local": {"path": "x"},
    "manual": {"page": "https://example.org", "steps": ["sign"], "files": [ZIP]},
    "phantom": {"recipe": "ct-organs", "scans": 1, "seed": 1},
    "http": {"files": [{"url": "https://example.org/a/b%20c.zip?download=1"}]},
    "zenodo": {"record": 1, "files": [ZIP], "about_gb": 2.5},
    "figshare": {"article": 1, "version": 2, "files": [ZIP]},
    "dataverse": {"server": "dataverse.nl", "doi": "10.34894/X", "files": [{"name": "*"}]},
    "huggingface": {"repo": "a/b", "revision": HASH, "files": [{"name": "images/*"}]},
    "github": {"repo": "a/b", "commit": HASH, "files": [{"name": "d/*/s.nii.gz", "count": 3}]},
    "drive": {"files": [{**ZIP, "id": "1_abcdefghij-"}]},
    "idc": {"collection": "c_t", "index": 25, "series": {"CT": 3, "SEG": None}},
    "synapse": {"entity": "syn1", "files": [{"name": "*"}]},
}


class Entry(Settings):
    source: AnySource


def read(kind: str, **content: Any) -> Any:
    return Entry.read({"source": {"kind": kind, **content}}, "the entry").source


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_reads_back_what_it_writes(kind: str) -> None:
    source = read(kind, **KINDS[kind])
    again = source.model_dump(mode="json")
    assert read(again.pop("kind"), **again) == source


def test_a_combined_source_takes_all_but_the_folders() -> None:
    parts = [{"kind": k, **v} for k, v in KINDS.items() if k not in ("local", "phantom")]
    assert [part.kind for part in read("combined", parts=parts).parts] == [p["kind"] for p in parts]
    with pytest.raises(UserError, match="does not match any of the expected tags"):
        read("combined", parts=[*parts, {"kind": "local", **KINDS["local"]}])


def test_a_file_is_named_by_its_address() -> None:
    (file,) = read("http", **KINDS["http"]).files
    assert file.name == "b c.zip"


FILE = {"url": "https://example.org/a.zip"}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("http", {"files": [{**FILE, "sha265": "0"}]}, "Did you mean: sha256"),
    ("http", {"files": [{**FILE, "sha256": "xyz"}]}, "should match pattern"),
    ("http", {"files": [{**FILE, "sha256": "A" * 64}]}, "should match pattern"),
    ("http", {"files": [{**FILE, "md5": "0" * 64}]}, "should match pattern"),
    ("http", {"files": [{**FILE, "size": 0}]}, "greater than or equal to 1"),
    ("http", {"files": [{"url": "ftp://example.org/a"}]}, "begins with https://"),
    ("http", {"files": [{"url": "file:///etc/passwd"}]}, "begins with https://"),
    ("http", {"files": [{"url": "https://me:word@example.org/a"}]}, "no user and no password"),
    ("http", {"files": [{**FILE, "name": "*.zip"}]}, "one name, without wildcards"),
    ("http", {"files": []}, "at least 1 item"),
    ("http", {"files": [{**FILE, "into": "../x"}]}, "below a folder"),
    ("zenodo", {"record": 1, "files": [{"name": "/etc/x"}]}, "below a folder"),
    ("zenodo", {"record": 1, "files": [{"name": "a/../../x"}]}, "below a folder"),
    ("zenodo", {"record": 1, "files": [{"name": "..\\x"}]}, "below a folder"),
    ("zenodo", {"record": 1, "files": [{"name": "*", "md5": "0" * 32}]}, "belong to one file"),
    ("zenodo", {"record": 1, "files": [{"name": "a", "count": 2}]}, "name with wildcards"),
    ("zenodo", {"record": "10.5281/1", "files": [ZIP]}, "valid integer"),
    (
        "zenodo",
        {"record": 1, "files": [{**ZIP, "password": "x", "password_variable": "X"}]},
        "not both",
    ),
    ("huggingface", {"repo": "a/b", "revision": "main", "files": [ZIP]}, "should match pattern"),
    ("github", {"repo": "a/b", "commit": "main", "files": [ZIP]}, "should match pattern"),
    ("idc", {"collection": "c", "index": 25, "series": {}}, "at least 1 item"),
    ("idc", {"collection": "c", "index": 25, "series": {"CT": 0}}, "one series or more"),
    ("combined", {"parts": [{"kind": "zenodo", "record": 1, "fils": []}] * 2}, "Did you mean: fil"),
]


@pytest.mark.parametrize(("kind", "content", "message"), REFUSED)
def test_a_mistake_is_refused(kind: str, content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(kind, **content)
    assert message in str(caught.value)
