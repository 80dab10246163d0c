"""Every dataset of the paper, as a small tree in its published layout, goes through `prepare`."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from benchmark import catalogue, prepare, volume
from benchmark.catalogue import Dataset
from benchmark.masks import Mask
from benchmark.prepare.scans import find
from benchmark.sources import Status
from benchmark.sources.fetched import lay_out
from benchmark.sources.files import File
from benchmark.sources.manual import ManualSource
from benchmark.sources.raw_folder import FetchedFile, RawFolder
from benchmark.sources.tree import make_links
from tests.benchmark.prepare.files import CODES, DECOYS, FILES, WORD
from tests.benchmark.prepare.quirks import QUIRKS
from tests.benchmark.prepare.tree import Tree, grey, scene

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
    "D09": {"renal vein", "kidney", "renal artery", "kidney tumour"},
    "D25": {"peripheral zone", "central gland"},
    "D26": {"prostate cancer"},
    "D28": {"prostate", "peripheral zone", "suspected tumour", "normal region"},
    "D29": {"thoracic vertebra", "lumbar vertebra", "sacral vertebra"},
    "D34": {"white matter hyperintensity", "other pathology"},
    "D39": {"mediastinal lymph node"},
    "D41": set(WORD),
    "D43": {"liver", "right kidney", "left kidney", "spleen"},
}
"""Structures of the variants that follow the authors' scripts."""


@pytest.mark.parametrize("name", ["D34", "D34@released"])
def test_other_pathology_is_evaluated_in_the_scripts_of_the_authors_alone(
    name: str, tmp_path: Path
) -> None:
    tree = build("D34", tmp_path / "raw")
    got = prepared(catalogue.load(name), tree.root, tmp_path / "converted")
    outside = [row for row in got.reference if row["structure"] is None]
    expected = set(tree.scans) if name == "D34" else set()
    assert {row["scan"] for row in outside} == expected
    labels = scene(1, 2)
    z, y, x = labels.shape
    for row in outside:
        np.testing.assert_array_equal(Mask.from_row(row, (z, y, x)).dense(), labels == 2)


@pytest.mark.parametrize(("name", "objects"), [("D29", 1), ("D29@released", 2)])
def test_the_authors_divided_a_vertebra_into_its_components(
    name: str, objects: int, tmp_path: Path
) -> None:
    tree = build("D29", tmp_path / "raw")
    file = tree.root / "SpineSegmented" / "S01" / "L1.mha"
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    mask |= np.flip(mask)
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(file))
    file.with_name("L2.mha").unlink()
    got = prepared(catalogue.load(name), tree.root, tmp_path / "converted")
    found = [row["structure"] for row in got.objects if row["scan"] == "S01"]
    assert found.count("lumbar vertebra") == objects


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
    found = {row["scan"] for row in got.images}
    assert {row["structure"] for row in got.objects} == RELEASED[name]
    if name == "D25":  # the mask on other slices
        assert {row["scan"] for row in got.failures} == {"ProstateDx-01-0006"}
        return
    assert not got.failures
    expected = {
        "D26": {"10005_1000005-human"},
        "D39": {"case_0002", "case_0003"},
        "D41": {"word_0001", "word_0002"},
        "D43": {"1-T1-in", "2-T1-in"},
    }
    assert found == expected.get(name, set(tree.scans))
    if name == "D06":
        assert {row["patient"] for row in got.images} == {"coronacases_001", "radiopaedia_10"}
    if name in AS_STORED:
        image = volume.read([Path(got.images[-1]["images"][0])])
        np.testing.assert_array_equal(image.array, AS_STORED[name])


CONFIG = Path(__file__).parents[3] / "config"
LEARNT: dict[str, list[str]] = {
    name: yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["datasets"]
    for name in ("ten", "training")
}
"""Datasets of the studies in which a model is to learn from each."""
ALONE = {"D44"}
"""Those of them that hold one patient, from which nothing can be learnt."""


@pytest.mark.parametrize("name", LEARNT)
def test_a_study_tells_from_which_of_its_datasets_no_model_learns(name: str) -> None:
    head = (CONFIG / f"{name}.yaml").read_text().partition("\nstudy:")[0]
    told = re.findall(r"No model learns from (D\d\d)", " ".join(head.replace("#", " ").split()))
    assert {*told} == ALONE & {*LEARNT[name]}


def test_another_number_of_volumes_in_a_file_is_no_order_of_the_channels(tmp_path: Path) -> None:
    tree = build("D30", tmp_path / "tree")
    file = next(tree.root.rglob("imagesTr/*.nii.gz"))
    before = sitk.ReadImage(str(file))
    sitk.WriteImage(sitk.JoinSeries([before[..., k] for k in (0, 1, 2, 3, 3)]), str(file))
    got = prepared(catalogue.load("D30"), tree.root, tmp_path / "converted")
    reasons = {row["reason"] for row in got.failures if row["scan"].startswith(file.name[:-7])}
    assert len(reasons) == 1
    assert "Expected 4 (FLAIR, T1w, T1gd, T2w); got 5" in reasons.pop()


def test_scans_annotated_in_part_are_told(tmp_path: Path) -> None:
    tree = build("D39", tmp_path / "tree")
    got = prepared(catalogue.load("D39"), tree.root, tmp_path / "converted")
    told = {row["scan"]: row["partly_annotated"] for row in got.objects}
    assert told == {"case_0002": True, "case_0003": True, "case_0004": False}


HANDED_OUT = [
    ("D07", "hecktor2022_training.zip", "hecktor2022_training/hecktor2022"),
    ("D07", "hecktor2022_training_corrected_v3.zip", "hecktor2022_training/hecktor2022"),
    ("D07", "hecktor2022_training_corrected_v3", "hecktor2022_training/hecktor2022"),
    ("D08", "train_2.zip", "train_2"),
    ("D08", "train_2", "."),
    ("D08", "train", "."),
]
"""Archives as they are handed out, and folders that a person has unpacked, with what is in them."""


@pytest.mark.parametrize(("name", "top", "inner"), HANDED_OUT)
def test_names_under_which_the_data_come(name: str, top: str, inner: str, tmp_path: Path) -> None:
    entry = catalogue.load(name)
    tree = build(name, tmp_path / "tree")
    (labels,) = tree.root.rglob("label*")
    shutil.copytree(labels.parent, tmp_path / "handed out" / inner, dirs_exist_ok=True)
    place = RawFolder(tmp_path / "data" / name / "raw")
    if top.endswith(".zip"):
        archive = place.files / top.removesuffix(".zip")
        shutil.make_archive(str(archive), "zip", tmp_path / "handed out")
    else:
        shutil.copytree(tmp_path / "handed out", place.files / top)
    assert isinstance(entry.source, ManualSource)
    assert entry.source.manual_steps(place) == []
    status = entry.source.fetch(place.raw)
    assert status.state == "ready"
    found = find(entry, Path(status.root))
    assert {scan.id for scan in found} == set(tree.scans)
    assert all(scan.label.exists() for scan in found)


def fetched(root: Path, raw: Path) -> Path:
    """The links that a fetch makes to what it has downloaded and unpacked."""
    tops = sorted(root.iterdir())
    place = RawFolder(raw)
    got = [FetchedFile(top, top.name, File(name=top.name, unpack=False)) for top in tops]
    make_links(lay_out(got), place.files, place.links)
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
    if name in {*LEARNT["ten"], *LEARNT["training"]}:
        assert (len({row["patient"] for row in got.images}) > 1) == (name not in ALONE)
    for row in got.images:
        expected = tree.scans[row["scan"]]
        read = volume.read(
            [Path(path) for path in row["images"]], channels=row["channels"], modality="x"
        )
        np.testing.assert_allclose(read.grey, expected.image, rtol=1e-6, atol=2e-4)
        assert row["patient"] == (expected.patient or row["scan"])
        assert row["modality"] == entry.modality
        shape = tuple(row[f"size_{axis}"] for axis in "zyx")
        assert shape == expected.image.shape
        objects = [item for item in got.objects if item["scan"] == row["scan"]]
        masks = {
            str(m["object"]).partition("/")[2]: Mask.from_row(m, shape).dense()
            for m in got.reference
            if m["scan"] == row["scan"] and m["structure"] is not None
        }
        assert set(masks) == set(expected.objects)
        assert {item["object"].partition("/")[2] for item in objects} == set(expected.objects)
        for item, mask in expected.objects.items():
            np.testing.assert_array_equal(masks[item], mask, err_msg=item)
        assert {item["label_note"] is not None for item in objects} == {expected.note}
    assert {p: p.read_bytes() for p in tree.root.rglob("*") if p.is_file()} == before
