"""Reading of zip, tar and 7z archives; a `Guard` decides what happens to each member."""

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from benchmark.sources.archives.guard import ArchiveError, DamagedArchiveError, Guard, PasswordError

_BLOCK = 1 << 20
_DECOMPRESSORS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x5d\x00\x00\x80": lzma.open,
}
_EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def extract_members(archive: Path, password: str | None, guard: Guard) -> None:
    """Write all members that ``guard`` accepts; the suffix of ``archive`` decides on its format.

    Raise a `DamagedArchiveError`, a `PasswordError`, or another `ArchiveError` of the guard.
    """
    name = archive.name.lower()
    read = _zip if name.endswith(".zip") else _sevenzip if name.endswith(".7z") else _tar
    with _as_archive_errors(archive, password):
        read(archive, password, guard)


@contextmanager
def _as_archive_errors(archive: Path, password: str | None) -> Iterator[None]:
    """Convert exceptions of the archive libraries to `ArchiveError`."""
    from py7zr.exceptions import ArchiveError as SevenError
    from py7zr.exceptions import PasswordRequired, UnsupportedCompressionMethodError
    from pyzipper.zipfile import BadZipFile

    libraries = (BadZipFile, tarfile.TarError, SevenError)
    try:
        yield
    except PasswordRequired:
        raise PasswordError(f"{archive.name} needs a password.") from None
    except (NotImplementedError, UnsupportedCompressionMethodError) as error:
        raise ArchiveError(
            f"{archive} is packed in a way that cannot be read here ({error}). Unpack it with "
            "another program, such as 7-Zip, and use the folder instead of the archive."
        ) from None
    except RuntimeError as error:  # raised by zipfile for a missing or wrong password
        if "password" not in str(error).lower():
            raise
        raise PasswordError(f"{archive.name} needs a password, or a different one.") from None
    except (*libraries, lzma.LZMAError, zlib.error, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, not gzip's
            raise
        if password is not None:  # in 7z, a wrong password looks like damage
            raise PasswordError(f"{archive.name} is damaged, or the password is wrong.") from None
        raise DamagedArchiveError(
            f"{archive} is damaged, or its format is unknown ({error})."
        ) from None


def _zip(archive: Path, password: str | None, guard: Guard) -> None:
    from pyzipper import AESZipFile

    secret = password.encode() if password else None
    with AESZipFile(archive) as opened:
        for info in opened.infolist():
            target = guard.accept(info.filename, _kind(info.external_attr >> 16, info.is_dir()))
            if target is not None:
                with opened.open(info, pwd=secret) as source, guard.open(target) as sink:
                    shutil.copyfileobj(source, sink, _BLOCK)


def _kind(mode: int, is_folder: bool) -> str:
    """Return the kind of a member by its Unix mode, which is 0 if the archive has none."""
    if is_folder or stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "a link"
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "a device"


def _tar(archive: Path, password: str | None, guard: Guard) -> None:
    with (
        _decompressed(archive) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictMember) as opened,
    ):
        for info in opened:
            opened.members.clear()  # type: ignore[attr-defined]  # or their headers fill the memory
            kind = "folder" if info.isdir() else "file" if info.isfile() else "a device"
            target = guard.accept(info.name, "a link" if info.issym() or info.islnk() else kind)
            if target is not None and (source := opened.extractfile(info)) is not None:
                with source, guard.open(target) as sink:
                    shutil.copyfileobj(source, sink, _BLOCK)
        while stream.read(_BLOCK):  # read on, so that the checksum is verified
            pass


def _decompressed(archive: Path) -> Any:
    """Open an archive; its first bytes decide on the compression."""
    with archive.open("rb") as file:
        start = file.read(8)
    for magic, decompressor in _DECOMPRESSORS.items():
        if start.startswith(magic):
            return decompressor(archive)
    return archive.open("rb")


class _StrictMember(tarfile.TarInfo):
    """A member whose header must be whole.

    `tarfile` takes a damaged or missing header for the end of the archive, and reads a long name
    into memory whatever its length.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        """Read the next header; raise `tarfile.ReadError` if neither it nor the end is found."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros: the end
            raise
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            raise tarfile.ReadError("it is cut off: its last block is missing") from None
        except (tarfile.HeaderError, ValueError, IndexError, RecursionError) as error:
            raise tarfile.ReadError(str(error)) from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header; raise `tarfile.ReadError` for a name or an attribute above 1 MiB."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _EXTENSIONS and not 0 <= member.size <= _BLOCK:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member


def _sevenzip(archive: Path, password: str | None, guard: Guard) -> None:
    from py7zr import SevenZipFile
    from py7zr.io import Py7zIO, WriterFactory

    class Writer(Py7zIO):
        def __init__(self, sink: Any) -> None:
            self.sink, self.written = sink, 0

        def write(self, s: bytes | bytearray) -> int:
            self.written += len(s)
            return int(self.sink.write(s))

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self.written

        def close(self) -> None:
            self.sink.close()

    class Factory(WriterFactory):
        def create(self, filename: str) -> Py7zIO:
            return Writer(guard.open(targets[filename]))

    folder, wanted, targets = guard.folder.resolve(), [], {}
    with archive.open("rb") as file, SevenZipFile(file, password=password) as opened:
        for info in opened.list():
            kind = "folder" if info.is_directory else "file" if info.is_file else "a device"
            target = guard.accept(info.filename, "a link" if info.is_symlink else kind)
            if target is not None and not info.uncompressed:
                guard.open(target).close()
            elif target is not None:
                wanted.append(info.filename)
                targets[(folder / info.filename).as_posix()] = target
        if wanted:
            opened.extract(folder, wanted, factory=Factory())
