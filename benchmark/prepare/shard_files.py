"""Which files of a user's folder a shard depends on, so that a new scan reruns its shard alone."""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.prepare import labels, scans
from benchmark.sources import folder
from benchmark.storage import paths
from benchmark.storage.tables import read_record

RECORDED = "files"
"""Key in the run record of a shard's table of images, which keeps the fingerprint of its files."""


def fingerprints_or_last(dataset: Dataset, root: Path) -> list[str]:
    """Return for each shard the fingerprint of the files below ``root`` that it depends on.

    These are the files of its scans, and those of no scan, which may belong to any: pixels beside
    their header, a label without an image. All files count for all shards where it would take
    reading files to tell (DICOM series found by their headers, blocks of a volume), where
    `benchmark.prepare.scans.find` refuses the folder, and where no scan has a label, since the
    first shard reports both. If there is no file, as while a disk is not mounted, it is the
    fingerprint that the shard was prepared with.
    """
    if folder.is_empty(root):
        return [_recorded(dataset.id, shard) for shard in range(dataset.shards)]
    owners = _owners(dataset, root)
    by_shard: list[list[Path]] = [[] for _ in range(dataset.shards)]
    for path in folder.listing(root):
        owning = next((owners[p] for p in (path, *path.parents) if p in owners), None)
        for shard in range(dataset.shards) if owning is None else sorted(owning):
            by_shard[shard].append(path)
    return [folder.fingerprint_of(files, root) for files in by_shard]


def _recorded(dataset: str, shard: int) -> str:
    """Return the fingerprint that a shard was prepared with; ``absent`` if none is recorded."""
    with suppress(UserError):  # no table, or a damaged one, which is reported later
        record = read_record(paths.at(paths.IMAGES, dataset=dataset, shard=shard))
        return str(record.get(RECORDED) or folder.ABSENT)
    return folder.ABSENT


def _owners(dataset: Dataset, root: Path) -> dict[Path, set[int]]:
    """Map the files and folders of scans to the shards of these scans."""
    if any(layout.series or layout.block for layout in dataset.layout):
        return {}
    try:
        found = scans.find(dataset, root)
    except UserError:
        return {}
    if all(labels.missing(scan) for scan in found):
        return {}
    owners = defaultdict[Path, set[int]](set)
    for scan in found:
        for path in (*scan.images, *labels.files_of(scan)):
            owners[path].add(scans.shard_of(scan.id, dataset.shards))
    return dict(owners)
