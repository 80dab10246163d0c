"""Where the pixels of a MetaImage or NRRD file are: in the file itself, or in another one.

Both formats allow any path, also of a device or of a file that has nothing to do with the dataset,
and lists and patterns of paths. Only one file beside the header is accepted here.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_FIELDS = {
    (".mha", ".mhd"): re.compile(rb"\s*ElementDataFile\s*[=:]\s*(.*?)\s*"),
    (".nrrd", ".nhdr"): re.compile(rb"data ?file:(?!=)\s*(.*?)\s*", re.IGNORECASE),
}
_META = b"ElementDataFile"
_LOCAL = (b"LOCAL", b"Local", b"local")  # of MetaImage
_SEVERAL = (b"LIST", b"SKIPLIST")
_LONGEST = 1 << 16


class ElsewhereError(Exception):
    """The pixels are not in a file beside the header; the message is what the header names."""


def pixel_file(path: Path) -> Path | None:
    """Return the file with the pixels of ``path``; None if they are in ``path`` itself.

    Raises `ElsewhereError` if a header names anything but a regular file in its own folder.
    """
    field = _field(path)
    if field is None:
        return None
    lines = header_lines(path)
    named = [found[1] for line in lines if (found := field.fullmatch(line))]
    odd = [line for line in lines if _META in line and not field.fullmatch(line)]
    if odd and is_meta(path):  # MetaImage may take it for the field all the same
        raise ElsewhereError(odd[0].decode(errors="backslashreplace"))
    files = [_beside(path, value.removeprefix(b"./")) for value in named if value not in _LOCAL]
    return files[0] if files else None


def header_lines(path: Path) -> list[bytes]:
    """Return the lines of the header of a MetaImage or NRRD file; none of another format."""
    field = _field(path)
    if field is None:
        return []
    with path.open("rb") as stream:
        return list(_header(stream, field, meta=is_meta(path)))


def is_meta(path: Path) -> bool:
    """Return whether a file is named like a MetaImage."""
    return path.name.lower().endswith((".mha", ".mhd"))


def _field(path: Path) -> re.Pattern[bytes] | None:
    """Return the pattern of the field that names the pixels, of a MetaImage or NRRD file."""
    name = path.name.lower()
    return next((field for suffixes, field in _FIELDS.items() if name.endswith(suffixes)), None)


def _header(stream: BinaryIO, field: re.Pattern[bytes], *, meta: bool) -> Iterator[bytes]:
    """Yield the lines of a header, which ends at its ``field`` in a ``meta`` image.

    In NRRD an empty line ends it; MetaImage skips those.
    """
    while text := stream.readline(_LONGEST):
        if not meta and not text.strip():
            return
        yield from text.rstrip(b"\r\n").split(b"\r")  # ends a line of NRRD, too
        if meta and field.fullmatch(text):
            return


def _beside(path: Path, name: bytes) -> Path:
    file = path.parent / os.fsdecode(name)
    plain = not (name.startswith(_SEVERAL) or any(sign in name for sign in b"/%\0"))
    if not (plain and file.is_file()):
        raise ElsewhereError(name.decode(errors="backslashreplace"))
    return file
