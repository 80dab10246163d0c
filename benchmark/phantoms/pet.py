"""PET-CT recipe: a lung tumour and enlarged lymph nodes among organs with physiological uptake."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.phantoms import chest, physics, torso, tumours
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.scan import Patient, Scan
from benchmark.phantoms.shapes import Field, ball, waves


def chest_tumours(rng: Generator) -> Patient:
    """Make a partly necrotic primary tumour and mediastinal nodes, with isotropic voxels of 4 mm.

    The channels are PET (SUV) and CT (HU).
    """
    spacing = (4.0, 4.0, 4.0)
    size = rng.uniform(0.96, 1.03)
    canvas = Canvas(
        rng, (44, 64, 84), spacing, torso.AIR, warp=(4.0, 140.0), size=size, centre=(-6, 0, 0)
    )
    heart_suv = rng.choice((2.2, 6.0, 9.0))  # fasting suppresses it in some patients only
    inside = chest.scene(canvas, rng, 45, float(heart_suv), lungs=(3, 4))
    _nodes(canvas, rng)
    _primary(canvas, rng, inside)
    canvas.labels[canvas.labels > 2] = 0
    values, labels = canvas.render()
    images: dict[str, NDArray[np.generic]] = {
        "pet": physics.pet(rng, values[1], spacing),
        "ct": physics.ct(rng, values[0], spacing, noise=18),
    }
    return Patient({"": Scan(images, labels, spacing, (-166.0, -126.0, -640.0), "LPS")})


def _primary(canvas: Canvas, rng: Generator, inside: Field) -> None:
    ((centre, radius),) = tumours.places(
        canvas, canvas.depth([3, 4]), rng.uniform(25, 32, 1), depth=0.7
    )
    tumour = tumours.lobed(rng, centre, radius)
    uptake = rng.uniform(7, 12)
    canvas.paint(tumour, (45, uptake), label=1, texture=12, within=inside)
    core = ball(centre, 0.45 * radius).rough(2, waves(rng, 18))
    canvas.paint(core, (28, 0.35 * uptake), label=1, texture=8, within=inside)


def _nodes(canvas: Canvas, rng: Generator) -> None:
    stations = np.array([(58, -8, -20), (12, 22, -22), (6, 2, 34), (66, 4, 38), (34, -34, 6)])
    for station in rng.permutation(stations)[: rng.integers(2, 5)]:
        node = tumours.rounded(rng, station + rng.normal(0, 2, 3), rng.uniform(11, 14))
        canvas.paint(node.grown(2), torso.FAT, label=None)
        canvas.paint(node, (50, rng.uniform(4, 8)), label=2, texture=6)
