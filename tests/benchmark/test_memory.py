"""Many objects of a large scan: their masks, each as large as the scan, are not held together."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from benchmark import export
from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.inference.segmenting import segment_prompts
from benchmark.masks import Mask
from benchmark.prompts import Box3D, Prompt
from benchmark.volume import Volume, whole_numbers, write

SHAPE = (40, 128, 128)
SCAN = 40 * 128 * 128  # bytes of a mask as large as the scan
COUNT = 30


def scattered(index: int) -> Mask:
    """A few voxels in the corners: a box as large as the scan, and a small row in a table."""
    array = np.zeros(SHAPE, dtype=bool)
    array[0, 0, 0] = array[-1, -1, -1] = array[5, 5, index] = True
    return Mask.of(array)


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that ``work`` held at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Scattered(Adapter):
    info = MethodInfo(summary="fake", prompts=("box3d",))

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from (Prediction(scattered(index).dense()) for index in range(len(prompts)))


def test_answers_of_a_method() -> None:
    scan = Volume(np.zeros(SHAPE, np.int16), (1.0, 1.0, 1.0))
    asked: list[Prompt] = [Box3D((0, 1, 0, 1, 0, 1))] * COUNT
    assert peak(lambda: segment_prompts(Scattered({}), scan, asked)) < 6 * SCAN


def test_union_of_the_objects_of_a_structure() -> None:
    rows = [scattered(index).to_row() for index in range(COUNT)]
    expected = Mask.union([scattered(index) for index in range(COUNT)], SHAPE)
    np.testing.assert_array_equal(Mask.union_of_rows(rows, SHAPE).crop, expected.crop)
    assert peak(lambda: Mask.union_of_rows(rows, SHAPE)) < 6 * SCAN


@pytest.mark.parametrize("suffix", [".nii.gz", ".seg.nrrd"])
def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: export.Suffix) -> None:
    image = tmp_path / "image.nii.gz"
    write(np.zeros(SHAPE, np.int16), (1.0, 1.0, 1.0), image)
    sizes = dict(zip(("size_z", "size_y", "size_x"), SHAPE, strict=True))
    images = pd.DataFrame([{"scan": "a", "images": [str(image)], **sizes}])
    found = pd.DataFrame(
        {"scan": "a", "object": f"a/lesion/{i}", "structure": "lesion", "status": "ok"}
        | {"reason": None, **part(i).to_row()}
        for i in range(COUNT)
    )
    monkeypatch.setattr(export, "_tables", lambda *_: (images, found, 0))
    used = peak(lambda: export.export(tmp_path, "D", tmp_path / "out", suffix=suffix))
    assert used < 14 * SCAN
    if suffix == ".nii.gz":
        written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "a.nii.gz")))
        expected = np.zeros(SHAPE, np.uint16)
        for i in range(COUNT):
            expected[part(i).dense()] = i + 1
        np.testing.assert_array_equal(written, expected)


def part(index: int) -> Mask:
    """As `scattered`, without voxels in common."""
    array = np.zeros(SHAPE, dtype=bool)
    array[0, 0, index] = array[-1, -1, -1 - index] = True
    array[5, 5, : COUNT - index] = index == 0
    return Mask.of(array)


def test_labels_stored_as_floats() -> None:
    array = np.zeros(SHAPE)
    array[3:9, 40:60, 30:50] = 7.0002
    assert peak(lambda: whole_numbers(Path("label.nii"), array)) < 2 * SCAN
    np.testing.assert_array_equal(whole_numbers(Path("label.nii"), array), np.rint(array))
