"""Headers as the formats define them: MetaIO's own documentation, and teem's of NRRD."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.prepare import rasters
from benchmark.transforms import ImageGrid, Spacing
from benchmark.volume import read, read_header

ARRAY = np.arange(5 * 6 * 7, dtype="<i2").reshape(5, 6, 7)

META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
DimSize = 7 6 5
ElementType = MET_SHORT
{}ElementDataFile = LOCAL
"""
NRRD = """NRRD0004
type: short
dimension: 3
sizes: 7 6 5
encoding: raw
endian: little
{}
"""


CUBE = ("space: LPS", "space directions: (1,0,0) (0,2,0) (0,0,3)")


def save(folder: Path, suffix: str, *fields: str) -> Path:
    path = folder / f"image{suffix}"
    header = (META if suffix == ".mha" else NRRD).format("".join(f"{field}\n" for field in fields))
    path.write_bytes(header.encode() + ARRAY.tobytes())
    return path


@pytest.mark.parametrize(
    ("suffix", "fields"),
    [
        (".mha", ()),
        (".mha", ("Offset = 1 2 3",)),
        (".nrrd", ()),
        (".nrrd", ("spacings: nan nan nan",)),
        (".nrrd", ("spacings: 0.8 0.9 NaN",)),
        (".nrrd", ("kinds: domain domain domain", "axis mins: 0 0 0", "axis maxs: 7 6 5")),
        (".nrrd", ("spacings: 1 2 3", 'units: "um" "um" "um"')),
        (".nrrd", (*CUBE, 'space units: "microns" "microns" "microns"')),
        (".nrrd", (*CUBE, 'SPACE UNITS: "\u00b5m" "\u00b5m" "\u00b5m"')),
        (".nrrd", (*CUBE, 'space units: "mm" "mm" "cm"')),
        (".mha", ("DistanceUnits = um", "ElementSpacing = 1 2 3")),
    ],
)
def test_a_size_that_is_not_told_is_not_1_mm(
    tmp_path: Path, suffix: str, fields: tuple[str, ...]
) -> None:
    path = save(tmp_path, suffix, *fields)
    for reading in (read_header, lambda path: read([path]), rasters.read):
        with pytest.raises(UserError, match=r"no valid grid.*Next step.*transform spacing"):
            reading(path)
    for missing in (True, False):
        spacing = Spacing(name="spacing", mm=(3, 2, 1), only_missing=missing)
        got = spacing.apply(rasters.read(path, transforms=[spacing]))
        assert got.grid.spacing == (1, 2, 3)
        np.testing.assert_array_equal(got.array, ARRAY[None])
    assert not rasters.read(path, transforms=[ImageGrid(name="image-grid")]).sized


@pytest.mark.parametrize(
    ("suffix", "fields"),
    [
        (".mha", ("ElementSpacing = 0.8 0.9 2.5",)),
        (".mha", ("ElementSize = 0.8 0.9 2.5",)),
        (".nrrd", ("spacings: 0.8 0.9 2.5",)),
        (".nrrd", ("space: LPS", "space directions: (0.8,0,0) (0,0.9,0) (0,0,2.5)")),
        (".nrrd", ("spacings: 0.8 0.9 2.5", 'units: "mm" "" "???"')),
        (".mha", ("DistanceUnits = mm", "ElementSpacing = 0.8 0.9 2.5", "Comment = um")),
    ],
)
def test_a_size_that_is_told(tmp_path: Path, suffix: str, fields: tuple[str, ...]) -> None:
    path = save(tmp_path, suffix, *fields)
    assert read([path]).spacing == read_header(path).spacing == (2.5, 0.9, 0.8)
    kept = Spacing(name="spacing", mm=(3, 2, 1), only_missing=True)
    assert kept.apply(rasters.read(path, transforms=[kept])).grid.spacing == (0.8, 0.9, 2.5)


@pytest.mark.parametrize(
    ("suffix", "fields"),
    [
        (".mha", ("TransformMatrix = 1 0 0 0 1 0 0.3 0 1", "ElementSpacing = 0.8 0.9 2.5")),
        (".mha", ("TransformMatrix = 2 0 0 0 2 0 0 0 3", "ElementSpacing = 1 1 1")),
        (".nrrd", ("space: LPS", "space directions: (0.8,0,0) (0,0.9,0) (0.75,0,2.5)")),
    ],
)
def test_a_grid_that_is_sheared_or_scaled(
    tmp_path: Path, suffix: str, fields: tuple[str, ...]
) -> None:
    """The slices of the first and the last are 2.5 mm apart, and not as far as the axis is long."""
    with pytest.raises(UserError, match=r"sheared or scaled.*Next step: resample"):
        read_header(save(tmp_path, suffix, *fields))
