"""Export against the label files: the oracle's masks must lie where the labels lie."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmark import catalogue, export, inference, objects, prepare, prompts, volume
from benchmark.cli import app
from benchmark.errors import UserError
from benchmark.finished import segmentation
from benchmark.finished.pairs import read_labels
from benchmark.masks import Mask
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.storage.files import read_json, write_json
from benchmark.storage.tables import read_table, write_table
from benchmark.study import Study


def oracle_run(dataset: str) -> Path:
    """Run the oracle over a generated dataset in the working directory."""
    entry = catalogue.load(dataset)
    status = entry.source.fetch(paths.raw_folder(dataset))
    done = prepare.prepare(entry, status, 0)
    images, found, reference, derived = (
        Path(name.format(dataset=dataset, shard=0, rules="r"))
        for name in (paths.IMAGES, paths.OBJECTS, paths.REFERENCE, paths.PROMPTS)
    )
    write_table(done.images, prepare.IMAGE_SCHEMA, images)
    write_table(done.objects, objects.SCHEMA, found)
    write_table(done.reference, objects.REFERENCE_SCHEMA, reference)
    scans, items, truth = (read_table(path) for path in (images, found, reference))
    write_table(prompts.shard_rows(scans, items, truth, [0.0]), prompts.SCHEMA, derived)
    run = Run(
        adapter="oracle",
        version=1,
        prompt="mask2d",
        prompts="r",
        weights=None,
        weights_sha256=None,
        options={},
        variants={},
        timed_objects=0,
        seed=0,
    )
    results = inference.predict(run, scans, read_table(derived), reference=truth)
    masks = paths.at(paths.MASKS, run="oracle", dataset=dataset, shard=0)
    write_table(results.masks, inference.MASK_SCHEMA, masks)
    return masks.parents[2]


@pytest.mark.parametrize("dataset", ["P02", "P05", "P08"])
def test_the_oracle_lies_on_the_label_file(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = oracle_run(dataset)
    written, left_out, hidden = export.export(run, dataset, tmp_path / "out")
    assert (left_out, hidden) == (0, 0)
    labels = sorted((tmp_path / "data" / dataset / "raw" / "files" / "labels").iterdir())
    assert [path.name for path in written] == [path.name for path in labels]
    for ours, truth in zip(written, labels, strict=True):
        got, expected = sitk.ReadImage(os.fspath(ours)), sitk.ReadImage(os.fspath(truth))
        assert got.GetSize() == expected.GetSize()
        np.testing.assert_allclose(got.GetOrigin(), expected.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(got.GetDirection(), expected.GetDirection(), atol=1e-6)
        kept = sitk.GetArrayFromImage(got) > 0
        assert np.array_equal(kept, sitk.GetArrayFromImage(expected) > 0)
    method = {"adapter": "oracle", "prompt": "mask2d"}
    study = Study.read({"study": "s", "datasets": [dataset], "methods": {"truth": method}}, "s")
    write_json(Path("results/s/settings.json"), study.model_dump(mode="json"))
    run = run.rename(run.with_name(study.runs["truth"].id))
    named = ["export", "--study", "results/s", "--dataset", dataset, "--output", "named"]
    # A shard that is not predicted so far, and one from a time when there were more.
    masks, images = (
        Path(pattern.format(run=run.name, dataset=dataset, shard=0))
        for pattern in (paths.MASKS, paths.IMAGES)
    )
    shutil.copy(images, images.with_name("1.parquet"))
    shutil.copy(masks, masks.with_name("2.parquet"))
    told = CliRunner().invoke(app, [*named, "--method", "truth"], catch_exceptions=False)
    assert told.stderr.endswith(f"not predicted yet, left out: {len(written)} scans\n")
    assert told.stdout.split() == [f"named/{path.name}" for path in written]
    assert all(Path("named", path.name).read_bytes() == path.read_bytes() for path in written)
    only = ["export", "--dataset", dataset, "--output", "only", "--method", "truth"]
    assert CliRunner().invoke(app, only, catch_exceptions=False).exit_code == 0
    assert sorted(p.name for p in Path("only").iterdir()) == sorted(
        p.name for p in Path("named").iterdir()
    )
    for more in ([], ["--method", "truth", "--run", str(run)], ["--run", str(run)]):
        with pytest.raises(UserError, match="either the --method of a study, or a folder"):
            CliRunner().invoke(app, [*named, *more], catch_exceptions=False)
    with pytest.raises(UserError, match="Did you mean: truth"):
        CliRunner().invoke(app, [*named, "--method", "thruth"], catch_exceptions=False)
    with pytest.raises(UserError, match=f"Datasets of this run: {dataset}"):
        export.export(run, "other", tmp_path / "out")
    masks.unlink()
    with pytest.raises(UserError, match="holds no masks of a shard"):
        export.export(run, dataset, tmp_path / "out")


def nested(folder: Path) -> tuple[Path, dict[str, NDArray[np.bool_]]]:
    """A run on a scan with a lesion and a vessel in a liver; returns it, and the masks by name."""
    shape = (4, 9, 10)
    masks = {name: np.zeros(shape, dtype=bool) for name in ("lesion", "liver", "vessel")}
    masks["lesion"][1:3, 2:4, 2:4] = masks["vessel"][1:3, 3:5, 3:8] = True
    masks["liver"][0:4, 1:8, 1:9] = True
    elsewhere = np.zeros(shape, dtype=bool)
    elsewhere[0] = True
    image = folder / "a.nii.gz"
    volume.write(np.zeros(shape, dtype=np.int16), (3.0, 1.0, 2.0), image)
    scan = {"scan": "a", "images": [str(image)]}
    sizes = {f"size_{axis}": size for axis, size in zip("zyx", shape, strict=True)}
    images = paths.at(paths.IMAGES, dataset="T1", shard=0)
    write_table([scan | sizes], prepare.IMAGE_SCHEMA, images)
    kept = [(f"a/{name}/1", "", 0.0, mask) for name, mask in masks.items()]
    others = [("a/lesion/1", "", 0.2, elsewhere), ("a/lesion/1", "other", 0.0, elsewhere)]
    rows = [
        {"scan": "a", "object": name, "variant": variant, "deviation": deviation, "status": "ok"}
        | Mask.of(mask).to_row()
        for name, variant, deviation, mask in (*kept, *others)
    ]
    failed = {"scan": "a", "object": "a/node/1", "variant": "", "deviation": 0.0}
    rows.append({**failed, "status": "failed", "reason": "lost"})
    path = paths.at(paths.MASKS, run="r", dataset="T1", shard=0)
    write_table(rows, inference.MASK_SCHEMA, path)
    return path.parents[2], masks


@pytest.mark.parametrize("ending", ["/2", ""])
def test_the_name_of_a_structure_may_hold_a_slash(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object of a method that is prompted by that name has no number."""
    monkeypatch.chdir(tmp_path)
    run, masks = nested(tmp_path)
    about = {"scan": "a", "object": f"a/tumour/oedema{ending}", "variant": "", "deviation": 0.0}
    row = about | {"status": "ok"} | Mask.of(masks["lesion"]).to_row()
    write_table([row], inference.MASK_SCHEMA, run / "masks" / "T1" / "0.parquet")
    export.export(run, "T1", tmp_path / "out", by="structure")
    assert yaml.safe_load((tmp_path / "out" / "labels.yaml").read_text()) == {1: "tumour/oedema"}


def test_of_masks_that_overlap_a_label_map_keeps_the_smallest_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, masks = nested(tmp_path)
    (written,), _, hidden = export.export(run, "T1", tmp_path / "out")
    expected = np.zeros(masks["liver"].shape, dtype=np.uint8)
    expected[masks["liver"]] = 2
    expected[masks["vessel"]] = 3
    expected[masks["lesion"]] = 1
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(written))), expected)
    values = read_json(tmp_path / "out" / "a.json")["values"]
    assert [values[str(i)]["object"] for i in range(1, 5)] == [
        f"a/{name}/1" for name in ("lesion", "liver", "vessel", "node")
    ]
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    told = {value["object"].split("/")[1]: value for value in values.values()}
    assert {name: told[name]["voxels"] for name in masks} == sizes
    both = masks["lesion"] & masks["vessel"]
    inside = masks["lesion"] | masks["vessel"]
    lost = {"lesion": 0, "vessel": int(both.sum()), "liver": int(inside.sum())}
    assert {name: told[name]["hidden_voxels"] for name in masks} == lost
    assert hidden == sum(lost.values()) > 0
    assert (told["node"]["status"], told["node"]["reason"]) == ("failed", "lost")
    assert (told["node"]["voxels"], told["node"]["hidden_voxels"]) == (None, 0)
    (other,), *_ = export.export(run, "T1", tmp_path / "other", variant="other")
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(other)))
    assert set(np.argwhere(found)[:, 0]) == {0}  # only deviation 0 of the variant


def test_a_file_of_slicer_keeps_masks_that_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, masks = nested(tmp_path)
    (written,), _, hidden = export.export(
        run, "T1", tmp_path / "out", by="structure", suffix=".seg.nrrd"
    )
    assert hidden == 0
    image = sitk.ReadImage(str(written))
    layers = np.moveaxis(sitk.GetArrayFromImage(image), -1, 0)  # ITK has the layers last
    assert image.GetSpacing() == (2.0, 1.0, 3.0)
    for number in range(3):
        name, layer, value = (
            image.GetMetaData(f"Segment{number}_{key}") for key in ("Name", "Layer", "LabelValue")
        )
        np.testing.assert_array_equal(layers[int(layer)] == int(value), masks[name])
    assert b"\nkinds: list domain domain domain\n" in written.read_bytes()
    found = segmentation.read(written).structures
    assert {name: label.voxels for name, label in found.items()} == {
        name: int(mask.sum()) for name, mask in masks.items()
    }


def test_labels_tell_which_values_are_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = oracle_run("P02")
    entry = catalogue.load("P02").model_copy(update={"not_evaluated": (255,)})
    export.export(run, "P02", tmp_path / "out", by="structure", entry=entry)
    told = read_labels(tmp_path / "out" / "labels.yaml")
    assert told.names == {1: "liver", 2: "liver_tumour"}
    assert told.not_evaluated == (255,)


@pytest.mark.parametrize("dataset", ["P02", "P03"])
def test_structures_that_are_exported_score_as_in_the_study(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle has a DSC of 1 in every structure, by the values of the entry."""
    monkeypatch.chdir(tmp_path)
    run = oracle_run(dataset)
    entry = catalogue.load(dataset)
    export.export(run, dataset, tmp_path / "out", by="structure", entry=entry)
    command = ["score", "--reference", f"data/{dataset}/raw/files/labels", "--prediction", "out"]
    command += ["--labels", "out/labels.yaml", "--output", "scores"]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    scores = pd.read_csv("scores/scores.csv")
    assert len(scores)
    assert set(scores["structure"]) == {structure.name for structure in entry.labels.values()}
    assert (scores["dsc"] == 1).all()
