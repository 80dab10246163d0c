"""Progress of the trainings of a study: of methods that learn, and of models that it trains itself.

Read from the files of the trainings alone, for `benchmark.overview.status`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.adapter import Learner
from benchmark.methods.registry import find
from benchmark.sources import Status
from benchmark.specs import Run
from benchmark.storage import paths
from benchmark.study import Study


@dataclass(frozen=True)
class TrainingProgress:
    """A training: ``name`` of the method, or of the model in the section ``training``.

    ``seed``: None for a method; ``model``: name from `benchmark.adapter.Learner.model_for`;
    ``state``: in words.
    """

    name: str
    seed: int | None
    model: str
    state: str


def trainings(study: Study, root: Path) -> list[TrainingProgress]:
    """Return the state of each training below ``root``; two names may share a training."""
    return [
        TrainingProgress(name, seed, model, _state(learner, root, fit=run.fit.id, model=model))
        for name, seed, run, learner, model in _learners(study)
    ]


def models_of(study: Study) -> list[tuple[str, str]]:
    """Return id of `Run.fit` and name of every model that is trained, each once."""
    return list(dict.fromkeys((run.fit.id, model) for _, _, run, _, model in _learners(study)))


def named_runs(study: Study) -> Iterator[tuple[str, int | None, Run]]:
    """Yield the runs of methods and of models that the study trains, with name and seed."""
    for name, run in study.runs.items():
        yield name, None, run
    for trained in study.trained:
        yield trained.name, trained.seed, trained.run


def one_line(text: str) -> str:
    """Join the lines of a reason."""
    return " ".join(text.split())


def _learners(study: Study) -> Iterator[tuple[str, int | None, Run, Learner, str]]:
    """Yield name, seed, run, learner and name of the model for every training."""
    for name, seed, run in named_runs(study):
        learner = find(run.adapter)(run.options)
        if isinstance(learner, Learner):
            for model in dict.fromkeys(map(learner.model_for, study.entries)):
                yield name, seed, run, learner, model


def _state(learner: Learner, root: Path, **names: str) -> str:
    path = root / paths.MODEL.format(**names)
    if path.exists():
        status = Status.load(path)
        return "trained" if status.is_ready else one_line(status.summary)
    if not (root / paths.PLAN.format(**names)).exists():
        return "waiting"
    progress = learner.progress(path.parent / "work")
    return "at step {} of {}".format(*progress) if progress else "planned"
