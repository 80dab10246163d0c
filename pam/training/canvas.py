"""The grid that generated scenes are drawn on: labels, depth below surfaces, warped coordinates."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
Level = Callable[[Field, Field, Field], Field]
"""Approximate signed distance to a surface in mm, negative inside; of coordinates z, y, x in mm."""


def noise(rng: Generator, shape: tuple[int, ...], knots: ArrayLike) -> Field:
    """Return smooth noise of about unit variance: cubic B-splines, ``knots`` periods per axis."""
    periods = np.atleast_1d(knots)
    field = rng.standard_normal([int(k) + 4 for k in periods], dtype=np.float32)
    for axis, (n, k) in enumerate(zip(shape, periods, strict=True)):
        place = rng.uniform() + np.arange(n) * (k / n)  # in knots, at a random phase
        away = np.abs(place[:, None] - np.arange(-1, k + 3))
        weights = np.maximum(2 - away, 0) ** 3 / 6 - 4 / 6 * np.maximum(1 - away, 0) ** 3
        field = np.moveaxis(np.tensordot(weights.astype(np.float32), field, (1, axis)), 0, axis)
    # The mean square of a cubic B-spline is 151/315 per axis.
    smooth: Field = field * np.float32((315 / 151) ** (len(shape) / 2))
    return smooth


@dataclass
class Canvas:
    """The scene drawn so far; ``shape`` and ``spacing`` (mm) are (z, y, x).

    ``labels``: int16 [z, y, x], 0 for nothing; ``used`` is the largest label in use.
    ``depth``: float32 [z, y, x], mm below the surface of the label.
    ``points``: coordinates z, y, x in mm from the centre, float32 [z, y, x] each, deformed by a
        smooth warp of at most ``bend`` mm, so that straight shapes are drawn bent.
    ``bumps``: smooth noise at two scales, for rough surfaces.
    """

    rng: Generator
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Create the grid and its warp."""
        rng, shape = self.rng, self.shape
        self.used = 0
        self.labels = np.zeros(shape, np.int16)
        self.depth = np.zeros(shape, np.float32)
        self.size = np.array(shape) * self.spacing
        self.field = float(self.size[1:].min())  # mm, of a slice
        axes = [
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32)
            for n, s in zip(shape, self.spacing, strict=True)
        ]
        straight: tuple[Field, ...] = tuple(np.meshgrid(*axes, indexing="ij"))
        self.bend = self.field * float(rng.choice([0.0, 0.02, 0.05]))
        knots = self.knots(0.45)
        self.points: list[Field] = []
        for axis in straight:
            warp = self.bend / 2 * noise(rng, shape, knots).clip(-2, 2)
            self.points.append(axis + warp.astype(np.float32))
        self.bumps = [noise(rng, shape, self.knots(k)) for k in (0.12, 0.25)]

    def knots(self, wavelength: float) -> NDArray[np.int64]:
        """Return the knots per axis for noise of this wavelength, a share of the field of view."""
        return np.maximum(np.rint(self.size / (wavelength * self.field)), 1).astype(np.int64)

    def new(self) -> int:
        """Return an unused label."""
        self.used += 1
        return self.used

    def place(self, spread: float = 0.42) -> NDArray[np.float64]:
        """Return a random point (z, y, x) in mm, at most ``spread`` of the size from the centre."""
        return self.rng.uniform(-spread, spread, 3) * self.size

    def window(self, low: ArrayLike, high: ArrayLike) -> tuple[slice, slice, slice] | None:
        """Return the index of the voxels between two corners (z, y, x) in mm, None if empty."""
        cut = []
        middle = (np.array(self.shape) - 1) / 2
        first = np.floor((np.asarray(low) - self.bend) / self.spacing + middle).astype(int)
        last = np.ceil((np.asarray(high) + self.bend) / self.spacing + middle).astype(int)
        for a, b, n in zip(first, last, self.shape, strict=True):
            if b < 0 or a >= n:
                return None
            cut.append(slice(max(int(a), 0), min(int(b) + 1, n)))
        return cut[0], cut[1], cut[2]

    def paint(
        self,
        level: Level,
        low: ArrayLike,
        high: ArrayLike,
        label: int,
        *,
        rough: float = 0.0,
        over: tuple[int, ...] | None = None,
    ) -> None:
        """Set ``label`` where ``level`` is negative, between the corners ``low`` and ``high``.

        ``low``, ``high``: (z, y, x) in mm. ``rough``: how far the bumps displace the surface, mm.
        ``over``: labels that may be painted over, by default all.
        """
        where = self.window(low, high)
        if where is None:
            return
        distance = level(*(p[where] for p in self.points))
        if rough:
            distance = distance + np.float32(rough) * self.bumps[int(self.rng.integers(2))][where]
        inside = distance < 0
        if over is not None:
            inside &= np.isin(self.labels[where], over)
        self.labels[where][inside] = label
        self.depth[where][inside] = -distance[inside]
