"""Which files form a scan."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmark.catalogue import Dataset
from benchmark.cli import app
from benchmark.errors import UserError
from benchmark.learning.splits import split
from benchmark.prepare import prepare
from benchmark.prepare.labels import missing, of_another_format, without_image
from benchmark.prepare.scans import check_id, find, part_of, shard_of
from benchmark.sources import Status
from tests.benchmark.prepare.tree import Tree, grey, scene

Make = Callable[..., Dataset]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_images_and_labels_are_paired_by_the_layout(tmp_path: Path, entry: Make) -> None:
    touch(tmp_path, "images/b.nii.gz", "images/a.nii.gz", "labels/a.nii.gz", "labels/z.nii.gz")
    scans = find(entry(), tmp_path)
    assert [scan.id for scan in scans] == ["a", "b"]
    assert scans[0].images == (tmp_path / "images/a.nii.gz",)
    assert scans[0].label == tmp_path / "labels/a.nii.gz"
    assert not scans[1].label.exists()


def test_labels_without_an_image_are_found(tmp_path: Path, entry: Make) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "labels/lost.nii.gz", "labels/notes.txt")
    paired = entry()
    assert without_image(paired, tmp_path, find(paired, tmp_path)) == [
        tmp_path / "labels/lost.nii.gz"
    ]
    touch(tmp_path, "a/ct.nii", "a/liver.nii", "a/spleen.nii", "b/ct 1.nii", "b/liver.nii")
    each = entry(layout={"image": "{scan}/ct.nii", "label": "{scan}/{structure}.nii"})
    found = without_image(each, tmp_path, find(each, tmp_path))
    assert found == [tmp_path / "b/ct 1.nii", tmp_path / "b/liver.nii"]


def test_files_that_only_end_otherwise_are_found(tmp_path: Path, entry: Make) -> None:
    """The scan b would be missing, and nobody would notice."""
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii", "images/b.nii", "labels/b.nii")
    touch(tmp_path, "images/c.nii.gz", "labels/c.nii.gz", "labels/d.nii.gz", "labels/notes.txt")
    of_one = entry()
    found = of_another_format(of_one, tmp_path, find(of_one, tmp_path))
    assert found == [tmp_path / f"{path}.nii" for path in ("images/b", "labels/a", "labels/b")]
    both = entry(layout={"image": "images/{scan}.nii*", "label": "labels/{scan}.nii*"})
    scans = find(both, tmp_path)
    assert [(scan.id, scan.label.name) for scan in scans] == [
        ("a", "a.nii"),
        ("b", "b.nii"),
        ("c", "c.nii.gz"),
    ]
    assert of_another_format(both, tmp_path, scans) == []


def test_trying_an_entry_out_tells_what_is_no_part_of_it(
    tmp_path: Path, labels: NDArray[np.uint8]
) -> None:
    tree = Tree(tmp_path)
    for scan in "ab":
        tree.image(f"{scan}/ct.nii", grey(labels))
    for name in ("a/liver", "b/liver", "b/spleen", "c/liver"):
        tree.image(f"{name}.nii", labels)
    tree.image("d/ct.nii.gz", grey(labels))
    content = {
        "id": "T1",
        "name": "Test",
        "split": "local",
        "modality": "CT",
        "source": {"kind": "local", "path": str(tmp_path)},
        "layout": {"image": "{scan}/ct.nii", "label": "{scan}/{structure}.nii"},
        "labels": {
            1: {"name": "liver", "instances": False},
            2: {"name": "spleen", "instances": False},
        },
        "ignore": ["ct"],
    }
    file = tmp_path / "entry.yaml"
    file.write_text(yaml.safe_dump(content))
    done = CliRunner().invoke(app, ["datasets", "prepare", str(file)])
    assert done.stdout.splitlines() == [
        "not used: c/liver.nii: a label without an image",
        "not used: d/ct.nii.gz: the layout names another ending",
        "2 scans",
        "       2 liver, in 2 scans",
        "       1 spleen, in 1 scan",
    ]


def test_the_id_may_stand_several_times(tmp_path: Path, entry: Make) -> None:
    layout = {"image": "{scan}/{scan}_ct.nii.gz", "label": "{scan}/{scan}_seg.nii.gz"}
    touch(tmp_path, "p1/p1_ct.nii.gz", "p1/p2_ct.nii.gz", "p1/p1_seg.nii.gz")
    assert [scan.id for scan in find(entry(layout=layout), tmp_path)] == ["p1"]


def test_an_id_is_no_longer_than_a_name_of_a_file(tmp_path: Path, entry: Make) -> None:
    """A DICOM header may hold any text."""
    touch(tmp_path, "images/a.nii.gz")
    (scan,) = find(entry(), tmp_path)
    check_id(replace(scan, id="ä" * 100))
    with pytest.raises(UserError, match="of up to 200 bytes"):
        check_id(replace(scan, id="ä" * 101))


def test_channels_and_wildcards(tmp_path: Path, entry: Make) -> None:
    image = ["{scan}/*_t1.nii", "{scan}/*_t2.nii"]
    layout = {"image": image, "label": "{scan}/seg*.nii"}
    touch(tmp_path, "p1/x_t1.nii", "p1/y_t2.nii", "p1/seg7.nii")
    (scan,) = find(entry(layout=layout), tmp_path)
    assert scan.images == (tmp_path / "p1/x_t1.nii", tmp_path / "p1/y_t2.nii")
    assert scan.label == tmp_path / "p1/seg7.nii"
    touch(tmp_path, "p1/seg8.nii")  # which of the two is meant?
    assert not find(entry(layout=layout), tmp_path)[0].label.exists()


def test_special_characters_are_meant_literally(tmp_path: Path, entry: Make) -> None:
    layout = {"image": "{scan}+ct.nii", "label": "{scan}.nii"}
    touch(tmp_path, "a+ct.nii", "aact.nii", "a+ctxnii")
    assert [scan.id for scan in find(entry(layout=layout), tmp_path)] == ["a"]


def test_hidden_files_are_no_scans(tmp_path: Path, entry: Make) -> None:
    """Archives made on a Mac hold a ._ file for each; a killed write leaves a hidden folder."""
    touch(tmp_path, "images/a.nii.gz", "images/._a.nii.gz")
    assert [scan.id for scan in find(entry(), tmp_path)] == ["a"]


def test_patterns_lead_through_links_and_end_where_they_turn_back(
    tmp_path: Path, entry: Make
) -> None:
    """A fetch lays out links; one that a person made may lead back up, or to itself."""
    layout = {"image": "**/{scan}_ct.nii", "label": "**/{scan}_seg*.nii"}
    touch(tmp_path, "store/deep/a_ct.nii", "store/deep/.b_ct.nii", "store/deep/er/a_seg1.nii")
    root = tmp_path / "files"
    root.mkdir()
    (root / "top").symlink_to(tmp_path / "store")
    (tmp_path / "store/deep/up").symlink_to(tmp_path / "store")
    (tmp_path / "store/deep/again").symlink_to(root)
    (tmp_path / "store/itself").symlink_to("itself")
    (tmp_path / "store/gone").symlink_to("nowhere")
    (scan,) = find(entry(layout=layout), root)
    assert scan.images == (root / "top/deep/a_ct.nii",)
    assert scan.label == root / "top/deep/er/a_seg1.nii"
    assert not missing(scan)
    (at_depth,) = find(entry(layout={**layout, "image": "*/*/{scan}_ct.nii"}), root)
    assert at_depth.images == scan.images


def test_special_characters_in_the_text_of_a_name(tmp_path: Path, entry: Make) -> None:
    layout = {"image": "{scan}/ct*.nii", "label": "{scan}/seg*/{structure}.nii"}
    touch(tmp_path, "a[1]?/ct0.nii", "a[1]?/seg0/organ.nii", "a1x/ct0.nii")
    other, scan = find(entry(layout=layout), tmp_path)
    assert (other.id, scan.id) == ("a1x", "a[1]?")
    assert scan.images == (tmp_path / "a[1]?/ct0.nii",)
    assert (missing(other), missing(scan)) == (True, False)


def test_special_characters_in_the_name_of_a_structure(
    tmp_path: Path, entry: Make, labels: NDArray[np.uint8], ready: Callable[[Path], Status]
) -> None:
    """``*`` alone stands for any text, here as in paths."""
    tree = Tree(tmp_path)
    tree.image("a/ct.nii", grey(labels))
    for name in ("node [left]", "why?", "spleen 1"):
        tree.image(f"a/{name}.nii", labels)
    names = {1: "node [left]", 2: "why?", 3: {"name": "spleen", "key": "spleen *"}}
    layout = {"image": "{scan}/ct.nii", "label": "{scan}/{structure}.nii"}
    dataset = entry(layout=layout, labels=names, ignore=["c?", "ct"])
    got = prepare(dataset, ready(tmp_path), 0)
    assert not got.failures
    assert {row["structure"] for row in got.objects} == {"node [left]", "why?", "spleen"}
    (tmp_path / "a/node l.nii").write_bytes((tmp_path / "a/why?.nii").read_bytes())
    (failure,) = prepare(dataset, ready(tmp_path), 0).failures
    assert "holds 'node l', which the entry of" in failure["reason"]


def test_the_patient_is_the_first_group(tmp_path: Path, entry: Make) -> None:
    touch(tmp_path, "images/p01_pre.nii.gz", "images/p01_post.nii.gz")
    layout = entry().layout[0].model_dump()
    dataset = entry(layout={**layout, "patient": "^(p[0-9]+)_"})
    assert [(scan.id, scan.patient) for scan in find(dataset, tmp_path)] == [
        ("p01_post", "p01"),
        ("p01_pre", "p01"),
    ]
    assert find(entry(), tmp_path)[0].patient == "p01_post"  # by itself, the scan's id
    with pytest.raises(UserError, match=r"layout\.patient .* finds no group in .*'p01_post'"):
        find(entry(layout={**layout, "patient": "q([0-9]+)"}), tmp_path)


def test_scans_of_a_patient_may_be_numbered_in_a_row(tmp_path: Path, entry: Make) -> None:
    touch(tmp_path, *(f"images/h_{n:03d}.nii.gz" for n in (1, 2, 9, 10, 11)))
    layout = entry().layout[0].model_dump() | {"patient": "_([0-9]+)$", "scans_per_patient": 2}
    found = find(entry(layout=layout), tmp_path)
    assert [scan.patient for scan in found] == ["1-2", "1-2", "9-10", "9-10", "11-12"]
    with pytest.raises(UserError, match=r"layout\.scans_per_patient needs a number.*got 'h_001'"):
        find(entry(layout=layout | {"patient": "(.*)"}), tmp_path)


def test_no_file_fits(tmp_path: Path, entry: Make) -> None:
    with pytest.raises(UserError, match=r"T1: no image fits .*images/\{scan\}\.nii\.gz.* below"):
        find(entry(), tmp_path)


def test_a_root_that_is_gone_holds_no_scan(tmp_path: Path, entry: Make) -> None:
    dataset = entry(layout={"image": "**/{scan}.nii.gz", "label": "{scan}_seg.nii.gz"})
    with pytest.raises(UserError, match="no image fits"):
        find(dataset, tmp_path / "gone")


def test_no_label_fits(tmp_path: Path, entry: Make) -> None:
    Tree(tmp_path).series("ct", grey(scene(1)), patient="p")
    touch(tmp_path, "a/image.nii")
    by_file: Any = {"image": "{scan}/image.nii", "label": "{scan}/seg{rater}.nii"}
    by_patient: Any = {"series": {"modality": "CT"}, "label": "**/{patient}_mask.nii"}
    for layout, told in (
        ({**by_file, "scan": "{scan}.{rater}"}, r"no label fits .*rater.*Check layout\.label"),
        (by_patient, r"no label fits .*patient.*Check layout\.label"),
        ({"series": {"modality": "CT"}}, r"no DICOM segmentation fits .*Check layout\.series"),
    ):
        with pytest.raises(UserError, match=told):
            find(entry(layout=layout), tmp_path)
    touch(tmp_path, "q_mask.nii")
    with pytest.raises(UserError, match=r"no DICOM series fits .*Check layout\.series"):
        find(entry(layout=by_patient), tmp_path)


def test_shards_are_stable_and_even() -> None:
    names = [f"case_{number:03}" for number in range(400)]
    shards = [shard_of(name, 4) for name in names]
    assert set(shards) == {0, 1, 2, 3}
    assert min(shards.count(shard) for shard in range(4)) > 70
    assert shard_of("case_007", 1) == 0
    assert [shard_of(name, 4) for name in names[::-1]] == shards[::-1]
    # a value that was written down: another one would move scans between files of older runs
    assert [shard_of(name, 8) for name in ("a", "b", "case_000")] == [2, 6, 0]


def test_the_part_of_a_patient_is_its_side_in_a_study_with_the_first_seed(entry: Make) -> None:
    names = [f"patient{number}" for number in range(50)]
    for dataset in (entry(id="A", collection="c"), entry(id="B")):
        rows = [
            {"scan": name, "patient": name, "collection": dataset.collection or dataset.id}
            for name in names
        ]
        kept = [name for name in names if part_of(dataset, name) == "validation"]
        assert sorted(kept) == list(split(rows, 0).test)


def test_texts_in_braces(tmp_path: Path, entry: Make) -> None:
    layout = {
        "image": "{part}/**/{scan}_ct.nii",
        "label": "{part}/**/{scan}_seg.nii",
        "scan": "{part}-{scan}",
        "where": {"part": "train|test", "scan": "[a-z]+"},
    }
    touch(tmp_path, "train/a_ct.nii", "test/deep/er/a_ct.nii", "other/a_ct.nii", "train/a1_ct.nii")
    touch(tmp_path, "train/.hidden/b_ct.nii", "test/deep/er/a_seg.nii")
    scans = find(entry(layout=layout), tmp_path)
    assert [scan.id for scan in scans] == ["test-a", "train-a"]
    assert scans[0].label == tmp_path / "test/deep/er/a_seg.nii"
    with pytest.raises(UserError, match="two scans have the id 'a'"):
        find(entry(layout={**layout, "scan": "{scan}"}), tmp_path)


def test_a_label_of_each_rater_is_a_scan(tmp_path: Path, entry: Make) -> None:
    layout = {"image": "{scan}/image.nii", "label": "{scan}/seg{rater}.nii"}
    touch(tmp_path, "a/image.nii", "a/seg1.nii", "a/seg2.nii", "b/image.nii")
    scans = find(entry(layout={**layout, "scan": "{scan}.{rater}"}), tmp_path)
    assert [scan.id for scan in scans] == ["a.1", "a.2"]
    assert [scan.label.name for scan in scans] == ["seg1.nii", "seg2.nii"]
    assert {scan.images for scan in scans} == {(tmp_path / "a/image.nii",)}


def test_a_label_of_each_rater_of_a_dicom_series_is_a_scan(tmp_path: Path, entry: Make) -> None:
    tree = Tree(tmp_path)
    for patient in ("p", "q"):
        tree.series(f"{patient}/ct", grey(scene(1)), patient=patient)
    touch(tmp_path, *(f"masks/{name}.nii" for name in ("p_r1_a", "p_r1_b", "p_r2_a", "q_r1_a")))
    layout = {"series": {"modality": "CT"}, "label": "masks/{patient}_{rater}_{structure}.nii"}
    scans = find(entry(layout={**layout, "scan": "{patient}.{rater}"}), tmp_path)
    assert [scan.id for scan in scans] == ["p.r1", "p.r2", "q.r1"]
    assert [scan.patient for scan in scans] == ["p", "p", "q"]
    assert [scan.label.name for scan in scans] == [
        f"{at}_{{structure}}.nii" for at in ("p_r1", "p_r2", "q_r1")
    ]
    assert [scan.images for scan in scans] == [(tmp_path / f"{at}/ct",) for at in "ppq"]
    with pytest.raises(UserError, match="two scans have the id 'p'"):
        find(entry(layout=layout), tmp_path)


def test_several_layouts_of_one_dataset(tmp_path: Path, entry: Make) -> None:
    layouts = [
        {"image": "x/{scan}.nii", "label": "x/{scan}_seg.nii", "where": {"scan": "[0-9]+"}},
        {
            "image": "y/{site}/{scan}.nii",
            "label": "y/{site}/{scan}_s.nii",
            "scan": "{site}{scan}",
        },
    ]
    touch(tmp_path, "x/1.nii", "y/s/1.nii")
    assert [scan.id for scan in find(entry(layout=layouts), tmp_path)] == ["1", "s1"]
