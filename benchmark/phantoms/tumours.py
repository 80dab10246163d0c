"""Shapes of tumours (round, lobed, concave) and their placement."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.shapes import Field, Shape, ball, capsule, ellipsoid, merged, waves

Centre = NDArray[np.float64]


def rotation(rng: Generator) -> NDArray[np.float64]:
    """Return a random orthogonal matrix (3, 3), uniformly distributed; it may be a reflection."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.diag(r)))


def rounded(rng: Generator, centre: Centre, radius: float) -> Shape:
    """Return a bumpy ellipsoid whose semi-axes are 0.87 to 1.15 times ``radius``."""
    radii = radius * rng.uniform(0.87, 1.15, 3)
    return ellipsoid(centre, radii, rotation(rng)).rough(0.08 * radius, waves(rng, 1.3 * radius))


def lobed(rng: Generator, centre: Centre, radius: float) -> Shape:
    """Return a core with four to six smoothly merged lobes that reaches to about ``radius``."""
    count = int(rng.integers(4, 7))
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(0, 0.6, count)) / count
    lift = rng.uniform(-0.5, 0.5, count)
    side = np.sqrt(1 - lift**2)
    way = np.stack([lift, side * np.cos(angle), side * np.sin(angle)], axis=1)
    lobes = [ball(centre + 0.66 * radius * w, radius * rng.uniform(0.3, 0.42)) for w in way]
    return merged([ball(centre, 0.52 * radius), *lobes], 0.06 * radius)


def concave(rng: Generator, centre: Centre, radius: float) -> Shape:
    """Return a cup that is open to one side in the axial plane, like a tumour around a vessel."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array((rng.normal(0, 0.15), np.cos(angle), np.sin(angle)))
    bite = ellipsoid(centre + 0.62 * radius * way, np.array((1.3, 0.62, 0.62)) * radius)
    return rounded(rng, centre, radius) - bite


def places(
    canvas: Canvas, room: Field, radii: NDArray[np.float64], depth: float = 1.0
) -> list[tuple[Centre, float]]:
    """Return centre and radius of tumours that keep apart, the largest first.

    ``room`` is the depth of each point of the fine grid inside the organ, in mm. ``depth`` is how
    far inside a centre has to lie, in radii; below 1 a tumour may bulge out of the organ. No tumour
    crosses the border of the scan. One that does not fit is shrunk, down to half its size, and left
    out if it still does not fit.
    """
    found: list[tuple[Centre, float]] = []
    for wanted in np.sort(radii)[::-1]:
        for radius in wanted * np.array((1.0, 0.85, 0.7, 0.5)):
            points = _free(canvas, room, radius, depth, found)
            if len(points):
                found.append((points[canvas.rng.integers(len(points))], float(radius)))
                break
    return found


def _free(
    canvas: Canvas, room: Field, radius: float, depth: float, found: list[tuple[Centre, float]]
) -> NDArray[np.float64]:
    """Return the points (n, 3) where a tumour of ``radius`` fits."""
    rim = [round(1.25 * radius / s) for s in canvas.spacing]
    window = tuple(slice(k, n - k) for k, n in zip(rim, canvas.shape, strict=True))
    deep = room[window] > depth * radius
    points = np.stack([p[window][deep] for p in canvas.points], axis=1).astype(np.float64)
    for centre, other in found:
        points = points[np.linalg.norm(points - centre, axis=1) > 1.3 * (radius + other)]
    return points


def spikes(rng: Generator, centre: Centre, radius: float) -> list[Shape]:
    """Return strands (spicules) from a lung tumour into its surroundings, not part of the label."""
    ways = rng.normal(size=(9, 3))
    ways *= radius * rng.uniform(1.3, 1.9, (9, 1)) / np.linalg.norm(ways, axis=1, keepdims=True)
    return [capsule(centre, centre + way, 2.0, 0.6) for way in ways]
