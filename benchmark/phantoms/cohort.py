"""Two cohorts: liver metastases before and after treatment, with survival times.

Tumours change less in the axial plane than along z. The change of the diameter or the area on a
slice therefore only partly reflects the change of volume, which drives the hazard in one cohort.

The shipped seeds are the numbers of the datasets and were not selected: of the seeds 0 to 199, 93 %
give P < 0.01 (log-rank test, median split of the volume ratio) where the hazard depends on the
volume.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.phantoms import physics
from benchmark.phantoms.canvas import Canvas
from benchmark.phantoms.paths import tree
from benchmark.phantoms.scan import Patient, Scan
from benchmark.phantoms.shapes import Shape, ellipsoid, half_space, waves

SPACING = (3.0, 2.0, 2.0)
SHAPE = (24, 32, 32)

LOG_AREA_SD, LOG_HEIGHT_SD = 0.18, 0.42
HAZARD_PER_SD = 1.3
"""Log hazard ratio per standard deviation of the log volume ratio."""


@dataclass(frozen=True)
class Course:
    """Growth of a tumour, as factors along (z, y, x), and the follow-up.

    ``months`` is the time to death if ``event``, otherwise to censoring.
    """

    factors: NDArray[np.float64]
    months: float
    event: bool

    @property
    def ratio(self) -> float:
        """Volume after treatment divided by the volume before."""
        return float(np.prod(self.factors))


def hazard_follows_volume(rng: Generator) -> Patient:
    """Make a patient whose hazard increases with the growth of the tumour."""
    return _patient(rng, course(rng, HAZARD_PER_SD))


def hazard_follows_nothing(rng: Generator) -> Patient:
    """Make a patient whose survival is independent of the tumour."""
    return _patient(rng, course(rng, 0.0))


def course(rng: Generator, effect: float) -> Course:
    """Draw the growth of a tumour and the survival of the patient.

    ``effect`` is the log hazard ratio per standard deviation of the log volume ratio. Survival is
    Weibull with proportional hazards (Bender et al. 2005, doi 10.1002/sim.2059). Patients enter
    over three years, and those alive when the study closes are censored.
    """
    area = np.clip(rng.normal(0, LOG_AREA_SD), -0.5, 0.5)
    height = np.clip(rng.normal(0, LOG_HEIGHT_SD), -0.65, 0.7)
    change = (area + height) / np.hypot(LOG_AREA_SD, LOG_HEIGHT_SD)
    factors = np.exp((height, area / 2, area / 2))
    shape, scale = 1.4, 20.0
    survival = scale * (rng.exponential() / np.exp(effect * change)) ** (1 / shape)
    closes = rng.uniform(12, 48)
    return Course(factors, float(min(survival, closes)), bool(survival <= closes))


def _patient(rng: Generator, course: Course) -> Patient:
    radii = np.array((rng.uniform(11, 14), rng.uniform(9.5, 13), rng.uniform(9.5, 13)))
    before = ellipsoid((0, 0, 0), radii).rough(1.0, waves(rng, 16))
    volume = before.volume(step=0.75)
    paint = _surroundings(rng)
    scans = {
        "_pre": _scan(rng, before, paint),
        "_post": _scan(rng, before.stretched(course.factors), paint),
    }
    record = {
        "time_months": round(course.months, 2),
        "event": int(course.event),
        "true_volume_pre_mm3": round(volume, 1),
        "true_volume_post_mm3": round(volume * course.ratio, 1),
    }
    return Patient(scans, record)


def _surroundings(rng: Generator) -> Callable[[Canvas], None]:
    """Return a painter of the liver and its vessels, the same for both scans of a patient."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array((rng.normal(0, 0.2), np.cos(angle), np.sin(angle)))
    way /= np.linalg.norm(way)
    liver = half_space(rng.uniform(24, 40) * way, way).rough(1.5, waves(rng, 45))
    veins = []
    for side in (-1, 1):
        start = (rng.uniform(-20, 20), rng.uniform(-25, 25), -40 * side)
        veins += tree(rng, start, (rng.normal(0, 0.4), 0.3, side), 4.5, 26, 4)
    enhancement = rng.normal(110, 6)

    def paint(canvas: Canvas) -> None:
        canvas.values[0] = -95 + 12 * canvas.texture
        canvas.paint(liver, enhancement, texture=5)
        canvas.paint(veins, enhancement + 55, within=canvas.share(liver.grown(-2)))

    return paint


def _scan(rng: Generator, tumour: Shape, paint: Callable[[Canvas], None]) -> Scan:
    """Make a scan with the tumour near the middle; the position of the patient varies a little."""
    centre = rng.normal(0, 1.5, 3).tolist()
    canvas = Canvas(rng, SHAPE, SPACING, fine=3, centre=centre)
    paint(canvas)
    canvas.paint(tumour.grown(2), 100, texture=6)
    canvas.paint(tumour, 62, label=1, texture=7)
    canvas.paint(tumour.grown(-5), 48, label=1, texture=6)
    values, labels = canvas.render()
    image = physics.ct(rng, values[0], SPACING, noise=11)
    origin = (-30.0 + centre[2], -42.0 + centre[1], 510.0 + centre[0])
    return Scan({"images": image}, labels, SPACING, origin, "LPS")
