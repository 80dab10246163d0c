"""Pictures that cannot be read are refused with a reason."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.published.rasters import read_pictures

GRID = Geometry((4, 4, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def text_that_unpacks_to_much(path: Path) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("comment", "x" * (2 << 20), zip=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, pnginfo=about)


def size_of_a_bomb(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    content = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 40000, 40000) + content[24:29]
    checksum = struct.pack(">I", zlib.crc32(header))
    path.write_bytes(content[:12] + header + checksum + content[33:])


@pytest.mark.parametrize("make", [text_that_unpacks_to_much, size_of_a_bomb])
def test_a_picture_that_unpacks_to_too_much(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "1.png")
    with pytest.raises(UserError, match="unreadable picture"):
        read_pictures([tmp_path / "1.png"], GRID)
