"""Split a label map into its labels in one pass, each as runs of voxels along x."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import EMPTY, Box, slices

_SLAB = 1 << 18  # voxels per step: bounds the memory and stays in the cache

Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Label:
    """The voxels of one label, a `benchmark.boxes.Boxed`; the crop is computed on access.

    ``starts`` and ``stops``: half-open runs along x as ascending indices into the flattened map.
    """

    labels: Labels
    value: int
    box: Box
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @property
    def crop(self) -> NDArray[np.bool_]:
        """Bool array (z, y, x) of the voxels in the box."""
        return np.asarray(self.labels[slices(self.box)] == self.value)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int((self.stops - self.starts).sum())


class LabelMap:
    """The labels of an integer array (z, y, x); 0 is background.

    Raises ValueError if the array is not 3D or not of integers.
    """

    def __init__(self, labels: Labels) -> None:
        """Find the runs of all labels."""
        if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 3:
            raise ValueError(
                "A label map must be an array (z, y, x) of whole numbers, got "
                f"{labels.dtype} of shape {labels.shape}."
            )
        self.labels = labels
        values, starts, stops = _runs(labels)
        order = np.argsort(values, kind="stable")
        self._starts, self._stops = starts[order], stops[order]
        found, counts = np.unique(values, return_counts=True)
        stops_of = np.cumsum(counts)
        self._runs = {
            value: slice(stop - count, stop)
            for value, count, stop in zip(
                found.tolist(), counts.tolist(), stops_of.tolist(), strict=True
            )
        }

    @property
    def values(self) -> list[int]:
        """Labels that occur, ascending, without 0."""
        return list(self._runs)

    def __getitem__(self, value: int) -> Label:
        """Return the voxels of a label; none if it does not occur."""
        runs = self._runs.get(value, slice(0))
        starts, stops = self._starts[runs], self._stops[runs]
        return Label(self.labels, value, self._box(starts, stops), starts, stops)

    def _box(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Box:
        if not len(starts):
            return EMPTY
        _, ny, nx = self.labels.shape
        rows = starts // nx
        y, first = rows % ny, starts % nx
        z0, z1 = int(rows[0]) // ny, int(rows[-1]) // ny + 1
        last = int((first + stops - starts).max())
        return z0, z1, int(y.min()), int(y.max()) + 1, int(first.min()), last


def _runs(labels: Labels) -> tuple[Labels, NDArray[np.int64], NDArray[np.int64]]:
    """Return label, start and stop of each run along x that is not background."""
    nz, ny, nx = labels.shape
    parts = [(np.zeros(0, labels.dtype), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    step = max(1, _SLAB // max(1, ny * nx))
    for z in range(0, nz if nx else 0, step):
        slab = labels[z : z + step]
        change = np.empty(slab.shape, np.bool_)
        change[..., 0] = True  # no run crosses the end of a row
        np.not_equal(slab[..., 1:], slab[..., :-1], out=change[..., 1:])
        bounds = np.flatnonzero(change)
        values = slab.ravel()[bounds]
        filled = np.flatnonzero(values)
        places = np.append(bounds, slab.size) + z * ny * nx
        parts.append((values[filled], places[filled], places[filled + 1]))
    values, starts, stops = (np.concatenate(column) for column in zip(*parts, strict=True))
    return values, starts, stops
