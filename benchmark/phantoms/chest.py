"""A chest: lungs with vessels, heart, great vessels, airways. Coordinates (z, y, x) in mm."""

import numpy as np
from numpy.random import Generator

from benchmark.phantoms import torso
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import curve, tree, tube
from benchmark.phantoms.shapes import Field, Shape, ball, capsule, ellipsoid, merged, waves
from benchmark.phantoms.torso import Tissue


def scene(
    canvas: Canvas, rng: Generator, blood: float, muscle_suv: float, lungs: tuple[int, int]
) -> Field:
    """Paint a chest and return the fraction of each voxel that is lung, on the fine grid.

    ``blood`` is the attenuation of blood in HU, ``muscle_suv`` the uptake of the myocardium, which
    varies between patients, and ``lungs`` holds the label values of the right and the left lung.
    """
    width, depth, fat = rng.uniform(146, 152), rng.uniform(98, 104), rng.uniform(9, 14)
    body = torso.outline(width, depth)
    girdle, cavity = torso.wall(canvas, body, fat, muscle=13)
    _shoulder_blades(canvas, girdle)
    torso.spine(canvas, rng, girdle, 130)
    torso.ribs(canvas, rng, (depth - fat - 8, width - fat - 8), low=-110, high=130)
    canvas.paint(
        ellipsoid((0, -depth + fat + 9, 0), (85, 5.5, 17), power=4), torso.MARROW, texture=30
    )

    pool: Tissue = (blood, 1.7)
    heart = merged(
        [ellipsoid((-50, -30, 22), (44, 38, 46)), ellipsoid((-28, -16, -18), (36, 32, 26))], 6
    ).rough(1.5, waves(rng, 60))
    mediastinum = ellipsoid((60, 2, 0), (np.inf, 62, 30), power=2.4)
    aerated = np.zeros(canvas.shape, np.float32)
    for side, label in zip((-1, 1), lungs, strict=True):
        dome = ellipsoid((-134 - 5 * side, -4, side * 62), (62, 90, 72)) & cavity.grown(-1.5)
        canvas.paint(dome, (0.6 * blood + 30, 2.3) if side < 0 else (55, 1.6), texture=5)
        lung = ellipsoid((-20, 6, side * 70), (124, 88, 66)) & cavity.grown(-1.5)
        lung = lung - mediastinum - heart.grown(3) - dome
        canvas.paint(lung.grown(1.2), (-20, 0.6))
        canvas.paint(lung, torso.LUNG, label, texture=20)
        share = canvas.share(lung)
        _lung_vessels(canvas, rng, share, side, pool)
        aerated += share
    vessels = _great_vessels(rng)
    for part in vessels:
        canvas.paint([s.grown(3) for s in part], torso.FAT)
    _heart(canvas, heart & cavity, pool, muscle_suv)
    for part in vessels:
        canvas.paint(part, pool, texture=3)
    _airways(canvas)
    return aerated


def _great_vessels(rng: Generator) -> list[list[Shape]]:
    aorta = curve(
        [(-20, -18, 6), (22, -30, -16), (52, -14, -8), (56, 14, 12), (30, 30, 22), (-30, 30, 22),
         (-130, 30, 16)], 26
    )  # fmt: skip
    aorta[:, 2] += rng.normal(0, 1.5)
    cava = [(-10, -8, -32), (40, -14, -30), (110, -8, -26)]
    trunk = curve([(-20, -40, 24), (4, -28, 22), (16, -2, 24), (14, 8, 40)], 8)
    right = [(8, -20, 18), (10, -4, -8), (8, 2, -38)]
    return [tube(aorta, np.linspace(16, 11, 26)), tube(cava, 9), tube(trunk, 12), tube(right, 10)]


def _heart(canvas: Canvas, heart: Shape, pool: Tissue, muscle_suv: float) -> None:
    muscle: Tissue = (min(pool[0], 105), 1.8)
    canvas.paint(heart.grown(3), torso.FAT)
    canvas.paint(heart, muscle, texture=4)
    canvas.paint(heart.grown(-4) & ellipsoid((-34, -20, -16), (34, 40, 30)), pool, texture=3)
    canvas.paint(heart.grown(-4) & ellipsoid((-52, -48, 10), (34, 18, 34)), pool, texture=3)
    canvas.paint(heart.grown(-4) & ellipsoid((-24, 6, 16), (26, 18, 28)), pool, texture=3)
    # left ventricle: a cup that opens to the right and to the back
    axis = np.array((-0.45, -0.45, 0.75))
    axis /= np.linalg.norm(axis)
    u = np.cross(axis, (1.0, 0, 0))
    u /= np.linalg.norm(u)
    turn = np.stack([axis, u, np.cross(axis, u)], axis=1)
    centre = np.array((-54, -26, 36))
    outer = ellipsoid(centre, (46, 29, 29), turn) & heart
    inner = ellipsoid(centre - 8 * axis, (42, 19, 19), turn)
    canvas.paint(outer, (muscle[0], muscle_suv), texture=3)
    canvas.paint(inner & heart.grown(-2), pool, texture=3)


def _lung_vessels(canvas: Canvas, rng: Generator, lung: Field, side: int, pool: Tissue) -> None:
    hilum = np.array((8, 6, side * 32))
    dense: Tissue = (pool[0] * 0.8, 0.9)
    for heading in ((1, 0, 0.7), (0.1, -1, 0.8), (-0.3, 0.8, 1), (-1, 0.3, 0.7), (-1, -0.4, 0.6)):
        way = np.array(heading) * (1, 1, side)
        branches = tree(rng, hilum, way, rng.uniform(5, 6.5), 34, 5, spread=0.65)
        canvas.paint(branches, dense, label=None, within=lung)


def _airways(canvas: Canvas) -> None:
    carina = (26, 16, 1)
    wind = [(130, 14, 0), carina]
    right, left = [carina, (8, 14, -24), (-8, 14, -42)], [carina, (6, 16, 26), (-4, 18, 44)]
    for course, radius in ((wind, 9.0), (right, 7.0), (left, 6.5)):
        canvas.paint(tube(course, radius + 1.6), (30, 0.7))
    for course, radius in ((wind, 9.0), (right, 7.0), (left, 6.5)):
        canvas.paint(tube(course, radius), torso.AIR)
    gullet = [(130, 28, 4), (20, 32, 6), (-60, 26, 8), (-130, 14, 10)]
    canvas.paint(tube(gullet, 7.5), (45, 1.4), texture=6)
    canvas.paint(ball((40, 30, 5), 3.5), (-400, 0.3))


def _shoulder_blades(canvas: Canvas, girdle: Shape) -> None:
    for side in (-1, 1):
        blade = [
            capsule(
                (z, 76 - 0.004 * z * z, side * 58), (z + 8, 52, side * (108 + 0.1 * z)), 3.5, 4.0
            )
            for z in range(-10, 120, 6)
        ]
        canvas.paint([part & girdle.grown(-2) for part in blade], (360, 1.0))
