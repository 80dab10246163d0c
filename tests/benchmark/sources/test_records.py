"""Repositories of records, mocked: their answers, hashes and failures."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.sources import dataverse, figshare, github, zenodo
from tests.benchmark.sources.conftest import Naps
from tests.benchmark.sources.test_fetched import content, source
from tests.hosts import Server, status

COMMIT = "0123456789abcdef" * 2 + "01234567"
A, B = b"first file", b"second file"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "D1" / "raw"


def answers(server: Server, path: str, answer: Any) -> None:
    server.put(path, json.dumps(answer).encode(), type="application/json")


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def play_zenodo(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(zenodo, "API", f"{server.address}/api/records")
    monkeypatch.setattr(zenodo, "FILES", f"{server.address}/records")
    files = [
        {"key": name, "size": len(data), "checksum": f"md5:{md5(data)}"}
        for name, data in (("a b.nii", A), ("b.nii", B))
    ]
    answers(server, "/api/records/7", {"id": 7, "files": files})
    server.put("/records/7/files/a%20b.nii", A)
    server.put("/records/7/files/b.nii", B)
    return {"kind": "zenodo", "record": 7}


def play_figshare(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(figshare, "API", f"{server.address}/v2/articles")
    files = [
        {
            "name": name,
            "size": len(data),
            "computed_md5": md5(data),
            "download_url": f"{server.address}/files/{number}",
        }
        for number, (name, data) in enumerate((("a b.nii", A), ("b.nii", B)))
    ]
    answers(server, "/v2/articles/7/versions/2", {"id": 7, "files": files})
    server.put("/files/0", A)
    server.put("/files/1", B)
    return {"kind": "figshare", "article": 7, "version": 2}


def play_dataverse(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    api = property(lambda self: f"{server.address}/api")
    monkeypatch.setattr(dataverse.DataverseSource, "_api", api)
    files = [
        {
            "label": name,
            "directoryLabel": None,
            "dataFile": {
                "id": number,
                "filesize": len(data),
                "checksum": {"type": "SHA-1", "value": hashlib.sha1(data).hexdigest()},
            },
        }
        for number, (name, data) in enumerate((("a b.nii", A), ("b.nii", B)))
    ]
    path = "/api/datasets/:persistentId/versions/1.0/files"
    answers(server, path, {"status": "OK", "data": files})
    server.put("/api/access/datafile/0", A)
    server.put("/api/access/datafile/1", B)
    return {"kind": "dataverse", "server": "example.org", "doi": "10.1/X", "version": "1.0"}


def play_github(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(github, "API", f"{server.address}/repos")
    monkeypatch.setattr(github, "FILES", f"{server.address}/raw")
    tree = [
        {"path": "a b.nii", "type": "blob", "mode": "100644", "sha": git(A), "size": len(A)},
        {"path": "b.nii", "type": "blob", "mode": "100644", "sha": git(B), "size": len(B)},
        {"path": "link", "type": "blob", "mode": "120000", "sha": git(b"x"), "size": 1},
        {"path": "folder", "type": "tree", "mode": "040000", "sha": git(b"y")},
    ]
    answers(server, f"/repos/o/r/git/trees/{COMMIT}", {"tree": tree, "truncated": False})
    server.put(f"/raw/o/r/{COMMIT}/a%20b.nii", A)
    server.put(f"/raw/o/r/{COMMIT}/b.nii", B)
    return {"kind": "github", "repo": "o/r", "commit": COMMIT}


HOSTS = {
    "zenodo": play_zenodo,
    "figshare": play_figshare,
    "dataverse": play_dataverse,
    "github": play_github,
}
each_host = pytest.mark.parametrize("host", HOSTS)


@each_host
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([{"name": "a b.nii"}], {"a b.nii": A}),
        ([{"name": "*.nii", "count": 2}], {"a b.nii": A, "b.nii": B}),
        ([{"name": "b.nii", "into": "x"}, {"name": "*"}], {"a b.nii": A, "x/b.nii": B}),
    ],
)
def test_files_are_chosen_by_name(
    server: Server,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    files: list[dict[str, Any]],
    expected: dict[str, bytes],
) -> None:
    record = HOSTS[host](server, monkeypatch)
    got = source(**record, files=files).fetch(raw)
    assert (got.state, got.reason) == ("ready", None)
    assert content(got.root) == expected


@each_host
def test_nobody_is_asked_for_what_is_here_whole(
    server: Server, raw: Path, naps: Naps, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    record = HOSTS[host](server, monkeypatch)
    one, both = (source(**record, files=[{"name": name}]) for name in ("b.nii", "*.nii"))
    first = one.fetch(raw)
    pages, asked = dict(server.pages), len(server.requests)
    server.pages.clear()
    assert one.fetch(raw) == first
    assert len(server.requests) == asked
    assert both.fetch(raw).state == "failed"  # an entry that was changed asks
    assert one.fetch(raw) == first
    server.pages.update(pages)
    assert both.fetch(raw).files == 2
    assert one.fetch(raw).files == 1  # and gives back what is its own
    path = (raw / "files" / "b.nii").resolve()
    for spoil in (lambda: path.write_bytes(B[::-1]), lambda: path.write_bytes(B[:4]), path.unlink):
        spoil()
        assert one.fetch(raw).state == "ready"
        assert content(raw / "files") == {"b.nii": B}


@each_host
def test_published_hashes_are_checked(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    record = HOSTS[host](server, monkeypatch)
    for page in server.pages.values():
        if page.content == B:
            page.content = bytes(reversed(B))
    got = source(**record, files=[{"name": "*"}]).fetch(raw)
    assert got.state == "failed"
    assert "b.nii from" in str(got.reason)
    assert "is not the published file" in str(got.reason)


@each_host
def test_what_is_as_published_but_no_archive_is_not_fetched_again(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    made = source(**HOSTS[host](server, monkeypatch), files=[{"name": "b.nii", "unpack": True}])
    for _ in range(2):
        assert "b.nii is damaged, or its format is unknown" in str(made.fetch(raw).reason)
    asked = [path.partition("?")[0] for path, _ in server.requests]
    assert sum(path.endswith(("b.nii", "/1")) for path in asked) == 1


@each_host
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ({"name": "c.nii"}, "Unknown file 'c.nii'. Did you mean: b.nii"),
        ({"name": "*.nii", "count": 3}, "has 2 files like '*.nii', but the entry knows of 3"),
        ({"name": "b.nii", "size": 5}, "with the size 11, but the entry knows 5"),
    ],
)
def test_a_record_that_has_changed(
    server: Server,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    file: dict[str, Any],
    reason: str,
) -> None:
    record = HOSTS[host](server, monkeypatch)
    got = source(**record, files=[file]).fetch(raw)
    assert got.state == "failed"
    assert reason in str(got.reason)


@each_host
def test_the_host_is_asked_again_when_it_is_busy(
    server: Server, raw: Path, naps: Naps, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    record = HOSTS[host](server, monkeypatch)
    for page in server.pages.values():
        page.tricks.append(status(429, Retry_After="3"))
    assert source(**record, files=[{"name": "*"}]).fetch(raw, naps.patience).state == "ready"
    assert naps == [3.0] * 3


@each_host
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>maintenance</html>", "did not answer with JSON"),
        (b'{"other": []}', "answered in a form that is not known"),
        (b"[1]", "answered in a form that is not known"),
    ],
)
def test_answers_of_another_form(
    server: Server,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    answer: bytes,
    reason: str,
) -> None:
    record = HOSTS[host](server, monkeypatch)
    for page in server.pages.values():
        if page.type == "application/json":
            page.content = answer
    got = source(**record, files=[{"name": "*"}]).fetch(raw)
    assert got.state == "failed"
    assert reason in str(got.reason)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil"])
def test_names_of_a_host_stay_below_the_folder(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    record = play_zenodo(server, monkeypatch)
    file = {"key": name, "size": len(A), "checksum": f"md5:{md5(A)}"}
    answers(server, "/api/records/7", {"files": [file]})
    got = source(**record, files=[{"name": "*"}]).fetch(raw)
    assert got.state == "failed"
    assert "must be a path below a folder" in str(got.reason)
    assert len(server.requests) == 1


def test_zenodo_is_not_asked_for_what_the_entry_knows(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_zenodo(server, monkeypatch)
    files = [{"name": "a b.nii", "md5": md5(A)}]
    assert source(**record, files=files).fetch(raw).state == "ready"
    assert [path for path, _ in server.requests] == ["/records/7/files/a%20b.nii?download=1"]


def test_files_of_dataverse_lie_in_their_folders(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of one name in many folders, of which one has spaces and dots."""
    record = play_dataverse(server, monkeypatch)
    path = "/api/datasets/:persistentId/versions/1.0/files"
    listed = json.loads(server.pages[path].content)
    folders = ["training/Utrecht/0/pre", "training/Amsterdam/Philips_VU .PETMR_01./2/pre"]
    for file, folder in zip(listed["data"], folders, strict=True):
        file |= {"label": "FLAIR.nii.gz", "directoryLabel": folder}
    answers(server, path, listed)
    got = source(**record, files=[{"name": "*/pre/FLAIR.nii.gz"}]).fetch(raw)
    assert content(got.root) == {
        f"{folder}/FLAIR.nii.gz": data for folder, data in zip(folders, (A, B), strict=True)
    }


def test_a_tree_that_github_cuts(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_github(server, monkeypatch)
    answers(server, f"/repos/o/r/git/trees/{COMMIT}", {"tree": [], "truncated": True})
    got = source(**record, files=[{"name": "*"}]).fetch(raw)
    assert "does not list all files of o/r" in str(got.reason)


def test_many_files_share_one_bar(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = play_github(server, monkeypatch)
    tree = [
        {"path": f"{n}.nii", "type": "blob", "mode": "100644", "sha": git(A), "size": len(A)}
        for n in range(25)
    ]
    answers(server, f"/repos/o/r/git/trees/{COMMIT}", {"tree": tree})
    for n in range(25):
        server.put(f"/raw/o/r/{COMMIT}/{n}.nii", A)
    assert source(**record, files=[{"name": "*"}]).fetch(raw).files == 25
    shown = capsys.readouterr().err
    assert "25/25" in shown
    assert "7.nii" not in shown


def test_github_tells_of_its_limit_in_its_own_way(
    server: Server, raw: Path, naps: Naps, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_github(server, monkeypatch)
    listing = server.pages[f"/repos/o/r/git/trees/{COMMIT}"]
    listing.tricks.append(status(403, X_RateLimit_Remaining="0"))
    assert source(**record, files=[{"name": "*"}]).fetch(raw, naps.patience).state == "ready"
    assert len(naps) == 1
