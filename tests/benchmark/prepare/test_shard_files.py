"""A file counts for the shards of its scans; for all where that is not known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import prepare
from benchmark.catalogue import Dataset
from benchmark.prepare.scans import shard_of
from benchmark.prepare.shard_files import RECORDED, fingerprints_or_last
from benchmark.storage import paths
from benchmark.storage.tables import write_table

SHARDS = 3
SCANS = {shard_of(scan, SHARDS): scan for scan in map(str, range(20))}
"""A scan of each shard."""
ALL = set(SCANS)


@pytest.fixture
def changed_by(tmp_path: Path, entry: Callable[..., Dataset]) -> Callable[..., set[int]]:
    """Return a function that touches a file and returns the shards whose fingerprint changed."""

    def changed(file: str, **layout: Any) -> set[int]:
        dataset = entry(tmp_path, shards=SHARDS, **({"layout": layout} if layout else {}))
        before = fingerprints_or_last(dataset, tmp_path)
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + "more" if path.exists() else "new")
        after = fingerprints_or_last(dataset, tmp_path)
        return {n for n, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}

    return changed


def write(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)


def test_a_file_of_a_scan_counts_for_its_shard(
    tmp_path: Path, changed_by: Callable[..., set[int]]
) -> None:
    for scan in SCANS.values():
        write(tmp_path, f"images/{scan}.nii.gz", f"labels/{scan}.nii.gz")
    for shard, scan in SCANS.items():
        assert changed_by(f"images/{scan}.nii.gz") == {shard}
        assert changed_by(f"labels/{scan}.nii.gz") == {shard}
    assert changed_by("images/new.nii.gz") == {shard_of("new", SHARDS)}
    assert changed_by("images/1.raw") == ALL
    assert changed_by("labels/without an image.nii.gz") == ALL


def test_files_of_structures_and_of_folders(
    tmp_path: Path, changed_by: Callable[..., set[int]]
) -> None:
    layout = {"image": "{scan}/ct", "label": "{scan}/seg_{structure}.nii.gz"}
    for scan in SCANS.values():
        write(tmp_path, f"{scan}/ct/1.dcm", f"{scan}/seg_lesion.nii.gz")
    for shard, scan in SCANS.items():
        assert changed_by(f"{scan}/ct/2.dcm", **layout) == {shard}
        assert changed_by(f"{scan}/seg_organ.nii.gz", **layout) == {shard}


def test_a_file_of_several_scans_counts_for_the_shards_of_all(
    tmp_path: Path, entry: Callable[..., Dataset]
) -> None:
    write(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    layout = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"}
    dataset = entry(
        tmp_path, shards=64, channels=["T1", "T2"], layout={**layout, "each_channel": True}
    )
    found = fingerprints_or_last(dataset, tmp_path)
    assert {n for n, it in enumerate(found) if it != "absent"} == {
        shard_of(f"a.{channel}", 64) for channel in ("T1", "T2")
    }


@pytest.mark.parametrize("layout", [{"series": {"modality": "CT"}}, {"block": [8, 8, 8]}])
def test_all_files_count_for_all_where_they_would_have_to_be_read(
    tmp_path: Path, changed_by: Callable[..., set[int]], layout: dict[str, Any]
) -> None:
    plain = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"}
    for scan in SCANS.values():
        write(tmp_path, f"images/{scan}.nii.gz", f"labels/{scan}.nii.gz")
    assert (
        changed_by("images/0.nii.gz", **(layout if "series" in layout else plain | layout)) == ALL
    )


def test_what_the_first_shard_tells_of_the_whole_folder_is_looked_at_again(
    tmp_path: Path, changed_by: Callable[..., set[int]]
) -> None:
    assert changed_by("images/0.nii.gz") == ALL
    assert changed_by("images/1.nii.gz") == ALL  # no scan has a label
    assert changed_by("labels/1.nii.gz") == ALL
    assert changed_by("labels/0.nii.gz") == {shard_of("0", SHARDS)}


def test_a_folder_that_is_lost_changes_nothing(
    tmp_path: Path, entry: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = entry(tmp_path / "away", shards=2)
    assert fingerprints_or_last(dataset, tmp_path / "away") == ["absent"] * 2
    table = paths.at(paths.IMAGES, dataset=dataset.id, shard=1)
    write_table([], prepare.IMAGE_SCHEMA, table, facts={RECORDED: "abc"})
    assert fingerprints_or_last(dataset, tmp_path / "away") == ["absent", "abc"]
