"""A mask as a lit surface: what a person would see of the object, without a 3D library."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TURN, TILT = np.radians(30), np.radians(20)
"""The eye stands in front of the patient, this far towards the patient's left, and above."""
_PIXELS = 84
_LIGHT = np.array([-0.45, 0.65, -0.61])
"""Towards the light: left, up and near as the eye sees it (right, up, away)."""
_AMBIENT = 0.3


def sphere(
    masks: Sequence[NDArray[np.bool_]], spacing: Sequence[float]
) -> tuple[NDArray[np.float64], float]:
    """Centre (z, y, x) and radius in mm of a sphere that holds all ``masks`` of one grid.

    Pictures of it show each mask at its place and in its size.
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
    """Brightness 0 to 1 of the surface, rows from above [pixels, pixels]; NaN where there is none.

    ``mask``: (z, y, x), LPS; ``spacing``: (z, y, x) in mm; ``centre``, ``radius``: see `sphere`.
    Seen without perspective, lit from one side (Lambert).
    """
    from scipy import ndimage

    steps = np.linspace(-radius, radius, _PIXELS)
    up, right, away = np.meshgrid(steps[::-1], steps, steps, indexing="ij")
    # From the directions of the eye to those of the patient: x to the left, y to the back, z up.
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
