"""Check that an image file holds all of its pixels, which ITK does not.

ITK reads a truncated NIfTI file, and any compressed file with damaged bytes, without complaint and
sets what it cannot decompress to zero. In NIfTI files it also turns NaN and infinity into zero, and
takes parts of the header for pixels if these are said to begin within it.
"""

import gzip
import math
import re
import struct
import sys
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from benchmark.image_io.detached import pixel_file

_CHUNK = 1 << 20
_PACKED = ([b"CompressedData", b"=", b"True"], [b"encoding:", b"gzip"], [b"encoding:", b"gz"])
# By NIfTI's type codes. ITK goes by the code too; `bitpix`, which says it again, may be wrong.
_VOXEL_BYTES = {
    2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8,
    1536: 16, 1792: 16, 2048: 32, 2304: 4,
}  # fmt: skip
_FLOAT_BYTES = {16: 4, 32: 4, 64: 8, 1792: 8}  # complex is two floats
_HEADER, _FIRST = 348, 352  # bytes of a NIfTI header, and of what precedes the pixels in its file
_HEADER_2 = 540  # bytes of a NIfTI-2 header
_PAIR = re.compile(r"\.(hdr|img)(?=(\.gz)?$)", re.IGNORECASE)


class DamagedError(Exception):
    """A file is truncated or damaged; the message says how."""


def check_pixels(path: Path) -> int:
    """Read through a file that ITK has recognised; return the number of its non-finite values.

    This takes about as long as reading the pixels once more. Values are counted in NIfTI files
    only; in other formats the pixels that ITK reads show them. Raises `DamagedError`.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            with _opened(path) as stream:
                return _check_nifti(stream, stream, _FIRST)
        if _PAIR.search(name):
            with _opened(_of_pair(path, "hdr")) as header, _opened(_of_pair(path, "img")) as stream:
                return _check_nifti(header, stream, 0)
        if name.endswith((".mha", ".mhd", ".nrrd")):  # ITK notices damage beside .nhdr
            with path.open("rb") as stream:
                _check_packed(stream, pixel_file(path), meta=not name.endswith(".nrrd"))
    except (EOFError, OSError, struct.error, zlib.error) as error:
        raise DamagedError(str(error)) from None
    return 0


class NiftiHeader(NamedTuple):
    """What a NIfTI-1 header stores and ITK changes.

    Attributes:
        voxel_size: pixdim (x, y, z); ITK makes 1 of zero, NaN and infinity.
        slope, intercept: scale of the values.
    """

    voxel_size: tuple[float, ...]
    slope: float
    intercept: float


def nifti_header(path: Path) -> NiftiHeader | None:
    """Read the header of a NIfTI-1 file or pair.

    None for a header that is not NIfTI-1 or cannot be read, which `check_pixels` tells.
    """
    try:
        with _opened(_of_pair(path, "hdr")) as stream:
            header = stream.read(_HEADER)
    except (EOFError, OSError, zlib.error):
        return None
    order = _byte_order(header)
    if len(header) < _HEADER or struct.unpack_from(f"{order}i", header)[0] != _HEADER:
        return None
    slope, intercept = struct.unpack_from(f"{order}2f", header, 112)
    return NiftiHeader(struct.unpack_from(f"{order}3f", header, 80), slope, intercept)


def is_gzip(path: Path) -> bool:
    """Return whether a file begins like one of gzip, whatever its name."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def is_nifti2(path: Path) -> bool:
    """Return whether a file begins with the header of NIfTI-2; false if it cannot be read."""
    try:
        with _opened(path) as stream:
            size = stream.read(4)
    except (EOFError, OSError, zlib.error):
        return False
    return size in (struct.pack("<i", _HEADER_2), struct.pack(">i", _HEADER_2))


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading; it is decompressed if it is of gzip, as ITK does."""
    return gzip.open(path) if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def _of_pair(path: Path, part: str) -> Path:
    """Return the file with a ``part`` of a NIfTI pair: hdr or img; ``path`` if it is no pair."""
    return path.with_name(
        _PAIR.sub(lambda old: f".{part.upper() if old[1].isupper() else part}", path.name)
    )


def _byte_order(header: bytes) -> str:
    return "<" if header[:4] == struct.pack("<i", _HEADER) else ">"


def _check_nifti(file: BinaryIO, stream: BinaryIO, first: int) -> int:
    """Compare the bytes with the header (NIfTI-1 standard, nifti1.h); count non-finite values.

    ``file`` begins with the header, and ``stream`` holds the pixels, from byte ``first`` on or
    later. Both are the same unless the image is a pair.
    """
    header = file.read(_HEADER)
    order = _byte_order(header)
    rank, *dims = struct.unpack_from(f"{order}8h", header, 40)
    code, bits = struct.unpack_from(f"{order}2h", header, 70)
    (offset,) = struct.unpack_from(f"{order}f", header, 108)
    if not first <= offset < sys.maxsize:
        raise DamagedError(f"pixels that begin at byte {offset:g} instead of {first}")
    left = promised = math.prod(dims[:rank]) * _VOXEL_BYTES.get(code, bits // 8)
    stream.seek(int(offset))
    wrong = 0
    while chunk := stream.read(min(left, _CHUNK)):
        left -= len(chunk)
        if size := _FLOAT_BYTES.get(code):
            values = np.frombuffer(chunk, f"{order}f{size}", len(chunk) // size)
            wrong += int(np.count_nonzero(~np.isfinite(values)))
    if left:
        raise DamagedError(f"{promised - left} of {promised} bytes of pixels")
    while stream.read(_CHUNK):  # read on, so that the checksum is verified
        pass
    return wrong


def _check_packed(stream: BinaryIO, apart: Path | None, *, meta: bool) -> None:
    """Decompress the pixels of a MetaImage or NRRD file, if they are compressed, to detect damage.

    They follow the header in ``stream``, or are in the file ``apart``. An empty line ends the
    header, except in a MetaImage (``meta``).
    """
    packed = False
    for line in stream:
        packed |= line.split() in _PACKED
        if line.lstrip().startswith(b"ElementDataFile") or not (meta or line.strip()):
            break
    if not packed:
        return  # ITK notices missing bytes itself
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip format
    with apart.open("rb") if apart else nullcontext(stream) as pixels:
        while chunk := pixels.read(_CHUNK):
            inflate.decompress(chunk)
    if not inflate.eof:
        raise DamagedError("compressed pixels that end too early")
