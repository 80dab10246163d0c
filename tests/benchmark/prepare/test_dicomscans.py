"""Which image series a label belongs to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from benchmark import prepare
from benchmark.catalogue import Dataset
from benchmark.prepare.conversion import BY_GRID
from benchmark.prepare.labels import RESAMPLED
from benchmark.sources import Status
from tests.benchmark.prepare.tree import ORIGIN, SPACING, Tree, grey, scene

Make = Callable[..., Dataset]
Ready = Callable[[Path], Status]
LABELS = scene(1)


@pytest.mark.parametrize("refer", [True, False])
@pytest.mark.parametrize("frame", ["same", "other", None])
def test_positions_in_another_frame_of_reference(
    tmp_path: Path, entry: Make, ready: Ready, refer: bool, frame: str | None
) -> None:
    """PS3.3, C.7.4.1: coordinates of two frames of reference are unrelated."""
    tree = Tree(tmp_path)
    source = tree.series("s/ct", grey(LABELS), patient="p")
    path = tree.segmentation("s/seg/seg.dcm", source, [("organ", LABELS == 1)], refer=refer)
    stored = pydicom.dcmread(path)
    if frame == "other":
        stored.FrameOfReferenceUID = "1.2.3"
    elif frame is None:
        del stored.FrameOfReferenceUID
    stored.save_as(path)
    dataset = entry(layout={"series": {"modality": "CT"}}, labels={1: "organ"})
    got = prepare.prepare(dataset, ready(tmp_path), 0, tmp_path / "converted")
    if refer or frame != "other":
        assert [row["voxels"] for row in got.objects] == [int((LABELS == 1).sum())]
    else:
        assert "no image series" in got.failures[0]["reason"]
        assert "FrameOfReferenceUID" in got.failures[0]["reason"]


@pytest.mark.parametrize(
    ("named", "others", "taken"),
    [
        ("elsewhere", 1, True),
        ("absent", 1, True),
        ("absent", 2, False),  # which of the two phases is not known
        ("within", 1, False),
        ("another kind", 1, False),
    ],
)
def test_a_label_that_names_a_wrong_series_and_its_frame(
    tmp_path: Path, entry: Make, ready: Ready, named: str, others: int, taken: bool
) -> None:
    """As HCC_089 of HCC-TACE-Seg: the one series of the study that has its grid is its image."""
    tree = Tree(tmp_path)
    drawn = [tree.series(f"s/ct{k}", grey(LABELS), patient="p") for k in range(others)]
    path = tree.segmentation("s/seg/seg.dcm", drawn[0], [("organ", LABELS == 1)])
    uid = "1.2.3.9"
    if named != "absent":
        heights = [ORIGIN[2] + 900.0 * (named == "elsewhere") + 2.0 * k for k in range(40)]
        kind = "MR" if named == "another kind" else "CT"
        stack = grey(np.zeros((40, *LABELS.shape[1:]), LABELS.dtype))
        wrong = tree.series(
            "s/wrong",
            stack,
            patient="p",
            heights=heights,
            modality=kind,
            FrameOfReferenceUID="1.2.3",
            spacing=(2.0, SPACING[1] / 2, SPACING[2] / 2),
        )
        uid = wrong[0].SeriesInstanceUID
    stored = pydicom.dcmread(path)
    stored.FrameOfReferenceUID = "1.2.3"
    stored.ReferencedSeriesSequence[0].SeriesInstanceUID = uid
    stored.save_as(path)
    dataset = entry(layout={"series": {"modality": "CT"}}, labels={1: "organ"})
    got = prepare.prepare(dataset, ready(tmp_path), 0, tmp_path / "converted")
    rows = [(row["voxels"], row["label_note"]) for row in got.objects]
    assert ((int((LABELS == 1).sum()), BY_GRID) in rows) == taken
    if named == "within":
        assert [note for _, note in rows] == [RESAMPLED]
    elif not taken:
        assert "no image series" in got.failures[0]["reason"]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("labels/{patient}.nii.gz", "got 2 with its grid, of 2 (a, b). Likely cause: phases"),
        ("labels/{patient}_{structure}.nii.gz", "got 2 with its grid, of 2 (a, b)"),
        ("labels/{patient}/*.png", "got 0 with its grid, of 2 (a, b). Likely cause: a label"),
    ],
)
def test_a_label_that_fits_no_series_alone(
    tmp_path: Path, entry: Make, ready: Ready, label: str, told: str
) -> None:
    tree = Tree(tmp_path)
    for name in "ab":
        tree.series(f"s/{name}", grey(LABELS), patient="p")
    if label.endswith(".png"):
        tree.pictures("labels/p", LABELS, [f"{k}.png" for k in range(len(LABELS))])
    else:
        tree.image(label.format(patient="p", structure="organ"), LABELS)
    dataset = entry(layout={"series": {"modality": "CT"}, "label": label}, labels={1: "organ"})
    got = prepare.prepare(dataset, ready(tmp_path), 0, tmp_path / "converted")
    assert told in got.failures[0]["reason"]
    assert "layout.series.description" in got.failures[0]["reason"]
