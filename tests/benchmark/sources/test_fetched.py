"""Fetching a dataset: every fetch ends in a status, shared files are fetched once."""

import io
import re
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmark.settings import Settings
from benchmark.sources import AnySource, Status, inventory
from benchmark.sources.http import HttpSource
from benchmark.sources.raw_folder import RawFolder
from tests.benchmark.sources.conftest import Naps
from tests.hosts import Server, broken, status


class Entry(Settings):
    source: AnySource


def source(kind: str, **content: Any) -> Any:
    return Entry.read({"source": {"kind": kind, **content}}, "the entry").source


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, data in files.items():
            opened.writestr(name.replace("__", "/"), data)
    return made.getvalue()


def packed_anew(archive: bytes) -> bytes:
    """The same members, compressed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return made.getvalue()


IMAGES = zipped(top__images__a=b"image", top__images__b=b"image b")
LABELS = zipped(top__labels__a=b"label")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "D1" / "raw"


def content(root: Path | str) -> dict[str, bytes]:
    from benchmark.sources.folder import listing

    return {path.relative_to(root).as_posix(): path.read_bytes() for path in listing(Path(root))}


def put(server: Server, **pages: bytes) -> list[dict[str, Any]]:
    """Put archives on the server; return their files as an entry names them."""
    made = [(server.put(f"/{name}.zip", data), name) for name, data in pages.items()]
    return [{"url": f"{server.address}/{name}.zip", "sha256": page.sha256} for page, name in made]


def test_archives_lie_unpacked_side_by_side(server: Server, raw: Path) -> None:
    files = put(server, images=IMAGES, labels=LABELS)
    page = server.put("/about.csv", b"1,2")
    files.append({"url": f"{server.address}/about.csv", "md5": page.md5, "into": "tables"})
    got = source("http", files=files).fetch(raw)
    assert (got.state, got.reason, got.files) == ("ready", None, 4)
    assert got.root == str(raw / "files")
    assert content(got.root) == {
        "top/images/a": b"image",
        "top/images/b": b"image b",
        "top/labels/a": b"label",
        "tables/about.csv": b"1,2",
    }


def test_the_way_of_the_entry_with_an_archive(server: Server, raw: Path) -> None:
    (file,) = put(server, images=IMAGES)
    changed: dict[str, tuple[dict[str, Any], list[str]]] = {
        "into": ({"into": "a/b"}, ["a/b/top/images/a", "a/b/top/images/b"]),
        "members": ({"members": ["*/a"]}, ["top/images/a"]),
        "unpack": ({"unpack": False}, ["images.zip"]),
        "name": ({"name": "other.dat"}, ["other.dat"]),
        "name, unpack": ({"name": "other.zip", "unpack": True}, ["top/images/a", "top/images/b"]),
    }
    for name, (keys, names) in changed.items():
        got = source("http", files=[{**file, **keys}]).fetch(raw)
        assert list(content(got.root)) == names, name


def test_a_second_fetch_downloads_nothing(server: Server, raw: Path) -> None:
    made = source("http", files=put(server, images=IMAGES))
    first = made.fetch(raw)
    asked = len(server.requests)
    assert made.fetch(raw) == first
    assert len(server.requests) == asked
    for path in (raw.parents[1] / "downloads").rglob("images.zip"):
        path.unlink()  # to save room: what was unpacked stands for it
    assert made.fetch(raw) == first
    assert len(server.requests) == asked


def test_datasets_share_a_download(server: Server, raw: Path) -> None:
    made = source("http", files=put(server, images=IMAGES))
    other = raw.parents[1] / "D2" / "raw"
    go = threading.Event()
    server.pages["/images.zip"].waits_for = go
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(made.fetch, place) for place in (raw, other)]
        go.set()
        states = [job.result().state for job in jobs]
    assert states == ["ready", "ready"]
    assert len(server.requests) == 1
    first, second = (sorted((place / "files").rglob("*")) for place in (raw, other))
    assert [p.resolve() for p in first] == [p.resolve() for p in second]


def test_the_folder_can_be_moved(server: Server, raw: Path, tmp_path: Path) -> None:
    source("http", files=put(server, images=IMAGES)).fetch(raw)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert (tmp_path / "moved/D1/raw/files/top/images/a").read_bytes() == b"image"


def test_the_folder_of_a_dataset_may_be_a_link_to_another_disk(
    server: Server, raw: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk" / "D1").mkdir(parents=True)
    raw.parents[1].mkdir()
    raw.parent.symlink_to(tmp_path / "disk" / "D1")
    made = source("http", files=put(server, images=IMAGES))
    got = made.fetch(raw)
    assert (got.state, got.files) == ("ready", 2)
    assert (raw / "files/top/images/a").read_bytes() == b"image"
    asked = len(server.requests)
    assert made.fetch(raw) == got
    assert len(server.requests) == asked
    assert inventory.verify(RawFolder(raw)) == (1, [])


def test_one_file_in_place_of_another_is_told(server: Server, raw: Path) -> None:
    files = put(server, images=IMAGES, more=zipped(top__images__a=b"another"))
    got = source("http", files=files).fetch(raw)
    assert got.state == "failed"
    assert "Two sources of the dataset have a file 'top/images/a'" in str(got.reason)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"sha256": "0" * 64}, "is not the published file"),
        ({"url": "{}/gone.zip"}, "answered 404"),
        ({"url": "http://127.0.0.1:1/a.zip"}, "no connection to 127.0.0.1"),
        ({"name": "a.7z"}, "is damaged, or its format is unknown"),
        ({"members": ["*.mha"]}, "holds no file like *.mha"),
        ({"size": 1}, "but 1 were published"),
    ],
)
def test_what_fails_ends_in_a_status(
    server: Server, raw: Path, naps: Naps, keys: dict[str, Any], reason: str
) -> None:
    (file,) = put(server, images=IMAGES)
    keys = {k: v.format(server.address) if k == "url" else v for k, v in keys.items()}
    got = source("http", files=[{**file, **keys}]).fetch(raw, naps.patience)
    assert (got.state, got.files) == ("failed", 0)
    assert reason in str(got.reason)
    assert not content(got.root)


def test_a_damaged_archive_without_a_hash_makes_way_for_another(server: Server, raw: Path) -> None:
    server.put("/images.zip", IMAGES[:-30])
    file = {"url": f"{server.address}/images.zip"}
    made = source("http", files=[file])
    got = made.fetch(raw)
    assert got.state == "failed"
    assert "images.zip is damaged" in str(got.reason)
    assert f"{raw.parents[1] / 'downloads'}/" in str(got.reason)
    assert "It was deleted, so the next run gets it again" in str(got.reason)
    server.put("/images.zip", IMAGES)
    assert made.fetch(raw).state == "ready"


def test_an_archive_that_is_packed_anew_is_known_by_its_members(server: Server, raw: Path) -> None:
    """Two archives of the same files: their hashes differ, and neither is published."""
    file = {"url": f"{server.address}/images.zip", "holds": {"images/*": 2}}
    made = source("http", files=[file])
    for name, data in {"first": IMAGES, "packed": packed_anew(IMAGES)}.items():
        server.put("/images.zip", data)
        got = made.fetch(raw.parent / name)
        assert got.state == "ready", got.reason
        shutil.rmtree(raw.parents[1] / "downloads")
    server.put("/images.zip", LABELS)
    got = made.fetch(raw)
    assert got.state == "failed"
    assert "0 members fit 'images/*', expected 2" in str(got.reason)
    assert "It was deleted, so the next run gets it again" in str(got.reason)
    server.put("/images.zip", IMAGES)
    assert made.fetch(raw).state == "ready"


def test_a_fetch_that_broke_off_after_it_made_links_is_not_taken_for_the_one_before(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (source("http", files=[file]) for file in put(server, a=IMAGES, b=LABELS))
    assert one.fetch(raw).state == "ready"
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.sources.inventory.write", lambda *_: 1 / 0)
        assert other.fetch(raw).state == "failed"
    assert one.fetch(raw).state == "ready"
    assert content(raw / "files") == {"top/images/a": b"image", "top/images/b": b"image b"}


def test_an_archive_put_by_hand_is_never_deleted(raw: Path) -> None:
    (raw / "files").mkdir(parents=True)
    (raw / "files" / "images.zip").write_bytes(IMAGES[:-30])
    got = source("manual", files=[{"name": "images.zip"}]).fetch(raw)
    told = f"{raw / 'files' / 'images.zip'} is damaged, or its format is unknown"
    assert told in str(got.reason)
    assert "Delete it and get it again" in str(got.reason)
    assert (raw / "files" / "images.zip").exists()


def test_an_error_that_nobody_thought_of(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")

    def fail(self: HttpSource, place: RawFolder) -> None:
        raise ZeroDivisionError("with s3cr3t-value at https://example.org/a?signature=abc")

    monkeypatch.setattr(HttpSource, "gather", fail)
    got = source("http", files=[{"url": "https://example.org/a"}]).fetch(raw)
    assert got.reason == "ZeroDivisionError: with *** at https://example.org/a"
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "s3cr3t" not in shown
    assert "signature" not in shown


def test_the_fingerprint_asks_again_only_after_a_failure(
    server: Server, raw: Path, naps: Naps
) -> None:
    made = source("http", files=put(server, images=IMAGES))
    seen = [made.fingerprint(raw)]
    server.pages["/images.zip"].tricks += [status(404), status(404)]
    for expected in ("failed", "failed", "ready"):
        assert made.fetch(raw, naps.patience).state == expected
        seen.append(made.fingerprint(raw))
    first, second, third, ready = seen
    assert len({first, second, third}) == 3  # each failure is tried again by the next run
    assert ready == third  # what a fetch has put there is no news
    server.pages.clear()
    (raw / "files" / "top").unlink()
    assert made.fingerprint(raw) != ready  # but what is gone is
    assert made.fetch(raw).state == "ready"
    assert made.fingerprint(raw) == made.fingerprint(raw)


@pytest.mark.parametrize("text", ["", "null", "3"])
@pytest.mark.parametrize("name", ["fetched.json", "links.json"])
def test_damaged_book_keeping_is_made_anew(server: Server, raw: Path, name: str, text: str) -> None:
    made = source("http", files=put(server, images=IMAGES))
    first = made.fetch(raw)
    (raw / name).write_text(text)
    assert made.fingerprint(raw)
    again = made.fetch(raw)
    assert (again.state, again.files) == (first.state, first.files)
    assert made.fingerprint(raw) == again.fingerprint


def test_deleted_downloads_are_fetched_again(server: Server, raw: Path) -> None:
    import shutil

    made = source("http", files=put(server, images=IMAGES))
    made.fetch(raw)
    ready = made.fingerprint(raw)
    shutil.rmtree(raw.parents[1] / "downloads")
    assert made.fingerprint(raw) != ready
    assert made.fetch(raw).state == "ready"
    assert content(raw / "files")["top/images/a"] == b"image"


def test_a_killed_fetch_counts_for_nothing(server: Server, raw: Path, naps: Naps) -> None:
    made = source("http", files=put(server, images=IMAGES))
    before = made.fingerprint(raw)
    server.pages["/images.zip"].tricks += [broken(10)]

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    from benchmark.sources.patience import Patience

    with pytest.raises(KeyboardInterrupt):
        made.fetch(raw, Patience(sleep=killed))
    assert made.fingerprint(raw) == before
    assert not (raw / "files").exists()
    assert made.fetch(raw).state == "ready"
    assert server.requests[-1][1]["Range"] == "bytes=10-"


def test_two_turns_at_a_host(tmp_path: Path) -> None:
    from benchmark.sources.patience import Patience

    waits: list[float] = []
    left = threading.Event()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        first.close() if len(waits) == 1 else left.set()

    from contextlib import ExitStack

    first = ExitStack()
    place = RawFolder(tmp_path / "data/D1/raw", Patience(sleep=wait))
    other = RawFolder(tmp_path / "data/D2/raw", place.patience)
    with ExitStack() as second:
        first.enter_context(place.host_slot("a.org"))
        second.enter_context(other.host_slot("a.org"))
        with place.host_slot("b.org"):
            assert not waits
        with other.host_slot("a.org"):  # the third has to wait until the first is done
            assert waits == [1.0]


def test_combined_sources_lie_side_by_side(server: Server, raw: Path) -> None:
    images, labels = put(server, images=IMAGES, labels=LABELS)
    parts = [{"kind": "http", "files": [images]}, {"kind": "http", "files": [labels]}]
    got = source("combined", parts=parts).fetch(raw)
    assert sorted(content(got.root)) == ["top/images/a", "top/images/b", "top/labels/a"]


def test_a_combined_source_gets_what_it_can(server: Server, raw: Path) -> None:
    images, labels = put(server, images=IMAGES, labels=LABELS)
    manual = {"kind": "manual", "steps": ["sign"], "files": [{"name": "labels.zip"}]}
    made = source("combined", parts=[manual, {"kind": "http", "files": [images]}])
    got: Status = made.fetch(raw)
    assert got.state == "manual"
    assert "1. sign. 2. put labels.zip into" in str(got.reason)
    assert len(server.requests) == 1  # the other part is there already
    before = made.fingerprint(raw)
    assert before == made.fingerprint(raw)
    (raw / "files").mkdir(parents=True, exist_ok=True)
    (raw / "files" / "labels.zip").write_bytes(LABELS)
    assert made.fingerprint(raw) != before
    got = made.fetch(raw)
    assert got.state == "ready"
    assert content(got.root).keys() >= {"top/images/a", "top/images/b", "top/labels/a"}
    failing = {"kind": "http", "files": [{**labels, "url": f"{server.address}/gone"}]}
    got = source("combined", parts=[failing, {**manual, "files": [{"name": "x"}]}]).fetch(raw)
    assert got.state == "failed"
    assert "answered 404" in str(got.reason)
    assert "put x into" in str(got.reason)


def test_the_password_of_an_archive(
    server: Server, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyzipper

    made = io.BytesIO()
    with pyzipper.AESZipFile(made, "w", encryption=pyzipper.WZ_AES) as opened:
        opened.setpassword(b"open-sesame")
        opened.writestr("a.txt", b"content")
    (file,) = put(server, locked=made.getvalue())
    asking = source("http", files=[{**file, "password_variable": "ZIP_PASSWORD"}])
    got = asking.fetch(raw)
    assert got.state == "manual"
    assert "export ZIP_PASSWORD and run again" in str(got.reason)
    waiting = asking.fingerprint(raw)
    assert asking.fingerprint(raw) == waiting
    monkeypatch.setenv("ZIP_PASSWORD", "wrong")
    assert (trying := asking.fingerprint(raw)) != waiting
    assert asking.fetch(raw).state == "manual"
    assert asking.fingerprint(raw) != trying  # the next one may be right
    monkeypatch.setenv("ZIP_PASSWORD", "open-sesame")
    assert asking.fetch(raw).state == "ready"
    ready = asking.fingerprint(raw)
    monkeypatch.delenv("ZIP_PASSWORD")
    assert asking.fingerprint(raw) == ready
    published = source("http", files=[{**file, "password": "open-sesame"}])
    assert content(published.fetch(raw).root) == {"a.txt": b"content"}
    assert "open-sesame" not in capsys.readouterr().err
    for path in raw.parents[1].rglob("*"):
        assert not path.is_file() or b"open-sesame" not in path.read_bytes()


def test_weights_are_fetched_like_data(server: Server, tmp_path: Path) -> None:
    from benchmark.weights import store as weights_store
    from benchmark.weights.registry import Weights

    page = server.put("/model.pth", b"weights")
    gone = {"kind": "http", "files": [{"url": f"{server.address}/gone.pth", "name": "model.pth"}]}
    there = {"kind": "http", "files": [{"url": f"{server.address}/model.pth"}]}
    file = {"path": "model.pth", "sha256": page.sha256}
    content = {"id": "w", "name": "W", "source": [gone, there], "files": [file]}
    entry = Weights.read(content, "the test")
    raw = tmp_path / "data" / "weights" / "w"
    before = weights_store.fingerprint(entry, raw)
    got = weights_store.fetch(entry, raw)
    assert got.state == "ready"
    assert got.sha256 == {"model.pth": page.sha256}
    assert (tmp_path / "data" / "downloads" / "http").is_dir()
    weights_store.write_status(got, entry, raw)
    assert weights_store.fingerprint(entry, raw) == before  # nothing to fetch again
    own = tmp_path / "model.pth"
    own.write_bytes(b"weights")
    weights_store.import_files(entry, own, raw)  # in place of the link
    assert not (raw / "files" / "model.pth").is_symlink()
    assert weights_store.fetch(entry, raw).state == "ready"


def test_weights_that_one_source_has_wrong_are_asked_of_the_next(
    server: Server, tmp_path: Path
) -> None:
    from benchmark.weights import store as weights_store
    from benchmark.weights.registry import Weights

    server.put("/wrong/model.pth", b"another")
    page = server.put("/right/model.pth", b"weights")
    where = [f"{server.address}/{name}/model.pth" for name in ("wrong", "right")]
    sources = [{"kind": "http", "files": [{"url": url}]} for url in where]
    file = {"path": "model.pth", "sha256": page.sha256}
    one, both = (
        Weights.read({"id": "w", "name": "W", "source": found, "files": [file]}, "the test")
        for found in (sources[:1], sources)
    )
    raw = tmp_path / "data" / "weights" / "w"
    for _ in range(2):  # what the first fetch has linked is no file of a person
        got = weights_store.fetch(one, raw)
        assert got.state == "failed"
        told = re.search(
            r"(\S+) is not as published: its sha256 .* Delete it and get it again", str(got.reason)
        )
        assert told is not None
        assert Path(told[1]).is_relative_to(tmp_path / "data" / "downloads")
    for _ in range(2):
        assert weights_store.fetch(both, raw).state == "ready"
    assert (raw / "files" / "model.pth").read_bytes() == b"weights"
    path = (raw / "files" / "model.pth").resolve()
    path.write_bytes(b"broken")
    assert f"{path} is not as published" in str(weights_store.fetch(both, raw).reason)
    path.unlink()
    assert weights_store.fetch(both, raw).state == "ready"
    assert path.read_bytes() == b"weights"
