"""Fetched files that are temporarily out of reach do not count as changed."""

import shutil
from pathlib import Path

import pytest

from benchmark.sources import Source, lost
from benchmark.sources.local import LocalSource
from benchmark.storage.files import write_json
from tests.benchmark.sources.conftest import Naps
from tests.benchmark.sources.test_fetched import IMAGES, LABELS, put, source
from tests.hosts import Server


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "D1" / "raw"


def fetch(made: Source, raw: Path) -> str:
    """Fetch as the workflow does; give the fingerprint that it holds against later ones."""
    before = lost.fingerprint_or_last(made, raw)
    (raw / "status.json").unlink(missing_ok=True)  # as Snakemake does before the job
    write_json(raw / "status.json", made.fetch(raw).model_dump())
    return before


def test_a_folder_that_is_away(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SCANS", str(tmp_path / "own"))
    made = LocalSource(kind="local", path="$MY_SCANS")
    nothing = fetch(made, raw)
    assert lost.fingerprint_or_last(made, raw) == nothing
    for name in ("a", "b"):
        (tmp_path / "own" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / "deep" / name).write_text(name)
    known = fetch(made, raw)
    assert known != nothing
    monkeypatch.delenv("MY_SCANS")
    assert lost.fingerprint_or_last(made, raw) == known
    monkeypatch.setenv("MY_SCANS", str(tmp_path / "own"))
    (tmp_path / "own").rename(tmp_path / "away")
    assert lost.fingerprint_or_last(made, raw) == known
    (tmp_path / "own").mkdir()  # where nothing is mounted
    assert lost.fingerprint_or_last(made, raw) == known
    (tmp_path / "own").rmdir()
    (tmp_path / "away").rename(tmp_path / "own")
    assert lost.fingerprint_or_last(made, raw) == known
    (tmp_path / "own" / "deep" / "b").unlink()  # one of several was taken out
    assert lost.fingerprint_or_last(made, raw) != known


def test_downloads_that_come_back_are_no_news_unless_they_are_others(
    server: Server, raw: Path, naps: Naps
) -> None:
    (file,) = put(server, images=IMAGES)
    made = source("http", files=[{"url": file["url"]}])  # no hash is published
    known = fetch(made, raw)
    downloads = raw.parents[1] / "downloads"
    shutil.rmtree(downloads)
    assert lost.fingerprint_or_last(made, raw) == known
    server.pages.clear()
    assert made.fetch(raw, naps.patience).state == "failed"  # pambench datasets fetch
    assert lost.fingerprint_or_last(made, raw) == known
    put(server, images=IMAGES)
    assert made.fetch(raw).state == "ready"
    assert lost.fingerprint_or_last(made, raw) == known
    shutil.rmtree(downloads)
    put(server, images=LABELS)
    assert made.fetch(raw).state == "ready"
    assert lost.fingerprint_or_last(made, raw) != known


def test_own_files_that_are_gone(raw: Path) -> None:
    made = source("manual")
    (raw / "files").mkdir(parents=True)
    (raw / "files" / "a").write_text("x")
    known = fetch(made, raw)
    (raw / "files").rename(raw / "away")
    assert lost.fingerprint_or_last(made, raw) == known
    (raw / "away").rename(raw / "files")
    assert lost.fingerprint_or_last(made, raw) == known


def test_the_status_of_weights_counts_as_well(raw: Path) -> None:
    """It holds keys of its own, and one of an older version holds another."""
    status = {"state": "ready", "root": str(raw / "files"), "fingerprint": "known"}
    write_json(raw / "status.json", {**status, "file": "net.pth", "listing": "x"})
    assert lost.fingerprint_or_last(source("manual"), raw) == "known"
