"""MR recipes: ring-enhancing brain tumours, glioma on thick slices, heart in short axis."""

import numpy as np
from numpy.random import Generator

from benchmark.phantoms import brain, heart, physics, tumours
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.scan import Patient, Scan
from benchmark.phantoms.shapes import Field, Shape, half_space, waves


def ring_tumours(rng: Generator) -> Patient:
    """Make ring-enhancing metastases with a necrotic core, with isotropic voxels of 2 mm.

    The ring of one of them is open.
    """
    spacing = (2.0, 2.0, 2.0)
    warp, size = (3.0, 110.0), rng.uniform(0.96, 1.03)
    canvas = Canvas(rng, (56, 104, 88), spacing, warp=warp, size=size, centre=(24, 0, 0))
    hull = brain.scene(canvas, rng, brain.T1_CONTRAST, ventricles=3)
    radii = rng.uniform(10, 16, rng.integers(3, 5))
    for number, (centre, radius) in enumerate(
        tumours.places(canvas, _room(canvas, hull, 3), radii)
    ):
        tumour = tumours.rounded(rng, centre, radius) & hull
        oedema = tumour.grown(0.45 * radius).rough(3, waves(rng, 24)) & hull
        canvas.paint(oedema, 0.66, label=None, texture=0.02)
        rim = 3.6 + 0.08 * radius
        core = tumour.grown(-rim).rough(0.7, waves(rng, 9))
        canvas.paint(tumour, 1.65, label=1, texture=0.1)
        canvas.paint(core, 0.42, label=2, texture=0.05)
        if number == 0:  # an open ring: the rim is missing on one side
            angle = rng.uniform(0, 2 * np.pi)
            away = np.array((0, np.cos(angle), np.sin(angle)))
            gap = tumour.grown(0.5) & half_space(centre + 0.62 * radius * away, -away)
            canvas.paint(gap, 0.6, label=0, texture=0.03)
    canvas.labels[canvas.labels == 3] = 0
    values, labels = canvas.render()
    image = physics.mr(rng, values[0], spacing, noise=0.05, bias=0.10)
    return Patient({"": Scan({"images": image}, labels, spacing, (-87.0, -103.0, 14.0), "RAS")})


def glioma(rng: Generator) -> Patient:
    """Make infiltrating lesions on FLAIR: slices of 5 mm, strong bias field."""
    spacing = (5.0, 2.4, 2.4)
    warp, size = (3.0, 110.0), rng.uniform(0.96, 1.03)
    canvas = Canvas(rng, (22, 88, 76), spacing, fine=3, warp=warp, size=size, centre=(22, 0, 0))
    hull = brain.scene(canvas, rng, brain.FLAIR, ventricles=2)
    kinds = [tumours.lobed, tumours.concave, tumours.rounded]
    radii = np.sort(rng.uniform(13, 24, rng.integers(2, 4)))[::-1]
    spots = tumours.places(canvas, _room(canvas, hull, 2), radii)
    for (centre, radius), kind in zip(spots, kinds, strict=False):
        lesion = kind(rng, centre, radius) & hull
        canvas.paint(lesion, 1.28, label=1, texture=0.06)
    values, labels = canvas.render()
    image = physics.mr(rng, values[0], spacing, noise=0.05, bias=0.22)
    return Patient({"": Scan({"images": image}, labels, spacing, (-90.0, -104.4, -33.0), "LAS")})


def short_axis(rng: Generator) -> Patient:
    """Make cavities and myocardium of the heart in tilted short-axis slices of 5 mm."""
    spacing = (5.0, 1.8, 1.8)
    size = rng.uniform(0.9, 1.05)
    canvas = Canvas(rng, (18, 80, 80), spacing, fine=3, warp=(2.5, 70.0), size=size)
    heart.scene(canvas, rng)
    values, labels = canvas.render()
    image = physics.mr(rng, values[0], spacing, noise=0.05, bias=0.2, blur=1.0)
    scan = Scan({"images": image}, labels, spacing, (31.5, -88.1, 12.9), "LPS", heart.TILT)
    return Patient({"": scan})


def _room(canvas: Canvas, hull: Shape, ventricles: int) -> Field:
    """Return the depth of each point inside the brain, in mm, with the ventricles as outside."""
    outside = [v for v in range(256) if v != ventricles]
    return np.minimum(-canvas.distance(hull), canvas.depth(outside))
