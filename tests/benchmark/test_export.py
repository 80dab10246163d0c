"""Export against the label files: the oracle's masks must lie where the labels lie."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from benchmark import catalogue, export, inference, objects, paths, prepare, prompts, volume
from benchmark.cli import app
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.masks import Mask
from benchmark.specs import Run
from benchmark.study import Study
from benchmark.tables import read_table, write_table


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
    written, left_out = export.export(run, dataset, tmp_path / "out")
    assert left_out == 0
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


def test_the_later_of_two_that_overlap_wins_and_only_deviation_0_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shape = (4, 5, 6)
    first, second, elsewhere = (np.zeros(shape, dtype=bool) for _ in range(3))
    first[1:3, 1:4, 1:4] = second[2:4, 2:5, 2:5] = elsewhere[0] = True
    image = Path("a.nii.gz")
    volume.write(np.zeros(shape, dtype=np.int16), (1.0, 1.0, 1.0), image)
    scan = {"scan": "a", "images": [str(image)]}
    sizes = {f"size_{axis}": size for axis, size in zip("zyx", shape, strict=True)}
    images = paths.at(paths.IMAGES, dataset="T1", shard=0)
    write_table([scan | sizes], prepare.IMAGE_SCHEMA, images)
    rows = [
        {"scan": "a", "object": name, "variant": variant, "deviation": deviation, "status": "ok"}
        | Mask.of(mask).to_row()
        for name, variant, deviation, mask in (
            ("a/one/1", "", 0.0, first),
            ("a/one/1", "", 0.2, elsewhere),
            ("a/two/1", "", 0.0, second),
            ("a/two/1", "", -0.2, elsewhere),
            ("a/two/1", "other", 0.0, elsewhere),
        )
    ]
    masks = paths.at(paths.MASKS, run="r", dataset="T1", shard=0)
    write_table(rows, inference.MASK_SCHEMA, masks)
    (written,), left_out = export.export(masks.parents[2], "T1", tmp_path / "out")
    assert left_out == 0
    expected = np.zeros(shape, dtype=np.uint8)
    expected[first] = 1
    expected[second] = 2
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(written))), expected)
    (other,), _ = export.export(masks.parents[2], "T1", tmp_path / "other", variant="other")
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(other)))
    np.testing.assert_array_equal(found, elsewhere)
