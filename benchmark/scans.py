"""The scans of a dataset: images and labels paired by the layout, and divided into shards."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.catalogue import Dataset
from benchmark.digest import stable_hash
from benchmark.errors import UserError


@dataclass(frozen=True)
class Scan:
    """Files of one scan: an image a channel, and the label file, which may be absent."""

    id: str
    patient: str
    images: tuple[Path, ...]
    label: Path


def find(dataset: Dataset, root: Path) -> list[Scan]:
    """All scans below ``root`` that have a first image, in the order of their ids.

    Raises `UserError` where no file fits the layout.
    """
    first, *others = dataset.layout.image
    found = dict(_match(root, first))
    if not found:
        raise UserError(
            f"{dataset.id}: no image fits the pattern {first!r} below {root}. Check layout.image "
            "of the catalogue entry against the names of the files."
        )
    scans = []
    for scan in sorted(found):
        images = (found[scan], *(_path(root, pattern, scan) for pattern in others))
        label = _path(root, dataset.layout.label, scan)
        scans.append(Scan(scan, _patient(dataset, scan), images, label))
    return scans


def shard_of(scan: str, shards: int) -> int:
    """Shard of a scan: depends on its id alone, so it stays when scans are added."""
    return stable_hash(scan) % shards


def _match(root: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    # {scan} may stand several times, e.g. in {scan}/{scan}_ct.nii.gz, with one value
    parts = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split("{scan}")]
    again = "".join("(?P=scan)" + part for part in parts[2:])
    expression = parts[0] + "(?P<scan>[^/.][^/]*)" + parts[1] + again
    for path in sorted(root.glob(pattern.replace("{scan}", "*"))):
        matched = re.fullmatch(expression, path.relative_to(root).as_posix())
        if matched:
            yield matched["scan"], path


def _path(root: Path, pattern: str, scan: str) -> Path:
    """Path of ``pattern`` for a scan; with wildcards the only one that fits, if there is one."""
    plain = pattern.replace("{scan}", scan)
    if "*" not in plain:
        return root / plain
    fitting = sorted(root.glob(plain))
    return fitting[0] if len(fitting) == 1 else root / plain


def _patient(dataset: Dataset, scan: str) -> str:
    matched = re.search(dataset.layout.patient, scan)
    if not matched or not matched.groups():
        raise UserError(
            f"{dataset.id}: layout.patient {dataset.layout.patient!r} finds no group in the scan "
            f"id {scan!r}. It is a regular expression whose first group is the patient."
        )
    return matched[1]
