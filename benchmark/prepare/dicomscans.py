"""Scans of a dataset that is published as DICOM: pairs image series with their labels."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmark.catalogue.layout import Layout
from benchmark.prepare.dicomindex import Series, series_below
from benchmark.storage.patterns import matches, resolve


class Found(NamedTuple):
    """A label with the series that may be its image.

    ``fields``: those of the scan's id, and ``referred`` where the label refers to the first of the
        ``images``.
    ``images``: candidates for the image.
    ``elsewhere``: further series of the study, in other frames of reference.
    ``grid``: the series that defines the grid, if it is not the image.
    """

    fields: dict[str, str]
    images: tuple[Path, ...]
    label: Path
    grid: Path | None
    elsewhere: tuple[Path, ...] = ()


def of_series(layout: Layout, root: Path) -> Iterator[Found]:
    """Pair the image series below ``root`` with segmentations, or with label files by patient.

    A scan's id may use ``{patient}``, ``{study}`` and ``{series}``, and further names in the path
    of the label, such as a rater, each value of which makes a scan of its own. ``{study}`` and
    ``{series}`` are short digests of the UIDs of the study and of the segmentation (of the image
    where the label is a plain file).

    The candidates for the image of a segmentation are the matching series of its study, the one
    that it refers to first; all are kept because some references are missing or wrong. A series in
    another frame of reference is none unless the segmentation refers to it, or the entry itself
    names another series for the grid: the same position means another place there. It is kept
    ``elsewhere`` if the segmentation refers to a series: programs copy the frame from it, so that
    with a wrong reference the frame is wrong too.
    """
    assert layout.series is not None
    known = series_below(root)
    images = [
        series
        for series in known
        if series.modality == layout.series.modality
        and _describes(layout.series.description, series)
    ]
    if layout.label is None:
        for seg in (series for series in known if series.modality == "SEG"):
            if _describes(layout.series.segmentation, seg) and _patient_fits(layout, seg):
                same = [s for s in images if (s.patient, s.study) == (seg.patient, seg.study)]
                near = [s for s in same if layout.series.grid or _placed_alike(s, seg)]
                near.sort(key=lambda s: s.uid not in seg.refers_to)
                found = _found(layout, seg, near, seg.path, known)
                if seg.refers_to and not _names_another_image(seg, same, known):
                    found = found._replace(elsewhere=tuple(s.path for s in same if s not in near))
                yield found
        return
    for fields in _unique(matches(root, layout.label, layout.where)):
        same = [s for s in images if s.patient == fields["patient"]]
        if same:
            label = resolve(root, layout.label, fields)
            found = _found(layout, same[0], same, label, known)
            yield found._replace(fields={**found.fields, **fields})


def _found(
    layout: Layout, of: Series, candidates: list[Series], label: Path, known: list[Series]
) -> Found:
    assert layout.series is not None
    fields = {"patient": of.patient, "study": _short(of.study), "series": _short(of.uid)}
    grid = None
    if layout.series.grid:
        same = [s for s in known if (s.patient, s.study) == (of.patient, of.study)]
        grid = next((s.path for s in same if s.modality == layout.series.grid), None)
    if candidates and candidates[0].uid in of.refers_to:
        fields["referred"] = candidates[0].uid
    return Found(fields, tuple(series.path for series in candidates), label, grid)


def _describes(pattern: str | None, series: Series) -> bool:
    return pattern is None or re.search(pattern, series.description) is not None


def _placed_alike(image: Series, seg: Series) -> bool:
    told = image.frame and seg.frame
    return not told or image.frame == seg.frame or image.uid in seg.refers_to


def _names_another_image(seg: Series, images: list[Series], known: list[Series]) -> bool:
    """Return whether a segmentation refers to a series of its study that is not of the layout."""
    ours = {s.uid for s in images}
    study = {s.uid for s in known if (s.patient, s.study) == (seg.patient, seg.study)}
    return any(uid in study - ours for uid in seg.refers_to)


def _patient_fits(layout: Layout, series: Series) -> bool:
    pattern = layout.where.get("patient")
    return pattern is None or re.fullmatch(pattern, series.patient) is not None


def _unique(found: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    """Yield each distinct set of fields once, ignoring ``structure``, which takes many values."""
    seen = set()
    for fields in found:
        fields.pop("structure", None)
        if (values := tuple(fields.values())) not in seen:
            seen.add(values)
            yield fields


def _short(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]
