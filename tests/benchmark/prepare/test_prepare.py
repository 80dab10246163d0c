"""A bad scan is set aside with a clear reason, and the rest goes on."""

import errno
import gzip
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark import catalogue, objects, prepare, volume
from benchmark.catalogue import Dataset
from benchmark.errors import MachineError, UserError
from benchmark.masks import Mask
from benchmark.prepare import FAILURE_SCHEMA, IMAGE_SCHEMA
from benchmark.prepare import labels as labels_of
from benchmark.sources import Status
from benchmark.storage.tables import write_table
from tests.benchmark.prepare.quirks import pet, short
from tests.benchmark.prepare.tree import Tree, grey, scene

Make = Callable[..., Dataset]
Save = Callable[..., None]
Ready = Callable[[Path], Status]
Labels = NDArray[np.uint8]
SPACING = (3.0, 1.0, 1.5)


def truncated(root: Path, labels: Labels) -> None:
    path = root / "images" / "bad.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])


def not_finite(root: Path, labels: Labels) -> None:
    grey = labels.astype(np.float32)
    grey[0, 0, 0] = np.nan
    volume.write(grey, SPACING, root / "images" / "bad.nii.gz")


def other_spacing(root: Path, labels: Labels) -> None:
    volume.write(labels, (3.0, 1.0, 2.0), root / "labels" / "bad.nii.gz")


def other_shape(root: Path, labels: Labels) -> None:
    volume.write(labels[:-1], SPACING, root / "labels" / "bad.nii.gz")


def unknown_value(root: Path, labels: Labels) -> None:
    labels[0, 0, 0] = 7
    volume.write(labels, SPACING, root / "labels" / "bad.nii.gz")


def empty_label(root: Path, labels: Labels) -> None:
    volume.write(labels * 0, SPACING, root / "labels" / "bad.nii.gz")


def only_ignored(root: Path, labels: Labels) -> None:
    volume.write(np.where(labels, 9, 0).astype(np.uint8), SPACING, root / "labels" / "bad.nii.gz")


def missing_label(root: Path, labels: Labels) -> None:
    (root / "labels" / "bad.nii.gz").unlink()


def no_image(root: Path, labels: Labels) -> None:
    (root / "images" / "bad.nii.gz").write_bytes(gzip.compress(b"<html>Not found</html>"))


def fractions(root: Path, labels: Labels) -> None:
    volume.write(labels * np.float32(0.5), SPACING, root / "labels" / "bad.nii.gz")


def image_in_place_of_label(root: Path, labels: Labels) -> None:
    values = np.arange(labels.size, dtype=np.int32).reshape(labels.shape)
    volume.write(values, SPACING, root / "labels" / "bad.nii.gz")


def pixels_far_beyond_the_file(root: Path, labels: Labels) -> None:
    path = root / "images" / "bad.nii.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:108] + struct.pack("<f", 1e12) + content[112:]))


MISTAKES = [
    (truncated, r"images/bad\.nii\.gz: the file is truncated or damaged"),
    (not_finite, r"images/bad\.nii\.gz: .*NaN or infinite"),
    (other_spacing, "Image and label of bad lie on different grids: The spacing differs"),
    (other_shape, "Image and label of bad lie on different grids: The shape differs"),
    (unknown_value, r"The label of bad holds the values \[7\].*entry of T1.*labels: 1, 2.*ignore"),
    (empty_label, "The label of bad is empty"),
    (only_ignored, "The label of bad is empty"),
    (missing_label, r"labels/bad\.nii\.gz: no such label"),
    (no_image, r"images/bad\.nii\.gz: unreadable image"),
    (fractions, r"labels/bad\.nii\.gz: not a label map"),
    (image_in_place_of_label, r"bad holds the values \[3, 4, .*\] and [0-9,]+ more, which"),
    (pixels_far_beyond_the_file, r"images/bad\.nii\.gz: the file is truncated or damaged"),
]


def test_a_star_ignores_all_values_that_are_not_named(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, labels: Labels
) -> None:
    save_scan(tmp_path, "a")
    plain = prepare.prepare(entry(tmp_path), ready(tmp_path), 0)
    path = tmp_path / "labels" / "a.nii.gz"
    volume.write(np.where(labels, labels, 40).astype(np.uint8), SPACING, path)
    got = prepare.prepare(entry(tmp_path, ignore=["*"]), ready(tmp_path), 0)
    assert not got.failures
    assert got.objects == plain.objects


@pytest.mark.parametrize(("spoil", "reason"), MISTAKES, ids=lambda m: getattr(m, "__name__", ""))
def test_a_bad_scan_is_set_aside_and_the_rest_goes_on(
    tmp_path: Path,
    entry: Make,
    save_scan: Save,
    ready: Ready,
    labels: Labels,
    spoil: Callable[[Path, Labels], None],
    reason: str,
) -> None:
    for scan in ("bad", "a", "z"):
        save_scan(tmp_path, scan)
    spoil(tmp_path, labels)
    got = prepare.prepare(entry(tmp_path, ignore=[9]), ready(tmp_path), 0)
    (failure,) = got.failures
    assert {key: failure[key] for key in ("dataset", "scan", "stage")} == {
        "dataset": "T1",
        "scan": "bad",
        "stage": "prepare",
    }
    assert re.search(reason, failure["reason"]), failure["reason"]
    assert len(failure["reason"]) < 2000
    assert [row["scan"] for row in got.images] == ["a", "z"]
    for rows in (got.objects, got.reference):
        assert {row["scan"] for row in rows} == {"a", "z"}


def test_a_label_of_slicer_may_have_another_extent_than_its_image(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready
) -> None:
    """Cropped to its segments or padded, by SimpleITK, which moves the origin."""
    for scan in ("a", "b", "beyond", "half"):
        save_scan(tmp_path, scan)
    plain = prepare.prepare(entry(tmp_path), ready(tmp_path), 0)

    def save(image: Any, scan: str) -> None:
        sitk.WriteImage(image, str(tmp_path / "labels" / f"{scan}.seg.nrrd"))

    label = sitk.ReadImage(str(tmp_path / "labels" / "a.nii.gz"))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(label > 0, sitk.sitkUInt8))
    x, y, z, nx, ny, nz = shape.GetBoundingBox(1)
    cropped = sitk.RegionOfInterest(label, (nx, ny, nz), (x, y, z))
    save(cropped, "a")
    save(sitk.ConstantPad(label, (2, 0, 3), (1, 4, 0), 0), "b")
    save(sitk.ConstantPad(label, (0, 0, 0), (0, 0, 1), 1), "beyond")
    cropped.SetOrigin(label.TransformContinuousIndexToPhysicalPoint((x + 0.5, y, z)))
    save(cropped, "half")
    layout = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.seg.nrrd"}
    got = prepare.prepare(entry(tmp_path, layout=layout), ready(tmp_path), 0)
    assert [row["scan"] for row in got.images] == ["a", "b"]
    assert got.reference == [row for row in plain.reference if row["scan"] in "ab"]
    beyond, half = (row["reason"] for row in got.failures)
    assert "voxels of its segments lie outside of the image" in beyond
    assert "origin differs by 0.5 voxels" in half


def test_a_header_cannot_name_a_file_outside_of_the_folder(
    tmp_path: Path, entry: Make, ready: Ready
) -> None:
    """The id of a patient is any text, and what is converted is called by it."""
    tree, truth = Tree(tmp_path / "raw"), scene(1)
    odd = ["../../evil", "/proc/absolute", "12/34", "", ".hidden", "a\tb"]
    for number, patient in enumerate([*odd, "plain 1"]):
        series = tree.series(f"{number}/ct", grey(truth), patient=patient)
        tree.segmentation(f"{number}/seg/1.dcm", series, [("lesion", truth == 1)])
    before = set(tmp_path.rglob("*"))
    dataset = entry(layout={"series": {"modality": "CT"}}, labels={1: "lesion"})
    got = prepare.prepare(dataset, ready(tmp_path / "raw"), 0, tmp_path / "a" / "b" / "converted")
    assert [row["scan"] for row in got.images] == ["plain 1"]
    assert {row["scan"] for row in got.failures} == set(odd)
    assert all("cannot name a file" in row["reason"] for row in got.failures)
    made = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert made == {tmp_path / "a" / "b" / "converted" / "plain 1.nii.gz"}


def test_an_error_of_any_type_sets_one_scan_aside(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries that read files raise what they like; a full memory is no fault of the scan."""
    for scan in ("bad", "a", "z"):
        save_scan(tmp_path, scan)
    read = labels_of.read
    errors: list[Exception] = [OverflowError("x" * 3000)]

    def broken(dataset: Any, scan: Any, grid: Any) -> Any:
        if scan.id == "bad":
            raise errors[-1]
        return read(dataset, scan, grid)

    monkeypatch.setattr(labels_of, "read", broken)
    got = prepare.prepare(entry(tmp_path), ready(tmp_path), 0)
    assert [row["scan"] for row in got.images] == ["a", "z"]
    (failure,) = got.failures
    assert failure["reason"].startswith("OverflowError: xxx")
    assert len(failure["reason"]) < 2010
    full = OSError(errno.ENOSPC, "No space left on device")
    lost = OSError(errno.ESTALE, "Stale file handle")
    for error, raised in ((MemoryError(), MemoryError), (full, MachineError), (lost, OSError)):
        errors.append(error)
        with pytest.raises(raised):
            prepare.prepare(entry(tmp_path), ready(tmp_path), 0)


def test_a_name_that_is_not_utf_8(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready
) -> None:
    """As an archive from an old system holds it. ITK would abort the process."""
    root, name = tmp_path / "raw", os.fsdecode(b"l\xe4sion")
    for scan in ("a", "z"):
        save_scan(root, scan)
    for folder in ("images", "labels"):
        try:
            shutil.copy(root / folder / "a.nii.gz", root / folder / f"{name}.nii.gz")
        except OSError:
            pytest.skip("the file system takes names in UTF-8 only")
    dataset = entry(root)
    status = dataset.source.fetch(tmp_path / "fetched")
    assert status.state == "ready"
    assert status.fingerprint == dataset.source.fingerprint(tmp_path / "fetched")
    got = prepare.prepare(dataset, status, 0)
    assert [row["scan"] for row in got.images] == ["a", "z"]
    (failure,) = got.failures
    assert failure["scan"] == r"l\udce4sion"
    write_table(got.failures, FAILURE_SCHEMA, tmp_path / "failures.parquet")
    with pytest.raises(UserError, match="not UTF-8"):
        volume.read([root / "images" / f"{name}.nii.gz"])
    (root / name).mkdir()
    with pytest.raises(UserError, match="not UTF-8"):
        volume.read([root / name])


@pytest.mark.parametrize("state", ["manual", "failed"])
def test_a_dataset_that_is_not_at_hand(entry: Make, state: Any) -> None:
    status = Status(state=state, root="nowhere", fingerprint="absent", reason="Get it there.")
    got = prepare.prepare(entry(shards=2), status, 0)
    assert got.failures == [
        {"dataset": "T1", "scan": None, "stage": "fetch", "reason": "Get it there."}
    ]
    assert not got.images
    assert not prepare.prepare(entry(shards=2), status, 1).failures  # said once


def test_files_that_are_gone_since_the_fetch_are_no_reason_to_set_all_aside(
    tmp_path: Path, entry: Make, ready: Ready
) -> None:
    for root in (tmp_path / "away", tmp_path):
        with pytest.raises(UserError, match=rf"no file is left below {root}.*bring them back"):
            prepare.prepare(entry(root), ready(root), 0)


def test_a_layout_that_fits_nothing(tmp_path: Path, entry: Make, ready: Ready) -> None:
    (tmp_path / "readme").write_text("no image")
    got = prepare.prepare(entry(tmp_path), ready(tmp_path), 0)
    (failure,) = got.failures
    assert failure["scan"] is None
    assert "no image fits the pattern" in failure["reason"]


def test_a_dataset_of_which_no_label_is_found(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready
) -> None:
    """What is published without labels in part may be left out; the whole is lost with a word."""
    for scan in ("a", "b", "c"):
        save_scan(tmp_path, scan)
    layout = {"image": "images/{scan}.nii.gz", "label": "masks/{scan}.nii.gz"}
    dataset = entry(tmp_path, shards=2, layout={**layout, "unlabelled": "leave-out"})
    (failure,) = [
        f for n in range(2) for f in prepare.prepare(dataset, ready(tmp_path), n).failures
    ]
    assert (failure["scan"], failure["stage"]) == (None, "prepare")
    assert "3 images, but no label fits 'masks/{scan}.nii.gz'" in failure["reason"]
    (tmp_path / "masks").mkdir()
    (tmp_path / "labels" / "a.nii.gz").rename(tmp_path / "masks" / "a.nii.gz")
    got = [prepare.prepare(dataset, ready(tmp_path), n) for n in range(2)]
    assert [row["scan"] for part in got for row in part.images] == ["a"]
    assert not any(part.failures for part in got)


def test_each_scan_is_in_one_shard(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready
) -> None:
    names = [f"case{number}" for number in range(6)]
    for name in names:
        save_scan(tmp_path, name)
    dataset = entry(tmp_path, shards=3)
    found = [
        row["scan"]
        for shard in range(3)
        for row in prepare.prepare(dataset, ready(tmp_path), shard).images
    ]
    assert sorted(found) == names


def test_a_scan_with_nothing_in_its_label_is_kept_where_that_is_a_finding(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, labels: Labels
) -> None:
    for scan in ("a", "gone", "bad"):
        save_scan(tmp_path, scan, labels * (scan != "gone"))
    missing_label(tmp_path, labels)
    layout = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"}
    dataset = entry(tmp_path, layout={**layout, "unlabelled": "keep-empty"})
    got = prepare.prepare(dataset, ready(tmp_path), 0)
    assert [row["scan"] for row in got.images] == ["a", "gone"]
    assert {row["scan"] for row in (*got.objects, *got.reference)} == {"a"}
    assert [row["scan"] for row in got.failures] == ["bad"]


@pytest.mark.parametrize("unlabelled", ["leave-out", "set-aside"])
def test_nothing_that_was_converted_stays_of_a_scan_without_a_row(
    tmp_path: Path, ready: Ready, unlabelled: str
) -> None:
    """As of the half of the studies of D03 that has no lesion."""
    tree = Tree(tmp_path / "raw")
    for study, drawn in (("a", scene(1)), ("b", scene(1) * 0)):
        _, source = pet(tree, study, study)
        tree.segmentation(f"{study}/SEG_1/seg.dcm", source, [("Neoplasm", drawn == 1)])
    content = catalogue.load("D03").model_dump(mode="json")
    content["layout"][0]["unlabelled"] = unlabelled
    dataset = Dataset.read({**content, "shards": 1}, "the test's entry")
    got = prepare.prepare(dataset, ready(tree.root), 0, tmp_path / "converted")
    kept, empty = (f"PETCT_1-{short('PETCT_1', study)}" for study in "ab")
    assert [row["scan"] for row in got.images] == [kept]
    assert [row["scan"] for row in got.failures] == [empty] * (unlabelled == "set-aside")
    assert [path.name for path in (tmp_path / "converted").iterdir()] == [f"{kept}.nii.gz"]


def test_all_scans_of_a_patient_are_in_one_part(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready
) -> None:
    patients = [f"p{number:02}" for number in range(20)]
    for patient in patients:
        for visit in "ab":
            save_scan(tmp_path, f"{patient}_{visit}")
    layout = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"}
    dataset = entry(tmp_path, layout={**layout, "patient": "^(p[0-9]+)_"})
    rows = prepare.prepare(dataset, ready(tmp_path), 0).images
    parts = {p: {row["part"] for row in rows if row["patient"] == p} for p in patients}
    assert len(rows) == 40
    assert all(len(part) == 1 for part in parts.values())
    assert set.union(*parts.values()) == {"train", "validation"}


def test_ignored_values_are_no_objects(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, labels: Labels
) -> None:
    labels[labels == 2] = 9
    save_scan(tmp_path, "a", labels)
    got = prepare.prepare(entry(tmp_path, ignore=[9]), ready(tmp_path), 0)
    assert {row["structure"] for row in got.objects} == {"lesion"}
    assert not got.failures


def voxels_of(rows: list[dict[str, Any]], labels: Labels, **wanted: Any) -> NDArray[np.bool_]:
    """Union over the whole grid of the masks of a table's rows."""
    z, y, x = labels.shape
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return Mask.union([Mask.from_row(row, (z, y, x)) for row in found], (z, y, x)).dense()


@pytest.mark.parametrize("instances", [True, False, "values"])
def test_values_that_are_not_evaluated_are_one_mask_and_no_objects(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, labels: Labels, instances: Any
) -> None:
    labels[0:4, 12:16, 10:14] = 255
    labels[9, 15, 17] = 254
    save_scan(tmp_path, "a", labels)
    save_scan(tmp_path, "b", np.where(labels > 2, 0, labels))
    save_scan(tmp_path, "c", np.where(labels < 3, 0, labels))
    told = {"labels": {1: {"name": "lesion", "instances": instances}}, "not_evaluated": [255, 254]}
    ignore = [] if instances == "values" else [2]
    got = prepare.prepare(entry(tmp_path, **told, ignore=ignore), ready(tmp_path), 0)
    (failure,) = got.failures
    assert (failure["scan"], failure["reason"][:27]) == ("c", "The label of c is empty: th")
    outside = [row for row in got.reference if row["structure"] is None]
    assert [(row["scan"], row["object"]) for row in outside] == [("a", None)]
    np.testing.assert_array_equal(voxels_of(outside, labels), labels > 2)
    objects = [[r["object"] for r in got.objects if r["scan"] == scan] for scan in "ab"]
    assert [name[1:] for name in objects[0]] == [name[1:] for name in objects[1]]
    lesions = (labels > 0) & (labels < 3) if instances == "values" else labels == 1
    rows = [row for row in got.reference if row["scan"] == "a"]
    np.testing.assert_array_equal(voxels_of(rows, labels, structure="lesion"), lesions)


def test_files_that_overlap_voxels_that_are_not_evaluated(
    tmp_path: Path, entry: Make, ready: Ready, labels: Labels
) -> None:
    """An object is what remains of it; one of which nothing remains is none."""
    lesion, organ = labels == 1, labels == 2
    unsure = np.zeros_like(lesion)
    unsure[:, 7:, :] = True  # all of the smaller lesion and of the organ
    unsure[1, 1:7, 1:4] = True
    for name, mask in (("lesion", lesion), ("organ", organ), ("unsure edge", unsure)):
        volume.write(mask.astype(np.uint8), SPACING, tmp_path / "a" / f"{name}.nii.gz")
    volume.write(labels.astype(np.int16), SPACING, tmp_path / "a.nii.gz")
    layout = {"image": "{scan}.nii.gz", "label": "{scan}/{structure}.nii.gz"}
    named = {1: {"name": "lesion", "key": "*"}, 2: {"name": "organ", "instances": "files"}}
    dataset = entry(tmp_path, layout=layout, labels=named, not_evaluated=["unsure*"])
    got = prepare.prepare(dataset, ready(tmp_path), 0)
    assert not got.failures
    assert [row["object"] for row in got.objects] == ["a/lesion/1"]
    assert got.objects[0]["voxels"] == (lesion & ~unsure).sum() - 1  # a speck was dropped
    np.testing.assert_array_equal(
        voxels_of(got.reference, labels, structure="lesion"), (lesion | organ) & ~unsure
    )
    np.testing.assert_array_equal(voxels_of(got.reference, labels, structure=None), unsure)


def test_what_is_written_of_a_scan(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, labels: Labels
) -> None:
    save_scan(tmp_path, "a")
    got = prepare.prepare(entry(tmp_path), ready(tmp_path), 0)
    (image,) = got.images
    assert [image[f"size_{axis}"] for axis in "zyx"] == list(labels.shape)
    assert [image[f"spacing_{axis}"] for axis in "zyx"] == list(SPACING)
    assert image["images"] == [str(tmp_path / "images" / "a.nii.gz")]
    assert (image["patient"], image["collection"]) == ("a", "T1")
    assert [row["object"] for row in got.objects] == ["a/lesion/1", "a/lesion/2", "a/organ/1"]

    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    for value, structure in ((1, "lesion"), (2, "organ")):
        rows = [row for row in got.reference if row["structure"] == structure]
        whole = Mask.union([Mask.from_row(row, shape) for row in rows], shape)
        np.testing.assert_array_equal(whole.dense(), labels == value)
    assert [row["object"] for row in got.reference] == [
        "a/lesion/1",
        "a/lesion/2",
        None,
        "a/organ/1",
    ]
    for row in got.objects:
        (mask,) = [r for r in got.reference if r["object"] == row["object"]]
        assert Mask.from_row(mask, shape).voxels == row["voxels"]
    assert set(got.objects[0]) == set(objects.SCHEMA.names)


@pytest.mark.parametrize("change", ["size", "spacing", "orientation"])
def test_an_image_that_changed_since_is_not_read(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready, change: str
) -> None:
    save_scan(tmp_path, "a")
    (image,) = prepare.prepare(entry(tmp_path), ready(tmp_path), 0).images
    assert volume.read_row(image).scan == "a"
    path = tmp_path / "images" / "a.nii.gz"
    scan = sitk.ReadImage(str(path))
    if change == "size":
        scan = scan[:, :, 1:]
    elif change == "spacing":
        scan.SetSpacing([2 * mm for mm in scan.GetSpacing()])
    else:
        scan = sitk.DICOMOrient(scan, "RAS")
    sitk.WriteImage(scan, str(path))
    with pytest.raises(MachineError, match=r"not the image that was prepared.*Next step"):
        volume.read_row(image)


def test_the_images_table_has_no_word_of_labels(
    tmp_path: Path, entry: Make, save_scan: Save, ready: Ready
) -> None:
    """It is all that a method's process is given beside prompts."""
    about = {"dataset", "scan", "patient", "part", "collection"}
    told = about | {"modality", "channels", "images"}
    grid = {"orientation", *(f"{what}_{axis}" for what in ("size", "spacing") for axis in "zyx")}
    assert set(IMAGE_SCHEMA.names) == told | grid
    save_scan(tmp_path, "a")
    (image,) = prepare.prepare(entry(tmp_path), ready(tmp_path), 0).images
    assert set(image) == set(IMAGE_SCHEMA.names)
    assert "label" not in repr({**image, "images": [Path(p).name for p in image["images"]]})
    assert not any("labels" in path for path in image["images"])
