"""The trunk on CT, shared by abdomen and chest: outline, fat, muscle, spine and ribs.

Tissues are (HU, SUV); a canvas with one channel uses the first. The values are typical of
portal-venous CT and of FDG-PET.
"""

import numpy as np
from numpy.random import Generator

from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import tube
from benchmark.phantoms.shapes import Shape, capsule, ellipsoid, half_space

Tissue = tuple[float, float]

AIR: Tissue = (-1000, 0.0)
FAT: Tissue = (-100, 0.25)
SKIN: Tissue = (10, 0.6)
MUSCLE: Tissue = (55, 0.7)
CORTICAL: Tissue = (420, 0.6)
MARROW: Tissue = (190, 1.3)
DISC: Tissue = (85, 0.6)
CORD: Tissue = (30, 1.2)
BLOOD: Tissue = (45, 1.6)
LUNG: Tissue = (-860, 0.4)

SPINE_Y = 42.0
"""Position of the centre of the vertebral bodies, in mm behind the centre of the trunk."""


def outline(half_width: float, half_depth: float) -> Shape:
    """Return the trunk: a cylinder along z, slightly boxier than an ellipse."""
    return ellipsoid((0, 0, 0), (np.inf, half_depth, half_width), power=2.4)


def wall(canvas: Canvas, body: Shape, fat: float, muscle: float) -> tuple[Shape, Shape]:
    """Paint table, skin, fat and muscular wall; return the outside of the wall and the cavity."""
    half_depth = float(body.high[1])
    table = ellipsoid((0, half_depth - 190, 0), (np.inf, 200, 340))
    canvas.paint(table - table.grown(-5), (-550, 0.05))
    canvas.paint(body, SKIN)
    canvas.paint(body.grown(-2), FAT, texture=9)
    girdle = body.grown(-fat)
    canvas.paint(girdle, MUSCLE, texture=9)
    # the layers of the flank: a thin sheet of fat between two muscles
    canvas.paint(girdle.grown(-0.45 * muscle) - girdle.grown(-0.6 * muscle), (-10, 0.4))
    cavity = girdle.grown(-muscle)
    canvas.paint(cavity, (-95, 0.35), texture=13)
    return girdle, cavity


def spine(canvas: Canvas, rng: Generator, girdle: Shape, reach: float) -> None:
    """Paint vertebrae with discs, spinal canal and processes, and the muscles beside them."""
    for side in (-1, 1):
        erector = ellipsoid((0, SPINE_Y + 30, side * 30), (np.inf, 17, 25), power=2.4) & girdle
        canvas.paint(erector.grown(1.5), FAT)
        canvas.paint(erector, MUSCLE, texture=10)
        septum = ellipsoid((0, SPINE_Y + 30, side * 36), (np.inf, 15, 5))
        canvas.paint((septum - septum.grown(-1.2)) & erector, (-20, 0.5))
    canvas.paint(ellipsoid((0, SPINE_Y, 0), (np.inf, 15, 20)), DISC, texture=6)
    pitch = 31.0
    first = rng.uniform(-pitch, 0) - reach
    for z in np.arange(first, reach + pitch, pitch):
        body = ellipsoid((z, SPINE_Y, 0), (13, 16, 21), power=4)
        canvas.paint(body, CORTICAL)
        canvas.paint(body.grown(-2.2), MARROW, texture=25)
        arch = [
            capsule((z - 4, SPINE_Y + 26, 0), (z - 14, SPINE_Y + 42, 0), 3.5, 3.0),
            capsule((z, SPINE_Y + 10, -13), (z - 2, SPINE_Y + 27, -4), 4.5, 4.0),
            capsule((z, SPINE_Y + 10, 13), (z - 2, SPINE_Y + 27, 4), 4.5, 4.0),
            capsule((z, SPINE_Y + 18, -12), (z, SPINE_Y + 24, -33), 4.0, 3.0),
            capsule((z, SPINE_Y + 18, 12), (z, SPINE_Y + 24, 33), 4.0, 3.0),
        ]
        canvas.paint(arch, (330, 0.9))
    canvas.paint(ellipsoid((0, SPINE_Y + 21, 0), (np.inf, 7, 9)), CORD)


def ribs(
    canvas: Canvas, rng: Generator, half: tuple[float, float], low: float, high: float
) -> None:
    """Paint ribs that descend from the spine to the front.

    ``half`` is half the depth and half the width of the rib cage, in mm; ``low`` and ``high`` bound
    the heights at which ribs start.
    """
    angle = np.linspace(0.3, 2.35, 15)
    pitch = 27.0
    for start in np.arange(low + rng.uniform(0, pitch), high + 70, pitch):
        for side in (-1, 1):
            z = start - 22 * (angle - angle[0]) ** 1.2
            # the exponent makes the course as boxy as the outline
            y = half[0] * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.83
            x = side * half[1] * np.sin(angle) ** 0.83
            course = np.stack([z, y, x], axis=1)
            canvas.paint(tube(course, 4.2), CORTICAL)
            canvas.paint(tube(course[:12], 2.4), (170, 1.2))


def above(z: float) -> Shape:
    """Return the half-space above ``z``."""
    return half_space((z, 0, 0), (-1, 0, 0))
