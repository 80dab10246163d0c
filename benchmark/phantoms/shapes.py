"""Solids as implicit functions of physical coordinates, and operations that combine them.

A `Shape` gives the approximate signed distance to its surface in mm, negative inside. Points are
(z, y, x) in mm on patient axes: x to the left, y to the back, z upward.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
Points = NDArray[np.float64]
Distance = Callable[[Field, Field, Field], Field]


def total(terms: Iterable[Field]) -> Field:
    """Return the sum of arrays that broadcast to one shape."""
    return reduce(np.add, terms)


@dataclass(frozen=True)
class Shape:
    """A solid, given by the signed distance to its surface.

    ``distance`` maps coordinates z, y, x (mm, broadcastable) to mm. It is exact to first order at
    the surface, which is what partial volume needs. ``low`` and ``high`` are the corners (z, y, x)
    of a box that holds the solid; they may be infinite.
    """

    distance: Distance
    low: Points
    high: Points

    def __and__(self, other: Self) -> Self:
        """Return the intersection of the two shapes."""
        return replace(
            self,
            distance=lambda *p: np.maximum(self.distance(*p), other.distance(*p)),
            low=np.maximum(self.low, other.low),
            high=np.minimum(self.high, other.high),
        )

    def __sub__(self, other: Self) -> Self:
        """Return this shape without the other one."""
        return replace(self, distance=lambda *p: np.maximum(self.distance(*p), -other.distance(*p)))

    def grown(self, mm: float) -> Self:
        """Return the shape with its surface moved outward by ``mm`` (inward if negative)."""
        return replace(
            self,
            distance=lambda *p: self.distance(*p) - mm,
            low=self.low - max(mm, 0),
            high=self.high + max(mm, 0),
        )

    def rough(self, mm: float, bumps: Distance) -> Self:
        """Return the shape with its surface displaced by ``mm`` times ``bumps``.

        ``bumps`` is a field of unit variance; see `waves`.
        """
        return replace(
            self,
            distance=lambda *p: self.distance(*p) + mm * bumps(*p),
            low=self.low - 3 * mm,
            high=self.high + 3 * mm,
        )

    def stretched(self, factors: Points) -> Self:
        """Return the shape scaled about the origin by ``factors`` along (z, y, x)."""
        fz, fy, fx = factors.tolist()
        scale = min(fz, fy, fx)  # never overestimates the distance
        return replace(
            self,
            distance=lambda z, y, x: scale * self.distance(z / fz, y / fy, x / fx),
            low=self.low * factors,
            high=self.high * factors,
        )

    def volume(self, step: float) -> float:
        """Return the volume in mm3, integrated over a lattice of ``step`` mm."""
        axes = [np.arange(a, b + step, step) for a, b in zip(self.low, self.high, strict=True)]
        z, y, x = (p.astype(np.float32) for p in np.meshgrid(*axes, indexing="ij", sparse=True))
        share = np.clip(0.5 - self.distance(z, y, x) / step, 0, 1)
        return float(share.sum(dtype=np.float64)) * step**3


def ellipsoid(
    centre: ArrayLike, radii: ArrayLike, turn: Points | None = None, power: float = 2.0
) -> Shape:
    """Return an ellipsoid with semi-axes ``radii`` (z, y, x) in mm; infinite ones make a cylinder.

    ``turn`` is a rotation matrix (3, 3) whose columns are the axes. A ``power`` above 2 makes the
    shape boxier.
    """
    c, r = np.asarray(centre, float), np.asarray(radii, float)
    used = [k for k in range(3) if np.isfinite(r[k])]

    def distance(*point: Field) -> Field:
        local = [p - v for p, v in zip(point, c.tolist(), strict=True)]
        if turn is not None:
            local = [total(p * v for p, v in zip(local, a, strict=True)) for a in turn.T.tolist()]
        scaled = [abs(local[k]) / float(r[k]) for k in used]
        bent = [s ** (power - 1) for s in scaled]
        level = total(b * s for b, s in zip(bent, scaled, strict=True)) ** (1 / power)
        level = np.maximum(level, 1e-4)
        slope: Field = np.sqrt(
            total((b / float(r[k])) ** 2 for b, k in zip(bent, used, strict=True))
        )
        if power != 2:
            slope = slope * level ** (2 - power)
        # first order: (level - 1) over the gradient of the level, which is slope / level
        away: Field = (level - 1) * level / np.maximum(slope, 1e-6)
        return away

    reach = r if turn is None else np.sqrt(((turn * r) ** 2).sum(axis=1))
    return Shape(distance, c - reach, c + reach)


def ball(centre: ArrayLike, radius: float) -> Shape:
    """Return a ball; ``centre`` and ``radius`` are in mm."""
    return ellipsoid(centre, (radius, radius, radius))


def half_space(point: ArrayLike, normal: ArrayLike) -> Shape:
    """Return the half-space behind the plane through ``point``, opposite to ``normal``."""
    n = np.asarray(normal, float) / np.linalg.norm(normal)
    offset = float(n @ np.asarray(point, float))
    nz, ny, nx = n.tolist()
    anywhere = np.full(3, np.inf)
    return Shape(lambda z, y, x: nz * z + ny * y + nx * x - offset, -anywhere, anywhere)


def capsule(start: ArrayLike, end: ArrayLike, first: float, last: float) -> Shape:
    """Return a straight tube with round ends; its radius goes from ``first`` to ``last``, in mm."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    way: list[float] = (b - a).tolist()
    length2 = max(sum(w * w for w in way), 1e-6)

    def distance(*point: Field) -> Field:
        delta = [p - v for p, v in zip(point, a.tolist(), strict=True)]
        along = total(d * (w / length2) for d, w in zip(delta, way, strict=True))
        along = np.clip(along, 0, 1)
        away = total((d - along * w) ** 2 for d, w in zip(delta, way, strict=True))
        return np.sqrt(away) - first - along * (last - first)

    reach = max(first, last)
    return Shape(distance, np.minimum(a, b) - reach, np.maximum(a, b) + reach)


def merged(shapes: Iterable[Shape], soft: float = 1.0) -> Shape:
    """Return the union of ``shapes`` with joints smoothed over about ``soft`` mm (metaballs)."""
    parts = list(shapes)

    def distance(*point: Field) -> Field:
        each = [s.distance(*point) for s in parts]
        nearest = reduce(np.minimum, each)
        # soft minimum: it equals the distance of a single part wherever no other part is near
        excess: Field = np.log(total(np.exp((nearest - d) / soft) for d in each))
        return nearest - soft * excess

    low = np.min([s.low for s in parts], axis=0) - soft
    return Shape(distance, low, np.max([s.high for s in parts], axis=0) + soft)


def waves(rng: Generator, scale: float, count: int = 8) -> Distance:
    """Return a smooth random field of unit variance with wavelengths of about ``scale`` mm.

    The field is a sum of ``count`` plane waves, so it is defined everywhere.
    """
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    k = direction * (2 * np.pi / scale) * rng.uniform(0.7, 1.4, (count, 1))
    phase = rng.uniform(0, 2 * np.pi, (count, 1))
    terms: list[list[float]] = np.hstack([k, phase]).tolist()
    size = (2 / count) ** 0.5

    def field(z: Field, y: Field, x: Field) -> Field:
        crests: Field = size * total(
            np.cos(kz * z + ky * y + kx * x + p) for kz, ky, kx, p in terms
        )
        return crests

    return field
