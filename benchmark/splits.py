"""Which patients methods learn from: one split for all methods, and for all datasets of a source.

Each patient is learnt from or held back by a hash of the seed, the source collection and the
patient's id, and of nothing else. So a patient who is in two datasets of a collection is on the
same side in both, and stays there when scans are added or set aside. Datasets that hold the same
scans under other ids (``overlaps`` of the catalogue) cannot be kept together in this way.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.digest import stable_hash
from benchmark.files import read_json
from benchmark.settings import Settings

SHARE = 0.8
"""Of the patients, in expectation: so many are learnt from."""


class Split(Settings):
    """Scans of a dataset that methods learn from, and those that they never see."""

    seed: int
    share: float = SHARE
    train: tuple[str, ...]
    test: tuple[str, ...]


def held_back(seed: int, collection: str, patient: str) -> bool:
    """Whether a patient of a source collection (a dataset by itself is its own) is held back."""
    return _place(seed, collection, patient) < 1 - SHARE


def split(scans: Iterable[Mapping[str, Any]], seed: int) -> Split:
    """Divide ``scans`` (rows with ``scan``, ``patient`` and ``collection``) of a dataset.

    Of two patients or more one at least is on each side: where the hash puts all of a dataset on
    one side, the patient next to the border changes it, in this dataset alone. With a single
    patient nothing can be learnt.
    """
    rows = [(row["scan"], (row["collection"], row["patient"])) for row in scans]
    patients = sorted({patient for _, patient in rows}, key=lambda key: _place(seed, *key))
    count = sum(held_back(seed, *patient) for patient in patients)
    kept = set(patients[: max(min(count, len(patients) - 1), 1)])
    train = sorted(scan for scan, patient in rows if patient not in kept)
    test = sorted(scan for scan, patient in rows if patient in kept)
    return Split(seed=seed, train=tuple(train), test=tuple(test))


def read(path: Path) -> Split:
    """Read the file of a split."""
    return Split.read(read_json(path), str(path))


def _place(seed: int, collection: str, patient: str) -> float:
    """Place of a patient between 0 and 1, evenly spread."""
    return stable_hash(f"{seed}/{collection}/{patient}") / 2**64
