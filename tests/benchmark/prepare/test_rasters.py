"""Label pictures keep their values; those that cannot be read are refused with a reason."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from benchmark.errors import UserError
from benchmark.geometry import Geometry
from benchmark.prepare.rasters import read_pictures

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


VALUES = np.array([[0, 1, 2, 300], [0, 0, 400, 2], [1, 1, 0, 0], [0, 2, 2, 65535]])


def palette(values: NDArray[np.uint8]) -> Image.Image:
    """Indices 1 and 2 that look like 2 and 1, in grey."""
    picture = Image.new("P", values.shape[::-1])
    picture.putdata(values.ravel().tolist())
    picture.putpalette([0, 0, 0, 2, 2, 2, 1, 1, 1])
    return picture


def test_values_of_pictures_are_kept(tmp_path: Path) -> None:
    small = VALUES.astype(np.uint8)
    made = {
        "L": (Image.fromarray(small), small),
        "I;16": (Image.fromarray(VALUES.astype(np.uint16)), VALUES),
        "P": (palette(small.clip(max=2)), small.clip(max=2)),
        "RGB": (Image.fromarray(np.stack([small] * 3, axis=-1)), small),
        "1": (Image.fromarray(VALUES > 0), (VALUES > 0) * 255),
    }
    for mode, (picture, expected) in made.items():
        assert picture.mode == mode
        path = tmp_path / f"{len(mode)}.png"
        picture.save(path)
        np.testing.assert_array_equal(read_pictures([path], GRID).array, expected[None, None], mode)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_colours_are_no_labels(tmp_path: Path, layers: int) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4, 4, layers)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"1\.png: not a label picture.*colours"):
        read_pictures([tmp_path / "1.png"], GRID)
