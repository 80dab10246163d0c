"""Sizes of lesions against closed-form results, and their assignment to patients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from baselines.controls import BoxFill
from benchmark import inference, objects, prepare, prompts
from benchmark.adapter import MethodInfo
from benchmark.analysis import analyse, read_statistics
from benchmark.catalogue import Dataset
from benchmark.collecting.lesion_sizes import longest_diameter_mm, write_cohort_tables
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.tables import read_table, write_table
from benchmark.study import Study


def test_diameter_of_a_rectangle_and_of_a_disc() -> None:
    plane = np.zeros((30, 40), dtype=bool)
    assert longest_diameter_mm(plane, (1.0, 1.0)) == 0
    plane[5:8, 10:14] = True  # 3 x 4 pixels of 2 x 0.5 mm
    assert longest_diameter_mm(plane, (2.0, 0.5)) == pytest.approx((6**2 + 2**2) ** 0.5)
    y, x = np.mgrid[:201, :201]
    disc = (y - 100) ** 2 + (x - 100) ** 2 <= 80**2
    assert longest_diameter_mm(disc, (0.1, 0.1)) == pytest.approx(16, rel=0.02)


def test_diameter_of_any_shape_is_that_of_all_corners() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        plane = rng.random((9, 7)) < 0.3
        places = np.argwhere(plane)
        corners = np.concatenate([places + edge for edge in np.ndindex(2, 2)])
        assert longest_diameter_mm(plane, (1.5, 0.7)) == pytest.approx(
            pdist(corners * (1.5, 0.7)).max()
        )


class WholeGrid(BoxFill):
    """Every voxel of the scan: that is the box of a prompt that names a structure."""

    info = MethodInfo(summary="every voxel", prompts=("structure",))


FILL = {"adapter": "baselines.controls:BoxFill", "prompt": "box3d"}


def write(rows: Any, schema: Any, pattern: str, **fields: Any) -> pd.DataFrame:
    path = Path(pattern.format(**fields))
    write_table(rows, schema, path)
    return read_table(path)


def through(study: Study) -> None:
    """Run the stages of a study in the working directory as far as its cohorts are measured."""
    (run,) = study.runs.values()
    for entry in study.entries.values():
        status = entry.source.fetch(paths.raw_folder(entry.id))
        write_json(paths.at(paths.STATUS, dataset=entry.id), status.model_dump())
        at = {"dataset": entry.id, "shard": 0, "rules": study.prompt_rules.id, "run": run.id}
        got = prepare.prepare(entry, status, 0)
        images = write(got.images, prepare.IMAGE_SCHEMA, paths.IMAGES, **at)
        found = write(got.objects, objects.SCHEMA, paths.OBJECTS, **at)
        reference = write(got.reference, objects.REFERENCE_SCHEMA, paths.REFERENCE, **at)
        rows = prompts.shard_rows(images, found, reference, study.prompt_rules.deviations)
        asked = write(rows, prompts.SCHEMA, paths.PROMPTS, **at)
        write(inference.predict(run, images, asked).masks, inference.MASK_SCHEMA, paths.MASKS, **at)


@pytest.fixture
def survivors(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
    labels: NDArray[np.uint8],
) -> Callable[..., pd.DataFrame]:
    """Measure and analyse the cohorts of datasets of one patient each; the joined patients."""
    monkeypatch.chdir(tmp_path)

    def run(
        *names: str,
        absent: str = "",
        gone: bool = False,
        truth: NDArray[np.uint8] = labels,
        view: str = "axial",
        **more: Any,
    ) -> pd.DataFrame:
        for name in names:
            about = {"id": name, "view": view, "not_evaluated": [255]}
            content = entry(tmp_path / name, **about).model_dump(mode="json")
            content["layout"][0]["unlabelled"] = "keep-empty" if gone else "set-aside"
            Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
            if name == absent:
                continue
            save_scan(tmp_path / name, "0001", truth)
            after = np.where(truth == 2, 0, truth)
            save_scan(tmp_path / name, "0002", after * 0 if gone else after)
            table = "patient,time_months,event,before,after\n0007,12,1,0001,0002\n"
            Path(name, "cohort.csv").write_text(table)
        cohort = {"pre": "before", "post": "after", "structure": "lesion"}
        content = {
            "study": "s",
            "datasets": [f"{name}.yaml" for name in names],
            "methods": {"fill": FILL},
            "analysis": {"cohorts": dict.fromkeys(names, cohort)},
            **more,
        }
        study = Study.read(content, "study.yaml")
        through(study)
        folder = Path("results/s")
        write_cohort_tables(study, folder)
        inputs = {name: folder / f"{name}.parquet" for name in ("cohorts", "measures")}
        analyse("survival", inputs, folder, study.statistics)
        return read_statistics(folder / "survival_patients.csv")

    return run


def test_ids_that_look_like_numbers_keep_their_zeros(survivors: Any) -> None:
    found = survivors("T1").set_index("method")
    assert found["patient"].tolist() == ["0007", "0007"]
    assert found["reason"].isna().all()
    # Two components of 180 and 48 voxels are prompted, in scans of which they are all the same.
    assert found.loc["reference", "volume_pre"] == (5 * 6 * 6 + 3 * 4 * 4) * 4.5
    assert found.loc["reference", "volume_change"] == 0


@pytest.mark.parametrize(
    ("view", "axis", "pixel"), [("axial", 0, (1, 1.5)), ("coronal", 1, (3, 1.5))]
)
def test_two_targets_all_areas_and_the_plain_volume(
    survivors: Any, view: str, axis: int, pixel: tuple[float, float]
) -> None:
    """Lesions of 6 x 6, 4 x 4 and 2 x 2 pixels on three slices, with voxels of (3, 1, 1.5) mm.

    The plain method stays on the guiding slice. Its variant goes on to the other slices, and a
    moved guiding slice is another one: neither is its volume.
    """
    plane = np.zeros((14, 14), dtype=np.uint8)
    for side, row, column in ((6, 1, 1), (4, 8, 1), (2, 8, 8)):
        plane[row : row + side, column : column + side] = 1
    blocks = np.zeros((14, 14, 14), dtype=np.uint8)
    blocks[5:8] = plane
    method: dict[str, Any] = {"adapter": "baselines.classical:RegionGrowth", "prompt": "mask2d"}
    method |= {"options": {"reach_mm": 0.5}, "variants": {"v": {"reach_mm": 200}}}
    found = survivors(
        "T1",
        truth=np.moveaxis(blocks, 0, axis),
        view=view,
        methods={"plain": method},
        deviations=[-0.4, 0],
    ).set_index("method")
    longest = sum(np.hypot(side * pixel[0], side * pixel[1]) for side in (6, 4))
    voxels = 36 + 16 + 4
    for row in (found.loc["plain"], found.loc["reference"]):
        assert row["diameter_pre"] == pytest.approx(longest)
        assert row["area_pre"] == pytest.approx(voxels * pixel[0] * pixel[1])
    assert found.loc["plain", "volume_pre"] == pytest.approx(voxels * 4.5)
    assert found.loc["reference", "volume_pre"] == pytest.approx(3 * voxels * 4.5)


def test_a_method_that_is_asked_by_structure_has_a_volume(
    survivors: Any, labels: NDArray[np.uint8]
) -> None:
    method = {
        "adapter": "tests.benchmark.collecting.test_lesion_sizes:WholeGrid",
        "prompt": "structure",
    }
    found = survivors("T1", methods={"whole": method}).set_index("method")
    assert found.loc["whole", ["volume_pre", "volume_post"]].tolist() == [labels.size * 4.5] * 2
    assert found.loc["whole", "area_pre"] == found.loc["reference", "area_pre"]


def test_voxels_that_are_not_evaluated_are_in_no_volume(
    survivors: Any, labels: NDArray[np.uint8]
) -> None:
    """Of the boxes around the lesions, 5 x 6 x 6 and 3 x 4 x 4 voxels, two lie there."""
    labels[1, 1, 1:3] = 255
    labels[9, 1, 1] = 255
    labels[1, 1, 3] = 0
    found = survivors("T1", truth=labels).set_index("method")
    assert found.loc["reference", "volume_pre"] == (5 * 6 * 6 - 3 + 3 * 4 * 4) * 4.5
    assert found.loc["fill", "volume_pre"] == (5 * 6 * 6 - 2 + 3 * 4 * 4) * 4.5


def test_a_lesion_that_is_gone_is_of_size_zero(survivors: Any) -> None:
    found = survivors("T1", gone=True)
    assert set(found["method"]) == {"reference", "fill"}
    assert set(found["status"]) == {"ok"}
    assert (found[["diameter_post", "area_post", "volume_post"]] == 0).all(axis=None)
    assert (found[["diameter_pre", "area_pre", "volume_pre"]] > 0).all(axis=None)
    assert set(found["recist"]) == set(found["volumetric"]) == {"complete response"}


def test_a_cohort_that_is_not_here_is_skipped_with_its_reason(survivors: Any) -> None:
    found = survivors("T1", "T2", absent="T2")
    assert set(found["cohort"]) == {"T1"}
    tests = read_statistics(Path("results/s/survival_tests.csv"))
    skipped = tests[tests["cohort"] == "T2"]
    assert set(zip(skipped["method"], skipped["measure"], strict=True)) == {
        (method, measure)
        for method in ("reference", "fill")
        for measure in ("diameter", "area", "volume")
    }
    assert set(skipped["reason"]) == {"no data: the dataset is manual"}
    assert survivors("T3", absent="T3").empty
    tests = read_statistics(Path("results/s/survival_tests.csv"))
    assert tests["reason"].tolist() == ["no data: the dataset is manual"] * 6
