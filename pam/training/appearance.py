"""Simulate how a scanner might image a scene: tissue values, texture, shading, blur, noise."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from pam.training.canvas import Canvas, Field, noise
from pam.training.scenes import Rims
from pam.training.visibility import neighbours


@dataclass(frozen=True)
class Picture:
    """A simulated scan.

    ``values``: float32 [z, y, x], as scanned. ``clean``: the values of the tissues alone.
    ``noise``: standard deviation of noise and texture, in the units of ``clean``.
    """

    values: Field
    clean: Field
    noise: float


def ct(canvas: Canvas, rims: Rims, septa: float = 0.0) -> Picture:
    """Simulate computed tomography, in HU; ``septa``: probability of thin layers of fat."""
    rng = canvas.rng
    count = canvas.used + 1
    kind = rng.choice(5, count, p=[0.62, 0.12, 0.08, 0.12, 0.06])
    choices = np.stack(
        [
            rng.normal(50, 25, count),  # soft tissue
            rng.normal(-95, 15, count),  # fat
            rng.uniform(-1000, -600, count),  # gas, lung
            rng.uniform(90, 300, count),  # contrast agent
            rng.uniform(200, 900, count),  # bone, calcium
        ]
    )
    means = _alike(rng, choices[kind, np.arange(count)], jitter=8.0)
    means[0] = -1000
    if 1 in canvas.labels and rng.random() < 0.7:
        means[1] = rng.normal(-95, 10)  # the outermost layer of a body, if there is one: fat
    inner, outer = rng.uniform(60, 350), rng.uniform(300, 1100)
    rim_means = means + rng.normal(60, 60, count)
    for label in rims:
        if rng.random() < 0.9:
            means[label] = inner + rng.normal(0, 15)
            rim_means[label] = outer + rng.normal(0, 50)
    clean = _filled(canvas, means, rim_means, rims)
    if septa and rng.random() < septa:
        lay_septa(canvas, clean, rng.normal(-95, 15), alike=60.0)
    strength = float(rng.uniform(0, 25))
    values = _blurred(canvas, clean + _texture(canvas, count, strength))
    level = float(np.exp(rng.uniform(np.log(4), np.log(45))))
    values = (values + _grain(canvas, level)).clip(-1024, 3071)
    return Picture(values, clean, float(np.hypot(level, strength / 2)))


def mr(canvas: Canvas, rims: Rims, septa: float = 0.0) -> Picture:
    """Simulate magnetic resonance: arbitrary contrast, shading and Rician noise.

    ``septa``: probability of thin layers between structures that look alike.
    """
    rng = canvas.rng
    count = canvas.used + 1
    means = _alike(rng, rng.uniform(0.1, 1, count), jitter=0.03)
    rim_means = means + rng.normal(0, 0.25, count)
    if rng.random() < 0.7:
        means[0] = rng.uniform(0, 0.05)
    for label in rims:
        if rng.random() < 0.6:
            rim_means[label] = rng.uniform(0, 0.25)
    clean = _filled(canvas, means, rim_means, rims)
    if septa and rng.random() < septa:
        lay_septa(canvas, clean, rng.choice([0.05, 1.0]), alike=0.2)
    strength = float(rng.uniform(0, 0.08))
    values = clean + _texture(canvas, count, strength)
    shading = noise(rng, canvas.shape, canvas.knots(0.8)) * rng.uniform(0, 0.25)
    values = _blurred(canvas, np.abs(values) * np.exp(shading))
    level = float(np.exp(rng.uniform(np.log(0.008), np.log(0.07))))
    real, imaginary = (_grain(canvas, level) for _ in range(2))
    scale = np.float32(np.exp(rng.uniform(np.log(100), np.log(3000))))
    values = scale * np.hypot(values + real, imaginary)
    return Picture(values, clean, float(np.hypot(level, strength / 2)))


def _alike(rng: Generator, means: NDArray[np.float64], jitter: float) -> NDArray[np.float64]:
    """Let labels share a few values, so that neighbours look alike, or reduce all contrast."""
    chance = rng.random()
    if chance < 0.45:
        palette = rng.choice(means, int(rng.integers(3, 9)))
        means = rng.choice(palette, len(means)) + rng.normal(0, jitter, len(means))
    elif chance < 0.7:
        means = np.median(means) + rng.uniform(0.15, 0.6) * (means - np.median(means))
    return means


def _filled(
    canvas: Canvas, means: NDArray[np.float64], rim_means: NDArray[np.float64], rims: Rims
) -> Field:
    thickness = np.zeros(len(means), np.float32)
    for label, mm in rims.items():
        thickness[label] = mm
    values = means.astype(np.float32)[canvas.labels]
    rim = canvas.depth < thickness[canvas.labels]
    values[rim] = rim_means.astype(np.float32)[canvas.labels[rim]]
    return values


def lay_septa(canvas: Canvas, values: Field, septum: float, alike: float) -> None:
    """Paint septa, one voxel thick, between labels whose values differ by less than ``alike``.

    They mix the value ``septum`` with the voxel's own in a proportion that varies over the volume.
    ``values``: float32 [z, y, x], changed in place.
    """
    rng = canvas.rng
    labels, edge = canvas.labels, np.zeros(canvas.shape, np.bool_)
    for axis in range(3):
        if canvas.spacing[axis] > 1.5 * min(canvas.spacing):
            continue  # slices this thick do not show a thin layer
        below, above, steps = neighbours(labels, values, axis)
        np.moveaxis(edge, axis, 0)[1:] |= (below != above) & (steps < alike)
    patches = noise(rng, canvas.shape, canvas.knots(0.2))
    share = rng.uniform(0.3, 1) * (0.8 + 0.4 * patches).clip(0, 1)
    values[edge] += (share * (np.float32(septum) - values))[edge]


def _texture(canvas: Canvas, count: int, strength: float) -> Field:
    """Return mottle of two scales, with a different strength in each label."""
    rng = canvas.rng
    share = (strength * rng.uniform(0, 1, count)).astype(np.float32)
    fine, coarse = (noise(rng, canvas.shape, canvas.knots(k)) for k in (0.03, 0.1))
    return share[canvas.labels] * (np.float32(0.7) * fine + np.float32(0.7) * coarse)


def _blurred(canvas: Canvas, values: Field) -> Field:
    rng = canvas.rng
    plane = rng.uniform(0.25, 0.9)
    along = rng.uniform(0.2, 0.55)
    blurred: Field = ndimage.gaussian_filter(values, (along, plane, plane), truncate=2.5)
    return blurred


def _grain(canvas: Canvas, strength: float) -> Field:
    """Return noise of standard deviation ``strength``, white or slightly blurred."""
    rng = canvas.rng
    white = rng.standard_normal(canvas.shape, dtype=np.float32)
    width = rng.uniform(0, 0.9)
    if width > 0.3:
        white = ndimage.gaussian_filter(white, (0.3 * width, width, width), truncate=2.5)
    grain: Field = white * np.float32(strength / max(float(white.std()), 1e-6))
    return grain
