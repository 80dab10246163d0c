"""Scans of a dataset: images and labels paired by the layout, and assigned to shards."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmark.catalogue import Dataset
from benchmark.catalogue.layout import Layout, placeholders
from benchmark.errors import UserError
from benchmark.learning.splits import held_back
from benchmark.prepare.dicomscans import of_series
from benchmark.storage.digest import stable_hash
from benchmark.storage.patterns import fill, matches, resolve

Part = Literal["train", "validation"]

_LONGEST = 200
"""Bytes of a scan's id. File systems allow 255 in a name, and suffixes are added."""


@dataclass(frozen=True)
class Scan:
    """Files of one scan.

    ``images`` holds one file per channel, or the candidates for the image of a DICOM segmentation
    with the one that it refers to first. ``label`` is the label file, which may be absent, or the
    pattern of the label files where each structure has its own. ``channel`` is index and name of
    the only channel used, ``region`` the only part, (z, y, x), and ``grid`` a series whose grid the
    image is resampled to. ``elsewhere`` holds series of the study in other frames of reference than
    a DICOM segmentation. ``note`` tells how the image was found, where that is not obvious, and
    ``fault`` why the scan cannot be used, if listing it found that.
    """

    id: str
    patient: str
    images: tuple[Path, ...]
    label: Path
    layout: Layout
    root: Path
    channel: tuple[int, str] | None = None
    region: tuple[slice, slice, slice] | None = None
    grid: Path | None = None
    elsewhere: tuple[Path, ...] = ()
    note: str = ""
    fault: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def find(dataset: Dataset, root: Path) -> list[Scan]:
    """Return all scans below ``root`` that have an image, in the order of their ids.

    Raises `UserError` where no file fits any layout, and where two scans have the same id.
    """
    found: dict[str, Scan] = {}
    for layout in dataset.layout:
        for scan in _of_layout(dataset, layout, root):
            if scan.id in found:
                raise UserError(
                    f"{dataset.id}: two scans have the id {scan.id!r}: {found[scan.id].label} and "
                    f"{scan.label}. Next step: give layout.scan a template that tells them apart."
                )
            found[scan.id] = scan
    if not found:
        missing, key = _unfit(dataset.layout[0], root)
        raise UserError(
            f"{dataset.id}: no {missing} below {root}. Check layout.{key} of the entry against the "
            "files."
        )
    return [found[name] for name in sorted(found)]


def shard_of(scan: str, shards: int) -> int:
    """Return the shard of a scan; it depends on the id alone, so added scans do not change it."""
    return stable_hash(scan) % shards


def part_of(dataset: Dataset, patient: str) -> Part:
    """Return the part of the default split (seed 0) that a patient belongs to."""
    kept = held_back(0, dataset.collection or dataset.id, patient)
    return "validation" if kept else "train"


def check_id(scan: Scan) -> None:
    """Raise `UserError` for an id that is not a plain file name.

    Output files are named after the id, and a DICOM header (``{patient}``) may hold any text.
    """
    name = scan.id
    plain = name and not name.startswith(".") and "/" not in name and name.isprintable()
    if not plain or len(name.encode()) > _LONGEST:
        raise UserError(
            f"{scan.label}: the scan's id {name!r} cannot name a file. Expected a text without a "
            f"slash, that begins with no dot, of up to {_LONGEST} bytes. Likely cause: an odd or "
            "an emptied patient's id in the header. Next step: give layout.scan a template of "
            "other names."
        )


def _of_layout(dataset: Dataset, layout: Layout, root: Path) -> Iterator[Scan]:
    if layout.series is not None:
        for found in of_series(layout, root):
            scan = _scan(dataset, layout, root, found.fields, found.images, found.label)
            yield replace(scan, grid=found.grid, elsewhere=found.elsewhere)
        return
    first, pattern = layout.image[0], layout.label or ""
    for fields in matches(root, first, layout.where):
        images = tuple(resolve(root, channel, fields) for channel in layout.image)
        further = placeholders(pattern) - set(fields) - {"structure"}
        for more in matches(root, fill(pattern, fields), layout.where) if further else [{}]:
            known = {**fields, **more}
            file = resolve(root, pattern, known)
            yield from _volumes(dataset, layout, root, known, images, file)


def _unfit(layout: Layout, root: Path) -> tuple[str, str]:
    """Return what is missing for a layout without scans, and the key of the layout to check."""
    image, label = layout.image[:1], layout.label
    if image and not any(matches(root, image[0], layout.where)):
        return f"image fits the pattern {image[0]!r}", "image"
    if label is None:
        return "DICOM segmentation fits", "series"
    if image or not any(matches(root, label, layout.where)):
        return f"label fits the pattern {label!r}", "label"
    return "DICOM series fits", "series"


def _volumes(
    dataset: Dataset,
    layout: Layout,
    root: Path,
    fields: Mapping[str, str],
    images: tuple[Path, ...],
    label: Path,
) -> Iterator[Scan]:
    """Yield one scan, or one per channel, or one per block of a volume too large to read whole."""
    whole = _scan(dataset, layout, root, fields, images, label)
    if layout.each_channel:
        for index, name in enumerate(dataset.channels):
            chosen = images[index : index + 1] if len(images) > 1 else images
            yield replace(whole, id=f"{whole.id}.{name}", images=chosen, channel=(index, name))
    elif layout.block:
        from benchmark.prepare import blockfile

        try:
            regions = list(blockfile.regions(images[0], layout.block))
        except UserError as error:
            yield replace(whole, fault=str(error))
            return
        for region in regions:
            corner = "-".join(str(part.start) for part in region)
            yield replace(whole, id=f"{whole.id}.{corner}", region=region)
    else:
        yield whole


def _scan(
    dataset: Dataset,
    layout: Layout,
    root: Path,
    fields: Mapping[str, str],
    images: tuple[Path, ...],
    label: Path,
) -> Scan:
    name = fill(layout.id_template, fields)
    patient = fields.get("patient") or _patient(dataset, layout, name)
    return Scan(name, patient, images, label, layout, root, fields=dict(fields))


def _patient(dataset: Dataset, layout: Layout, scan: str) -> str:
    matched = re.search(layout.patient, scan)
    if not matched:
        raise UserError(
            f"{dataset.id}: layout.patient {layout.patient!r} finds no group in the scan "
            f"id {scan!r}. It is a regular expression whose first group is the patient."
        )
    if layout.scans_per_patient == 1:
        return matched[1]
    if not matched[1].isdecimal():
        raise UserError(
            f"{dataset.id}: layout.scans_per_patient needs a number. Expected one as the first "
            f"group of layout.patient {layout.patient!r} in the scan id {scan!r}; got "
            f"{matched[1]!r}. Next step: correct layout.patient."
        )
    place = (int(matched[1]) - 1) % layout.scans_per_patient
    first = int(matched[1]) - place
    return f"{first}-{first + layout.scans_per_patient - 1}"
