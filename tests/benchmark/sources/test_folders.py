"""A fetch always ends in a status; the fingerprint shows what has become available."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.sources.folder import listing
from benchmark.sources.local import LocalSource
from benchmark.sources.manual import ManualSource
from benchmark.sources.phantom import PhantomSource

Folders = tuple[LocalSource | ManualSource, Path, Path]


def local(tmp_path: Path) -> Folders:
    return LocalSource(kind="local", path=str(tmp_path / "own")), tmp_path / "raw", tmp_path / "own"


def manual(tmp_path: Path) -> Folders:
    return ManualSource(kind="manual"), tmp_path / "raw", tmp_path / "raw" / "files"


@pytest.mark.parametrize("make", [local, manual])
def test_from_nothing_to_ready(tmp_path: Path, make: Callable[[Path], Folders]) -> None:
    source, raw, folder = make(tmp_path)
    status = source.fetch(raw)
    assert (status.state, status.files, status.fingerprint) == ("manual", 0, "absent")
    assert status.reason is not None
    assert str(folder) in status.reason
    (folder / "deep").mkdir(parents=True)
    assert source.fetch(raw).state == "manual"  # a folder without a file is nothing yet
    (folder / "deep" / "a").write_text("x")
    status = source.fetch(raw)
    assert (status.state, status.files, status.root) == ("ready", 1, str(folder))
    assert status.reason is None
    assert status.fingerprint == source.fingerprint(raw) != "absent"


@pytest.mark.parametrize("make", [local, manual])
def test_links_that_lead_back_up_are_not_followed_again(
    tmp_path: Path, make: Callable[[Path], Folders]
) -> None:
    """Two of them double the files with each of the forty levels that the system allows."""
    source, raw, folder = make(tmp_path)
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text("x")
    for name in ("latest", "deep/up"):
        (folder / name).symlink_to(folder)
    (folder / "beside").symlink_to("deep")
    names = [path.relative_to(folder).as_posix() for path in listing(folder)]
    assert names == ["beside/a", "deep/a"]
    assert source.fetch(raw).files == 2


@pytest.mark.parametrize("make", [local, manual])
def test_the_fingerprint_follows_every_change(
    tmp_path: Path, make: Callable[[Path], Folders]
) -> None:
    source, raw, folder = make(tmp_path)
    folder.mkdir(parents=True)

    def look() -> str:
        return source.fingerprint(raw)

    seen = [look()]
    (folder / "a").write_text("1")
    seen.append(look())
    assert look() == seen[-1]
    (folder / "b").write_text("1")
    seen.append(look())
    (folder / "a").write_text("12")
    seen.append(look())
    os.utime(folder / "a", (1, 1))  # another content of the same size
    seen.append(look())
    (folder / "a").write_text("123")  # another size at the same time
    os.utime(folder / "a", (1, 1))
    seen.append(look())
    (folder / "a").rename(folder / "c")
    seen.append(look())
    assert len(set(seen)) == len(seen)
    (folder / "b").unlink()
    (folder / "c").unlink()
    assert look() == "absent"


@pytest.mark.parametrize("make", [local, manual])
def test_what_a_file_manager_leaves_is_no_news(
    tmp_path: Path, make: Callable[[Path], Folders]
) -> None:
    source, raw, folder = make(tmp_path)
    folder.mkdir(parents=True)
    (folder / ".DS_Store").write_text("x")
    assert source.fetch(raw).state == "manual"
    (folder / "a").write_text("x")
    os.utime(folder / "a", (1, 1))
    before = source.fetch(raw)
    assert (before.state, before.files) == ("ready", 1)
    assert before.fingerprint == hashlib.sha256(b"a\x001\x001000000000\n").hexdigest()[:16]
    (folder / ".DS_Store").write_text("xy")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "a").write_text("x")
    assert source.fetch(raw) == before


def test_local_folders_know_variables_and_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SCANS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "a").write_text("x")
    for path in ("$MY_SCANS/ct", "${MY_SCANS}/ct", "~/ct"):
        status = LocalSource(kind="local", path=path).fetch(tmp_path / "raw")
        assert (status.state, status.root) == ("ready", str(tmp_path / "ct"))
    monkeypatch.delenv("MY_SCANS")
    status = LocalSource(kind="local", path="$MY_SCANS/ct").fetch(tmp_path / "raw")
    assert status.reason is not None
    assert "$MY_SCANS" in status.reason


def test_the_steps_to_take_by_hand_are_the_reason(tmp_path: Path) -> None:
    source = ManualSource(kind="manual", page="https://example.org", steps=("sign", "download"))
    reason = source.fetch(tmp_path / "raw").reason
    assert reason == (
        "To be done by hand: 1. open https://example.org. 2. sign. 3. download. "
        "4. put the files into "
        f"{tmp_path / 'raw' / 'files'} (archives are unpacked for you)."
    )
    reason = ManualSource(kind="manual", page="https://example.org").fetch(tmp_path / "raw").reason
    assert reason is not None
    assert "https://example.org" in reason


def test_generated_scans_are_the_same_each_time(tmp_path: Path) -> None:
    source = PhantomSource(kind="phantom", recipe="srx-glomeruli", scans=1, seed=3)
    first, second = source.fetch(tmp_path / "a"), source.fetch(tmp_path / "b")
    assert first.state == second.state == "ready"
    assert first.fingerprint == second.fingerprint == source.fingerprint(tmp_path)
    files = [p.relative_to(first.root) for p in Path(first.root).rglob("*") if p.is_file()]
    assert len(files) == first.files > 0
    for name in files:
        assert (Path(first.root) / name).read_bytes() == (Path(second.root) / name).read_bytes()
