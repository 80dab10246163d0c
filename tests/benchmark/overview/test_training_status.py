"""The status of trainings, from the files that they leave at each moment."""

from pathlib import Path
from typing import Any

import pytest

from benchmark.overview.status import stages, summary
from benchmark.overview.training_status import TrainingProgress, trainings
from benchmark.sources import Status
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.study import Study
from tests.benchmark.study.test_training import Learning


class Counting(Learning):
    def progress(self, workdir: Path) -> tuple[int, int] | None:
        steps = workdir / "steps"
        return (int(steps.read_text(encoding="utf-8")), 9) if steps.exists() else None


def learning(**training: Any) -> Study:
    box = {"adapter": "box-fill", "prompt": "box3d"}
    learns = {"adapter": f"{__name__}:Learning", "prompt": "box3d"}
    content = {"study": "s", "datasets": ["P01", "P02"], "methods": {"box": box, "learns": learns}}
    return Study.read({**content, "training": training}, "the test's study")


def end(
    pattern: str, fit: str, model: str, state: Any = "ready", reason: str | None = None
) -> Path:
    """As plan or train leave it."""
    path = Path(pattern.format(fit=fit, model=model))
    write_json(path, Status(state=state, root="", fingerprint="", reason=reason).model_dump())
    return path.parent / "work"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_training_is_told_by_how_far_it_is() -> None:
    model = {
        "kind": "together",
        "method": "box",
        "adapter": f"{__name__}:Counting",
        "seeds": [5, 6],
    }
    study = learning(models={"m": model})
    first, second = (trained.run.fit.id for trained in study.trained)

    def states() -> list[str]:
        found = [one for one in trainings(study, Path()) if one.name == "m"]
        assert [(one.seed, one.model) for one in found] == [(5, "together"), (6, "together")]
        return [one.state for one in found]

    assert states() == ["waiting", "waiting"]
    work = end(paths.PLAN, first, "together")
    assert states() == ["planned", "waiting"]
    work.mkdir()
    (work / "steps").write_text("4", encoding="utf-8")
    assert states() == ["at step 4 of 9", "waiting"]
    end(paths.MODEL, first, "together")
    end(paths.MODEL, second, "together", "failed", "training failed:\nno memory")
    assert states() == ["trained", "failed: training failed: no memory"]
    lines = [line.split() for line in summary(study, Path()).splitlines()]
    assert ["m", "5", "together", "trained"] in lines


def test_a_method_has_a_training_for_each_dataset_and_models_that_are_equal_share_one() -> None:
    model = {"kind": "finetuned", "method": "box", "adapter": f"{__name__}:Counting"}
    model |= {"tested_on": "own"}
    study = learning(models={"one": model, "same": model})
    told = [(t.name, t.seed, t.model) for t in trainings(study, Path())]
    expected = [("learns", None), ("one", 0), ("same", 0)]
    assert told == [(*who, dataset) for who in expected for dataset in ("P01", "P02")]
    assert {one.state for one in trainings(study, Path())} == {"waiting"}
    end(paths.MODEL, study.trained[1].run.fit.id, "P02")
    assert TrainingProgress("one", 0, "P02", "trained") in trainings(study, Path())
    counted = {stage.name: (stage.done, stage.expected) for stage in stages(study, Path())}
    assert counted["train"] == (1, 4)
    shards = sum(entry.shards for entry in study.entries.values())
    assert counted["predict"] == (0, 3 * shards)
