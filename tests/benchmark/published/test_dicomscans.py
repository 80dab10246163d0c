"""Which image series a label belongs to."""

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from benchmark import prepare
from benchmark.catalogue import Dataset
from benchmark.sources import Status
from tests.benchmark.published.tree import Tree, grey, scene

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
