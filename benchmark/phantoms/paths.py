"""Solids along curves: tubes, smooth curves, branching vessels. Points are (z, y, x) in mm."""

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from benchmark.phantoms.shapes import Points, Shape, capsule


def tube(points: ArrayLike, radii: ArrayLike) -> list[Shape]:
    """Return capsules along the polyline ``points`` (n, 3); ``radii`` is one value or n of them."""
    p = np.asarray(points, float)
    r = np.broadcast_to(np.asarray(radii, float), len(p))
    pairs = zip(p[:-1], p[1:], r[:-1], r[1:], strict=True)
    return [capsule(a, b, float(s), float(t)) for a, b, s, t in pairs]


def curve(points: ArrayLike, steps: int) -> Points:
    """Return ``steps`` points (steps, 3) on the cubic spline through ``points`` (n, 3)."""
    p = np.asarray(points, float)
    spline = CubicSpline(np.linspace(0, 1, len(p)), p)
    return np.asarray(spline(np.linspace(0, 1, steps)))


def tree(
    rng: Generator,
    start: ArrayLike,
    heading: ArrayLike,
    radius: float,
    length: float,
    levels: int,
    spread: float = 0.6,
) -> list[Shape]:
    """Return a branching vessel whose branches wander, taper and fork.

    The radii at a fork follow Murray's law (doi 10.1073/pnas.12.3.207): r^3 = r1^3 + r2^3.
    """
    here, way = np.asarray(start, float), np.asarray(heading, float)
    way = way / np.linalg.norm(way)
    points = [here]
    for _ in range(3):
        bent = way + rng.normal(0, 0.12, 3)
        points.append(points[-1] + bent / np.linalg.norm(bent) * length / 3)
    shapes = tube(points, np.linspace(radius, 0.92 * radius, 4))
    if levels <= 1:
        return shapes
    side = np.cross(way, rng.normal(size=3))
    side /= np.linalg.norm(side)
    share = rng.uniform(0.35, 0.65)
    for sign, part in ((1, share), (-1, 1 - share)):
        shapes += tree(
            rng,
            points[-1],
            way + sign * spread * rng.uniform(0.7, 1.3) * side,
            0.92 * radius * part ** (1 / 3),
            length * rng.uniform(0.7, 0.9),
            levels - 1,
            spread,
        )
    return shapes
