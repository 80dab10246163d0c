"""The cells of a score table as arrays, methods side by side: what paired statistics work on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.bootstrap import ratio

Array = NDArray[np.float64]
CELL = ["dataset", "scan", "structure"]


@dataclass(frozen=True)
class Grid:
    """Structures of scans (cells) by methods.

    ``cells``: a row a cell with dataset, scan, structure, patient, split, modality; ``values``: by
    metric (cells, methods), NaN where a method has none; ``contaminated``: (cells, methods), what
    the weights of a method were trained on.
    """

    methods: tuple[str, ...]
    prompts: dict[str, str]
    cells: pd.DataFrame
    values: dict[str, Array]
    contaminated: NDArray[np.bool_]

    @classmethod
    def of(
        cls, rows: pd.DataFrame, metrics: Sequence[str], *, without: Sequence[str] = ()
    ) -> "Grid":
        """Arrange ``rows`` (structure level, a row a cell and method), less methods ``without``."""
        kept = rows[~rows["method"].isin(list(without))]
        code, methods = pd.factorize(kept["method"])
        cell = codes(kept, CELL)
        first = np.unique(cell, return_index=True)[1]
        cells = kept.iloc[first][[*CELL, "patient", "split", "modality"]].reset_index(drop=True)
        values = {}
        for metric in metrics:
            values[metric] = np.full((len(cells), len(methods)), np.nan)
            values[metric][cell, code] = kept[metric].to_numpy(dtype=np.float64)
        contaminated = np.zeros((len(cells), len(methods)), dtype=bool)
        contaminated[cell, code] = kept["contaminated"]
        kinds = kept.drop_duplicates("method").set_index("method")["prompt"].to_dict()
        prompts = {str(k): str(v) for k, v in kinds.items()}
        return cls(tuple(methods), prompts, cells, values, contaminated)

    @cached_property
    def datasets(self) -> pd.DataFrame:
        """A row a dataset: ``dataset``, ``split``, ``modality``, in the order of the means."""
        table = self.cells.drop_duplicates("dataset")
        return table[["split", "dataset", "modality"]].reset_index(drop=True)

    @cached_property
    def scans(self) -> pd.DataFrame:
        """A row a scan: dataset, scan, patient and split, in the order of the means."""
        table = self.cells.drop_duplicates(["dataset", "scan"])
        return table[["dataset", "scan", "patient", "split"]].reset_index(drop=True)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """What is independent in a dataset, a row each: ``dataset`` and ``unit``.

        The unit is ``patient`` in a dataset that has several scans of one, else ``scan``.
        """
        first = np.unique(self._sample, return_index=True)[1]
        several = self._several.to_numpy()[first]
        table = self.scans.iloc[first][["dataset"]].assign(
            unit=np.where(several, "patient", "scan")
        )
        return table.reset_index(drop=True)

    def dataset_means(self, values: Array) -> Array:
        """Average (cells, k) over scans, then over structures: (datasets, k)."""
        return group_means(group_means(values, self._structure), self._dataset_of_structure)

    def scan_means(self, values: Array) -> Array:
        """Average (cells, k) over the structures of a scan: (scans, k)."""
        return group_means(values, self._scan)

    def sample_means(self, values: Array) -> Array:
        """Average (cells, k) over the structures of a scan, then over its patient's scans."""
        return group_means(self.scan_means(values), self._sample)

    @cached_property
    def _several(self) -> "pd.Series[bool]":
        """Of each scan: whether its dataset has several scans of a patient."""
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
    """Cells of (cells, methods) in which every method has a value that has any at all."""
    known = np.isfinite(values)
    used = known.any(axis=0)
    return np.asarray(known[:, used].all(axis=1) & used.any())


def codes(cells: pd.DataFrame, keys: list[str]) -> NDArray[np.intp]:
    """Number the groups of ``keys``, in their order; the number of each row's group."""
    return np.asarray(
        cells.groupby(keys, sort=True, dropna=False).ngroup().to_numpy(), dtype=np.intp
    )


def group_means(values: Array, group: NDArray[np.intp]) -> Array:
    """Mean of what is known of each column in each group; NaN where nothing is."""
    count = int(group.max()) + 1 if len(group) else 0
    columns = []
    for column in values.T:
        known = np.isfinite(column)
        sums = np.bincount(group[known], column[known], minlength=count)
        columns.append(ratio(sums, np.bincount(group[known], minlength=count)))
    return np.stack(columns, axis=1) if columns else np.empty((count, 0))
