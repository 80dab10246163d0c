"""All expected cells are scored, with the same values as dense arrays give."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmark import metrics, scoring, stages
from benchmark.adapter import Adapter, MethodInfo, Prediction
from benchmark.inference import MASK_SCHEMA, predict
from benchmark.masks import Mask, Shape
from benchmark.metrics import surface_reference
from benchmark.prepare import prepare
from benchmark.prompts import Prompt
from benchmark.scoring import METRIC_NAMES, Inputs, score
from benchmark.specs import Run, Scoring
from benchmark.storage.tables import read_table, write_table
from benchmark.volume import Volume
from benchmark.volume import write as write_image
from tests.conftest import Shard

SPACING = (3.0, 1.0, 1.5)
VARIANTS = ("", "grown")


class Blocks(Adapter):
    """The prompt's box with `grow` further slices on each side; nothing where `empty`."""

    info = MethodInfo(summary="blocks", prompts=("box2d", "mask2d", "box3d"))

    class Options(Adapter.Options):
        grow: int = 1
        empty: bool = False

    options: Options

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        for prompt in prompts:
            mask = np.zeros(volume.shape, dtype=bool)
            z0, z1, y0, y1, x0, x1 = prompt.box
            grow = self.options.grow
            if not self.options.empty:
                mask[max(z0 - grow, 0) : z1 + grow, y0:y1, x0:x1] = True
            yield Prediction(mask)


def run_of(**changed: Any) -> Run:
    content: dict[str, Any] = {
        "stage": stages.PREDICT,
        "adapter": f"{__name__}:Blocks",
        "version": 1,
        "prompt": "box2d",
        "prompts": "x",
        "weights": None,
        "weights_sha256": None,
        "options": {},
        "variants": {"grown": {"grow": 3}},
        "timed_objects": 0,
        "seed": 0,
    }
    return Run.read({**content, **changed}, "the test's run")


def rules(**changed: Any) -> Scoring:
    content = {"nsd_tolerance_mm": 2, "tolerances": {}, "reference": "kept", "empty": {}}
    return Scoring.read({**content, **changed}, "the test's scoring")


@dataclass
class Scored:
    """A run over the shard; its scores are those of the masks as they are now."""

    run: Run
    inputs: Inputs
    shape: Shape

    def rows(self, **changed: Any) -> list[dict[str, Any]]:
        return list(score(self.run, rules(**changed), self.inputs))

    def cell(self, level: str, **wanted: Any) -> dict[str, Any]:
        (row,) = self.cells(level, **wanted)
        return row

    def cells(self, level: str, settings: Any = None, **wanted: Any) -> list[dict[str, Any]]:
        return [
            row
            for row in self.rows(**(settings or {}))
            if row["level"] == level and all(row[key] == value for key, value in wanted.items())
        ]

    def dense(self, table: pd.DataFrame, **wanted: Any) -> NDArray[np.bool_]:
        """Union over the whole grid of the masks of a table's rows."""
        full = np.zeros(self.shape, dtype=bool)
        for row in table.to_dict("records"):
            if all(row[key] == value for key, value in wanted.items()):
                full |= Mask.from_row({str(k): v for k, v in row.items()}, self.shape).dense()
        return full


Make = Callable[..., Scored]


@pytest.fixture
def scored(shard: Any, tmp_path: Any, labels: NDArray[np.uint8]) -> Make:
    def make(**changed: Any) -> Scored:
        run = run_of(**changed)
        path = tmp_path / "masks.parquet"
        write_table(predict(run, shard.images, shard.prompts).masks, MASK_SCHEMA, path)
        tables = (shard.images, shard.objects, shard.reference, shard.prompts, read_table(path))
        z, y, x = labels.shape
        return Scored(run, Inputs(*tables), (z, y, x))

    return make


@pytest.mark.parametrize("kind", ["box2d", "mask2d", "box3d"])
def test_the_grid_is_complete(scored: Make, kind: str) -> None:
    deviations = [0.0] if kind == "box3d" else [-0.2, 0.0, 0.4]
    rows = scored(prompt=kind).rows()
    objects = [(scan, name) for scan in "ab" for name in ("lesion/1", "lesion/2", "organ/1")]
    expected = {
        ("object", scan, f"{scan}/{name}", variant, deviation)
        for scan, name in objects
        for deviation in deviations
        for variant in (VARIANTS if deviation == 0 else ("",))
    } | {
        ("structure", scan, structure, variant, deviation)
        for scan in "ab"
        for structure in ("lesion", "organ")
        for deviation in deviations
        for variant in (VARIANTS if deviation == 0 else ("",))
    }
    found = [
        (r["level"], r["scan"], r.get("object") or r["structure"], r["variant"], r["deviation"])
        for r in rows
    ]
    assert len(found) == len(expected)
    assert set(found) == expected
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["prompt"] for row in rows} == {kind}


def full_arrays(
    case: Scored, row: dict[str, Any], labels: NDArray[np.uint8], reference: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The reference of a cell and the prediction, over the whole grid."""
    prompt = {key: row[key] for key in ("scan", "variant", "deviation")}
    tables = case.inputs
    if row["level"] == "object":
        truth = case.dense(tables.reference, object=row["object"])
        return truth, case.dense(tables.masks, object=row["object"], **prompt)
    truth = labels == {"lesion": 1, "organ": 2}[row["structure"]]
    truth[8, 1, 1] &= reference == "label"  # the speck was not kept
    objects = [f"{row['scan']}/{row['structure']}/{i}" for i in (1, 2)]
    return truth, case.dense(tables.masks[tables.masks["object"].isin(objects)], **prompt)


def with_voxels_not_evaluated(case: Scored, voxels: NDArray[np.bool_], scan: str) -> Scored:
    row = {"scan": scan, "structure": None, "object": None, **Mask.of(voxels).to_row()}
    rows = pd.concat([case.inputs.reference, pd.DataFrame([row])])
    return replace(case, inputs=replace(case.inputs, reference=rows))


def test_values_are_those_of_full_arrays(scored: Make, labels: NDArray[np.uint8]) -> None:
    case = scored()
    rows = case.rows()
    assert len(rows) == 40
    for row in rows:
        truth, found = full_arrays(case, row, labels, "kept")
        expected = metrics.score(truth, found, SPACING, grid_voxels=truth.size, tolerance_mm=2)
        for name in METRIC_NAMES:
            assert row[name] == pytest.approx(expected[name], nan_ok=True), (row, name)


@pytest.mark.parametrize("reference", ["kept", "label"])
@pytest.mark.parametrize("kind", ["box2d", "box3d"])
def test_voxels_that_are_not_evaluated_are_taken_out_of_predictions(
    scored: Make, kind: str, reference: str, labels: NDArray[np.uint8]
) -> None:
    """By SimpleITK's `Mask`, which the WMH challenge applies to the prediction; in one scan of two.

    Specificity is over the voxels that are evaluated.
    """
    unsure = (labels == 0) & (np.random.default_rng(0).random(labels.shape) < 0.5)
    case = with_voxels_not_evaluated(scored(prompt=kind), unsure, "a")
    crossing = 0
    for row in case.rows(reference=reference):
        truth, found = full_arrays(case, row, labels, reference)
        evaluated = ~unsure if row["scan"] == "a" else np.ones_like(unsure)
        crossing += bool((found & ~evaluated).any())
        both = (sitk.GetImageFromArray(array.astype(np.uint8)) for array in (found, evaluated))
        found = np.asarray(sitk.GetArrayFromImage(sitk.Mask(*both)) > 0)
        expected = metrics.score(truth, found, SPACING, grid_voxels=truth.size, tolerance_mm=2)
        expected["specificity"] = (found == truth)[evaluated & ~truth].mean()
        for name in METRIC_NAMES:
            assert row[name] == pytest.approx(expected[name], nan_ok=True), (row, name)
    assert crossing > 4


@pytest.mark.parametrize("kind", ["box2d", "box3d"])
def test_voxels_of_the_prompt_that_are_not_evaluated(
    scored: Make, kind: str, labels: NDArray[np.uint8]
) -> None:
    unsure = (labels == 0) & (np.arange(labels.shape[1]) % 2 == 0)[:, None]
    case = with_voxels_not_evaluated(scored(prompt=kind), unsure, "a")
    prompts = {row["hash"]: row for row in case.inputs.prompts.to_dict("records")}
    cells = case.cells("object", {"in_prompt": True}, scan="a")
    assert cells
    for row in cells:
        asked = prompts[row["prompt_hash"]]
        sides = [slice(asked[f"{a}0"], asked[f"{a}1"]) for a in "zyx"]
        if kind != "box3d":
            sides[int(asked["axis"])] = slice(None)
        truth, found = full_arrays(case, row, labels, "kept")
        outside = ~found[tuple(sides)][(~truth & ~unsure)[tuple(sides)]]
        expected = outside.mean() if outside.size else np.nan
        assert row["specificity_in_prompt"] == pytest.approx(expected, nan_ok=True)


class Bright(Adapter):
    """All that is brighter than 50, whatever the prompt."""

    info = MethodInfo(summary="bright", prompts=("box2d", "structure"))

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        yield from (Prediction(volume.grey > 50) for _ in prompts)


@pytest.mark.parametrize("kind", ["box2d", "structure"])
@pytest.mark.parametrize("key", ["ignore", "not_evaluated"])
def test_what_is_ignored_is_background_and_what_is_not_evaluated_is_nothing(
    tmp_path: Path, entry: Any, ready: Any, key: str, kind: str
) -> None:
    """A liver of 6 x 6 x 6 voxels, and 6 x 6 x 3 beside it that are as bright."""
    labels = np.zeros((10, 12, 14), dtype=np.uint8)
    labels[2:8, 2:8, 2:8], labels[2:8, 2:8, 8:11] = 1, 255
    raw = tmp_path / "raw"
    for scan in "abc":
        grey = (labels > 0) * np.int16(100)
        write_image(grey, SPACING, raw / "images" / f"{scan}.nii.gz")
        write_image(labels, SPACING, raw / "labels" / f"{scan}.nii.gz")
    dataset = entry(raw, labels={1: "liver"}, **{key: [255]})
    shard = Shard(tmp_path, prepare(dataset, ready(raw), 0), (0.0,))
    run = run_of(adapter=f"{__name__}:Bright", prompt=kind, variants={})
    masks = pd.DataFrame(predict(run, shard.images, shard.prompts).masks)
    inputs = Inputs(shard.images, shard.objects, shard.reference, shard.prompts, masks)
    rows = list(score(run, rules(), inputs))
    assert len(rows) == 3 * (1 if kind == "structure" else 2)
    for row in rows:
        if key == "not_evaluated":
            assert [row[name] for name in ("dsc", "nsd", "specificity")] == [1, 1, 1]
            assert [row[name] for name in ("hd95", "volume_difference")] == [0, 0]
        else:
            assert row["dsc"] == pytest.approx(2 * 216 / (216 + 324))
            assert row["hd95"] > 0


def test_a_prediction_that_lies_where_nothing_is_evaluated_is_empty(
    scored: Make, labels: NDArray[np.uint8]
) -> None:
    case = scored()
    for scan in "ab":
        case = with_voxels_not_evaluated(case, labels == 0, scan)
    corner = Mask.of((labels == 0) & (np.arange(len(labels)) > 5)[:, None, None]).to_row()
    case.inputs = replace(case.inputs, masks=case.inputs.masks.assign(**corner))
    rows = case.rows(empty={"distance": "leave-out"})
    assert len(rows) == 40
    for row in rows:
        assert (row["dsc"], row["sensitivity"]) == (0, 0)
        assert math.isnan(row["hd95"])
        assert math.isnan(row["precision"])


def test_what_took_effect_goes_with_the_score(scored: Make) -> None:
    case = scored()
    for row in case.cells("object"):
        prompts = case.inputs.prompts
        (asked,) = prompts[prompts["hash"] == row["prompt_hash"]].drop_duplicates("hash").index
        about = prompts[
            (prompts["object"] == row["object"])
            & (prompts["deviation"] == row["deviation"])
            & (prompts["kind"] == "box2d")
        ].iloc[0]
        assert prompts.loc[asked, "hash"] == about["hash"]
        assert row["effective_deviation"] == about["effective_deviation"]
        assert row["shift"] == about["shift"]
    assert len({row["shift"] for row in case.cells("object")}) > 1


def test_kept_or_label(scored: Make, labels: NDArray[np.uint8]) -> None:
    """The speck belongs to the label but to no object kept."""
    case = scored()
    wanted = {"scan": "a", "structure": "lesion", "variant": "", "deviation": 0.0}
    (kept,) = case.cells("structure", {"reference": "kept"}, **wanted)
    (whole,) = case.cells("structure", {"reference": "label"}, **wanted)
    found = kept["volume_ratio"] * ((labels == 1).sum() - 1)
    assert whole["volume_ratio"] == pytest.approx(found / (labels == 1).sum())
    assert whole["sensitivity"] < kept["sensitivity"]


def test_a_missing_mask_has_failed_and_so_has_its_structure(scored: Make) -> None:
    case = scored()
    masks = case.inputs.masks
    gone = (
        (masks["object"] == "a/lesion/2") & (masks["deviation"] == 0.4) & (masks["variant"] == "")
    )
    case.inputs = Inputs(**{**vars(case.inputs), "masks": masks[~gone]})
    lost = {"scan": "a", "structure": "lesion", "variant": "", "deviation": 0.4}
    cell = case.cell("object", object="a/lesion/2", variant="", deviation=0.4)
    assert (cell["status"], cell["reason"]) == ("failed", "no row for this prompt in the masks")
    assert "dsc" not in cell
    structure = case.cell("structure", **lost)
    assert structure["status"] == "failed"
    assert structure["reason"].startswith("1 of 2 objects: no row")
    assert "dsc" not in structure
    rows = case.rows()
    assert len(rows) == 40
    assert sum(row["status"] == "failed" for row in rows) == 2


def test_a_mask_for_another_prompt_has_failed(scored: Make) -> None:
    case = scored()
    case.inputs.masks.loc[case.inputs.masks["object"] == "b/organ/1", "prompt_hash"] = "feed"
    for cell in case.cells("object", object="b/organ/1"):
        assert cell["status"] == "failed"
        assert cell["reason"] == f"made for the prompt feed, expected {cell['prompt_hash']}"
    failed = [row for row in case.rows() if row["status"] == "failed"]
    assert len(failed) == 8
    assert {row["structure"] for row in failed} == {"organ"}


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_the_reason_of_a_cell_is_kept(scored: Make, status: str) -> None:
    case = scored()
    masks = case.inputs.masks
    masks["status"] = status
    masks["reason"] = "out of luck"
    masks["bits"] = None
    rows = case.rows()
    assert len(rows) == 40
    assert {row["status"] for row in rows} == {status}
    assert all(row["reason"].endswith("out of luck") for row in rows)
    assert not any("dsc" in row for row in rows)


def nsd(case: Scored, structure: str, tolerances: dict[str, float]) -> tuple[float, float]:
    (row,) = case.cells(
        "structure",
        {"tolerances": tolerances},
        scan="a",
        structure=structure,
        variant="",
        deviation=0.0,
    )
    return row["tolerance_mm"], row["nsd"]


def test_tolerance_of_the_study_before_that_of_the_catalogue_before_the_default(
    scored: Make,
) -> None:
    case = scored()
    truth = case.dense(case.inputs.reference, scan="a", structure="organ")
    found = case.dense(case.inputs.masks, object="a/organ/1", deviation=0.0, variant="")

    def at(tolerance: float) -> Any:
        values = metrics.score(
            truth, found, SPACING, grid_voxels=truth.size, tolerance_mm=tolerance
        )
        return tolerance, pytest.approx(values["nsd"])

    def under(of_study: dict[str, float]) -> tuple[float, float]:
        settings = rules(tolerances=of_study).with_defaults({"organ": 3.5, "vessel": 1.0})
        return nsd(case, "organ", settings.tolerances)

    assert len({at(mm)[1].expected for mm in (2, 3.5, 6.5)}) == 3
    assert nsd(case, "organ", {}) == at(2)
    assert under({}) == at(3.5)
    assert under({"organ": 6.5}) == at(6.5)
    assert under({"lesion": 6.5}) == at(3.5)


@pytest.mark.parametrize(("engine", "used"), [("auto", False), ("reference", True)])
def test_the_engine_of_the_study(
    scored: Make, engine: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(*pair: Any) -> dict[str, float]:
        asked.append(pair)
        return compute(*pair)

    compute = surface_reference.surface_metrics
    monkeypatch.setattr(surface_reference, "surface_metrics", spy)
    rows = scored().rows(engine=engine)
    assert bool(asked) == used
    assert {row["status"] for row in rows} == {"ok"}


def test_empty_predictions_follow_the_policy(scored: Make, labels: NDArray[np.uint8]) -> None:
    case = scored(options={"empty": True})
    diagonal = math.sqrt(sum((n * mm) ** 2 for n, mm in zip(labels.shape, SPACING, strict=True)))
    for row in case.rows():
        assert row["status"] == "ok"
        assert [row[name] for name in ("dsc", "jaccard", "nsd", "sensitivity")] == [0, 0, 0, 0]
        assert row["specificity"] == 1
        assert [row[name] for name in ("hd95", "hd", "asd")] == [pytest.approx(diagonal)] * 3
    for row in case.rows(empty={"distance": "leave-out"}):
        assert all(math.isnan(row[name]) for name in ("hd95", "hd", "asd"))


def test_the_rows_fit_their_table(scored: Make, tmp_path: Any) -> None:
    path = tmp_path / "scores.parquet"
    write_table(scored().rows(), scoring.SCHEMA, path)
    table = read_table(path)
    assert len(table) == 40
    structures = table[table["level"] == "structure"]
    for column in ("object", "prompt_hash", "effective_deviation", "shift", "reason"):
        assert structures[column].isna().all()


@pytest.mark.parametrize("kind", ["box2d", "mask2d", "box3d"])
def test_overlap_in_the_prompt(scored: Make, kind: str) -> None:
    case = scored(prompt=kind)
    rows = [row for row in case.rows(in_prompt=True) if row["level"] == "object"]
    prompts = {row["hash"]: row for row in case.inputs.prompts.to_dict("records")}
    assert rows
    for row in rows:
        prompt = {key: row[key] for key in ("scan", "variant", "deviation")}
        truth = case.dense(case.inputs.reference, object=row["object"])
        found = case.dense(case.inputs.masks, object=row["object"], **prompt)
        asked = prompts[row["prompt_hash"]]
        sides = [slice(asked[f"{a}0"], asked[f"{a}1"]) for a in "zyx"]
        if kind != "box3d":
            sides[int(asked["axis"])] = slice(None)
        truth, found = truth[tuple(sides)], found[tuple(sides)]
        assert row["sensitivity_in_prompt"] == pytest.approx(found[truth].mean())
        outside = ~found[~truth]
        expected = outside.mean() if outside.size else np.nan
        assert row["specificity_in_prompt"] == pytest.approx(expected, nan_ok=True)
    assert not any("sensitivity_in_prompt" in row for row in case.rows())
