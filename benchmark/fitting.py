"""Methods that learn from datasets: what they are handed, the plan, the training.

The only stage beside the marked controls that hands labels to a method, and only those of training
cases: `benchmark.splits` tells which these are. What the split held back is what is predicted.
All models of a study are held to the same split of a dataset, whatever they learnt from.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import boxes, splits
from benchmark.adapter import Learner, find
from benchmark.errors import UserError
from benchmark.machine.trouble import RAISED, stop_at_trouble
from benchmark.masks import Mask
from benchmark.sources import Status
from benchmark.specs import Fit
from benchmark.splits import Split
from benchmark.tables import read_table, records
from benchmark.volume import Volume, read_row


@dataclass(frozen=True)
class Case:
    """A training case, as rows of the prepared tables; files are read when asked for."""

    scan: str
    image: dict[str, Any]
    objects: list[dict[str, Any]]
    reference: list[dict[str, Any]]

    @property
    def dataset(self) -> str:
        """Id of the dataset."""
        return str(self.image["dataset"])

    @property
    def patient(self) -> tuple[str, str]:
        """Source collection, and id of the patient in it."""
        return str(self.image["collection"]), str(self.image["patient"])

    def volume(self) -> Volume:
        """Read the image."""
        return read_row(self.image)

    def labels(self, structures: Sequence[str]) -> NDArray[np.uint8]:
        """Label map (z, y, x): 1 for the first of ``structures``; where they overlap the last wins.

        Every component counts, also those too small to be objects.
        """
        z, y, x = (int(self.image[f"size_{axis}"]) for axis in "zyx")
        labels = np.zeros((z, y, x), dtype=np.uint8)
        for value, structure in enumerate(structures, start=1):
            for row in self.reference:
                if row["structure"] == structure:
                    mask = Mask.from_row(row, (z, y, x))
                    labels[boxes.slices(mask.box)][mask.crop] = value
        return labels


@dataclass(frozen=True)
class Source:
    """The prepared tables of a dataset, and its split."""

    images: pd.DataFrame
    objects: pd.DataFrame
    reference: pd.DataFrame
    split: Split

    @classmethod
    def read(cls, folder: Path, split: Path) -> "Source":
        """Read the tables below ``folder``, that of a dataset, and the file of its split."""
        images, objects, reference = (
            read_table(folder / f"{name}.parquet") for name in ("images", "objects", "reference")
        )
        return cls(images, objects, reference, splits.read(split))

    def cases(self) -> list[Case]:
        """Give the training cases, and nothing of the others."""
        objects, reference = records(self.objects), records(self.reference)
        return [
            Case(
                row["scan"],
                row,
                [r for r in objects if r["scan"] == row["scan"]],
                [r for r in reference if r["scan"] == row["scan"]],
            )
            for row in records(self.images)
            if row["scan"] in self.split.train
        ]

    def held_back(self) -> set[tuple[str, str]]:
        """Patients that are held back, as in `Case.patient`."""
        rows = self.images[self.images["scan"].isin(self.split.test)]
        return set(zip(rows["collection"], rows["patient"], strict=True))

    def structures(self) -> list[str]:
        """Names of all structures."""
        return [str(name) for name in self.reference["structure"].unique()]


def plan(settings: Fit, sources: Sequence[Source], folder: Path) -> Status:
    """Have the method plan for the training cases of ``sources``, in ``folder/work``.

    A patient that one of them holds back is learnt from in none.
    """
    learner = _learner(settings)
    if reason := learner.missing():
        return _status(folder, learner, "manual", reason)
    held_back = {patient for source in sources for patient in source.held_back()}
    found = [case for source in sources for case in source.cases()]
    cases = [case for case in found if case.patient not in held_back]
    if not cases:
        count = sum(len(source.images) for source in sources)
        reason = f"nothing to learn from: {count} scans of fewer than two patients"
        return _status(folder, learner, "failed", reason)
    names = list(dict.fromkeys(name for source in sources for name in source.structures()))
    try:
        learner.plan(cases, names, folder / "work")
    except RAISED as error:  # whatever a method raises is the reason of its cells
        stop_at_trouble(error)
        return _status(folder, learner, "failed", f"planning failed: {error}")
    return _status(folder, learner, "ready", None)


def fit(
    settings: Fit,
    planned: Status,
    folder: Path,
    device: str,
    *,
    weights: Status | None = None,
    start: Path | None = None,
) -> Status:
    """Train in ``folder/work`` to the end; what an interrupted training left is gone on with.

    ``weights``: how the fetch of the weights to begin with ended, ``start``: where they are. Of
    several processes, one that fails raises, so that the others end with it.
    """
    learner = _learner(settings)
    if planned.state != "ready":
        return planned
    if weights is not None and weights.state != "ready":
        reason = f"no weights to start from: {weights.reason}"
        return _status(folder, learner, "manual", reason)
    try:
        learner.fit(folder / "work", device, start)
    except RAISED as error:
        stop_at_trouble(error)
        if several_processes():
            raise
        again = f"to train again, run Snakemake with --forcerun {folder / 'status.json'}"
        return _status(folder, learner, "failed", f"training failed: {error}; {again}")
    return _status(folder, learner, "ready", None)


def model(trained: Status, path: Path) -> Path | None:
    """Folder of a model, None where it was not trained; ``path``: of its status.

    A `UserError` tells how to train it again where it is gone.
    """
    if trained.state != "ready":
        return None
    folder = Path(trained.root)
    if not folder.is_dir():
        raise UserError(
            f"The model was trained and is not here any more: no folder {folder}. What was made "
            f"with it stays. To train it again, run Snakemake with --forcerun {path}"
        )
    return folder


def several_processes() -> bool:
    """Whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first_process() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def _learner(settings: Fit) -> Learner:
    adapter = find(settings.adapter)(settings.options | settings.speed)
    if not isinstance(adapter, Learner):
        raise UserError(
            f"{settings.adapter} cannot be trained: it is not a benchmark.adapter.Learner."
        )
    return adapter


def _status(folder: Path, learner: Learner, state: Any, reason: str | None) -> Status:
    work, found = str(folder / "work"), learner.at_hand()
    return Status(state=state, root=work, fingerprint=found, reason=reason)
