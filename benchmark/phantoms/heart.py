"""A heart in short axis on cine MR, with its surroundings. Coordinates (z, y, x) in mm.

z runs from the apex to the base along the axis of the left ventricle, which passes through the
origin.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import tree, tube
from benchmark.phantoms.shapes import ball, capsule, ellipsoid, merged, waves


def _tilt(about_x: float, about_z: float) -> NDArray[np.float64]:
    a, b = np.radians((about_x, about_z))
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return np.asarray(x @ z)


TILT = _tilt(28, 17)
"""Orientation of the slices (3, 3): oblique, but closer to axial than to any other plane."""

POOL, MUSCLE, FAT, LUNG, LIVER = 1.0, 0.36, 0.95, 0.07, 0.42


def scene(canvas: Canvas, rng: Generator) -> None:
    """Paint a heart.

    The labels are 1 for the left ventricle (blood), 2 for its myocardium and 3 for the right
    ventricle (blood).
    """
    canvas.values[0] = LUNG
    trees = [
        tree(rng, (rng.uniform(-30, 30), rng.uniform(-30, 30), 75), (0, 0.2, -1), 3.5, 22, 4)
        for _ in range(2)
    ]
    for branches in trees:
        canvas.paint(branches, 0.6)
    chest = ellipsoid((0, 18, -8), (np.inf, 84, 84), power=2.3)
    outside = ellipsoid((0, 22, -8), (np.inf, 200, 200)) - chest
    canvas.paint(outside, MUSCLE * 0.9, texture=0.05)
    canvas.paint(outside.grown(-9), FAT, texture=0.06)
    liver = ellipsoid((-50, 62, -44), (60, 38, 60)).rough(2, waves(rng, 50))
    canvas.paint(liver, LIVER, texture=0.03)
    spine = ellipsoid((0, 84, -14), (np.inf, 17, 20))
    canvas.paint(spine.grown(2), 0.1)
    canvas.paint(spine, 0.55, texture=0.06)
    canvas.paint(capsule((-90, 54, 14), (90, 54, 12), 11, 11), POOL * 0.95)

    thick = rng.uniform(8, 11)
    inner = ellipsoid((30, 0, 0), (64, 22, 22)).rough(0.8, waves(rng, 25))
    outer = ellipsoid((30, 0, 0), (64 + thick, 22 + thick, 22 + thick)).rough(0.8, waves(rng, 40))
    right = ellipsoid((30, -8, -28), (56, 34, 34)).rough(1.5, waves(rng, 40))
    sac = merged([outer.grown(5), right.grown(7)], 4)
    canvas.paint(sac, FAT * 0.85, texture=0.08)
    canvas.paint(right.grown(3), MUSCLE)
    canvas.paint(right, POOL * 0.97, label=3, texture=0.03)
    canvas.paint(outer, MUSCLE, label=2, texture=0.03)
    canvas.paint(inner, POOL, label=1, texture=0.03)
    for angle in (0.7, 3.6):
        way = np.array((0, np.cos(angle), np.sin(angle)))
        papillary = tube([way * 11 + (-18, 0, 0), way * 13 + (14, 0, 0)], (4.5, 3.0))
        canvas.paint([part & inner for part in papillary], MUSCLE * 1.1, label=None)
    for _ in range(7):  # trabeculae at the free wall of the right ventricle
        point = np.array((rng.uniform(-20, 35), rng.uniform(-36, 14), -56 + rng.uniform(0, 10)))
        canvas.paint(ball(point, rng.uniform(2, 4)) & right, MUSCLE, label=None)
