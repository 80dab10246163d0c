"""CT recipes: organs, liver tumours, a low-contrast pancreatic tumour, vessels, lung tumours."""

import numpy as np
from numpy.random import Generator

from benchmark.phantoms import abdomen, chest, physics, torso, tumours
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.scan import Patient, Scan
from benchmark.phantoms.shapes import waves


def _trunk(
    rng: Generator,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centre: tuple[float, float, float],
    fine: int = 1,
) -> Canvas:
    size = rng.uniform(0.95, 1.02)
    return Canvas(
        rng, shape, spacing, torso.AIR[:1], fine=fine, warp=(4.0, 130.0), size=size, centre=centre
    )


def _scan(
    canvas: Canvas,
    noise: float,
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    orientation: str,
) -> Patient:
    values, labels = canvas.render()
    image = physics.ct(canvas.rng, values[0], spacing, noise)
    return Patient({"": Scan({"images": image}, labels, spacing, origin, orientation)})


def organs(rng: Generator) -> Patient:
    """Make abdominal organs in the portal-venous phase, with isotropic voxels of 3 mm."""
    spacing = (3.0, 3.0, 3.0)
    canvas = _trunk(rng, (48, 96, 96), spacing, centre=(-10, 0, 0))
    names = abdomen.Names(liver=1, spleen=2, kidney_right=3, kidney_left=4, aorta=5, pancreas=6)
    abdomen.scene(canvas, rng, abdomen.PORTAL, names)
    return _scan(canvas, 14, spacing, (-142.5, -151.2, 1012.5), "LPS")


def liver_tumours(rng: Generator) -> Patient:
    """Make up to five hypodense metastases in an enhanced liver, on slices of 5 mm."""
    spacing = (5.0, 3.0, 3.0)
    canvas = _trunk(rng, (24, 80, 96), spacing, fine=3, centre=(14, 0, 0))
    liver = abdomen.scene(canvas, rng, abdomen.PORTAL, abdomen.Names(liver=1))["liver"]
    radii = rng.uniform(10, 19, rng.integers(3, 6))
    for centre, radius in tumours.places(canvas, canvas.depth([1]), radii):
        tumour = tumours.rounded(rng, centre, radius) & liver.grown(1)
        canvas.paint(tumour.grown(2.5) & liver, (118, 3.0), label=1, texture=5)
        canvas.paint(tumour, (68, 6.0), label=2, texture=7)
        core = tumour.grown(-0.45 * radius).rough(1.5, waves(rng, 12))
        canvas.paint(core, (42, 2.0), label=2, texture=6)
    return _scan(canvas, 12, spacing, (-140.0, -120.5, -310.0), "RAS")


def low_contrast(rng: Generator) -> Patient:
    """Make a pancreatic tumour whose contrast is below the noise, with isotropic voxels of 2.5 mm.

    Liver lesions of similarly low contrast are added.
    """
    spacing = (2.5, 2.5, 2.5)
    canvas = _trunk(rng, (40, 80, 96), spacing, centre=(-6, -5, 8))
    found = abdomen.scene(canvas, rng, abdomen.PORTAL, abdomen.Names(liver=3, pancreas=1))
    head = np.array((-20, -14, -18)) + rng.normal(0, 3, 3)
    tumour = tumours.lobed(rng, head, rng.uniform(15, 18))
    canvas.paint(tumour, (84, 2.5), label=2, texture=6)
    for centre, radius in tumours.places(canvas, canvas.depth([3]), rng.uniform(9, 15, 3)):
        tumour = tumours.rounded(rng, centre, radius) & found["liver"]
        canvas.paint(tumour, (94, 2.5), label=4, texture=4)
    canvas.labels[canvas.labels == 3] = 0
    canvas.labels[canvas.labels == 4] = 3
    return _scan(canvas, 18, spacing, (-111.0, -103.7, 220.0), "LPS")


def vessels(rng: Generator) -> Patient:
    """Make an abdominal aorta with its branches in the arterial phase, stored in coronal slices."""
    spacing = (2.5, 2.5, 2.5)
    canvas = _trunk(rng, (64, 64, 96), spacing, centre=(-30, 0, 0))
    names = abdomen.Names(aorta=1, branches=1, vena_cava=2)
    abdomen.scene(canvas, rng, abdomen.ARTERIAL, names)
    return _scan(canvas, 16, spacing, (-118.2, -79.0, 88.8), "LIA")


def lung_tumours(rng: Generator) -> Patient:
    """Make lobed, concave and round lung tumours on slices of 5 mm, stored from top to bottom."""
    spacing = (5.0, 3.3, 3.3)
    canvas = _trunk(rng, (24, 72, 96), spacing, fine=3, centre=(-5, 0, 0))
    inside = chest.scene(canvas, rng, blood=140, muscle_suv=3, lungs=(1, 2))
    kinds = [tumours.lobed, tumours.concave, tumours.lobed, tumours.rounded]
    radii = np.sort(rng.uniform(15, 25, rng.integers(3, 5)))[::-1]
    spots = tumours.places(canvas, canvas.depth([1, 2]), radii, depth=0.85)
    for (centre, radius), kind in zip(spots, kinds, strict=False):
        tumour = kind(rng, centre, radius)
        canvas.paint(tumours.spikes(rng, centre, radius), -250, label=None, within=inside)
        canvas.paint(tumour.grown(3), -700, label=None, texture=40, within=inside)
        canvas.paint(tumour, 45, label=3, texture=14, within=inside)
    return _scan(canvas, 22, spacing, (-156.8, -117.2, -1240.0), "LPI")
