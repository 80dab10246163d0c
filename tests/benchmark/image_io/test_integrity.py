"""Truncated and damaged files, most of which ITK reads without complaint."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.errors import UserError
from benchmark.volume import SUFFIXES, read

NOISE = np.random.default_rng(0).integers(-1000, 1000, (20, 30, 40)).astype(np.int16)


def noisy(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(NOISE), str(path), True)
    return path


def damage(path: Path, share: float) -> None:
    """Change one byte, behind ``share`` of the file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.9, 0.999])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    path = noisy(tmp_path / f"image{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"image\..*Expected .*; got .*Likely cause: .*Next step: "):
        read([path])


@pytest.mark.parametrize("bitpix", [0, 8, 16, 64])
def test_bytes_of_a_voxel_are_those_of_its_type(tmp_path: Path, bitpix: int) -> None:
    path = noisy(tmp_path / "image.nii")
    whole = bytearray(path.read_bytes())
    struct.pack_into("<h", whole, 72, bitpix)
    path.write_bytes(whole)
    assert np.array_equal(read([path]).array, NOISE)
    path.write_bytes(whole[: 352 + NOISE.nbytes // 2])
    with pytest.raises(UserError, match="truncated"):
        read([path])


@pytest.mark.parametrize("missing", [1, 4, 8, 9])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_last_bytes_missing(tmp_path: Path, suffix: str, missing: int) -> None:
    path = noisy(tmp_path / f"image{suffix}")
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(UserError, match="truncated"):
        read([path])


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.7, 0.9, 0.9999])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_damaged_compression(tmp_path: Path, suffix: str, share: float) -> None:
    path = noisy(tmp_path / f"image{suffix}")
    damage(path, share)
    with pytest.raises(UserError, match=r"truncated or damaged|unreadable"):
        read([path])


def test_damaged_compression_behind_an_empty_line_of_a_metaimage(tmp_path: Path) -> None:
    path = noisy(tmp_path / "image.mha")
    path.write_bytes(path.read_bytes().replace(b"ElementDataFile", b"\nElementDataFile", 1))
    assert np.array_equal(read([path]).array, NOISE)
    damage(path, 0.5)
    with pytest.raises(UserError, match="truncated or damaged"):
        read([path])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_damaged_compression_beside_the_header(tmp_path: Path, suffix: str, share: float) -> None:
    path = noisy(tmp_path / f"image{suffix}")
    assert np.array_equal(read([path]).array, NOISE)
    damage(next(file for file in tmp_path.iterdir() if file != path), share)
    with pytest.raises(UserError, match=r"truncated or damaged|unreadable"):
        read([path])


def test_gzip_in_several_members_is_whole(tmp_path: Path) -> None:
    plain = noisy(tmp_path / "image.nii").read_bytes()
    path = tmp_path / "members.nii.gz"
    path.write_bytes(gzip.compress(plain[:9999]) + gzip.compress(plain[9999:]))
    assert np.array_equal(read([path]).array, NOISE)


def test_bytes_after_the_image_are_allowed(tmp_path: Path) -> None:
    path = noisy(tmp_path / "image.nii")
    path.write_bytes(path.read_bytes() + b"comment")
    assert np.array_equal(read([path]).array, NOISE)


@pytest.mark.parametrize("named", ["hdr", "img", "hdr.gz", "img.gz"])
def test_a_header_and_its_pixels_beside_it(tmp_path: Path, named: str) -> None:
    path = noisy(tmp_path / f"image.{named}")
    pixels = tmp_path / f"image.{named.replace('hdr', 'img')}"
    assert np.array_equal(read([path]).array, NOISE)
    pixels.write_bytes(pixels.read_bytes()[:-9])
    with pytest.raises(UserError, match="truncated"):
        read([path])
    values = NOISE.astype(np.float32)
    values[3, 2, 1] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    with pytest.raises(UserError, match="1 of 24000 values NaN"):
        read([path])


@pytest.mark.parametrize("start", [-1.0, 0.0, 348.0, 1e12, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_pixels_that_begin_within_the_header_or_nowhere(
    tmp_path: Path, suffix: str, start: float
) -> None:
    whole = bytearray(noisy(tmp_path / "image.nii").read_bytes())
    struct.pack_into("<f", whole, 108, start)
    path = tmp_path / f"other{suffix}"
    path.write_bytes(gzip.compress(whole) if suffix == ".nii.gz" else whole)
    with pytest.raises(UserError, match="truncated or damaged"):
        read([path])
