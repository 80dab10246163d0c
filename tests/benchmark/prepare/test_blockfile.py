"""OME-TIFF and OME-Zarr: blocks equal the same part of the whole, in millimetres."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from benchmark import catalogue, prepare, volume
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.prepare import blockfile, rasters
from benchmark.sources import Status
from benchmark.transforms import Spacing

ARRAY = np.random.default_rng(1).integers(0, 60000, (6, 7, 9)).astype(np.uint16)
REGION = (slice(2, 5), slice(1, 6), slice(4, 9))


def ome_tiff(path: Path, array: Any = ARRAY, **metadata: Any) -> Path:
    sizes = {"PhysicalSizeX": 1.6, "PhysicalSizeY": 2.0, "PhysicalSizeZ": 4.0}
    about = {"axes": "ZYX", **(metadata or sizes)}
    tifffile.imwrite(path, array, ome=True, metadata=about, tile=(16, 16))
    return path


def ome_zarr(path: Path, unit: str = "micrometer", all_levels: Sequence[float] = ()) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=ARRAY[None], chunks=(1, 2, 3, 4))
    axes: Any = [{"name": "c"}] + [{"name": n, "unit": unit} for n in "zyx"]
    scale = {"type": "scale", "scale": [1, 4.0, 2.0, 1.6]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    scales: Any = [{"axes": axes, "datasets": [level]}]
    if all_levels:
        scales[0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, *all_levels]}]
    group.attrs["multiscales"] = scales
    return path


@pytest.mark.parametrize(("make", "name"), [(ome_tiff, "a.ome.tiff"), (ome_zarr, "a.zarr")])
def test_a_part_lies_where_it_lies_in_the_whole(
    make: Callable[[Path], Path], name: str, tmp_path: Path
) -> None:
    path = make(tmp_path / name)
    whole, part = blockfile.read(path), blockfile.read(path, REGION)
    np.testing.assert_array_equal(whole.array, ARRAY[None])
    np.testing.assert_array_equal(part.array, ARRAY[REGION][None])
    assert whole.grid.spacing == pytest.approx((1.6e-3, 2e-3, 4e-3))
    assert part.grid.size == (5, 5, 3)
    assert part.grid.origin == pytest.approx((4 * 1.6e-3, 2e-3, 2 * 4e-3))


@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    size=st.tuples(*[st.integers(1, 10)] * 3),
)
def test_blocks_tile_a_volume(
    shape: tuple[int, int, int],
    size: tuple[int, int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("tiles") / "a.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="minisblack")
    seen = np.zeros(shape, dtype=int)
    for region in blockfile.regions(path, size):
        seen[region] += 1
        assert all(s.stop - s.start <= n for s, n in zip(region, size, strict=True))
    assert (seen == 1).all()


def test_units_and_files_without_them(tmp_path: Path) -> None:
    unit = {f"PhysicalSize{a}Unit": "nm" for a in "XYZ"} | {f"PhysicalSize{a}": 500 for a in "XYZ"}
    path = ome_tiff(tmp_path / "a.ome.tiff", **unit)
    assert blockfile.read(path).grid.spacing == pytest.approx((5e-4, 5e-4, 5e-4))
    tifffile.imwrite(tmp_path / "plain.tif", ARRAY, photometric="minisblack")
    assert blockfile.read(tmp_path / "plain.tif").grid.spacing == (1, 1, 1)


LENGTHS = {"m": 1e3, "in": 25.4, "Å": 1e-7, "µm": 1e-3}


@pytest.mark.parametrize("unit", LENGTHS)
def test_lengths_of_ome(tmp_path: Path, unit: str) -> None:
    told = {f"PhysicalSize{a}Unit": unit for a in "XYZ"} | {f"PhysicalSize{a}": 2 for a in "XYZ"}
    got = blockfile.read(ome_tiff(tmp_path / "a.ome.tiff", **told))
    assert got.grid.spacing == pytest.approx((2 * LENGTHS[unit],) * 3)
    assert got.sized


def test_lengths_of_ngff(tmp_path: Path) -> None:
    for unit, mm in {"meter": 1e3, "inch": 25.4, "angstrom": 1e-7}.items():
        got = blockfile.read(ome_zarr(tmp_path / f"{unit}.zarr", unit))
        assert got.grid.spacing == pytest.approx((1.6 * mm, 2 * mm, 4 * mm))
    got = blockfile.read(ome_zarr(tmp_path / "levels.zarr", all_levels=(10, 2, 3)))
    assert got.grid.spacing == pytest.approx((4.8e-3, 4e-3, 40e-3))


def test_voxels_without_a_size(tmp_path: Path) -> None:
    """As Bio-Formats and ImageJ write it; the unit is no length."""
    told = {f"PhysicalSize{a}Unit": "pixel" for a in "XYZ"} | {f"PhysicalSize{a}": 1 for a in "XYZ"}
    got = blockfile.read(ome_tiff(tmp_path / "a.ome.tiff", **told))
    assert (got.grid.spacing, got.sized) == ((1, 1, 1), False)


@pytest.mark.parametrize("name", ["a.ome.tiff", "a.tif", "a.zarr"])
def test_a_size_that_neither_file_nor_entry_tells(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.zarr":
        zarr.create_array(path, data=ARRAY)
    else:
        about: Any = {"ome": True, "metadata": {"axes": "ZYX"}} if "ome" in name else {}
        tifffile.imwrite(path, ARRAY, photometric="minisblack", **about)
    with pytest.raises(UserError, match=r"voxels is not known.*transform spacing"):
        rasters.read(path)
    for missing in (True, False):
        spacing = Spacing(name="spacing", mm=(3, 2, 1), only_missing=missing)
        got = spacing.apply(rasters.read(path, transforms=[spacing]))
        assert got.grid.spacing == (1, 2, 3)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"PhysicalSizeX": 1.6, "PhysicalSizeY": 1.6}, "got none, 1.6 µm, 1.6 µm"),
        ({f"PhysicalSize{a}": 2 for a in "XYZ"} | {"PhysicalSizeXUnit": "pt"}, "2 µm, 2 pt"),
        ({f"PhysicalSize{a}": 0.0 for a in "XYZ"}, "got 0 µm"),
    ],
)
def test_sizes_that_cannot_be_used(tmp_path: Path, sizes: dict[str, Any], message: str) -> None:
    """With 1 mm along z alone, voxels would be 625 times as high as wide."""
    path = ome_tiff(tmp_path / "a.ome.tiff", **sizes)
    with pytest.raises(UserError, match=rf"voxels is not known.*{message}.*transform spacing"):
        blockfile.read(path)
    assert blockfile.read(path, needs_spacing=False).grid.spacing == (1, 1, 1)


@pytest.mark.parametrize("sized", ["both", "image", "label", "none"])
def test_the_glomeruli_have_a_size_whichever_file_tells_it(
    tmp_path: Path, sized: str, ready: Callable[[Path], Status]
) -> None:
    """The effective pixel size of the study is 1.625 micrometres; the tolerance is for these."""
    images = tmp_path / "Kidney_2"
    annotations = images / "D4_training_data" / "glomeruli"
    annotations.mkdir(parents=True)
    labels = np.zeros(ARRAY.shape, dtype=np.uint8)
    labels[4:6, 1:3, 5:8] = 255
    sizes = {f"PhysicalSize{a}": 1.625 for a in "XYZ"}
    for kind, path, array in (
        ("image", images / "kidney2_raw_pag.ome.tiff", ARRAY),
        ("label", annotations / "kidney2_annotation.ome.tiff", labels),
    ):
        about = sizes if sized in ("both", kind) else {"axes": "ZYX"}
        ome_tiff(path, array, **about)
    entry = catalogue.load("D44").model_copy(update={"shards": 1})
    got = prepare.prepare(entry, ready(tmp_path), 0, tmp_path / "converted")
    assert not got.failures
    assert [row["volume_mm3"] for row in got.objects] == pytest.approx([12 * 0.001625**3])


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"<html>Not found</html>")
    with pytest.raises(UserError, match=r"broken\.tif: unreadable image"):
        blockfile.read(tmp_path / "broken.tif")
    tifffile.imwrite(tmp_path / "flat.tif", ARRAY[0], photometric="minisblack")
    with pytest.raises(UserError, match=r"flat\.tif: not a volume"):
        blockfile.read(tmp_path / "flat.tif")


def test_damaged_pixels_say_so(tmp_path: Path) -> None:
    """What the codecs raise is neither an error of the system nor of tifffile."""
    packed = tmp_path / "packed.tif"
    tifffile.imwrite(packed, ARRAY, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(packed) as file:
        start = file.pages[0].dataoffsets[0]
    content = packed.read_bytes()
    packed.write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
    stored = ome_zarr(tmp_path / "a.zarr")
    chunk = next(path for path in sorted((stored / "0").rglob("*")) if path.name[0] != ".")
    chunk.write_bytes(chunk.read_bytes()[:5])
    for path in (packed, stored):
        with pytest.raises(UserError, match="unreadable image"):
            blockfile.read(path)


def test_one_bad_file_of_an_entry_with_blocks(
    tmp_path: Path, entry: Callable[..., Dataset], ready: Callable[[Path], Status]
) -> None:
    for name in ("a", "bad", "z"):
        ome_tiff(tmp_path / f"{name}_raw.ome.tiff")
        ome_tiff(tmp_path / f"{name}_seg.ome.tiff", (ARRAY > 0).astype(np.uint8))
    (tmp_path / "bad_raw.ome.tiff").write_bytes(b"junk")
    layout = {"image": "{scan}_raw.ome.tiff", "label": "{scan}_seg.ome.tiff", "block": [6, 7, 5]}
    got = prepare.prepare(entry(tmp_path, layout=layout), ready(tmp_path), 0, tmp_path / "made")
    assert [row["scan"] for row in got.images] == ["a.0-0-0", "a.0-0-5", "z.0-0-0", "z.0-0-5"]
    (failure,) = got.failures
    assert failure["scan"] == "bad"
    assert "unreadable image" in failure["reason"]


def test_more_blocks_than_there_can_be(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(10**6,) * 3, chunks=(64,) * 3, dtype="u1")
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    axes: Any = [{"name": n, "unit": "micrometer"} for n in "zyx"]
    scales: Any = [{"axes": axes, "datasets": [level]}]
    group.attrs["multiscales"] = scales
    with pytest.raises(UserError, match="more than 1,000,000 blocks"):
        next(blockfile.regions(tmp_path / "a.zarr", (64, 64, 64)))


def test_an_entry_with_blocks(
    tmp_path: Path, entry: Callable[..., Dataset], ready: Callable[[Path], Status]
) -> None:
    labels = np.zeros(ARRAY.shape, dtype=np.uint8)
    labels[4:6, 1:3, 5:8] = 255
    raw = tmp_path / "raw"
    raw.mkdir()
    ome_tiff(raw / "k1_raw.ome.tiff")
    ome_tiff(raw / "k1_seg.ome.tiff", labels)
    layout = {
        "image": "{scan}_raw.ome.tiff",
        "label": "{scan}_seg.ome.tiff",
        "block": [4, 4, 5],
        "unlabelled": "leave-out",
        "label_transforms": ["binary"],
    }
    got = prepare.prepare(entry(raw, layout=layout), ready(raw), 0, tmp_path / "converted")
    assert not got.failures
    assert [row["scan"] for row in got.images] == ["k1.4-0-5"]
    image = volume.read([Path(p) for p in got.images[0]["images"]])
    np.testing.assert_array_equal(image.array, ARRAY[4:, :4, 5:])
    assert image.spacing == (0.004, 0.002, 0.0016)
    assert [row["voxels"] for row in got.objects] == [2 * 2 * 3]
