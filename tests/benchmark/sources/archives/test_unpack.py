"""Unpacking of valid and hostile archives."""

import base64
import bz2
import gzip
import hashlib
import io
import lzma
import multiprocessing
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import py7zr
import pytest
import pyzipper
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.sources.archives import (
    ArchiveError,
    DamagedArchiveError,
    Limits,
    PasswordError,
    marker,
    unpack,
)

FILES = {
    "top/images/a.nii": bytes(range(256)) * 20,
    "top/labels/a.nii": b"label",
    "top/empty.txt": b"",
    "__MACOSX/top/._a.nii": b"side file",
    "top/images/._a.nii": b"side file",
}
KEPT = {name: data for name, data in FILES.items() if "._" not in name}

# What `zip -P word` makes of a.txt: the old encryption, which Python cannot write.
ZIP_CRYPTO = base64.b64decode(
    "UEsDBAoACQAAADFxd12pMMX+EwAAAAcAAAAFAAAAYS50eHQtZ+YgMjIKrwpExR1PxsEx8hTEUEsHCKkwxf4TAAAABwAA"
    "AFBLAQIeAwoACQAAADFxd12pMMX+EwAAAAcAAAAFAAAAAAAAAAAAAACkgQAAAABhLnR4dFBLBQYAAAAAAQABADMAAABG"
    "AAAAAAA="
)


def zipped(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)


def tarred(path: Path, files: Mapping[str, bytes]) -> None:
    mode: Any = "w:" + {"gz": "gz", "xz": "xz", "bz2": "bz2", "tgz": "gz"}.get(path.suffix[1:], "")
    with tarfile.open(path, mode) as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))


def sevened(path: Path, files: Mapping[str, bytes]) -> None:
    with py7zr.SevenZipFile(path, "w") as made:
        for name, data in files.items():
            made.writestr(data, name)


MAKERS: dict[str, Callable[[Path, Mapping[str, bytes]], None]] = {
    "a.zip": zipped,
    "a.tar": tarred,
    "a.tar.gz": tarred,
    "a.tgz": tarred,
    "a.tar.xz": tarred,
    "a.tar.bz2": tarred,
    "a.7z": sevened,
}
each_format = pytest.mark.parametrize("name", MAKERS)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_up(path: Path, **how: Any) -> Path:
    return unpack(path, path.parent / "out", sha256=sha256(path), **how)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@each_format
def test_what_is_in_comes_out(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / name, FILES)
    out = open_up(tmp_path / name)
    assert content(out) == KEPT
    assert names(tmp_path) == sorted([name, "out", "out.json"])
    assert marker(out) == {
        "sha256": sha256(tmp_path / name),
        "members": [],
        "files": 3,
        "bytes": sum(map(len, KEPT.values())),
    }


@each_format
def test_only_the_wanted_members(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / name, FILES)
    out = open_up(tmp_path / name, members=["*/images/*"])
    assert list(content(out)) == ["top/images/a.nii"]
    with pytest.raises(ArchiveError, match=r"holds no file like \*\.mha"):
        open_up(tmp_path / name, members=["*.mha"])


def test_nothing_is_unpacked_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    zipped(path, FILES)
    out = open_up(path)
    (out / "top" / "labels" / "a.nii").write_bytes(b"touched")
    digest = sha256(path)
    path.unlink()  # to save room
    unpack(path, out, sha256=digest)
    assert (out / "top" / "labels" / "a.nii").read_bytes() == b"touched"
    zipped(path, {"other": b"x"})
    assert content(open_up(path)) == {"other": b"x"}
    zipped(path, FILES)
    open_up(path)
    assert content(open_up(path, members=["*.txt"])) == {"top/empty.txt": b""}


@each_format
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = {f"{n}": hashlib.sha512(bytes([n])).digest() * 50 for n in range(30)}
    MAKERS[name](path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ArchiveError, match="is damaged"):
        open_up(path)
    assert names(tmp_path) == [name]


@each_format
def test_a_page_that_is_named_like_an_archive(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>sign in</html>")
    with pytest.raises(ArchiveError, match="is damaged, or its format is unknown"):
        open_up(tmp_path / name)


CASES = {f"case{n}": hashlib.sha512(bytes([n])).digest() * 20 for n in range(5)}
HEADER = 2 * (512 + 1536)  # of case2 in a tar of CASES: a header and 1280 bytes in blocks of 512


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def changed_member(tar: bytes) -> bytes:
    """Return a .tar.gz with the checksum of ``tar``, but another byte of case1."""
    packed = gzip.compress(flipped(tar, 2048 + 512 + 7))
    return packed[:-8] + struct.pack("<I", zlib.crc32(tar)) + packed[-4:]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("a.tar", lambda tar: flipped(tar, HEADER + 3)),
        ("a.tar", lambda tar: tar[:HEADER]),
        ("a.tar", lambda tar: tar[: HEADER + 200]),
        ("a.tar.gz", lambda tar: gzip.compress(tar[:HEADER])),
        ("a.tar.gz", changed_member),
        ("a.tar.gz", lambda tar: gzip.compress(tar)[:-8]),
        ("a.tar.bz2", lambda tar: flipped(bz2.compress(tar), 200)),
        ("a.tar.xz", lambda tar: lzma.compress(tar)[:-8]),
    ],
)
def test_a_damaged_tar_is_not_taken_for_whole(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    tarred(tmp_path / "whole.tar", CASES)
    (tmp_path / name).write_bytes(damage((tmp_path / "whole.tar").read_bytes()))
    (tmp_path / "whole.tar").unlink()
    with pytest.raises(DamagedArchiveError, match="is damaged"):
        open_up(tmp_path / name)
    assert names(tmp_path) == [name]


@settings(max_examples=50)
@given(st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "a.tar.gz"
    tarred(path, CASES)
    packed = bytearray(path.read_bytes())
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(packed)
    try:
        assert content(open_up(path)) == CASES
    except ArchiveError:
        assert names(path.parent) == ["a.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_that_fills_the_memory(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        info = tarfile.TarInfo("long")
        info.type, info.size = kind, 2 << 20
        made.addfile(info, io.BytesIO(bytes(2 << 20)))
    with pytest.raises(ArchiveError, match="a header of 2,097,152 bytes"):
        open_up(path)


def test_a_long_name_and_several_gzip_streams(tmp_path: Path) -> None:
    """As pigz and GNU tar write them."""
    files = {"/".join(["folder"] * 40): b"x", **CASES}
    tarred(tmp_path / "a.tar", files)
    tar = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar[:3000]) + gzip.compress(tar[3000:]))
    assert content(open_up(tmp_path / "a.tar.gz")) == files


def test_a_compression_that_cannot_be_read(tmp_path: Path) -> None:
    """Windows makes zips of more than 2 GB with Deflate64 (9)."""
    path = tmp_path / "a.zip"
    zipped(path, {"a": b"x" * 100})
    data = path.read_bytes()
    for magic, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(magic) + offset
        data = data[:at] + b"\x09\x00" + data[at + 2 :]
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="Unpack it with another program") as caught:
        open_up(path)
    assert not isinstance(caught.value, DamagedArchiveError)  # which would be deleted


HOSTILE = ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "C:evil"]


@pytest.mark.parametrize("member", HOSTILE)
@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_paths_out_of_the_folder(tmp_path: Path, name: str, member: str) -> None:
    MAKERS[name](tmp_path / name, {"good": b"x", member: b"evil"})
    with pytest.raises(ArchiveError, match="holds a path out of the folder"):
        open_up(tmp_path / name, members=["good"])
    assert names(tmp_path) == [name]
    assert not (tmp_path.parent / "evil").exists()


def test_paths_out_of_the_folder_in_7z(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """py7zr refuses to write such a name, so one of the same length is put in its place."""
    sevened(tmp_path / "a.7z", {"good": b"x", "aabevil": b"evil"})
    listed = py7zr.SevenZipFile.list

    def renamed(self: Any) -> Any:
        infos = listed(self)
        infos[1].filename = "../evil"
        return infos

    monkeypatch.setattr(py7zr.SevenZipFile, "list", renamed)
    with pytest.raises(ArchiveError, match="holds a path out of the folder"):
        open_up(tmp_path / "a.7z")
    assert names(tmp_path) == ["a.7z"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_tar(tmp_path: Path, kind: bytes, told: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as made:
        info = tarfile.TarInfo("inner")
        info.type, info.linkname = kind, "/etc/passwd"
        made.addfile(info)
    with pytest.raises(ArchiveError, match=f"holds {told}"):
        open_up(path)
    assert names(tmp_path) == ["a.tar"]


def test_a_link_in_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, "/etc")
        made.writestr("link/evil", "x")
    with pytest.raises(ArchiveError, match="holds a link"):
        open_up(path)
    assert names(tmp_path) == ["a.zip"]


def test_a_link_in_7z(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as made:
        made.write(tmp_path / "link", "link")
    with pytest.raises(ArchiveError, match="holds a link"):
        open_up(tmp_path / "a.7z")


@each_format
def test_a_bomb_is_broken_off(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / name, {"a": bytes(1 << 20), "b": bytes(1 << 20)})
    with pytest.raises(ArchiveError, match="holds more than 1,500,000 bytes"):
        open_up(tmp_path / name, limits=Limits(bytes=1_500_000))
    assert names(tmp_path) == [name]


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    """What counts is what is written, not what the directory of the archive says."""
    path = tmp_path / "a.zip"
    zipped(path, {"a": bytes(1 << 20)})
    lied = path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(lied)
    with pytest.raises(ArchiveError):
        open_up(path, limits=Limits(bytes=1000))
    assert names(tmp_path) == ["a.zip"]


@each_format
def test_too_many_members(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / name, {str(n): b"x" for n in range(11)})
    with pytest.raises(ArchiveError, match="more than 10 members"):
        open_up(tmp_path / name, limits=Limits(members=10))


def test_the_usual_bound_grows_with_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    zipped(path, {"a": b"x"})
    with pytest.MonkeyPatch.context() as patch:
        from benchmark.sources.archives.guard import Guard

        guard = Guard(path, tmp_path, (), Limits(), lambda n: None)
        guard.count(10 << 30)
        with pytest.raises(ArchiveError):
            guard.count(1)
        patch.setattr(Path, "stat", lambda self, **_: type("S", (), {"st_size": 1 << 30})())
        guard.count(100 << 30)
        with pytest.raises(ArchiveError):
            guard.count(100 << 30)


def test_a_name_twice_overwrites_nothing(tmp_path: Path) -> None:
    tarred(tmp_path / "a.tar", {"./a": b"1"})
    with tarfile.open(tmp_path / "a.tar", "a") as made:
        made.addfile(tarfile.TarInfo("a"))
    with pytest.raises(ArchiveError, match="holds 'a' twice"):
        open_up(tmp_path / "a.tar")
    zipped(tmp_path / "b.zip", {"a": b"1", "a/b": b"2"})
    with pytest.raises(ArchiveError, match="a file where another is"):
        open_up(tmp_path / "b.zip")


@pytest.mark.parametrize("encryption", [pyzipper.WZ_AES, None])
def test_a_password_of_a_zip(tmp_path: Path, encryption: int | None) -> None:
    path = tmp_path / "a.zip"
    if encryption is None:
        path.write_bytes(ZIP_CRYPTO)
    else:
        with pyzipper.AESZipFile(path, "w", encryption=encryption) as made:
            made.setpassword(b"word")
            made.writestr("a.txt", b"content")
    for wrong in (None, "other"):
        with pytest.raises(PasswordError, match="needs a password"):
            open_up(path, password=wrong)
        assert names(tmp_path) == ["a.zip"]
    assert content(open_up(path, password="word")) == {"a.txt": b"content"}


def test_a_password_of_a_7z(tmp_path: Path) -> None:
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w", password="word") as made:
        made.writestr(b"content", "a.txt")
    with pytest.raises(PasswordError, match="needs a password"):
        open_up(path)
    with pytest.raises(PasswordError, match="the password is wrong"):
        open_up(path, password="other")
    assert content(open_up(path, password="word")) == {"a.txt": b"content"}


def test_a_kill_leaves_nothing_that_counts_as_done(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    tarred(path, FILES)

    def die() -> None:
        import os

        from benchmark.sources.archives import guard

        guard.Guard.count = lambda self, size: os._exit(9)  # type: ignore[method-assign]
        open_up(path)

    process = multiprocessing.get_context("fork").Process(target=die)
    process.start()
    process.join()
    assert process.exitcode == 9
    assert names(tmp_path) == [".out.unpacking", "a.tar"]
    assert content(open_up(path)) == KEPT
    assert names(tmp_path) == ["a.tar", "out", "out.json"]
