"""Scores as arrays of cells by methods, for paired statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import ratio

CELL_KEY = ["dataset", "scan", "structure"]


@dataclass(frozen=True)
class Grid:
    """Scores of each cell (a structure of a scan) with each method.

    Attributes:
        methods: names of the methods, in the order of the score table.
        prompts: kind of prompt of each method.
        cells: one row per cell: dataset, scan, structure, patient, split, modality, collection.
        values: (cells, methods) by metric; NaN where a method has no value.
        contaminated: (cells, methods), whether the method's weights were trained on the data.
        failed: (cells, methods), whether the method failed.
        skipped: (cells, methods), whether the method was skipped.
    """

    methods: tuple[str, ...]
    prompts: dict[str, str]
    cells: pd.DataFrame
    values: dict[str, Array]
    contaminated: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    skipped: NDArray[np.bool_]

    @classmethod
    def of(
        cls, rows: pd.DataFrame, metrics: Sequence[str], *, without: Sequence[str] = ()
    ) -> "Grid":
        """Arrange ``rows``, one per cell and method at the structure level, as a grid.

        The methods in ``without`` are left out.
        """
        kept = rows[~rows["method"].isin(list(without))]
        code, methods = pd.factorize(kept["method"])
        cell = codes(kept, CELL_KEY)
        first = np.unique(cell, return_index=True)[1]
        facts = [*CELL_KEY, "patient", "split", "modality", "collection"]
        cells = kept.iloc[first][facts].reset_index(drop=True)
        values = {}
        for metric in metrics:
            values[metric] = np.full((len(cells), len(methods)), np.nan)
            values[metric][cell, code] = kept[metric].to_numpy(dtype=np.float64)
        flags = {
            "contaminated": kept["contaminated"],
            "failed": kept["status"] == "failed",
            "skipped": kept["status"] == "skipped",
        }
        marks = {name: np.zeros((len(cells), len(methods)), dtype=bool) for name in flags}
        for name, flag in flags.items():
            marks[name][cell, code] = flag
        kinds = kept.drop_duplicates("method").set_index("method")["prompt"].to_dict()
        prompts = {str(k): str(v) for k, v in kinds.items()}
        return cls(tuple(methods), prompts, cells, values, **marks)

    @cached_property
    def datasets(self) -> pd.DataFrame:
        """One row per dataset, with its facts, in the order of `dataset_means`."""
        table = self.cells.drop_duplicates("dataset")
        return table[["split", "dataset", "modality", "collection"]].reset_index(drop=True)

    @cached_property
    def scans(self) -> pd.DataFrame:
        """One row per scan, with dataset, patient and split, in the order of `scan_means`."""
        table = self.cells.drop_duplicates(["dataset", "scan"])
        return table[["dataset", "scan", "patient", "split"]].reset_index(drop=True)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per independent sample: ``dataset`` and ``unit``, in the order of `sample_means`.

        The unit is "patient" if the dataset has several scans of any patient, else "scan".
        """
        first = np.unique(self._sample, return_index=True)[1]
        several = self._several.to_numpy()[first]
        table = self.scans.iloc[first][["dataset"]].assign(
            unit=np.where(several, "patient", "scan")
        )
        return table.reset_index(drop=True)

    def dataset_means(self, values: Array) -> Array:
        """Average (cells, k) over scans, then over structures; return (datasets, k)."""
        return group_means(group_means(values, self._structure), self._dataset_of_structure)

    def scan_means(self, values: Array) -> Array:
        """Average (cells, k) over the structures of each scan; return (scans, k)."""
        return group_means(values, self._scan)

    def sample_means(self, values: Array) -> Array:
        """Average (cells, k) over structures, then over scans of a patient: (samples, k)."""
        return group_means(self.scan_means(values), self._sample)

    def losses(self, chosen: NDArray[np.bool_], pair: tuple[int, int]) -> dict[str, int]:
        """Count the cells in ``chosen`` and those that either method of a pair failed or skipped.

        The keys are ``expected``, ``failed_a``, ``failed_b``, ``skipped_a`` and ``skipped_b``.
        """
        counts = {"expected": int(chosen.sum())}
        for name, flags in (("failed", self.failed), ("skipped", self.skipped)):
            of_pair = flags[chosen][:, pair].sum(axis=0)
            counts |= {f"{name}_a": int(of_pair[0]), f"{name}_b": int(of_pair[1])}
        return counts

    @cached_property
    def _several(self) -> "pd.Series[bool]":
        """For each scan, whether its dataset has several scans of any patient."""
        again = self.scans.duplicated(["dataset", "patient"])
        return again.groupby(self.scans["dataset"]).transform("any")

    @cached_property
    def _sample(self) -> NDArray[np.intp]:
        named = self.scans["patient"].where(self._several, self.scans["scan"])
        return codes(self.scans.assign(sample=named), ["dataset", "sample"])

    @cached_property
    def _structure(self) -> NDArray[np.intp]:
        return codes(self.cells, ["dataset", "structure"])

    @cached_property
    def _scan(self) -> NDArray[np.intp]:
        return codes(self.cells, ["dataset", "scan"])

    @cached_property
    def _dataset_of_structure(self) -> NDArray[np.intp]:
        first = np.unique(self._structure, return_index=True)[1]
        return codes(self.cells, ["dataset"])[first]


def common(values: Array) -> NDArray[np.bool_]:
    """Return a mask of the cells in which every method has a value.

    ``values`` is (cells, methods); methods without any value are ignored.
    """
    known = np.isfinite(values)
    used = known.any(axis=0)
    return np.asarray(known[:, used].all(axis=1) & used.any())


def codes(cells: pd.DataFrame, keys: list[str]) -> NDArray[np.intp]:
    """Return the index of each row's group, where groups are sorted by ``keys``."""
    return np.asarray(
        cells.groupby(keys, sort=True, dropna=False).ngroup().to_numpy(), dtype=np.intp
    )


def group_means(values: Array, group: NDArray[np.intp]) -> Array:
    """Average the finite values of each column by group; NaN where a group has none.

    ``values`` is (n, k) and ``group`` (n,); the result is (groups, k).
    """
    count = int(group.max()) + 1 if len(group) else 0
    columns = []
    for column in values.T:
        known = np.isfinite(column)
        sums = np.bincount(group[known], column[known], minlength=count)
        columns.append(ratio(sums, np.bincount(group[known], minlength=count)))
    return np.stack(columns, axis=1) if columns else np.empty((count, 0))
