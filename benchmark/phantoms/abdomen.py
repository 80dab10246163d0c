"""An upper abdomen: organs, vessels and bowel inside the trunk. Coordinates (z, y, x) in mm."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.phantoms import torso
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import curve, tree, tube
from benchmark.phantoms.shapes import Shape, ellipsoid, half_space, merged, waves


@dataclass(frozen=True)
class Phase:
    """Attenuation, in HU, of the structures that take up contrast agent in one phase."""

    liver: float = 108
    spleen: float = 122
    cortex: float = 185
    medulla: float = 140
    pancreas: float = 98
    artery: float = 150
    vein: float = 160


PORTAL = Phase()
ARTERIAL = Phase(72, 105, 190, 85, 95, 330, 95)


@dataclass(frozen=True)
class Names:
    """Label value of each organ in the scan; 0 leaves the organ unlabelled."""

    liver: int = 0
    spleen: int = 0
    kidney_right: int = 0
    kidney_left: int = 0
    aorta: int = 0
    branches: int = 0
    vena_cava: int = 0
    pancreas: int = 0


def scene(canvas: Canvas, rng: Generator, phase: Phase, names: Names) -> dict[str, Shape]:
    """Paint an upper abdomen and return the shapes inside which lesions can be placed.

    The keys of the result are ``liver``, ``pancreas`` and ``cavity``.
    """
    width, depth, fat = rng.uniform(126, 133), rng.uniform(92, 99), rng.uniform(8, 15)
    body = torso.outline(width, depth)
    girdle, cavity = torso.wall(canvas, body, fat, muscle=9)
    torso.spine(canvas, rng, girdle, 90)
    torso.ribs(canvas, rng, (depth - fat - 5, width - fat - 5), low=-10, high=75)
    _psoas(canvas)
    dome = ellipsoid((-22, -12, 0), (94, 94, 130))
    _bowel(canvas, rng, cavity)
    liver = _liver(canvas, rng, phase, names, cavity & dome)
    _stomach(canvas, rng, cavity & dome)
    spleen = ellipsoid((16, 38, 86), (48, 36, 26)) - ellipsoid((24, -4, 56), (64, 38, 27))
    spleen = spleen.rough(1.5, waves(rng, 45)) & cavity.grown(-1)
    canvas.paint(spleen, (phase.spleen, 1.8), names.spleen, texture=4)
    for side, label in ((-1, names.kidney_right), (1, names.kidney_left)):
        _kidney(canvas, rng, phase, side, label)
    cava = curve([(-140, 22, -22), (-20, 18, -24), (40, 8, -26), (140, -5, -25)], 12)
    canvas.paint(tube(cava, 11), (phase.vein - 15, 1.6), names.vena_cava, texture=4)
    pancreas = _pancreas(canvas, rng, phase, names)
    lung = (cavity.grown(-1) & torso.above(5)) - dome
    lung = lung - ellipsoid((0, 36, 3), (np.inf, 34, 27))
    canvas.paint(lung, torso.LUNG, texture=22)
    heart = ellipsoid((92, -30, 22), (48, 40, 56)) - dome
    canvas.paint(heart.grown(5) & cavity, torso.FAT, texture=9)
    canvas.paint(heart & cavity.grown(-4), (phase.vein - 20, 2.0), texture=4)
    _arteries(canvas, rng, phase, names)
    return {"liver": liver, "pancreas": pancreas, "cavity": cavity}


def _liver(canvas: Canvas, rng: Generator, phase: Phase, names: Names, room: Shape) -> Shape:
    right = ellipsoid((8, 4, -62), (74, 76, 56))
    left = ellipsoid((28, -42, 6), (34, 32, 62))
    hilum = ellipsoid((-22, 10, 0), (34, 44, 34))
    liver = (merged([right, left], soft=9) - hilum).rough(2.2, waves(rng, 60)) & room.grown(-2)
    canvas.paint(liver, (phase.liver, 2.2), names.liver, texture=4.5)
    portal = tree(rng, (0, 2, -26), (0.25, -0.05, -1), 6.0, 34, 5)
    hepatic = tree(rng, (44, 2, -28), (-0.35, -0.2, -1), 5.5, 36, 4)
    middle = tree(rng, (44, 2, -26), (-0.4, -1.0, -0.35), 4.5, 32, 4)
    inside = canvas.share(liver.grown(-3))
    canvas.paint(portal + hepatic + middle, (phase.vein, 1.8), label=None, within=inside)
    gallbladder = ellipsoid((-22, -28, -46), (22, 14, 12))
    canvas.paint(gallbladder.grown(1.5), (65, 1.0))
    canvas.paint(gallbladder, (10, 0.4), texture=2)
    return liver


def _stomach(canvas: Canvas, rng: Generator, room: Shape) -> None:
    course = curve([(44, 10, 66), (22, -28, 62), (-4, -50, 36), (-16, -46, 8)], 10)
    stomach = merged(tube(course, np.linspace(28, 13, 10)), 2).rough(2, waves(rng, 35))
    stomach = stomach & room.grown(-2)
    canvas.paint(stomach, (75, 1.3), texture=5)
    lumen = stomach.grown(-4.5)
    canvas.paint(lumen, (20, 0.5), texture=9)
    level = rng.uniform(-48, -40)  # gas rises to the front in a supine patient
    canvas.paint(lumen & half_space((0, level, 0), (0, 1, 0)), torso.AIR)


def _kidney(canvas: Canvas, rng: Generator, phase: Phase, side: int, label: int) -> None:
    centre = np.array((-30 + 5 * side + rng.normal(0, 4), 38, side * 58))
    lean = 0.18 * side  # the upper poles lie nearer to the spine
    turn = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
    bean = ellipsoid(centre, (48, 25, 24), turn).rough(1.2, waves(rng, 40))
    notch = ellipsoid(centre - (0, 3, side * 25), (16, 12, 13))
    kidney = bean - notch
    canvas.paint(bean.grown(9), torso.FAT, texture=9)
    canvas.paint(kidney, (phase.cortex, 2.5), label, texture=5)
    pyramids = kidney.grown(-6.5).rough(2.2, waves(rng, 17))
    canvas.paint(pyramids, (phase.medulla, 2.5), label, texture=5)
    sinus = ellipsoid(centre - (0, 3, side * 11), (22, 9, 11)).rough(2, waves(rng, 22))
    canvas.paint(sinus, (-60, 0.5), texture=20)
    canvas.paint(
        tube([centre - (2, 2, side * 12), centre - (6, 10, side * 44)], 3.5), (phase.vein, 1.6)
    )


def _pancreas(canvas: Canvas, rng: Generator, phase: Phase, names: Names) -> Shape:
    course = curve([(-34, -8, -24), (-12, -14, -16), (0, -16, 14), (8, 6, 44), (16, 22, 64)], 12)
    course[:, 0] += rng.normal(0, 3)
    width = np.interp(np.linspace(0, 1, 12), (0, 0.2, 0.5, 1), (15, 14, 9.5, 8.5))
    gland = merged(tube(course, width), 1.5)
    canvas.paint(gland.grown(3), torso.FAT, label=0, texture=12)
    # lobules separated by fat
    pancreas = gland.rough(1.4, waves(rng, 13))
    canvas.paint(pancreas, (phase.pancreas, 1.6), names.pancreas, texture=9)
    splenic = course + np.array((4, 9, 0))
    canvas.paint(tube(splenic[3:], 3.6), (phase.vein, 1.6))
    return pancreas


def _arteries(canvas: Canvas, rng: Generator, phase: Phase, names: Names) -> None:
    """Paint the aorta down to its bifurcation, its visceral branches and the iliac arteries."""
    sway = rng.normal(0, 2.5, 3)
    radius = rng.uniform(9, 11)
    fork = np.array((-76, 21, 6 + sway[0]))
    axis = curve([(140, 26, 10), (30, 20, 8 + sway[1]), (-30, 21, 7 + sway[2]), tuple(fork)], 12)
    root = axis[5]
    celiac = [(0, 0, 0), (-2, -18, -2), (2, -28, 12), (6, -6, 40), (8, 8, 62)]
    hepatic = [(0, -16, 0), (-2, -26, -18), (4, -16, -38)]
    mesenteric = [(-10, -6, 0), (-16, -24, 0), (-45, -36, -2), (-80, -40, -8)]
    renal = [(-44, 2, -6), (-46, 4, -32), (-54, 16, -54)]
    iliac = np.array([(0, 0, 0), (-20, -1, -16), (-50, 8, -34)])
    paths = [
        (root, celiac, 3.4),
        (root, hepatic, 3.0),
        (root, mesenteric, 3.8),
        (root, renal, 3.2),
        (root, np.array(renal) * (1, 1, -1) + (3, 0, 10), 3.2),
        (fork, iliac, 6.0),
        (fork, iliac * (1, 1, -1), 6.0),
    ]
    for start, way, width in paths:
        course = curve(start + np.asarray(way, float), 14)
        course[2:-1] += rng.normal(0, 0.9, (11, 3))
        canvas.paint(tube(course, width), (phase.artery, 1.6), names.branches, texture=2)
    calibre = np.linspace(1.15, 0.85, 12) * radius
    canvas.paint(tube(axis, calibre), (phase.artery, 1.6), names.aorta, texture=2)
    plaque = tube(axis[6:9] + np.array((0, 0.8, 0.4)) * radius, 1.6)
    canvas.paint(plaque, torso.CORTICAL, label=None)


def _psoas(canvas: Canvas) -> None:
    for side in (-1, 1):
        course = [(90, 42, side * 22), (10, 44, side * 30), (-90, 34, side * 42)]
        canvas.paint(tube(course, (5, 13, 20)), torso.MUSCLE, texture=8)


def _bowel(canvas: Canvas, rng: Generator, cavity: Shape) -> None:
    """Paint loops of small bowel in front and colon at the flanks, some of them with gas."""
    room = cavity.grown(-3)
    for _ in range(16):
        start = np.array((rng.uniform(-85, 5), rng.uniform(-62, 0), rng.uniform(-35, 85)))
        points = start + np.cumsum(rng.normal(0, 16, (5, 3)), axis=0) - (8, 0, 0)
        points[:, 1] = np.clip(points[:, 1], -75, 15)
        _gut(canvas, rng, points, rng.uniform(9, 13), room, gas=0.15)
    for side in (-1, 1):
        points = np.array([(-90, 20, side * 92), (-50, 18, side * 95), (-22, 8, side * 88)], float)
        _gut(canvas, rng, points + rng.normal(0, 3, (3, 3)), 19, room, gas=0.8)


def _gut(
    canvas: Canvas,
    rng: Generator,
    points: NDArray[np.float64],
    radius: float,
    room: Shape,
    gas: float,
) -> None:
    loop = merged(tube(curve(points, 10), radius), 1).rough(1.8, waves(rng, 22)) & room
    canvas.paint(loop, (70, 1.4), texture=7)
    lumen = loop.grown(-3)
    canvas.paint(lumen, (rng.uniform(15, 45), 1.0), texture=14)
    if rng.random() < gas:
        level = float(points[:, 1].mean()) + rng.uniform(-6, 4)
        canvas.paint(lumen & half_space((0, level, 0), (0, 1, 0)), torso.AIR)
