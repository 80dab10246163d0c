"""Finished predictions: every format gives the same voxels; missing or bad files fail."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from baselines import external
from baselines.external import External
from benchmark import catalogue, volume
from benchmark.adapter import Prediction
from benchmark.errors import UserError
from benchmark.inference import predict
from benchmark.prompts import StructureName
from benchmark.scoring import Inputs, score
from benchmark.specs import Run, Scoring
from benchmark.storage.tables import write_table
from benchmark.volume import Volume

SHAPE = (5, 6, 7)
NAMES = {1: "liver", 2: "lesion"}


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    array = np.zeros(SHAPE, np.uint8)
    array[1:4, 1:5, 2:6] = 1
    array[2, 2:4, 3:5] = 2
    return array


@pytest.fixture
def scan(tmp_path: Path) -> Volume:
    """A scan stored in RAS, so that a mistake of orientation shows."""
    grey = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
    grey.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    grey.SetSpacing((1.0, 1.5, 3.0))
    sitk.WriteImage(grey, str(tmp_path / "scan.nii.gz"))
    read = volume.read([tmp_path / "scan.nii.gz"])
    return Volume(read.array, read.spacing, native=read.native, dataset="D", scan="case.01")


def same(prediction: Prediction, expected: NDArray[np.bool_]) -> bool:
    assert prediction.mask is not None, prediction.failure
    return np.array_equal(prediction.mask, expected)


def ask(scan: Volume, *names: str, **options: Any) -> list[Prediction]:
    z, y, x = scan.shape
    prompts = [StructureName(name, (0, z, 0, y, 0, x)) for name in names]
    return list(External(options).segment(scan, prompts))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("given", ["", "suffix"])
def test_label_maps_of_every_format(
    suffix: str, given: str, scan: Volume, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    assert scan.native is not None
    path = tmp_path / "out" / "D" / f"case.01{suffix}"
    volume.write(truth, scan.native, path)
    files = str(tmp_path / "out/{dataset}/{scan}") + (suffix if given else "")
    liver, lesion = ask(scan, "liver", "lesion", files=files, labels=NAMES)
    assert same(liver, truth == 1)
    assert same(lesion, truth == 2)


def test_a_label_map_in_another_orientation_than_its_image(
    scan: Volume, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    assert scan.native is not None
    volume.write(truth, scan.native.canonical, tmp_path / "case.01.nii.gz")
    (liver,) = ask(scan, "liver", files=str(tmp_path / "{scan}.nii.gz"), labels=NAMES)
    assert same(liver, truth == 1)


def test_segments_carry_their_names_and_may_overlap(
    scan: Volume, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    assert scan.native is not None
    image = volume.to_native(np.stack([(truth > 0) * 3, truth == 2]).astype(np.uint8), scan.native)
    for number, (name, layer, value) in enumerate([("liver", 0, 3), ("lesion", 1, 1)]):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_Layer", str(layer))
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(tmp_path / "case.01.seg.nrrd"))
    liver, lesion, spleen = ask(scan, "liver", "lesion", "spleen", files=str(tmp_path / "{scan}"))
    assert same(liver, truth > 0)
    assert same(lesion, truth == 2)
    assert spleen.failure is not None
    assert "'spleen'; it names liver, lesion" in spleen.failure


def test_segments_may_have_another_extent_than_the_scan(
    scan: Volume, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Cropped by SimpleITK, which moves the origin; a single voxel stands for no segments."""
    assert scan.native is not None
    whole = volume.to_native(truth, scan.native)
    cropped = sitk.RegionOfInterest(whole, (5, 5, 3), (0, 0, 1))
    for number, (name, value) in enumerate([("lesion", 2), ("liver", 1)]):
        cropped.SetMetaData(f"Segment{number}_Name", name)
        cropped.SetMetaData(f"Segment{number}_LabelValue", str(value))
    files = str(tmp_path / "{scan}.seg.nrrd")
    sitk.WriteImage(cropped, files.format(scan="case.01"))
    liver, lesion = ask(scan, "liver", "lesion", files=files)
    assert same(liver, truth == 1)
    assert same(lesion, truth == 2)
    blank = sitk.Image((1, 1, 1), sitk.sitkUInt8)
    blank.SetMetaData("Segment0_Name", "liver")
    sitk.WriteImage(blank, files.format(scan="case.01"))
    assert same(ask(scan, "liver", files=files)[0], np.zeros_like(truth, bool))


def test_a_suffix_in_capitals_keeps_the_names_of_segments(
    scan: Volume, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    assert scan.native is not None
    image = volume.to_native(truth, scan.native)
    for number, (name, value) in enumerate([("lesion", 2), ("liver", 1)]):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(tmp_path / "written.seg.nrrd"))
    (tmp_path / "written.seg.nrrd").rename(tmp_path / "case.01.SEG.NRRD")
    liver, lesion = ask(scan, "liver", "lesion", files=str(tmp_path / "{scan}.SEG.NRRD"))
    assert same(liver, truth == 1)
    assert same(lesion, truth == 2)


def test_a_file_a_structure(scan: Volume, truth: NDArray[np.uint8], tmp_path: Path) -> None:
    assert scan.native is not None
    volume.write((truth == 2) * np.uint8(255), scan.native, tmp_path / "lesion" / "case.01.nii.gz")
    lesion, liver = ask(scan, "lesion", "liver", files=str(tmp_path / "{structure}/{scan}"))
    assert same(lesion, truth == 2)
    assert liver.failure is not None
    assert "there is no file" in liver.failure


def test_a_file_a_structure_may_have_the_name_that_the_dataset_gives_it(
    truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    """In D19 as published, the kidneys are kidney_right.nii.gz and kidney_left.nii.gz."""
    scan = Volume(truth, (1.0, 1.0, 1.0), dataset="D19", scan="s1")
    volume.write(
        (truth == 2).astype(np.uint8), scan.spacing, tmp_path / "s1" / "kidney_right.nii.gz"
    )
    volume.write(
        (truth == 1).astype(np.uint8), scan.spacing, tmp_path / "s1" / "left kidney.nii.gz"
    )
    files = str(tmp_path / "{scan}" / "{structure}")
    right, left, spleen = ask(scan, "right kidney", "left kidney", "spleen", files=files)
    assert same(right, truth == 2)
    assert same(left, truth == 1)
    assert spleen.failure is not None
    volume.write(
        (truth == 1).astype(np.uint8), scan.spacing, tmp_path / "s1" / "kidney_left.nii.gz"
    )
    (twice,) = ask(scan, "left kidney", files=files)
    assert twice.failure is not None
    assert "several predictions: left kidney.nii.gz, kidney_left.nii.gz" in twice.failure


def test_of_many_files_one_at_a_time_is_in_memory(
    scan: Volume, truth: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segmentation of the whole body has more than a hundred files of one structure each."""
    names = ["liver", "lesion", "spleen"]
    for name in names:
        volume.write(truth, (3.0, 1.5, 1.0), tmp_path / f"{name}-case.01.nii.gz")
    files: list[weakref.ref[Any]] = []

    def read(path: Path, grid: Volume) -> external.Labels:
        assert not [file for file in files if file() is not None]
        labels = external.Labels(truth[None].copy(), {})
        files.append(weakref.ref(labels.array))
        return labels

    monkeypatch.setattr(external, "read", read)
    answers = ask(scan, *names, files=str(tmp_path / "{structure}-{scan}"))
    assert len(files) == len(answers) == len(names)


def test_what_cannot_be_used_has_failed_with_its_reason(
    scan: Volume, truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    files = str(tmp_path / "{scan}")
    path = tmp_path / "case.01.nii.gz"
    volume.write(truth, (3.0, 1.5, 1.1), path)
    (other,) = ask(scan, "liver", files=files, labels=NAMES)
    assert "not on the grid of its image. The spacing differs" in str(other.failure)
    path.write_bytes(b"no image")
    (broken,) = ask(scan, "liver", files=files, labels=NAMES)
    assert "unreadable image" in str(broken.failure)
    volume.write(truth, (3.0, 1.5, 1.0), tmp_path / "case.01.mha")
    (twice,) = ask(scan, "liver", files=files, labels=NAMES)
    assert "several predictions: case.01.nii.gz, case.01.mha" in str(twice.failure)


def test_values_are_those_of_the_catalogue_unless_told(
    truth: NDArray[np.uint8], tmp_path: Path
) -> None:
    volume.write(truth, (1.0, 1.0, 1.0), tmp_path / "a.nii.gz")
    scan = Volume(truth, (1.0, 1.0, 1.0), dataset="D32", scan="a")
    (front,) = ask(scan, "anterior hippocampus", files=str(tmp_path / "{scan}"))
    assert same(front, truth == 1)
    own = Volume(truth, (1.0, 1.0, 1.0), dataset="mine", scan="a")
    (unknown,) = ask(own, "liver", files=str(tmp_path / "{scan}"))
    assert "name them under options.labels" in str(unknown.failure)


def test_a_value_that_is_not_evaluated_is_no_instance(
    truth: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalogue.load("D11").model_copy(update={"not_evaluated": (2,)})
    monkeypatch.setattr(catalogue, "load", lambda name: entry)
    scan = Volume(truth, (1.0, 1.0, 1.0), dataset="D11", scan="a")
    volume.write(truth, (1.0, 1.0, 1.0), tmp_path / "a.nii.gz")
    (nodes,) = ask(scan, "mediastinal lymph node", files=str(tmp_path / "{scan}"))
    assert same(nodes, (truth > 0) & (truth != 2))


def test_each_value_may_be_an_instance(truth: NDArray[np.uint8], tmp_path: Path) -> None:
    """D11 numbers its nodes: a predicted map of them is the structure as a whole."""
    scan = Volume(truth, (1.0, 1.0, 1.0), dataset="D11", scan="a")
    for nodes in (truth, np.where(truth, truth + 6, 0).astype(np.uint8), truth * 0):
        volume.write(nodes, (1.0, 1.0, 1.0), tmp_path / "a.nii.gz")
        (node,) = ask(scan, "mediastinal lymph node", files=str(tmp_path / "{scan}"))
        assert same(node, nodes > 0)


def test_the_pattern_names_the_scan() -> None:
    with pytest.raises(UserError, match=r"lacks \{scan\}"):
        External({"files": "predictions/all.nii.gz"})


def test_the_external_state_follows_the_folder(truth: NDArray[np.uint8], tmp_path: Path) -> None:
    method = External({"files": str(tmp_path / "made" / "{dataset}" / "{scan}")})
    assert f"no folder {tmp_path / 'made'}" in str(method.missing_requirement())
    before = method.external_state()
    volume.write(truth, (1.0, 1.0, 1.0), tmp_path / "made" / "D" / "a.nii.gz")
    assert method.missing_requirement() is None
    assert method.external_state() != before


def run_of(**options: Any) -> Run:
    content = {
        "adapter": "external",
        "version": 1,
        "prompt": "structure",
        "prompts": "x",
        "weights": None,
        "weights_sha256": None,
        "options": {"labels": {1: "lesion", 2: "organ"}, **options},
        "variants": {},
        "timed_objects": 1,
        "seed": 0,
    }
    return Run.read(content, "the test's run")


def test_a_structure_without_a_prediction_is_a_failed_cell(
    shard: Any, labels: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Of two scans one has a perfect prediction; all cells are of structures."""
    import pandas as pd

    from benchmark.inference import MASK_SCHEMA
    from benchmark.metrics.empty import EmptyPolicy
    from benchmark.storage.tables import read_table

    volume.write(labels, (3.0, 1.0, 1.5), tmp_path / "made" / "a.nii.gz")
    run = run_of(files=str(tmp_path / "made" / "{scan}"))
    results = predict(run, shard.images, shard.prompts)
    write_table(results.masks, MASK_SCHEMA, tmp_path / "masks.parquet")
    masks = read_table(tmp_path / "masks.parquet")
    settings = Scoring(nsd_tolerance_mm=2.0, tolerances={}, reference="label", empty=EmptyPolicy())
    inputs = Inputs(shard.images, shard.objects, shard.reference, shard.prompts, masks)
    cells = pd.DataFrame(list(score(run, settings, inputs)))
    assert set(cells["level"]) == {"structure"}
    assert set(cells["structure"]) == {"lesion", "organ"}
    of_a, of_b = (cells[cells["scan"] == scan] for scan in ("a", "b"))
    assert of_a["dsc"].tolist() == [1.0, 1.0]
    assert of_b["status"].tolist() == ["failed", "failed"]
    assert all("there is no file" in reason for reason in of_b["reason"])
    assert len(results.times) == 1


def test_without_the_folder_all_cells_are_skipped(shard: Any, tmp_path: Path) -> None:
    run = run_of(files=str(tmp_path / "nowhere" / "{scan}"))
    masks = predict(run, shard.images, shard.prompts).masks
    assert {row["status"] for row in masks} == {"skipped"}
    assert len(masks) == 4
