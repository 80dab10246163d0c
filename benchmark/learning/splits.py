"""Which patients methods learn from: one split for all methods, and for all datasets of a source.

Whether a patient is held back depends only on a hash of the seed, the source collection and the
patient's id. A patient in two datasets of a collection is therefore on the same side in both, and
stays there when scans are added or set aside. Datasets that hold the same scans under other ids
(``overlaps`` in the catalogue) cannot be recognised in this way.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmark.settings import Settings
from benchmark.storage.digest import stable_hash

SHARE = 0.8
"""Expected share of the patients that are used for training."""


class Split(Settings):
    """Scans of a dataset that methods learn from (``train``) and never see (``test``)."""

    seed: int
    share: float = SHARE
    train: tuple[str, ...]
    test: tuple[str, ...]


def held_back(seed: int, collection: str, patient: str) -> bool:
    """Return whether a patient is held back.

    ``collection``: the source collection; a dataset without one is its own.
    """
    return _place(seed, collection, patient) < 1 - SHARE


def split(scans: Iterable[Mapping[str, Any]], seed: int) -> Split:
    """Split ``scans`` of a dataset, rows with ``scan``, ``patient`` and ``collection``, by patient.

    With two or more patients, at least one is on each side: if the hash puts all of them on one
    side, the patient nearest the border changes sides, in this dataset only. A single patient is
    held back, so that nothing can be learnt.
    """
    rows = [(row["scan"], (row["collection"], row["patient"])) for row in scans]
    patients = sorted({patient for _, patient in rows}, key=lambda key: _place(seed, *key))
    count = sum(held_back(seed, *patient) for patient in patients)
    kept = set(patients[: max(min(count, len(patients) - 1), 1)])
    train = sorted(scan for scan, patient in rows if patient not in kept)
    test = sorted(scan for scan, patient in rows if patient in kept)
    return Split(seed=seed, train=tuple(train), test=tuple(test))


def _place(seed: int, collection: str, patient: str) -> float:
    """Return the place of a patient between 0 and 1, uniformly distributed."""
    return stable_hash(f"{seed}/{collection}/{patient}") / 2**64
