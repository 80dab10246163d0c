"""Headers whose pixels are in another file."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.errors import UserError
from benchmark.volume import read, read_header

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def detached(path: Path, told: str | None = None) -> Path:
    """Write ``path`` and its pixels beside it; the header then names ``told`` instead."""
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(path.with_suffix(header(path))))
    text = path.with_suffix(header(path)).read_text()
    path.write_text(text.replace(f"{path.stem}.raw", told) if told else text)
    return path


def header(path: Path) -> str:
    return ".mhd" if path.suffix in (".mha", ".mhd") else ".nhdr"


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize(
    "told",
    ["/dev/zero", "{folder}/secret.raw", "../secret.raw", "LIST\nimage.raw", "i%d.raw 1 9 1"],
)
def test_pixels_that_are_elsewhere(tmp_path: Path, suffix: str, told: str) -> None:
    (tmp_path / "secret.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "data").mkdir()
    path = detached(tmp_path / "data" / f"image{suffix}", told.format(folder=tmp_path))
    for reading in (read_header, lambda path: read([path])):
        with pytest.raises(UserError, match="the pixels are elsewhere"):
            reading(path)


@pytest.mark.parametrize(
    "text", ["content: x\rdata file: ../secret.raw", "DataFile: ../secret.raw"]
)
def test_other_spellings_of_nrrd(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "data").mkdir()
    path = detached(tmp_path / "data/image.nhdr")
    path.write_text(path.read_text().replace("data file: image.raw", text))
    with pytest.raises(UserError, match="the pixels are elsewhere"):
        read([path])


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize(
    "text",
    [
        "\nElementDataFile = ../secret.raw",
        "ElementDataFileX = 1\nElementDataFile = ../secret.raw",
        "ElementDataFile\0 = ../secret.raw",
        "ElementDataFile\n= ../secret.raw",
    ],
)
def test_other_spellings_of_metaimage(tmp_path: Path, suffix: str, text: str) -> None:
    (tmp_path / "secret.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "data").mkdir()
    path = detached(tmp_path / f"data/image{suffix}")
    path.write_text(path.read_text().replace("ElementDataFile = image.raw", text))
    with pytest.raises(UserError, match="the pixels are elsewhere"):
        read([path])


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_pixels_beside_the_header(tmp_path: Path, suffix: str) -> None:
    """Also of links, as a dataset's folder has them."""
    path = detached(tmp_path / f"image{suffix}")
    assert np.array_equal(read([path]).array, ARRAY)
    (tmp_path / "data").mkdir()
    for file in (path, tmp_path / "image.raw"):
        (tmp_path / "data" / file.name).symlink_to(file)
    assert np.array_equal(read([tmp_path / "data" / path.name]).array, ARRAY)
