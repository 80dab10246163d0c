"""A head on MR: scalp, skull, folded cortex, ventricles and deep nuclei.

Coordinates are (z, y, x) in mm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import curve, tube
from benchmark.phantoms.shapes import Field, Shape, capsule, ellipsoid, merged, waves


@dataclass(frozen=True)
class Signals:
    """Signal of each tissue in an MR sequence; 1 is roughly that of white matter on T1."""

    white: float
    grey: float
    fluid: float
    fat: float
    skin: float
    bone: float
    marrow: float
    vessel: float


T1_CONTRAST = Signals(1.0, 0.66, 0.25, 1.7, 0.9, 0.06, 0.8, 1.7)
FLAIR = Signals(0.72, 0.95, 0.14, 1.35, 0.8, 0.05, 0.6, 0.25)


def scene(canvas: Canvas, rng: Generator, signals: Signals, ventricles: int = 0) -> Shape:
    """Paint a head and return the shape that encloses the brain.

    ``ventricles`` is the label value of the ventricles; 0 leaves them unlabelled.
    """
    s = signals
    skull = ellipsoid((0, 0, 0), (86, 94, 76), power=2.2)
    canvas.paint(skull.grown(8), s.skin)
    canvas.paint(skull.grown(6.3), s.fat, texture=0.12)
    canvas.paint(skull.grown(2), s.bone)
    canvas.paint(skull.grown(-0.5) - skull.grown(-3), s.marrow, texture=0.2)
    inner = skull.grown(-5)
    canvas.paint(inner, s.fluid, texture=0.03)
    _cerebrum(canvas, rng, s, inner.grown(-2.5))
    _cerebellum(canvas, rng, s)
    for side in (-1, 1):
        nuclei = [
            ellipsoid((6, 8, side * 11), (10, 14, 8)),
            ellipsoid((8, -12, side * 25), (11, 17, 6)),
            ellipsoid((17, -24, side * 13), (10, 9, 6)),
        ]
        canvas.paint(nuclei, 0.8 * s.grey + 0.2 * s.white, texture=0.03)
    horns = []
    for side in (-1, 1):
        front = np.array([(12, -36, side * 9), (20, -14, side * 7), (22, 12, side * 9)], float)
        back = np.array([(16, 34, side * 18), (4, 46, side * 24), (-10, 22, side * 32)], float)
        course = curve(np.concatenate([front, back]), 14)
        width = np.interp(np.linspace(0, 1, 14), (0, 0.3, 0.65, 1), (5.5, 6, 6.5, 3.5))
        horns.append(merged(tube(course, width * rng.uniform(0.85, 1.3)), 1.5))
    canvas.paint(horns, s.fluid, ventricles)
    canvas.paint(ellipsoid((2, 4, 0), (13, 16, 2.6)), s.fluid, ventricles)
    sinus = [(40, 86, 0), (72, 62, 0), (80, 20, 0), (80, -20, 0), (66, -58, 0)]
    canvas.paint(tube(curve(sinus, 14), 3.6), s.vessel)
    for side in (-1, 1):
        eye = (-44, -76, side * 32)
        canvas.paint(ellipsoid(eye, (20, 24, 21)) & skull.grown(5), s.fat)
        canvas.paint(ellipsoid(eye, (12, 12, 12)), s.fluid)
        canvas.paint(capsule((-44, -62, side * 30), (-40, -40, side * 20), 3, 3), s.grey)
    return inner.grown(-2.5)


def _cerebrum(canvas: Canvas, rng: Generator, s: Signals, room: Shape) -> None:
    """Paint white matter under a cortex of even thickness that follows the folds.

    Sulci lie where a random field crosses zero, so they wander, branch and join like real ones.
    """
    # the falx separates the hemispheres, except around the midline structures
    falx = ellipsoid((0, 0, 0), (np.inf, np.inf, 1.8)) - ellipsoid((-10, 4, 0), (38, 44, 40))
    tent = ellipsoid((-64, 44, 0), (32, 46, 70))  # room for the cerebellum
    outer = room - falx - tent
    scale = 22.0
    fold = waves(rng, scale, 14)
    depth_field = waves(rng, 50)

    def folded(*p: Field) -> Field:
        surface = outer.distance(*p)
        # distance from the zero sheet: |value| over the typical slope; wider at the surface
        sheet = np.abs(fold(*p)) * (0.9 * scale / 6.28)
        bottom = 17 + 5 * depth_field(*p) + surface  # positive where the sulcus reaches
        sulcus = 1.1 + 0.02 * surface - sheet
        folds: Field = np.maximum(surface, np.minimum(sulcus, bottom))
        return folds

    cortex = Shape(folded, outer.low, outer.high)
    canvas.paint(cortex, s.grey, texture=0.02)
    white = cortex.grown(-2.3)
    canvas.paint(white, s.white, texture=0.02)
    callosum = capsule((27, -24, 0), (27, 26, 0), 4.5, 5.0)
    canvas.paint(callosum, s.white)


def _cerebellum(canvas: Canvas, rng: Generator, s: Signals) -> None:
    for side in (-1, 1):
        lobe = ellipsoid((-52, 48, side * 24), (22, 28, 28)).rough(1.0, waves(rng, 20))
        canvas.paint(lobe.grown(1.5), s.fluid)
        canvas.paint(lobe, s.grey, texture=0.05)
        core = ellipsoid((-50, 42, side * 20), (9, 14, 15)).rough(2.5, waves(rng, 10))
        canvas.paint(core, s.white)
    stem = tube([(-8, 8, 0), (-40, 6, 0), (-90, 22, 0)], (13, 15, 11))
    canvas.paint(stem, 0.9 * s.white + 0.1 * s.grey, texture=0.03)
    canvas.paint(ellipsoid((-44, 24, 0), (9, 4, 7)), s.fluid)
