"""Shaded surface rendering of a mask, without a 3D library."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TURN, TILT = np.radians(30), np.radians(20)
"""Direction of view in radians: from the front, turned to the patient's left, and from above."""
_PIXELS = 84
_LIGHT = np.array([-0.45, 0.65, -0.61])
"""Direction towards the light in view coordinates (right, up, away): from the upper left front."""
_AMBIENT = 0.3


def sphere(
    masks: Sequence[NDArray[np.bool_]], spacing: Sequence[float]
) -> tuple[NDArray[np.float64], float]:
    """Return centre (z, y, x) and radius, in mm, of a sphere that contains all ``masks``.

    The masks share one grid (z, y, x) of ``spacing`` (z, y, x) in mm. Rendering all of them with
    the same sphere keeps their relative position and size.
    """
    found = [np.argwhere(mask) for mask in masks if mask.any()]
    if not found:
        return np.zeros(3), 1.0
    places = np.concatenate(found) * np.asarray(spacing)
    centre = (places.min(axis=0) + places.max(axis=0)) / 2
    return centre, float(np.linalg.norm(places - centre, axis=1).max() + max(spacing))


def shade(
    mask: NDArray[np.bool_], spacing: Sequence[float], centre: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """Render the surface of a mask; returns brightness from 0 to 1, NaN for background.

    The image has `_PIXELS` rows, from top to bottom, and as many columns. The projection is
    orthographic, with Lambertian shading from one light.

    Args:
        mask: (z, y, x) in LPS orientation.
        spacing: (z, y, x) in mm.
        centre: centre of the view (z, y, x) in mm; see `sphere`.
        radius: half the side of the view in mm.
    """
    from scipy import ndimage

    steps = np.linspace(-radius, radius, _PIXELS)
    up, right, away = np.meshgrid(steps[::-1], steps, steps, indexing="ij")
    # From view directions to those of the patient: x to the left, y to the back, z upward.
    back = away * np.cos(TILT) + up * np.sin(TILT)
    z = up * np.cos(TILT) - away * np.sin(TILT)
    x, y = right * np.cos(TURN) - back * np.sin(TURN), right * np.sin(TURN) + back * np.cos(TURN)
    places = [(c + v) / s for c, v, s in zip(centre, (z, y, x), spacing, strict=True)]
    pixel = 2 * radius / _PIXELS
    soft = ndimage.gaussian_filter(
        np.pad(mask, 2).astype(np.float32), [max(0.8, pixel / s) for s in spacing]
    )
    seen = ndimage.map_coordinates(soft, [place + 2 for place in places], order=1)
    inside = seen > 0.5
    first = inside.argmax(axis=2)[..., None]
    slopes = [np.take_along_axis(g, first, 2)[..., 0] for g in np.gradient(seen)]
    outward = np.stack([-slopes[1], slopes[0], -slopes[2]], axis=-1)  # right, up, away
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-9
    lit = _AMBIENT + (1 - _AMBIENT) * np.clip(outward @ _LIGHT, 0, 1)
    return np.where(inside.any(axis=2), lit, np.nan)
