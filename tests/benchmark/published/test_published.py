"""Every dataset of the paper, as a small tree in its published layout, goes through `prepare`."""

from pathlib import Path

import numpy as np
import pytest

from benchmark import catalogue, prepare, volume
from benchmark.catalogue import Dataset
from benchmark.masks import Mask
from benchmark.sources import Status
from benchmark.sources.fetched import lay_out
from benchmark.sources.files import File
from benchmark.sources.place import Got, Place
from benchmark.sources.tree import plant
from tests.benchmark.published.files import CODES, DECOYS, FILES, WORD
from tests.benchmark.published.quirks import QUIRKS
from tests.benchmark.published.tree import Tree, grey, scene

DATASETS = [f"D{number:02d}" for number in range(1, 45)]


def build(name: str, root: Path) -> Tree:
    tree = Tree(root)
    if name in QUIRKS:
        QUIRKS[name](tree)
        return tree
    structures, scans = FILES[name]
    names = dict(enumerate(structures, start=1))
    labels = scene(*names)
    for image, label, scan, patient in scans:
        tree.pair(image, label, labels, CODES.get(name, "LPS"))
        tree.expect(scan, labels, names, patient=patient)
    for decoy in DECOYS.get(name, []):
        tree.image(decoy, grey(labels))
    return tree


def test_every_dataset_of_the_paper_has_a_tree() -> None:
    assert sorted({*FILES, *QUIRKS}) == DATASETS
    assert not {*FILES} & {*QUIRKS}
    assert set(DATASETS) <= set(catalogue.names())


RELEASED = {
    "D03": {"lesion"},
    "D06": {"left lung", "right lung", "COVID-19 infection"},
    "D09": {"renal vein", "kidney", "renal artery", "renal tumour"},
    "D25": {"peripheral zone", "central gland"},
    "D26": {"prostate cancer"},
    "D34": {"white matter hyperintensity", "other pathology"},
    "D39": {"mediastinal lymph node"},
    "D41": set(WORD),
    "D43": {"liver", "right kidney", "left kidney", "spleen"},
}
"""Structures of the variants that follow the authors' scripts."""

AS_STORED = {
    "D03": (grey(scene(1)) + 100) * 10,
    "D06": np.clip(grey(scene(1, 2, 3)) + 100, 0, 255),
    "D09": grey(scene(1, 2, 3, 4)) + 1000,
}
"""Grey values of the last scan, of those that the entries bring to another scale."""


@pytest.mark.parametrize("name", RELEASED)
def test_variants_take_what_the_authors_took(name: str, tmp_path: Path) -> None:
    entry = catalogue.load(f"{name}@released")
    tree = build(name, tmp_path / "raw")
    got = prepared(entry, tree.root, tmp_path / "converted")
    scans = {row["scan"] for row in got.images}
    assert {row["structure"] for row in got.objects} == RELEASED[name]
    if name == "D25":  # the mask on other slices
        assert {row["scan"] for row in got.failures} == {"ProstateDx-01-0006"}
        return
    assert not got.failures
    expected = {
        "D26": {"10005_1000005-human"},
        "D41": {"word_0001", "word_0002"},
        "D43": {"1-T1-in"},
    }
    assert scans == expected.get(name, set(tree.scans))
    if name in AS_STORED:
        image = volume.read([Path(got.images[-1]["images"][0])])
        np.testing.assert_array_equal(image.array, AS_STORED[name])


def fetched(root: Path, raw: Path) -> Path:
    """The links that a fetch makes to what it has downloaded and unpacked."""
    tops = sorted(root.iterdir())
    place = Place(raw)
    got = [Got(top, top.name, File(name=top.name, unpack=False)) for top in tops]
    plant(lay_out(got), place.files, place.links)
    assert all(path.is_symlink() for path in place.files.iterdir())
    return place.files


def prepared(entry: Dataset, root: Path, converted: Path) -> prepare.Prepared:
    """All shards of a dataset."""
    status = Status(state="ready", root=str(root), fingerprint="x")
    got = prepare.Prepared()
    for shard in range(entry.shards):
        part = prepare.prepare(entry, status, shard, converted)
        for kind in ("images", "objects", "reference", "failures"):
            getattr(got, kind).extend(getattr(part, kind))
    return got


@pytest.mark.parametrize("name", DATASETS)
def test_a_tree_as_published_gives_its_scans_and_objects(name: str, tmp_path: Path) -> None:
    entry = catalogue.load(name)
    tree = build(name, tmp_path / "downloads")
    before = {path: path.read_bytes() for path in tree.root.rglob("*") if path.is_file()}
    files = fetched(tree.root, tmp_path / name / "raw")
    got = prepared(entry, files, tmp_path / "converted")
    assert {row["scan"] for row in got.failures} == tree.set_aside, got.failures
    assert {row["scan"] for row in got.images} == set(tree.scans)
    for row in got.images:
        expected = tree.scans[row["scan"]]
        read = volume.read(
            [Path(path) for path in row["images"]], channels=row["channels"], modality="x"
        )
        np.testing.assert_allclose(read.grey, expected.image, rtol=1e-6, atol=2e-4)
        assert row["patient"] == (expected.patient or row["scan"])
        assert row["modality"] == entry.modality
        assert row["split"] == entry.split
        shape = tuple(row[f"size_{axis}"] for axis in "zyx")
        assert shape == expected.image.shape
        objects = [item for item in got.objects if item["scan"] == row["scan"]]
        masks = {
            str(m["object"]).partition("/")[2]: Mask.from_row(m, shape).dense()
            for m in got.reference
            if m["scan"] == row["scan"]
        }
        assert set(masks) == set(expected.objects)
        assert {item["object"].partition("/")[2] for item in objects} == set(expected.objects)
        for item, mask in expected.objects.items():
            np.testing.assert_array_equal(masks[item], mask, err_msg=item)
        assert {item["label_note"] is not None for item in objects} == {expected.note}
    assert {p: p.read_bytes() for p in tree.root.rglob("*") if p.is_file()} == before
