"""Methods that learn: their training cases, planning and training.

Apart from the controls that see the reference, this is the only stage that gives labels to a
method, and only those of training cases. `benchmark.learning.splits` determines these; only the
scans that it holds back are predicted. All models of a study use the same split of a dataset,
whatever they are trained on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import boxes
from benchmark.adapter import Learner
from benchmark.errors import UserError
from benchmark.geometry import row_shape
from benchmark.inference.segmenting import preserved_state, print_traceback
from benchmark.learning.splits import Split
from benchmark.machine.machine_errors import METHOD_ERRORS, raise_if_machine_error
from benchmark.masks import Mask
from benchmark.methods.registry import find
from benchmark.objects import not_evaluated
from benchmark.sources.status import State, Status
from benchmark.specs import Fit
from benchmark.storage.tables import read_table, records
from benchmark.volume import Volume, read_row


@dataclass(frozen=True)
class Case:
    """A training case as rows of the prepared tables; the image is read on demand.

    ``image``: the row of `benchmark.prepare.IMAGE_SCHEMA`; ``objects`` and ``reference``: the
    scan's rows of `benchmark.objects.SCHEMA` and ``REFERENCE_SCHEMA``. ``structures``: what its
    dataset annotates; any other structure may be in the image, but has no label.
    """

    scan: str
    image: dict[str, Any]
    objects: list[dict[str, Any]]
    reference: list[dict[str, Any]]
    structures: tuple[str, ...]

    @property
    def dataset(self) -> str:
        """Id of the dataset."""
        return str(self.image["dataset"])

    @property
    def patient(self) -> tuple[str, str]:
        """Source collection, and id of the patient in it."""
        return str(self.image["collection"]), str(self.image["patient"])

    @property
    def is_partly_annotated(self) -> bool:
        """Whether the scan shows further objects, which have no mask."""
        return any(row.get("partly_annotated") for row in self.objects)

    def volume(self) -> Volume:
        """Read the image."""
        return read_row(self.image)

    def labels(self, structures: Sequence[str]) -> NDArray[np.uint8]:
        """Return the label map, uint8 (z, y, x): 1 for the first of ``structures``, and so on.

        Where structures overlap, the last one wins. Components too small to be objects are
        included. Voxels that are not evaluated are 0; see `not_evaluated`.
        """
        shape = row_shape(self.image)
        labels = np.zeros(shape, dtype=np.uint8)
        for value, structure in enumerate(structures, start=1):
            for row in self.reference:
                if row["structure"] == structure:
                    mask = Mask.from_row(row, shape)
                    labels[boxes.slices(mask.box)][mask.crop] = value
        return labels

    def not_evaluated(self) -> Mask:
        """Return the voxels that are not evaluated: what is right there is not known."""
        return not_evaluated(self.reference, row_shape(self.image))


@dataclass(frozen=True)
class PreparedDataset:
    """The prepared tables of a dataset, and its split."""

    images: pd.DataFrame
    objects: pd.DataFrame
    reference: pd.DataFrame
    split: Split

    @classmethod
    def read(cls, folder: Path, split: Path) -> "PreparedDataset":
        """Read the tables in the dataset's ``folder``, and the file ``split``."""
        images, objects, reference = (
            read_table(folder / f"{name}.parquet") for name in ("images", "objects", "reference")
        )
        return cls(images, objects, reference, Split.load(split))

    def cases(self) -> list[Case]:
        """Return the training cases and no others."""
        objects, reference = records(self.objects), records(self.reference)
        structures = tuple(self.structures())
        return [
            Case(
                row["scan"],
                row,
                [r for r in objects if r["scan"] == row["scan"]],
                [r for r in reference if r["scan"] == row["scan"]],
                structures,
            )
            for row in records(self.images)
            if row["scan"] in self.split.train
        ]

    def held_back(self) -> set[tuple[str, str]]:
        """Return the patients that the split holds back, in the form of `Case.patient`."""
        rows = self.images[self.images["scan"].isin(self.split.test)]
        return set(zip(rows["collection"], rows["patient"], strict=True))

    def structures(self) -> list[str]:
        """Return the names of all structures, in their order in the reference table."""
        return [str(name) for name in self.reference["structure"].dropna().unique()]


def plan(settings: Fit, datasets: Sequence[PreparedDataset], folder: Path) -> Status:
    """Run the method's planning on the training cases of ``datasets``, in ``folder/work``.

    A patient that any of them holds back is excluded from all; so are scans that are
    annotated in part, if the method finds the objects itself. Returns the status: ready, manual or
    failed, and why.
    """
    learner = _learner(settings)
    if reason := learner.missing_requirement():
        return _status(folder, learner, "manual", reason)
    held_back = {patient for dataset in datasets for patient in dataset.held_back()}
    found = [case for dataset in datasets for case in dataset.cases()]
    cases = [case for case in found if case.patient not in held_back]
    if learner.info.prompts == ("structure",):
        cases = [case for case in cases if not case.is_partly_annotated]
    if not cases:
        count = sum(len(dataset.images) for dataset in datasets)
        reason = (
            f"nothing to learn from: {count} scans of fewer than two patients, or annotated in part"
        )
        return _status(folder, learner, "failed", reason)
    names = list(dict.fromkeys(name for dataset in datasets for name in dataset.structures()))
    try:
        with preserved_state():
            learner.plan(cases, names, folder / "work")
    except METHOD_ERRORS as error:  # becomes the reason of the method's cells
        raise_if_machine_error(error)
        print_traceback(error)
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
    """Train in ``folder/work`` to the end, resuming an interrupted training; return the status.

    ``weights``: status of the fetched weights to start from; ``start``: their path. With several
    processes, one that fails raises, so that the others end too.
    """
    learner = _learner(settings)
    if not planned.is_ready:
        return planned
    if weights is not None and not weights.is_ready:
        reason = f"no weights to start from: {weights.reason}"
        return _status(folder, learner, "manual", reason)
    try:
        with preserved_state():
            learner.fit(folder / "work", device, start)
    except METHOD_ERRORS as error:
        raise_if_machine_error(error)
        if several_processes():
            raise
        print_traceback(error)
        again = f"to train again, run Snakemake with --forcerun {folder / 'status.json'}"
        return _status(folder, learner, "failed", f"training failed: {error}; {again}")
    return _status(folder, learner, "ready", None)


def model_folder(trained: Status, path: Path) -> Path | None:
    """Return the folder of a model; None if it was not trained.

    ``path``: file of the status, which the message names. Raises `UserError` if the folder is gone.
    """
    if not trained.is_ready:
        return None
    folder = Path(trained.root)
    if not folder.is_dir():
        raise UserError(
            f"The model was trained but is no longer here: no folder {folder}. What was made "
            f"with it stays. To train it again, run Snakemake with --forcerun {path}"
        )
    return folder


def several_processes() -> bool:
    """Return whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first_process() -> bool:
    """Return whether this process is the one that writes results (rank 0)."""
    return int(os.environ.get("RANK", "0")) == 0


def _learner(settings: Fit) -> Learner:
    adapter = find(settings.adapter)(settings.options | settings.speed)
    if not isinstance(adapter, Learner):
        raise UserError(
            f"{settings.adapter} cannot be trained: it is not a benchmark.adapter.Learner."
        )
    return adapter


def _status(folder: Path, learner: Learner, state: State, reason: str | None) -> Status:
    work, found = str(folder / "work"), learner.external_state()
    return Status(state=state, root=work, fingerprint=found, reason=reason)
