"""Synchrotron X-ray microCT recipe: glomeruli in a mouse kidney with stained blood.

The scene is in micrometres; only the file is in mm.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from benchmark.phantoms import physics
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import curve, tube
from benchmark.phantoms.scan import Patient, Scan
from benchmark.phantoms.shapes import Field, Points, ball, waves

CELLS, LUMEN, BLOOD, SPACE, WALL = 0.0, -0.30, 0.85, -0.36, -0.08
"""Absorption of tubule cells, tubule lumen, blood, Bowman's space and vessel walls."""


def glomeruli(rng: Generator) -> Patient:
    """Make capillary tufts in Bowman's space among tubules and small vessels; voxels of 5 um."""
    shape, micrometres = (64, 96, 96), 5.0
    canvas = Canvas(rng, shape, (micrometres,) * 3, (CELLS,), warp=(6.0, 150.0))
    canvas.values[0] = _tubules(rng, canvas)
    half = np.array(shape) * micrometres / 2
    artery = curve(rng.uniform(-0.9, 0.9, (4, 3)) * half * (1, 0.5, 0.5) + (0, 90, -110), 16)
    artery[:, 0] = np.linspace(-1.1, 1.1, 16) * half[0]
    canvas.paint(tube(artery, 27), WALL)
    canvas.paint(tube(artery, 20), BLOOD)
    loops = canvas.noise(5.0)
    for centre, radius in _places(rng, half, artery):
        _glomerulus(canvas, rng, centre, radius, artery, loops)
    values, labels = canvas.render()
    image = physics.srx(rng, values[0], noise=0.07)
    spacing = (micrometres / 1000,) * 3
    return Patient({"": Scan({"images": image}, labels, spacing, (3.2, -1.7, 12.4), "LPS")})


def _tubules(rng: Generator, canvas: Canvas) -> Field:
    """Return the absorption of coiled tubules with capillaries between them.

    The tubules follow bent hexagonal lattices, one per block.
    """
    bend, wind = waves(rng, 520), waves(rng, 140)
    points = [p + 40 * bend(*canvas.points) + 8 * wind(*canvas.points) for p in canvas.points]
    blocks = np.stack([waves(rng, 330)(*canvas.points) for _ in range(3)])
    lattice = np.stack([_lattice(rng, points, pitch=46.0) for _ in blocks])
    block = np.argmax(blocks, axis=0)[None]
    level = np.take_along_axis(lattice, block, axis=0)[0]
    wide = 0.56 + 0.16 * waves(rng, 160)(*canvas.points)  # some tubules are open, some collapsed
    stained = waves(rng, 80)(*canvas.points)  # capillaries come and go
    image = CELLS + 0.04 * canvas.texture
    image += (LUMEN - CELLS) * _step((level - wide) / 0.2)
    image += 0.55 * (BLOOD - CELLS) * _step((-0.41 - level) / 0.08) * _step(stained - 0.1)
    return np.asarray(image, np.float32)


def _lattice(rng: Generator, points: Sequence[Field], pitch: float) -> Field:
    """Return the mean of three plane waves.

    It is 1 on lines ``pitch`` apart and -0.5 where three cells meet.
    """
    basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    k = 4 * np.pi / (np.sqrt(3) * pitch)
    total = np.zeros(points[0].shape, np.float32)
    for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3):
        z, y, x = (k * (np.cos(turn) * basis[0] + np.sin(turn) * basis[1])).astype(np.float32)
        total += np.cos(z * points[0] + y * points[1] + x * points[2]) / 3
    return total


def _step(value: Field) -> Field:
    return np.asarray(np.clip(0.5 + value, 0, 1), np.float32)


def _places(rng: Generator, half: Points, artery: Points) -> list[tuple[Points, float]]:
    """Return centre and radius of each glomerulus, apart from each other and from the artery."""
    found: list[tuple[Points, float]] = []
    wanted = rng.integers(5, 9)
    for _ in range(400):
        radius = rng.uniform(36, 44)
        centre = rng.uniform(-1, 1, 3) * (half - radius - 12)
        clear = np.linalg.norm(artery - centre, axis=1).min() > radius + 40
        if clear and all(np.linalg.norm(centre - c) > radius + r + 24 for c, r in found):
            found.append((centre, radius))
        if len(found) == wanted:
            break
    return found


def _glomerulus(
    canvas: Canvas, rng: Generator, centre: Points, radius: float, artery: Points, loops: Field
) -> None:
    """Paint a tuft attached to its arteriole, eccentric in a capsule that it does not fill."""
    nearest = artery[np.argmin(np.linalg.norm(artery - centre, axis=1))]
    way = (nearest - centre) / np.linalg.norm(nearest - centre)
    capsule = ball(centre, radius + 8).rough(1.5, waves(rng, 60))
    canvas.paint(capsule.grown(3), CELLS + 0.1)
    canvas.paint(capsule, SPACE)
    side = np.cross(way, rng.normal(size=3))
    pole = centre + way * (radius + 4)
    bent = curve([pole - 8 * way, pole + 14 * way, (pole + nearest) / 2 + 25 * side, nearest], 12)
    canvas.paint(tube(bent, 9), WALL)
    canvas.paint(tube(bent, 6), BLOOD)
    tuft = ball(centre + 3 * way, radius).rough(2.5, waves(rng, 32))
    canvas.paint(tuft, 0.18, label=1)
    # capillary loops: the zero set of band-limited noise consists of thin winding sheets
    winding = _step(0.9 - 1.5 * abs(loops))
    canvas.paint(tuft.grown(-2), BLOOD, label=None, within=winding)
