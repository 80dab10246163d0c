"""`pambench score`: finished predictions, from files on disk to the table."""

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from benchmark import cli
from benchmark.errors import UserError
from benchmark.finished import segmentation
from benchmark.finished.summary import summary
from benchmark.metrics import METRICS, score, surface_reference
from benchmark.metrics.boundary import CONVENTIONS, boundary_metrics
from benchmark.storage.tables import records

Labels = NDArray[Any]
SPACING = (3.0, 0.8, 0.7)  # (z, y, x) in mm
SHAPE = (8, 14, 12)


def block(z: slice, y: slice, x: slice, value: int = 1, base: Labels | None = None) -> Labels:
    labels = np.zeros(SHAPE, np.uint8) if base is None else base.copy()
    labels[z, y, x] = value
    return labels


ORGAN = block(slice(1, 6), slice(2, 9), slice(1, 8))
REFERENCE = block(slice(3, 5), slice(10, 13), slice(2, 6), 2, ORGAN)
PREDICTION = block(slice(3, 6), slice(10, 13), slice(3, 7), 2, np.roll(ORGAN, 1, axis=1))


def image(labels: NDArray[Any], spacing: tuple[float, ...] = SPACING) -> Any:
    """The labels in a file's image; layers, if any, are the last axis."""
    made = sitk.GetImageFromArray(labels, isVector=labels.ndim == 4)
    made.SetSpacing(spacing[::-1])
    return made


def write(labels: NDArray[Any], path: Path, spacing: tuple[float, ...] = SPACING) -> None:
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image(labels, spacing), str(path), True)


def write_segments(layers: list[Labels], names: list[tuple[str, int, int]], path: Path) -> None:
    """A .seg.nrrd as 3D Slicer writes it: (name, layer, value) of each segment."""
    made = image(np.stack(layers, axis=-1) if len(layers) > 1 else layers[0])
    for number, (name, layer, value) in enumerate(names):
        made.SetMetaData(f"Segment{number}_Name", name)
        made.SetMetaData(f"Segment{number}_Layer", str(layer))
        made.SetMetaData(f"Segment{number}_LabelValue", str(value))
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(made, str(path), True)


def run(folder: Path, *more: str) -> Result:
    arguments = ["score", "--reference", str(folder / "ref"), "--prediction", str(folder / "pred")]
    return CliRunner().invoke(cli.app, [*arguments, "--output", str(folder / "out"), *more])


def scores(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = records(pd.read_parquet(folder / "out" / "scores.parquet"))
    return {(row["scan"], row["structure"]): row for row in rows}


def column(table: dict[tuple[str, str], dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in table.values()]


def assert_scored(row: dict[str, Any], truth: NDArray[Any], found: NDArray[Any]) -> None:
    """The row of the table against the library that defines the surface metrics."""
    expected = score(
        truth, found, SPACING, grid_voxels=truth.size, tolerance_mm=2.0, engine="reference"
    )
    assert row["status"] == "ok"
    assert {name: row[name] for name in METRICS} == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert row["reference_mm3"] == pytest.approx(truth.sum() * np.prod(SPACING))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_every_structure_of_every_scan(tmp_path: Path, suffix: str) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / f"a{suffix}")
    write(ORGAN, tmp_path / "ref" / "b.one.nii.gz")
    write(ORGAN, tmp_path / "pred" / f"b.one{suffix}")
    (tmp_path / "ref" / "notes.txt").write_text("not a label file", encoding="utf-8")
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    table = scores(tmp_path)
    assert list(table) == [("a", "1"), ("a", "2"), ("b.one", "1")]
    for value in (1, 2):
        assert_scored(
            table["a", str(value)], np.equal(REFERENCE, value), np.equal(PREDICTION, value)
        )
    assert table["b.one", "1"]["dsc"] == 1
    written = pd.read_csv(tmp_path / "out" / "scores.csv")
    np.testing.assert_allclose(written["nsd"], column(table, "nsd"))


def test_names_and_tolerances_of_the_labels(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    labels = tmp_path / "labels.yaml"
    labels.write_text("2: {name: lesion, nsd_tolerance_mm: 0.5}\n1: organ\n", encoding="utf-8")
    result = run(tmp_path, "--labels", str(labels), "--tolerance", "0.6", "--threads", "1")
    table = scores(tmp_path)
    assert list(table) == [("a", "lesion"), ("a", "organ")]
    assert column(table, "tolerance_mm") == [0.5, 0.6]
    assert "lesion" in result.output


def test_each_structure_is_held_to_its_own_tolerance(tmp_path: Path) -> None:
    """Both are shifted by one voxel of 1 mm: less than 2 mm, more than 0.5 mm."""
    cubic = (1.0, 1.0, 1.0)
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz", cubic)
    write(np.roll(REFERENCE, 1, axis=2), tmp_path / "pred" / "a.nii.gz", cubic)
    labels = tmp_path / "labels.yaml"
    labels.write_text("1: liver\n2: {name: lesion, nsd_tolerance_mm: 0.5}\n", encoding="utf-8")
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    table = scores(tmp_path)
    assert table["a", "liver"]["nsd"] == 1
    assert 0 < table["a", "lesion"]["nsd"] < 1


def test_volumes_are_those_of_the_voxels(tmp_path: Path) -> None:
    """Voxels of 3 x 0.8 x 0.7 mm: 2 x 3 x 4 of them in the reference, 3 x 3 x 4 predicted."""
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    assert run(tmp_path).exit_code == 0
    lesion = scores(tmp_path)["a", "2"]
    assert lesion["reference_mm3"] == pytest.approx(40.32)
    assert lesion["prediction_mm3"] == pytest.approx(60.48)


def test_the_table_has_mean_and_standard_deviation() -> None:
    """By hand: of 1 and 0.5 the mean is 0.75 and the deviation 0.5 / sqrt 2."""
    nan = float("nan")
    columns = ("structure", "scan", "status", "dsc", "nsd", "hd95", "asd")
    rows = [
        ("liver", "a", "ok", 1.0, 0.9, 2.0, 1.0),
        ("liver", "b", "ok", 0.5, nan, 4.0, 3.0),
        ("liver", "c", "failed", nan, nan, nan, nan),
        (None, "d", "failed", nan, nan, nan, nan),
    ]
    made = pd.DataFrame(rows, columns=columns)
    head, rule, *lines = summary(made).splitlines()
    cells = [re.split(r" {2,}", line) for line in (head, *lines)]
    values = ["0.750 ± 0.354", "0.900 (1)", "3.00 ± 1.41", "2.00 ± 1.41"]
    assert cells[0][:3] == ["structure", "scored / expected", "DSC"]
    assert cells[1:] == [["liver", "2 / 3", *values], ["all", "2 / 4", *values]]
    assert set(rule) == {"-"}
    assert len(rule) == max(map(len, lines))


def test_segments_that_overlap_meet_label_maps_by_name(tmp_path: Path) -> None:
    whole = np.maximum(ORGAN, REFERENCE > 0).astype(np.uint8)  # the lesion is part of the organ
    lesion = (REFERENCE == 2).astype(np.uint8)
    names = [("organ", 0, 1), ("lesion", 1, 1)]
    write_segments([whole, lesion], names, tmp_path / "ref" / "a.seg.nrrd")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    labels = tmp_path / "labels.yaml"
    labels.write_text("1: organ\n2: lesion\n", encoding="utf-8")
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    table = scores(tmp_path)
    assert_scored(table["a", "organ"], whole == 1, PREDICTION == 1)
    assert_scored(table["a", "lesion"], lesion == 1, PREDICTION == 2)

    result = run(tmp_path)  # without the names of the values
    assert result.exit_code == 1
    assert all("--labels" in reason for reason in column(scores(tmp_path), "reason"))


UNSURE = block(slice(0, 8), slice(5, 14), slice(0, 4), 255)


def without(labels: Labels) -> NDArray[np.bool_]:
    """The voxels of a map that are not unsure, by SimpleITK."""
    masked = sitk.Mask(image(labels), image((UNSURE == 0).astype(np.uint8)))
    return np.asarray(sitk.GetArrayFromImage(masked) > 0)


def assert_scored_without_unsure(
    row: dict[str, Any], truth: NDArray[Any], found: NDArray[Any]
) -> None:
    pair = without(truth.astype(np.uint8)), without(found.astype(np.uint8))
    grid = int((UNSURE == 0).sum())
    expected = score(*pair, SPACING, grid_voxels=grid, tolerance_mm=2, engine="reference")
    assert {name: row[name] for name in METRICS} == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert row["prediction_mm3"] == pytest.approx(pair[1].sum() * np.prod(SPACING))


@pytest.mark.parametrize("names", ["1: organ\n2: lesion\n", ""])
def test_values_of_the_reference_that_are_not_evaluated(tmp_path: Path, names: str) -> None:
    """Those of the prediction are no structure, and leave nothing out."""
    reference = np.where(UNSURE > 0, UNSURE, REFERENCE).astype(np.uint8)
    prediction = np.where(np.roll(UNSURE, 5, axis=2) > 0, 255, PREDICTION).astype(np.uint8)
    write(reference, tmp_path / "ref" / "a.nii.gz")
    write(prediction, tmp_path / "pred" / "a.nii.gz")
    write(np.maximum(UNSURE, ORGAN), tmp_path / "ref" / "b.nii.gz")  # the lesion is unsure
    inside = block(slice(2, 4), slice(6, 8), slice(1, 3), 2, ORGAN)
    write(inside, tmp_path / "pred" / "b.nii.gz")
    labels = tmp_path / "labels.yaml"
    labels.write_text(f"{names}not_evaluated: [255]\n", encoding="utf-8")
    result = run(tmp_path, "--labels", str(labels))
    assert result.exit_code == 0, result.output
    table = scores(tmp_path)
    organ, lesion = ("organ", "lesion") if names else ("1", "2")
    assert set(table) == {("a", organ), ("a", lesion), ("b", organ)}
    for name, value in ((organ, 1), (lesion, 2)):
        assert_scored_without_unsure(
            table["a", name], np.equal(reference, value), np.equal(prediction, value)
        )
    assert table["b", organ]["dsc"] == 1


def test_segments_that_are_not_evaluated(tmp_path: Path) -> None:
    """A lesion of which nothing is evaluated is no structure of the reference."""
    whole = np.maximum(ORGAN, REFERENCE > 0).astype(np.uint8)
    hidden = block(slice(2, 4), slice(6, 8), slice(1, 3))
    layers = [whole, hidden, (UNSURE > 0).astype(np.uint8)]
    names = [("organ", 0, 1), ("lesion", 1, 1), ("unsure", 2, 1)]
    write_segments(layers, names, tmp_path / "ref" / "a.seg.nrrd")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    labels = tmp_path / "labels.yaml"
    labels.write_text("1: organ\nnot_evaluated: [unsure]\n", encoding="utf-8")
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    table = scores(tmp_path)
    assert set(table) == {("a", "organ")}
    assert_scored_without_unsure(table["a", "organ"], whole == 1, PREDICTION == 1)


def test_a_file_of_slicer_without_voxels_is_an_empty_prediction(tmp_path: Path) -> None:
    """3D Slicer writes it as a single voxel, whatever the grid; a DSC of 0 enters the mean."""
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    path = tmp_path / "pred" / "a.seg.nrrd"
    path.parent.mkdir()
    image = sitk.GetImageFromArray(np.zeros((1, 1, 1), np.uint8))
    image.SetMetaData("Segment0_Name", "1")
    sitk.WriteImage(image, str(path))
    assert run(tmp_path).exit_code == 0
    table = scores(tmp_path)
    assert {name: row["status"] for (_, name), row in table.items()} == {"1": "ok", "2": "ok"}
    assert [row["dsc"] for row in table.values()] == [0, 0]
    assert [row["prediction_mm3"] for row in table.values()] == [0, 0]


OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def tilted(labels: Labels) -> Any:
    """An image with its origin and direction anywhere."""
    made = image(labels)
    made.SetOrigin((-31.3, 7.9, 112.6))
    made.SetDirection(OBLIQUE)
    return made


def save(made: Any, path: Path) -> None:
    """A file; one of 3D Slicer has a segment of each value."""
    for value in (1, 2):
        made.SetMetaData(f"Segment{value - 1}_Name", str(value))
        made.SetMetaData(f"Segment{value - 1}_LabelValue", str(value))
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(made, str(path), True)


def part(made: Any, size: tuple[int, ...], start: tuple[int, ...]) -> Any:
    """A box of an image, by SimpleITK, which moves the origin."""
    return sitk.RegionOfInterest(made, size, start)


CROPPED = part(tilted(PREDICTION), (9, 13, 7), (0, 1, 1))
LARGER = sitk.ConstantPad(tilted(PREDICTION), (2, 0, 1), (3, 4, 0), 0)


@pytest.mark.parametrize(
    "prediction",
    [CROPPED, LARGER, part(LARGER, (11, 15, 7), (2, 0, 2)), sitk.DICOMOrient(CROPPED, "RSA")],
    ids=["cropped", "larger", "both", "orientation"],
)
def test_files_of_slicer_of_another_extent(tmp_path: Path, prediction: Any) -> None:
    save(tilted(REFERENCE), tmp_path / "ref" / "a.nii.gz")
    save(prediction, tmp_path / "pred" / "a.seg.nrrd")
    assert run(tmp_path).exit_code == 0
    table = scores(tmp_path)
    assert set(table) == {("a", "1"), ("a", "2")}
    for value in (1, 2):
        assert_scored(
            table["a", str(value)], np.equal(REFERENCE, value), np.equal(PREDICTION, value)
        )


def test_a_cropped_reference_is_scored_on_the_grid_of_the_label_map(tmp_path: Path) -> None:
    save(part(tilted(REFERENCE), (8, 13, 6), (1, 1, 0)), tmp_path / "ref" / "a.seg.nrrd")
    save(tilted(PREDICTION), tmp_path / "pred" / "a.nii.gz")
    labels = tmp_path / "labels.yaml"
    labels.write_text("1: '1'\n2: '2'\n", encoding="utf-8")
    result = run(tmp_path, "--labels", str(labels))
    assert result.exit_code == 0, result.output
    assert_scored(scores(tmp_path)["a", "1"], REFERENCE == 1, PREDICTION == 1)


def test_two_cropped_files_of_slicer_are_scored_in_the_box_around_both(tmp_path: Path) -> None:
    """Neither box holds the other: what lies outside of the reference's is false, and counts."""
    save(part(tilted(REFERENCE), (7, 12, 7), (1, 1, 0)), tmp_path / "ref" / "a.seg.nrrd")
    save(part(tilted(PREDICTION), (9, 11, 6), (1, 3, 1)), tmp_path / "pred" / "a.seg.nrrd")
    assert run(tmp_path).exit_code == 0
    table = scores(tmp_path)
    box = (slice(0, 7), slice(1, 14), slice(1, 10))
    for value in (1, 2):
        truth, found = np.equal(REFERENCE, value), np.equal(PREDICTION, value)
        assert_scored(table["a", str(value)], truth[box], found[box])
        assert truth[box].sum() == truth.sum()
        assert found[box].sum() == found.sum()


def test_files_of_slicer_off_the_voxels_or_beyond_the_scan_have_failed(tmp_path: Path) -> None:
    for scan in ("half", "spacing", "beyond", "map"):
        save(tilted(REFERENCE), tmp_path / "ref" / f"{scan}.nii.gz")
    half = part(tilted(PREDICTION), (9, 13, 7), (0, 1, 1))
    half.SetOrigin(tilted(PREDICTION).TransformContinuousIndexToPhysicalPoint((0.5, 1.0, 1.0)))
    other = part(tilted(PREDICTION), (9, 13, 7), (0, 1, 1))
    other.SetSpacing((0.7, 0.8, 3.1))
    beyond = sitk.ConstantPad(tilted(PREDICTION), (0, 0, 0), (0, 1, 0), 2)
    save(half, tmp_path / "pred" / "half.seg.nrrd")
    save(other, tmp_path / "pred" / "spacing.seg.nrrd")
    save(beyond, tmp_path / "pred" / "beyond.seg.nrrd")
    save(CROPPED, tmp_path / "pred" / "map.nrrd")
    assert run(tmp_path).exit_code == 1
    table = scores(tmp_path)
    assert "origin differs by 0.5 voxels" in table["half", "1"]["reason"]
    assert "by whole voxels" in table["half", "1"]["reason"]
    assert "spacing differs" in table["spacing", "1"]["reason"]
    assert "96 voxels of its segments lie outside" in table["beyond", "1"]["reason"]
    assert "shape differs" in table["map", "1"]["reason"]


def test_an_empty_reference_of_slicer_is_on_the_grid_of_the_prediction(tmp_path: Path) -> None:
    save(image(np.zeros((1, 1, 1), np.uint8)), tmp_path / "ref" / "a.seg.nrrd")
    save(tilted(PREDICTION), tmp_path / "pred" / "a.nii.gz")
    assert run(tmp_path).exit_code == 0
    for value in (1, 2):
        found = np.equal(PREDICTION, value)
        row = scores(tmp_path)["a", str(value)]
        assert row["dsc"] == 0
        assert row["prediction_mm3"] == pytest.approx(found.sum() * np.prod(SPACING))


def test_two_segments_of_one_name_are_no_prediction(tmp_path: Path) -> None:
    """Which of them is meant is not known."""
    names = [("organ", 0, 1), ("lesion", 0, 2), ("organ", 0, 3)]
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write_segments([PREDICTION], names, tmp_path / "pred" / "a.seg.nrrd")
    run(tmp_path)
    reasons = column(scores(tmp_path), "reason")
    assert len(reasons) == 2
    assert all("two segments are named 'organ'" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("layer", "value", "reason"),
    [("3", "1", "is in layer 3 of 1"), ("0", "one", "is 'one', not a whole number")],
)
def test_segments_of_a_damaged_header_cost_their_scan_alone(
    tmp_path: Path, layer: Any, value: Any, reason: str
) -> None:
    for scan in ("a", "b"):
        write(REFERENCE, tmp_path / "ref" / f"{scan}.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "b.nii.gz")
    write_segments([PREDICTION], [("organ", layer, value)], tmp_path / "pred" / "a.seg.nrrd")
    assert run(tmp_path).exit_code == 0
    table = scores(tmp_path)
    assert [row["status"] for row in table.values()] == ["failed", "failed", "ok", "ok"]
    assert reason in table["a", "1"]["reason"]


def test_a_spacing_beyond_all_measure_costs_its_scan_alone(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.mha", (1e300, 1e300, 1e300))
    write(PREDICTION, tmp_path / "pred" / "a.mha", (1e300, 1e300, 1e300))
    write(REFERENCE, tmp_path / "ref" / "b.mha")
    write(PREDICTION, tmp_path / "pred" / "b.mha")
    assert run(tmp_path).exit_code == 0
    table = scores(tmp_path)
    assert [row["status"] for row in table.values()] == ["failed", "ok", "ok"]


def test_missing_broken_and_shifted_predictions_are_failures(tmp_path: Path) -> None:
    for scan in ("a", "b", "c", "d"):
        write(REFERENCE, tmp_path / "ref" / f"{scan}.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    (tmp_path / "pred" / "c.nii.gz").write_bytes(b"no image")
    write(PREDICTION, tmp_path / "pred" / "d.nii.gz", (3.0, 0.8, 0.9))
    write(PREDICTION, tmp_path / "pred" / "stranger.nii.gz")
    result = run(tmp_path)
    assert result.exit_code == 0
    table = scores(tmp_path)
    assert len(table) == 8
    assert [table["a", name]["status"] for name in "12"] == ["ok"] * 2
    for scan, reason in (("b", "no prediction"), ("c", "unreadable"), ("d", "spacing differs")):
        for row in (table[scan, "1"], table[scan, "2"]):
            assert row["status"] == "failed"
            assert reason in row["reason"]
            assert all(np.isnan(row[name]) for name in METRICS)
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert "1 / 4" in lines["1"]
    assert "2 / 8" in lines["all"]
    assert "failed, 2 cell(s) of b: no prediction" in result.stderr
    assert "without a reference, not scored: stranger" in result.stderr


def test_a_healthy_scan_without_a_prediction_is_not_dropped(tmp_path: Path) -> None:
    """Else the mean rises where a bad prediction of a scan without structures is deleted."""
    for scan in ("a", "healthy", "broken"):
        write(REFERENCE if scan == "a" else 0 * REFERENCE, tmp_path / "ref" / f"{scan}.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    (tmp_path / "pred" / "broken.nii.gz").write_bytes(b"no image")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "failed, 1 cell(s) of healthy: no prediction" in result.stderr
    assert "failed, 1 cell(s) of broken" in result.stderr
    assert "2 / 4" in next(line for line in result.stdout.splitlines() if line.startswith("all"))


def test_metrics_as_other_libraries_define_them(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    result = run(tmp_path, "--convention", "medpy", "--convention", "monai")
    assert result.exit_code == 0, result.output
    assert "hd95_medpy" in result.stdout
    row = scores(tmp_path)["a", "2"]
    pair = np.equal(REFERENCE, 2), np.equal(PREDICTION, 2)
    for name in CONVENTIONS[:2]:
        expected = boundary_metrics(*pair, SPACING, 2.0, convention=name)
        assert {key: row[f"{key}_{name}"] for key in expected} == pytest.approx(expected)
    assert "hd_simpleitk" not in row
    result = run(tmp_path, "--convention", "medpi")
    assert "Did you mean: medpy" in str(result.exception)


def test_a_broken_reference_is_told(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    (tmp_path / "ref" / "b.nii.gz").write_bytes(b"no image")
    for scan in ("a", "b"):
        write(PREDICTION, tmp_path / "pred" / f"{scan}.nii.gz")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "2 / 3" in result.stdout
    assert "of b:" in result.stderr


def test_structures_on_one_side_only(tmp_path: Path) -> None:
    write(block(slice(1, 3), slice(2, 4), slice(2, 4), 1), tmp_path / "ref" / "a.nii.gz")
    write(block(slice(1, 3), slice(2, 4), slice(2, 4), 5), tmp_path / "pred" / "a.nii.gz")
    diagonal = float(np.linalg.norm(np.multiply(SHAPE, SPACING)))
    for empty, distance in (("diagonal", diagonal), ("leave-out", np.nan)):
        assert run(tmp_path, "--empty", empty).exit_code == 0
        table = scores(tmp_path)
        assert column(table, "dsc") == [0, 0]
        assert column(table, "hd95") == pytest.approx([distance] * 2, nan_ok=True)


def test_distances_that_are_the_diagonal_are_counted(tmp_path: Path) -> None:
    """The first scan lacks a prediction of 2, the second one has one of 2 alone."""
    for scan, truth, found in (("a", REFERENCE, ORGAN), ("b", ORGAN, 2 * ORGAN)):
        write(truth, tmp_path / "ref" / f"{scan}.nii.gz")
        write(found, tmp_path / "pred" / f"{scan}.nii.gz")
    told = "the diagonal of the scan in 3 of 4 scored cells: 2 without a prediction, 1 without a"
    assert told in run(tmp_path).stdout
    assert "the diagonal of the scan" not in run(tmp_path, "--empty", "leave-out").stdout


@pytest.mark.parametrize("threads", ["1", "2", "5", "100"])
def test_scans_keep_their_order_and_values_in_threads(tmp_path: Path, threads: str) -> None:
    """The third prediction is missing, the fourth broken."""
    for number in range(12):
        write(REFERENCE, tmp_path / "ref" / f"{number:02}.nii.gz")
        if number != 2:
            write(np.roll(PREDICTION, number, 2), tmp_path / "pred" / f"{number:02}.nii.gz")
    (tmp_path / "pred" / "03.nii.gz").write_bytes(b"no image")
    assert run(tmp_path, "--threads", threads).exit_code == 0
    table = scores(tmp_path)
    assert list(table) == [(f"{number:02}", name) for number in range(12) for name in "12"]
    for (scan, name), row in table.items():
        if scan in ("02", "03"):
            assert row["status"] == "failed"
        else:
            found = np.roll(PREDICTION, int(scan), 2) == int(name)
            assert_scored(row, np.equal(REFERENCE, int(name)), found)


def test_scans_are_read_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reader waits until another one is there too; the limit is for a failure alone."""
    both = threading.Barrier(2, timeout=60)
    read = segmentation.read

    def read_with_another(*about: Any) -> Any:
        both.wait()
        return read(*about)

    monkeypatch.setattr(segmentation, "read", read_with_another)
    for scan in ("a", "b"):
        write(REFERENCE, tmp_path / "ref" / f"{scan}.nii.gz")
        write(PREDICTION, tmp_path / "pred" / f"{scan}.nii.gz")
    assert run(tmp_path, "--threads", "2").exit_code == 0
    assert set(column(scores(tmp_path), "status")) == {"ok"}


def test_the_engine_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: Any) -> dict[str, float]:
        return dict.fromkeys(METRICS, 0.25)

    monkeypatch.setattr(surface_reference, "surface_metrics", other)
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    for engine, same in (("reference", True), ("numpy", False)):
        assert run(tmp_path, "--engine", engine).exit_code == 0
        assert (scores(tmp_path)["a", "1"]["nsd"] == 0.25) == same
    assert run(tmp_path, "--engine", "fast").exit_code == 2


def test_orientation_does_not_matter(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    (tmp_path / "pred").mkdir()
    sitk.WriteImage(sitk.DICOMOrient(image(PREDICTION), "RSA"), str(tmp_path / "pred" / "a.mha"))
    assert run(tmp_path).exit_code == 0
    assert_scored(scores(tmp_path)["a", "1"], REFERENCE == 1, PREDICTION == 1)


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        (["other.nii.gz"], None, "matches one in"),
        (["scan-1.nii.gz"], None, "Did you mean: scan_1"),
        (["scan_1.nii.gz", "scan_1.mha"], None, "Two files of the name 'scan_1'"),
        ([], None, "No files of labels in"),
        (["scan_1.nii.gz"], "1: {name: a, nsd_tolerence_mm: 2}", "mean: nsd_tolerance_mm"),
        (["scan_1.nii.gz"], "1: a\n2: a", "more than one value is named a"),
        (["scan_1.nii.gz"], "1: a\n1: b", "the key 1 occurs twice"),
        (["scan_1.nii.gz"], "1: {name: a, nsd_tolerance_mm: -2}", "greater than or equal to 0"),
        (["scan_1.nii.gz"], "[liver]", "one 'value: name' per line, such as '1: liver'"),
        (["scan_1.nii.gz"], "liver: 1", "names before values"),
        (["scan_1.nii.gz"], "1: a\nnot_evaluated: [1]", "1 is both named and under not_evaluated"),
        (["scan_1.nii.gz"], "1: a\nnot_evaluated: 255", "not_evaluated: Expected a list"),
    ],
)
def test_bad_input_is_told(
    tmp_path: Path, predictions: list[str], labels: str | None, message: str
) -> None:
    write(REFERENCE, tmp_path / "ref" / "scan_1.nii.gz")
    (tmp_path / "pred").mkdir()
    for name in predictions:
        write(PREDICTION, tmp_path / "pred" / name)
    more = []
    if labels is not None:
        (tmp_path / "labels.yaml").write_text(labels, encoding="utf-8")
        more = ["--labels", str(tmp_path / "labels.yaml")]
    result = run(tmp_path, *more)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_no_such_folder(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    result = run(tmp_path)
    assert "No such folder" in str(result.exception)
    assert run(tmp_path, "--threads", "-3").exit_code == 2
    result = run(tmp_path, "--empty", "zero")
    assert "empty" in str(result.exception)
    (tmp_path / "pred").write_text("not a folder", encoding="utf-8")
    assert "A file, not a folder" in str(run(tmp_path).exception)


def test_files_in_folders_within_are_pointed_at(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    (tmp_path / "pred").mkdir()
    write(PREDICTION, tmp_path / "pred" / "a" / "liver.nii.gz")
    message = str(run(tmp_path).exception)
    assert "Subfolders are not searched" in message
    assert "liver.nii.gz is not read" in message


def test_values_named_but_nowhere_are_told(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    labels = tmp_path / "labels.yaml"
    labels.write_text("0: background\n2: lesion\n7: spleen\n", encoding="utf-8")
    result = run(tmp_path, "--labels", str(labels))
    assert list(scores(tmp_path)) == [("a", "lesion")]
    assert f"named in {labels}, in no file: spleen (7)\n" in result.stderr
    labels.write_text("7: spleen\n", encoding="utf-8")
    assert "Nothing to score" in str(run(tmp_path, "--labels", str(labels)).exception)


def test_a_folder_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    write(REFERENCE, tmp_path / "ref" / "a.nii.gz")
    write(PREDICTION, tmp_path / "pred" / "a.nii.gz")
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    message = str(run(tmp_path).exception)
    assert "Nothing can be written to" in message
    assert "name another folder" in message
