"""Downloads from a server that imitates the behaviour of real ones."""

import hashlib
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path

import pytest

from benchmark.sources.download import download
from benchmark.sources.patience import DownloadError, Patience
from tests.benchmark.sources.conftest import Naps
from tests.hosts import Handler, Page, Server, broken, status

CONTENT = bytes(range(256)) * 1000


def ranges(server: Server) -> list[str | None]:
    return [head.get("Range") for _, head in server.requests]


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.endswith((".part", ".part.json")))


def test_a_file_is_placed_and_checked(server: Server, tmp_path: Path) -> None:
    page = server.put("/a.nii", CONTENT)
    target = tmp_path / "deep" / "a.nii"
    got = download(
        f"{server.address}/a.nii",
        target,
        hashes={"sha256": page.sha256, "md5": page.md5},
        size=len(CONTENT),
    )
    assert got == target
    assert target.read_bytes() == CONTENT
    assert leftovers(target.parent) == []


def test_what_is_there_and_fits_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    page = server.put("/a", CONTENT)
    target = tmp_path / "a"
    target.write_bytes(CONTENT)  # put there by a person
    download(f"{server.address}/a", target, hashes={"sha256": page.sha256})
    assert not server.requests
    target.write_bytes(CONTENT[:-1])
    download(f"{server.address}/a", target, hashes={"md5": page.md5})
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1
    with pytest.raises(DownloadError, match="is not the published file"):
        download(
            f"{server.address}/a", target, hashes={"sha256": "0" * 64}
        )  # the entry was corrected


@pytest.mark.parametrize("etag", ['"v1"', None])
def test_a_broken_transfer_is_resumed(
    server: Server, tmp_path: Path, naps: Naps, etag: str | None
) -> None:
    page = server.put("/a", CONTENT, broken(100_000), broken(50_000), etag=etag)
    download(
        f"{server.address}/a",
        tmp_path / "a",
        hashes={"sha256": page.sha256},
        patience=naps.patience,
    )
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]
    assert len(naps) == 2


def test_without_hash_and_version_nothing_is_resumed(
    server: Server, tmp_path: Path, naps: Naps
) -> None:
    server.put("/a", CONTENT, broken(100_000), etag=None)
    download(f"{server.address}/a", tmp_path / "a", patience=naps.patience)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_a_file_that_changed_meanwhile_is_begun_anew(
    server: Server, tmp_path: Path, naps: Naps
) -> None:
    def change(handler: Handler, page: Page) -> None:
        page.content, page.etag = bytes(reversed(CONTENT)), '"v2"'
        handler.serve(page)

    server.put("/a", CONTENT, broken(100_000), change)
    download(f"{server.address}/a", tmp_path / "a", patience=naps.patience)
    assert (tmp_path / "a").read_bytes() == bytes(reversed(CONTENT))
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_server_that_cannot_resume_sends_all(server: Server, tmp_path: Path, naps: Naps) -> None:
    server.put("/a", CONTENT, broken(100_000), ranges=False)
    download(f"{server.address}/a", tmp_path / "a", patience=naps.patience)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_busy_servers_are_asked_again_when_they_say(
    server: Server, tmp_path: Path, naps: Naps
) -> None:
    busy = [status(429, Retry_After="7"), status(503), status(503)]
    server.put("/a", CONTENT, *busy)
    download(f"{server.address}/a", tmp_path / "a", patience=naps.patience)
    assert (tmp_path / "a").read_bytes() == CONTENT
    asked, second, third = naps
    assert asked == 7
    assert 1.5 <= second <= 2.5  # doubled, within a quarter
    assert 3 <= third <= 5


def test_a_server_that_stays_busy_is_given_up(server: Server, tmp_path: Path, naps: Naps) -> None:
    server.put("/a", CONTENT, *[status(429, Retry_After="9999")] * 9)
    with pytest.raises(DownloadError, match=r"answered 429; given up after 4 attempts"):
        download(f"{server.address}/a", tmp_path / "a", patience=naps.patience)
    assert naps == [60.0] * 3  # never longer than the longest wait
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("code", "advice"), [(403, "needs an account"), (404, "has moved"), (418, "in a browser")]
)
def test_refusals_are_not_repeated(
    server: Server, tmp_path: Path, naps: Naps, code: int, advice: str
) -> None:
    server.put("/a", CONTENT, status(code))
    with pytest.raises(DownloadError, match=rf"answered {code}\. .*{advice}"):
        download(f"{server.address}/a?token=hidden", tmp_path / "a", patience=naps.patience)
    assert not naps


def test_a_wrong_hash_is_told_and_deleted(server: Server, tmp_path: Path) -> None:
    page = server.put("/a", CONTENT)
    with pytest.raises(DownloadError) as caught:
        download(f"{server.address}/a?secret=1", tmp_path / "a", hashes={"sha256": "0" * 64})
    assert page.sha256 in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "a").exists()
    assert leftovers(tmp_path) == []
    assert len(server.requests) == 1


def test_a_damaged_beginning_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    page = server.put("/a", CONTENT)
    (tmp_path / ".a.part").write_bytes(b"x" * 1000)
    download(f"{server.address}/a", tmp_path / "a", hashes={"sha256": page.sha256})
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert ranges(server) == ["bytes=1000-", None]


@pytest.mark.parametrize(("hashed", "asked"), [(True, "bytes=1000-"), (False, None)])
def test_a_mark_that_cannot_be_read_blocks_nothing(
    server: Server, tmp_path: Path, hashed: bool, asked: str | None
) -> None:
    """A power cut leaves it empty; the version of the beginning is then not known."""
    page = server.put("/a", CONTENT)
    (tmp_path / ".a.part").write_bytes(CONTENT[:1000])
    (tmp_path / ".a.part.json").touch()
    hashes = {"sha256": page.sha256} if hashed else None
    download(f"{server.address}/a", tmp_path / "a", hashes=hashes)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert ranges(server) == [asked]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("excess", [0, 10])
def test_a_beginning_as_long_as_the_file(server: Server, tmp_path: Path, excess: int) -> None:
    page = server.put("/a", CONTENT)
    (tmp_path / ".a.part").write_bytes(CONTENT + b"x" * excess)
    download(
        f"{server.address}/a",
        tmp_path / "a",
        hashes={"sha256": page.sha256},
        patience=Naps().patience,
    )
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_another_size_is_refused_before_it_is_fetched(server: Server, tmp_path: Path) -> None:
    server.put("/a", CONTENT)
    with pytest.raises(DownloadError, match=r"has 256,000 bytes, but 99 were published"):
        download(f"{server.address}/a", tmp_path / "a", size=99)
    assert not (tmp_path / ".a.part").exists()


@pytest.mark.parametrize("how", [{"type": "TEXT/HTML; charset=utf-8"}, {}])
@pytest.mark.parametrize(
    "start",
    [
        b"<!DOCTYPE html><p>",
        b"\n <html><p>",
        b"\xef\xbb\xbf<html>",
        b"<!-- a\n -->\n<!doctype html>",
        b"<!-- a -->\n" * 300 + b"<html>",
    ],
)
def test_a_page_in_place_of_the_file_is_refused(
    server: Server, tmp_path: Path, how: dict[str, str], start: bytes
) -> None:
    server.put("/a.zip", start + b"sign in" * 100, **how)
    with pytest.raises(DownloadError, match=r"a web page instead of a\.zip"):
        download(f"{server.address}/a.zip", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("kind", ["application/json", "application/xml; charset=utf-8"])
def test_an_error_of_a_service_in_place_of_the_file_is_refused(
    server: Server, tmp_path: Path, kind: str
) -> None:
    page = server.put("/a.zip", b'{"error":"login"}', type=kind)
    with pytest.raises(DownloadError, match=r"answered with application/\w+ instead of a\.zip"):
        download(f"{server.address}/a.zip", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    download(f"{server.address}/a.zip", tmp_path / "a.zip", hashes={"sha256": page.sha256})
    server.put("/a.json", b"{}", type=kind.replace("xml", "json"))
    download(f"{server.address}/a.json", tmp_path / "a.json")


def test_a_file_whose_size_nobody_tells_is_warned_of(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = server.put("/a", CONTENT, length=False)
    download(f"{server.address}/a", tmp_path / "known", hashes={"sha256": page.sha256})
    assert "does not give its size" not in capsys.readouterr().err
    download(f"{server.address}/a", tmp_path / "unknown")
    assert "unknown: 127.0.0.1 does not give its size" in capsys.readouterr().err


def test_redirects_are_followed_and_tokens_stay_behind(server: Server, tmp_path: Path) -> None:
    with Server() as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,))
        thread.start()
        other.put("/b", CONTENT)
        elsewhere = other.address.replace("127.0.0.1", "localhost")
        server.put("/a", b"", status(302, Location=f"{elsewhere}/b?signature=1"))
        headers = {"Authorization": "Bearer hidden"}
        download(f"{server.address}/a", tmp_path / "a", headers=headers)
        other.shutdown()
        thread.join()
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.requests[0][1]["Authorization"] == "Bearer hidden"
    assert "Authorization" not in other.requests[0][1]
    for path in tmp_path.iterdir():
        assert b"hidden" not in path.read_bytes()
        assert b"signature" not in path.read_bytes()


def test_a_slow_drip_is_broken_off_and_resumed(server: Server, tmp_path: Path, naps: Naps) -> None:
    """By a clock that says a minute passed before the first block, and none from then on."""
    times = chain([0.0, 60.0], repeat(60.0))
    patience = Patience(attempts=4, first=1, sleep=naps.append, clock=lambda: next(times))

    def drip(handler: Handler, page: Page) -> None:
        handler.serve(page, upto=500)

    server.put("/a", CONTENT, drip)
    download(f"{server.address}/a", tmp_path / "a", patience=patience)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=500-"]


def test_a_file_of_unknown_length(server: Server, tmp_path: Path) -> None:
    page = server.put("/a", CONTENT, length=False, etag=None)
    download(f"{server.address}/a", tmp_path / "a", hashes={"sha256": page.sha256})
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_two_clients_fetch_it_once(server: Server, tmp_path: Path) -> None:
    go = threading.Event()
    page = server.put("/a", CONTENT, waits_for=go)

    def fetch(_: int) -> bytes:
        return download(
            f"{server.address}/a", tmp_path / "a", hashes={"sha256": page.sha256}
        ).read_bytes()

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(fetch, n) for n in range(2)]
        go.set()
        assert [job.result() for job in both] == [CONTENT, CONTENT]
    assert len(server.requests) == 1


def test_a_killed_download_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    arrived, go = threading.Event(), threading.Event()

    def stall(handler: Handler, page: Page) -> None:
        handler.serve(page, upto=100_000)
        handler.wfile.flush()
        arrived.set()
        go.wait(30)

    page = server.put("/a", CONTENT, stall)
    target = tmp_path / "a"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=download, args=(f"{server.address}/a", target))
    process.start()
    assert arrived.wait(30)
    part = tmp_path / ".a.part"
    while not part.exists() or part.stat().st_size == 0:
        assert process.is_alive()
    process.kill()
    process.join()
    go.set()
    kept = part.stat().st_size
    assert not target.exists()
    assert 0 < kept <= 100_000
    assert hashlib.sha256(CONTENT[:kept]).digest() == hashlib.sha256(part.read_bytes()).digest()
    download(f"{server.address}/a", target, hashes={"sha256": page.sha256})
    assert target.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={kept}-"


def test_a_server_that_is_not_there(tmp_path: Path, naps: Naps) -> None:
    with Server() as gone:
        address = gone.address
    with pytest.raises(DownloadError, match=r"no connection to 127\.0\.0\.1 .* no network"):
        download(f"{address}/a?key=hidden", tmp_path / "a", patience=naps.patience)
    assert len(naps) == 1


def test_a_network_that_was_there_is_waited_for(server: Server, tmp_path: Path, naps: Naps) -> None:
    patience = naps.patience
    server.put("/a", CONTENT)
    download(f"{server.address}/a", tmp_path / "a", patience=patience)
    with pytest.raises(DownloadError, match=r"no connection to nowhere\.invalid .* 4 attempts"):
        download("http://nowhere.invalid/a", tmp_path / "b", patience=patience)
    assert len(naps) == 3


def test_a_full_disk_is_told_before_it_is_full(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    server.put("/a", CONTENT)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=r"needs 256,000 more bytes, but only 1,000 are free"):
        download(f"{server.address}/a", tmp_path / "a")
