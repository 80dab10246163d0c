"""Methods that learn from each dataset: the split of its scans, the plan, the training.

The only stage beside the marked controls that hands labels to a method, and only those of training
cases: 80 % of the patients, chosen by a seeded hash. What the split held back is what is predicted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import boxes
from benchmark.adapter import Learner, find
from benchmark.digest import stable_hash
from benchmark.errors import UserError
from benchmark.files import read_json, write_json
from benchmark.machine.room import stop_at_trouble
from benchmark.masks import Mask
from benchmark.settings import Settings
from benchmark.sources import Status
from benchmark.specs import Run
from benchmark.tables import records
from benchmark.volume import Volume, read

SHARE = 0.8


class Split(Settings):
    """Content of ``split.json``: scans that a method learns from, and those that it never sees."""

    seed: int
    share: float = SHARE
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A training case; files are read when asked for."""

    scan: str
    image: dict[str, Any]
    reference: list[dict[str, Any]]

    def volume(self) -> Volume:
        """Read the image."""
        paths = [Path(path) for path in self.image["images"]]
        channels = list(self.image["channels"])
        return read(paths, modality=self.image["modality"], channels=channels)

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


def split(scans: Iterable[Mapping[str, Any]], seed: int) -> Split:
    """Divide ``scans`` (rows with ``scan`` and ``patient``), no patient on both sides.

    At least one patient is held back; with a single one nothing can be learnt.
    """
    rows = list(scans)
    patients = sorted(
        {row["patient"] for row in rows}, key=lambda name: stable_hash(f"{seed}:split:{name}")
    )
    learnt = set(patients[: min(round(SHARE * len(patients)), len(patients) - 1)])
    sides: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        sides[row["patient"] in learnt].append(row["scan"])
    return Split(seed=seed, train=tuple(sorted(sides[True])), test=tuple(sorted(sides[False])))


def plan(run: Run, images: pd.DataFrame, reference: pd.DataFrame, folder: Path) -> Status:
    """Write ``split.json`` into ``folder`` and have the method plan, in ``folder/work``."""
    rows = records(images)
    divided = split(rows, run.seed)
    write_json(folder / "split.json", divided.model_dump())
    learner = _learner(run)
    if reason := learner.missing():
        return _status(folder, learner, "manual", reason)
    if not divided.train:
        reason = f"nothing to learn from: {len(rows)} scans of fewer than two patients"
        return _status(folder, learner, "failed", reason)
    told = records(reference)
    cases = [
        Case(row["scan"], row, [r for r in told if r["scan"] == row["scan"]])
        for row in rows
        if row["scan"] in divided.train
    ]
    names = list(dict.fromkeys(row["structure"] for row in told))
    try:
        learner.plan(cases, names, folder / "work")
    except Exception as error:  # whatever a method raises is the reason of its cells
        stop_at_trouble(error)
        return _status(folder, learner, "failed", f"planning failed: {error}")
    return _status(folder, learner, "ready", None)


def fit(run: Run, planned: Status, folder: Path, device: str) -> Status:
    """Train in ``folder/work`` to the end; what an interrupted training left is gone on with."""
    learner = _learner(run)
    if planned.state != "ready":
        return planned
    try:
        learner.fit(folder / "work", device)
    except Exception as error:
        stop_at_trouble(error)
        again = f"to train again, delete {folder / 'status.json'}"
        return _status(folder, learner, "failed", f"training failed: {error}; {again}")
    return _status(folder, learner, "ready", None)


def read_split(path: Path) -> Split:
    """Read what `plan` wrote."""
    return Split.read(read_json(path), str(path))


def _learner(run: Run) -> Learner:
    adapter = find(run.adapter)(run.options)
    if not isinstance(adapter, Learner):
        raise UserError(f"{run.adapter} does not learn: it is no benchmark.adapter.Learner.")
    return adapter


def _status(folder: Path, learner: Learner, state: Any, reason: str | None) -> Status:
    work, found = str(folder / "work"), learner.at_hand()
    return Status(state=state, root=work, fingerprint=found, reason=reason)
