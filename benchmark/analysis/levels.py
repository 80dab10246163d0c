"""Effect of a factor with levels (deviation, thickness): dataset means by level, and tests.

An object for which a level changes nothing is no evidence of stability. There are therefore two
selections: ``all`` structures, as in the paper, and ``effective``, the objects whose guiding slice
or reach changed at that level. In the tests over all levels, an object to which two levels were the
same counts as unaffected, too. A level is compared with the baseline over the units that have a
value at both. A unit has a value at a level only if all its cells there do (both signs of a
deviation), because a mean over the others would hide a failure.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.arrays import Array
from benchmark.analysis.bootstrap import ratio
from benchmark.analysis.grid import codes, group_means
from benchmark.analysis.groups import anovas, equivalence

if TYPE_CHECKING:
    from benchmark.analysis.settings import AnalysisSettings

METRIC = "dsc"
SELECTIONS = {"all": "structure", "effective": "object"}
"""Level of the score table on which each selection is based."""

_ABOUT = ("method", "prompt", "metric", "selection")
VALUES = (
    *_ABOUT,
    *("level", "baseline", "split", "dataset", "modality", "mean", "baseline_mean", "objects"),
)
TEST_COLUMNS = (
    *_ABOUT,
    *("unit", "test", "level", "baseline", "groups", "n", "objects", "unaffected", "missing"),
    *("statistic", "df1", "df2", "p", "difference", "low", "high", "margin", "equivalent"),
    *("epsilon", "reason"),
)

_UNIT = ["dataset", "structure", "scan", "object"]
_FACTS = ["method", "prompt", "selection", "baseline"]


def tables(cells: pd.DataFrame, settings: "AnalysisSettings", name: str) -> dict[str, pd.DataFrame]:
    """Return the tables ``<name>_values`` and ``<name>_tests``.

    ``cells`` has the columns dataset, structure, scan, object, split, modality, method, prompt and
    selection; ``level`` and ``baseline`` (the level of the unchanged method), both numbers;
    ``value``; ``affected``: 1 if the level changed what the method did, else 0, NaN if unknown; and
    ``extent``: what it did (slices), a number by which levels that are the same are recognised.
    """
    values: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    for facts, part in cells.groupby(_FACTS, sort=False):
        about = {"metric": METRIC, **dict(zip(_FACTS, facts, strict=True))}
        if part["level"].nunique() < 2:
            continue
        if np.isnan(part["affected"].to_numpy(dtype=np.float64)).any():
            reason = "which objects a level changed is not known"
            tests.append({**about, "unit": "dataset", "reason": reason})
            continue
        found = _Levels(part, float(str(about["baseline"])))
        values += [{**about, **row} for row in found.values()]
        tests += [{**about, "unit": "dataset", **row} for row in found.tests(settings.margin)]
    return {
        f"{name}_values": pd.DataFrame(values, columns=list(VALUES)),
        f"{name}_tests": pd.DataFrame(tests, columns=list(TEST_COLUMNS)),
    }


class _Levels:
    """Values of a method's units (objects, or structures of scans) by level, baseline first."""

    def __init__(self, cells: pd.DataFrame, baseline: float) -> None:
        self.levels = [baseline, *sorted(set(cells["level"]) - {baseline})]
        affected = cells["affected"].to_numpy(dtype=bool)
        known = affected & np.isfinite(cells["value"].to_numpy(dtype=np.float64))
        unit = codes(cells, _UNIT)
        place = unit * len(self.levels) + pd.Index(self.levels).get_indexer(
            pd.Index(cells["level"])
        )
        first = np.unique(unit, return_index=True)[1]
        self.units = cells.iloc[first].reset_index(drop=True)
        self.effective = self.units["selection"].iloc[0] == "effective"

        def total(rows: NDArray[np.bool_], of: Array | None = None) -> NDArray[Any]:
            size = len(self.units) * len(self.levels)
            summed = np.bincount(place[rows], None if of is None else of[rows], minlength=size)
            return summed.reshape(len(self.units), len(self.levels))

        valued = total(known)
        means = ratio(total(known, cells["value"].to_numpy(np.float64)), valued)
        self.values_of = np.where(valued == total(affected), means, np.nan)
        self.reached = total(affected) > 0
        self.extents = ratio(total(affected, cells["extent"].to_numpy(np.float64)), total(affected))
        self.known = np.isfinite(self.values_of)
        self.structure = codes(self.units, ["dataset", "structure"])
        first = np.unique(self.structure, return_index=True)[1]
        self.dataset = codes(self.units, ["dataset"])
        self.dataset_of_structure = self.dataset[first]
        self.datasets = self.units.drop_duplicates("dataset").reset_index(drop=True)

    def _means(self, counted: NDArray[np.bool_], places: Sequence[int]) -> Array:
        """Return means over the units in ``counted``: (datasets, levels at ``places``)."""
        values = np.where(counted[:, None], self.values_of[:, list(places)], np.nan)
        return group_means(group_means(values, self.structure), self.dataset_of_structure)

    def _both(self, place: int) -> NDArray[np.bool_]:
        return np.asarray(self.known[:, place] & self.known[:, 0])

    def values(self) -> Iterator[dict[str, Any]]:
        for place, level in enumerate(self.levels):
            counted = self._both(place)
            sizes = np.bincount(self.dataset[counted], minlength=len(self.datasets))
            means = self._means(counted, (place, 0))
            for row, mean, size in zip(self.datasets.itertuples(), means, sizes, strict=True):
                if size:
                    yield {
                        "level": level,
                        **{key: getattr(row, key) for key in ("split", "dataset", "modality")},
                        "mean": mean[0],
                        "baseline_mean": mean[1],
                        "objects": int(size),
                    }

    def tests(self, margin: float) -> Iterator[dict[str, Any]]:
        places = [p for p in range(len(self.levels)) if self._both(p).any()]
        complete = np.asarray(self.known[:, places].all(axis=1) & bool(places))
        reached = np.asarray(self.reached[:, places].all(axis=1))
        if self.effective:
            reached &= np.diff(np.sort(self.extents[:, places], axis=1), axis=1).all(axis=1)
            complete &= reached
        means = self._means(complete, places)
        means = means[np.isfinite(means).all(axis=1)]
        about = {"groups": len(places), **self._counts(complete, reached), "n": len(means)}
        missing = {}
        if len(places) > 1 and not reached.any():
            missing = {"reason": "there is no object to which every level is a different one"}
        for test, outcome in anovas(means):
            yield {"test": test, **about, **vars(outcome), **missing}
        for place, level in enumerate(self.levels[1:], start=1):
            counted = self._both(place)
            pairs = self._means(counted, (place, 0))
            pairs = pairs[np.isfinite(pairs).all(axis=1)]
            equal = equivalence(pairs[:, 0] - pairs[:, 1], margin, unit="dataset")
            about = {"level": level, **self._counts(counted, self.reached[:, place])}
            about |= {"groups": 2, "n": len(pairs), "margin": margin}
            yield {"test": "TOST", **about, **vars(equal)}

    def _counts(
        self, counted: NDArray[np.bool_], reached: NDArray[np.bool_]
    ) -> dict[str, int | float]:
        """Count the units that were used, unaffected by the level, and missing a value.

        For the selection ``all`` every unit counts as affected.
        """
        if not self.effective:
            return {"objects": int(counted.sum()), "missing": int((~counted).sum())}
        return {
            "objects": int(counted.sum()),
            "unaffected": int((~reached).sum()),
            "missing": int((reached & ~counted).sum()),
        }
