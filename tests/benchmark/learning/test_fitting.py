"""Methods that learn: the cases they are given, and the prompts they are asked."""

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import stages
from benchmark.adapter import Learner, MethodInfo, Prediction
from benchmark.errors import MachineError, UserError
from benchmark.inference import Model, predict
from benchmark.learning.fitting import Case, PreparedDataset, fit, model_folder, plan
from benchmark.learning.splits import Split, split
from benchmark.masks import Mask
from benchmark.prompts import Prompt
from benchmark.scoring import Inputs, score
from benchmark.sources import Status
from benchmark.specs import Run, Scoring
from benchmark.storage.tables import records
from benchmark.study.sections import Method
from benchmark.volume import Volume


class Mean(Learner):
    """Learns the mean grey value of each structure; what is nearer to it than 20 is the answer."""

    info = MethodInfo(summary="mean", prompts=("structure",))

    class Options(Learner.Options):
        broken: str = ""
        absent: bool = False

    options: Options

    def missing_requirement(self) -> str | None:
        return "no such environment" if self.options.absent else None

    def plan(self, cases: Sequence[Case], structures: Sequence[str], workdir: Path) -> None:
        if self.options.broken == "plan":
            raise RuntimeError("no plan fits")
        workdir.mkdir(parents=True, exist_ok=True)
        means = {}
        for value, name in enumerate(structures, start=1):
            grey = [case.volume().grey[case.labels(structures) == value] for case in cases]
            means[name] = float(np.concatenate(grey).mean())
        (workdir / "plan.txt").write_text(repr((means, [case.scan for case in cases])))

    def fit(self, workdir: Path, device: str, start: Path | None) -> None:
        if self.options.broken == "fit":
            raise MemoryError("out of memory")
        if self.options.broken == "exit":
            sys.exit("no licence")
        if self.options.broken == "gpu":
            raise RuntimeError("CUDA error: unspecified launch failure")
        if self.options.broken == "full":
            raise RuntimeError("exit code 1: torch.OutOfMemoryError: CUDA out of memory.")
        (workdir / "model.txt").write_text((start or workdir / "plan.txt").read_text())

    def load(self, weights: Path | None, device: str) -> None:
        assert weights is not None
        self.means, _ = eval((weights / "model.txt").read_text())

    def segment(self, volume: Volume, prompts: Sequence[Prompt]) -> Iterator[Prediction]:
        for prompt in prompts:
            mean = self.means[prompt.structure]  # type: ignore[union-attr]
            yield Prediction(np.abs(volume.grey - mean) < 20)


def run_of(**options: Any) -> Run:
    content = {
        "stage": stages.PREDICT,
        "adapter": f"{__name__}:Mean",
        "version": 1,
        "prompt": "structure",
        "prompts": "x",
        "weights": None,
        "weights_sha256": None,
        "options": options,
        "variants": {},
        "timed_objects": 0,
        "seed": 3,
    }
    return Run.read(content, "the test's run")


def source_of(shard: Any, **images: Any) -> PreparedDataset:
    """The tables of a shard, with columns of its images changed, and its split."""
    told = shard.images.assign(**images)
    return PreparedDataset(told, shard.objects, shard.reference, split(records(told), 3))


def test_a_method_learns_from_its_cases_and_is_asked_for_the_others(
    shard: Any, tmp_path: Path
) -> None:
    run = run_of()
    source = source_of(shard)
    planned, divided = plan(run.fit, [source], tmp_path), source.split
    assert planned.state == "ready"
    assert (len(divided.train), len(divided.test)) == (1, 1)
    fitted = fit(run.fit, planned, tmp_path, "cpu")
    assert fitted.state == "ready"
    told, scans = eval((Path(fitted.root) / "model.txt").read_text())
    assert told == {"lesion": 50.0, "organ": 150.0}
    assert scans == list(divided.train)
    masks = predict(
        run,
        shard.images,
        shard.prompts,
        model=Model(fitted, Path(fitted.root), is_trained=True),
        training_scans=divided.train,
    ).masks
    ended = {(row["scan"], row["status"]) for row in masks}
    assert ended == {(divided.train[0], "skipped"), (divided.test[0], "ok")}
    assert len(masks) == 4
    assert {r["reason"] for r in masks if r["status"] == "skipped"} == {"a training case"}


def test_a_method_that_changes_the_working_folder_is_brought_back(
    shard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paths of a job are relative, and what it writes at its end lies below them."""

    def moving(work: Any) -> Any:
        def moved(self: Mean, *given: Any) -> None:
            work(self, *given)
            os.chdir(tmp_path)

        return moved

    for name in ("plan", "fit"):
        monkeypatch.setattr(Mean, name, moving(getattr(Mean, name)))
    before, run = Path.cwd(), run_of()
    planned = plan(run.fit, [source_of(shard)], tmp_path)
    assert (planned.state, Path.cwd()) == ("ready", before)
    assert fit(run.fit, planned, tmp_path, "cpu").state == "ready"
    assert Path.cwd() == before


def test_options_of_speed_reach_the_training(shard: Any, tmp_path: Path) -> None:
    """They are options like all others, but stand apart."""
    told = run_of().fit.model_copy(update={"speed": {"broken": "fit"}})
    planned = plan(told, [source_of(shard)], tmp_path)
    assert fit(told, planned, tmp_path, "cpu").reason.startswith("training failed: out of memory")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "state", "status", "reason"),
    [
        ({"absent": True}, "manual", "skipped", "no such environment"),
        ({"broken": "plan"}, "failed", "failed", "planning failed: no plan fits"),
        ({"broken": "fit"}, "failed", "failed", "training failed: out of memory; to train again,"),
        ({"broken": "exit"}, "failed", "failed", "training failed: no licence; to train again,"),
    ],
)
def test_what_cannot_be_learnt_is_told_in_the_cells(
    options: dict[str, Any], state: str, status: str, reason: str, shard: Any, tmp_path: Path
) -> None:
    run = run_of(**options)
    source = source_of(shard)
    fitted = fit(run.fit, plan(run.fit, [source], tmp_path), tmp_path, "cpu")
    assert fitted.state == state
    learnt = source.split.train
    masks = predict(
        run,
        shard.images,
        shard.prompts,
        model=Model(fitted, is_trained=True),
        training_scans=learnt,
    ).masks
    held_back = [row for row in masks if row["scan"] not in learnt]
    assert {row["status"] for row in held_back} == {status}
    assert all(reason in row["reason"] for row in held_back)


def test_a_gpu_that_fails_ends_the_training_and_is_no_end_of_it(shard: Any, tmp_path: Path) -> None:
    run = run_of(broken="gpu")
    planned = plan(run.fit, [source_of(shard)], tmp_path)
    with pytest.raises(MachineError, match="The GPU failed"):
        fit(run.fit, planned, tmp_path, "cpu")


def test_a_training_too_large_for_the_gpu_costs_its_cells_alone(shard: Any, tmp_path: Path) -> None:
    run = run_of(broken="full")
    planned = plan(run.fit, [source_of(shard)], tmp_path)
    fitted = fit(run.fit, planned, tmp_path, "cpu")
    assert fitted.state == "failed"
    assert "out of memory" in str(fitted.reason)
    assert "--forcerun" in str(fitted.reason)


def test_one_patient_is_not_enough(shard: Any, tmp_path: Path) -> None:
    run, source = run_of(), source_of(shard, patient="one")
    planned = plan(run.fit, [source], tmp_path)
    assert planned.state == "failed"
    assert "fewer than two patients" in str(planned.reason)
    assert source.split.train == ()  # and so no cell is skipped for having been learnt from
    rows = predict(run, shard.images, shard.prompts, model=Model(planned, is_trained=True)).masks
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["reason"] for row in rows} == {f"no model: {planned.reason}"}


def test_scans_annotated_in_part_are_neither_learnt_from_nor_scored(
    shard: Any, tmp_path: Path
) -> None:
    """What such a method finds beyond the masks may be right, so it must not count as wrong."""
    run, source = run_of(), source_of(shard)
    (learnt,), (held_back,) = source.split.train, source.split.test
    objects = shard.objects.assign(partly_annotated=shard.objects["scan"] == learnt)
    partly = dataclasses.replace(source, objects=objects)
    planned = plan(run.fit, [partly], tmp_path / "part")
    assert (planned.state, "annotated in part" in str(planned.reason)) == ("failed", True)
    assert plan(run.fit, [source], tmp_path / "full").state == "ready"

    about: Any = {"nsd_tolerance_mm": 2, "tolerances": {}, "reference": "kept", "empty": {}}
    settings = Scoring.read(about, "the test's scoring")
    masks = pd.DataFrame(predict(run, shard.images, shard.prompts, model=Model(planned)).masks)
    given = Inputs(shard.images, objects, shard.reference, shard.prompts, masks)
    reasons = {row["scan"]: (row["status"], row["reason"]) for row in score(run, settings, given)}
    assert reasons[learnt][0] == "skipped"
    assert reasons[learnt][1].startswith("annotated in part")
    assert "annotated in part: " not in reasons[held_back][1]

    prompted = run.model_copy(update={"prompt": "box2d"})
    others = {row["reason"] for row in score(prompted, settings, given)}
    assert not [reason for reason in others if reason.startswith("annotated in part")]


def test_a_model_that_is_gone_is_asked_for_again(tmp_path: Path) -> None:
    there = Status(state="ready", root=str(tmp_path / "work"), fingerprint="")
    (tmp_path / "work").mkdir()
    assert model_folder(there, tmp_path / "status.json") == tmp_path / "work"
    (tmp_path / "work").rmdir()
    with pytest.raises(UserError, match=rf"--forcerun {tmp_path / 'status.json'}"):
        model_folder(there, tmp_path / "status.json")
    failed = there.model_copy(update={"state": "failed"})
    assert model_folder(failed, tmp_path / "status.json") is None


def test_images_that_are_gone_fail_no_planning(shard: Any, tmp_path: Path) -> None:
    source = source_of(shard)
    for paths in shard.images["images"]:
        Path(paths[0]).unlink()
    with pytest.raises(MachineError, match="was there when the scan was prepared"):
        plan(run_of().fit, [source], tmp_path)


def test_a_case_is_handed_with_its_own_rows_alone(shard: Any) -> None:
    source = source_of(shard)
    (case,) = source.cases()
    assert case.scan in source.split.train
    assert {row["scan"] for row in (*case.objects, *case.reference)} == {case.scan}
    assert len(case.objects) == (shard.objects["scan"] == case.scan).sum()
    assert sorted(case.structures) == ["lesion", "organ"]


def test_where_structures_overlap_the_last_that_is_named_wins() -> None:
    organ, lesion = np.zeros((2, 3, 4, 5), dtype=bool)
    organ[:, 0:3, 1:4] = True
    lesion[1, 2:4, 2:5] = True
    rows = [
        {"structure": name, **Mask.of(mask).to_row()}
        for name, mask in (("lesion", lesion), ("organ", organ))
    ]
    case = Case("a", {"size_z": 3, "size_y": 4, "size_x": 5}, [], rows, ("organ", "lesion"))
    expected = np.where(lesion, 2, np.where(organ, 1, 0))
    np.testing.assert_array_equal(case.labels(["organ", "lesion"]), expected)
    expected = np.where(organ, 2, np.where(lesion, 1, 0))
    np.testing.assert_array_equal(case.labels(["lesion", "organ"]), expected)
    assert (organ & lesion).any()


def test_voxels_that_are_not_evaluated_are_told_apart_from_background() -> None:
    organ, unsure = np.zeros((2, 3, 4, 5), dtype=bool)
    organ[:, 0:3, 1:4] = True
    unsure[1:, 3, :] = True
    about = [("organ", "a/organ/1", organ), (None, None, unsure)]
    rows = [{"structure": s, "object": o, **Mask.of(m).to_row()} for s, o, m in about]
    case = Case("a", {"size_z": 3, "size_y": 4, "size_x": 5}, [], rows, ("organ",))
    np.testing.assert_array_equal(case.labels(["organ"]), organ)
    np.testing.assert_array_equal(case.not_evaluated().dense(), unsure)
    without = Case("a", case.image, [], rows[:1], ("organ",))
    assert not without.not_evaluated().voxels
    images = pd.DataFrame([{"scan": "a", **case.image}])
    reference = pd.DataFrame([{"scan": "a", **row} for row in rows])
    everything = Split(seed=0, share=1, train=("a",), test=())
    source = PreparedDataset(images, pd.DataFrame({"scan": []}), reference, everything)
    assert source.structures() == ["organ"]
    assert source.cases()[0].structures == ("organ",)


def test_a_patient_whom_another_dataset_holds_back_is_learnt_from_in_none(
    shard: Any, tmp_path: Path
) -> None:
    one = source_of(shard)
    sides = {"train": one.split.test, "test": one.split.train}
    other = PreparedDataset(
        one.images, one.objects, one.reference, one.split.model_copy(update=sides)
    )
    assert one.cases()
    assert other.cases()
    assert plan(run_of().fit, [one, other], tmp_path).state == "failed"
    elsewhere = source_of(shard, collection="elsewhere")
    assert plan(run_of().fit, [one, elsewhere], tmp_path).state == "ready"


def test_training_starts_from_the_weights_of_the_study(shard: Any, tmp_path: Path) -> None:
    run = run_of()
    planned = plan(run.fit, [source_of(shard)], tmp_path)
    (tmp_path / "given.txt").write_text("given")
    there = Status(state="ready", root=str(tmp_path), fingerprint="")
    fitted = fit(run.fit, planned, tmp_path, "cpu", weights=there, start=tmp_path / "given.txt")
    assert fitted.state == "ready"
    assert (Path(fitted.root) / "model.txt").read_text() == "given"
    absent = there.model_copy(update={"state": "manual", "reason": "sign the form"})
    waiting = fit(run.fit, planned, tmp_path, "cpu", weights=absent)
    assert waiting.state == "manual"
    assert "sign the form" in str(waiting.reason)


def test_a_model_is_that_of_the_dataset_or_of_those_it_learns_from() -> None:
    own, one, several = (Mean({"learns_from": names}) for names in ([], ["A"], ["A", "B"]))
    assert [m.model_for("C") for m in (own, one, several)] == ["C", "A", "together"]
    assert own.datasets_of("C") == ("C",)
    assert several.datasets_of("together") == ("A", "B")


def test_what_learns_has_no_variants() -> None:
    content = {"adapter": f"{__name__}:Mean", "prompt": "structure", "variants": {"a": {}}}
    with pytest.raises(ValueError, match="cannot have variants"):
        Method.model_validate(content)
