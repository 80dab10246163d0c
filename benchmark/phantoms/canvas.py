"""A voxel grid on which shapes are painted in order, with partial volume and known labels."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.phantoms.shapes import Field, Shape, waves

Slices = tuple[slice, slice, slice]
EVERYWHERE = (slice(None), slice(None), slice(None))

SMALLEST = 30
"""Smallest size of a piece of a label, in voxels; smaller ones are artefacts of painting."""


class Canvas:
    """Tissue values (channel, z, y, x), float32, and labels (z, y, x), uint8, on a voxel grid.

    ``rng`` is the random generator of the patient. ``shape`` and ``spacing`` (mm) are those of the
    scan's voxels, (z, y, x). ``background`` is the initial value of each channel. With ``fine`` > 1
    the grid is that many times finer along z, and `render` averages it down to thick slices.
    ``warp`` is the amplitude and the wavelength, in mm, of a smooth deformation of everything that
    is painted. ``size`` scales the scene. ``centre`` is the point of the scene (z, y, x), in mm,
    that lies at the middle of the grid.
    """

    def __init__(  # noqa: D107
        self,
        rng: Generator,
        shape: Sequence[int],
        spacing: Sequence[float],
        background: Sequence[float] = (0.0,),
        *,
        fine: int = 1,
        warp: tuple[float, float] = (0.0, 1.0),
        size: float = 1.0,
        centre: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.rng = rng
        self.fine = fine
        self.spacing = (spacing[0] / fine, spacing[1], spacing[2])
        self.shape = (shape[0] * fine, shape[1], shape[2])
        axes = [
            ((np.arange(n) - (n - 1) / 2) * s + c).astype(np.float32)
            for n, s, c in zip(self.shape, self.spacing, centre, strict=True)
        ]
        points: Sequence[Field] = np.meshgrid(*axes, indexing="ij")
        if warp[0]:
            fields = [waves(rng, warp[1], 5) for _ in range(3)]
            points = [p + warp[0] * f(*points) for p, f in zip(points, fields, strict=True)]
        self.points = [p / size for p in points]
        # range of coordinates in each plane of each axis: shows which planes a box can touch
        others = [tuple(a for a in range(3) if a != axis) for axis in range(3)]
        self._first = [p.min(axis=a) for p, a in zip(self.points, others, strict=True)]
        self._last = [p.max(axis=a) for p, a in zip(self.points, others, strict=True)]
        self._edge = sum(self.spacing) / 3 / size
        self.labels = np.zeros(self.shape, np.uint8)
        self.values = np.empty((len(background), *self.shape), np.float32)
        self.values[:] = np.reshape(background, (-1, 1, 1, 1))

    @cached_property
    def texture(self) -> Field:
        """Parenchymal texture: noise of approximately unit variance at two scales, 3 and 9 mm."""
        return 0.8 * self.noise(3.0) + 0.6 * self.noise(9.0)

    def noise(self, mm: float) -> Field:
        """Return Gaussian noise of unit variance on the fine grid, smoothed with sigma ``mm``."""
        return smooth_noise(self.rng, self.shape, [mm / s for s in self.spacing])

    def _window(self, shape: Shape) -> Slices | None:
        window = []
        for axis in range(3):
            hit = (self._last[axis] >= shape.low[axis] - self._edge) & (
                self._first[axis] <= shape.high[axis] + self._edge
            )
            (index,) = np.nonzero(hit)
            if index.size == 0:
                return None
            window.append(slice(int(index[0]), int(index[-1]) + 1))
        return window[0], window[1], window[2]

    def distance(self, shape: Shape, window: Slices = EVERYWHERE) -> Field:
        """Return the signed distance to ``shape``, in mm, at the points of the fine grid."""
        z, y, x = (p[window] for p in self.points)
        return shape.distance(z, y, x)

    def share(self, shape: Shape, window: Slices = EVERYWHERE) -> Field:
        """Return the fraction of each voxel of the fine grid that ``shape`` fills."""
        share: Field = np.clip(0.5 - self.distance(shape, window) / self._edge, 0, 1)
        return share

    def paint(
        self,
        solid: Shape | Sequence[Shape],
        colour: float | Sequence[float],
        label: int | None = 0,
        texture: float = 0.0,
        within: Field | None = None,
    ) -> None:
        """Fill ``solid`` (a shape, or several in turn) with ``colour``, one value per channel.

        ``label`` is the new label of its voxels; None keeps the old ones, as for the vessels of a
        liver, which belong to the liver. ``texture`` is the standard deviation of the texture in
        the first channel; in the other channels it is a tenth of the value. ``within`` is a result
        of `share` to which the painting is confined.
        """
        colours = (colour,) if isinstance(colour, int | float) else colour
        for shape in [solid] if isinstance(solid, Shape) else solid:
            window = self._window(shape)
            if window is None:
                continue
            share = self.share(shape, window)
            if within is not None:
                share = share * within[window]
            for channel, value in enumerate(colours[: len(self.values)]):
                new: Field | float = value
                if texture:
                    varied = texture if channel == 0 else 0.1 * value
                    new = value + varied * self.texture[window]
                here = self.values[channel][window]
                here += share * (new - here)
            if label is not None:
                self.labels[window][share >= 0.5] = label

    def depth(self, labels: Sequence[int]) -> Field:
        """Return the distance, in mm, of each voxel of the fine grid to the outside of ``labels``.

        The labels count together as inside; outside them the distance is 0.
        """
        inside = np.isin(self.labels, labels)
        return np.asarray(ndimage.distance_transform_edt(inside, self.spacing), np.float32)

    def render(self) -> tuple[Field, NDArray[np.uint8]]:
        """Return the values (channel, z, y, x) and the labels (z, y, x) of the scan's slices.

        A slice is the mean of its fine layers, and its label the most frequent one.
        """
        if self.fine == 1:
            return self.values, tidy(self.labels)
        split = (-1, self.fine, *self.shape[1:])
        values = self.values.reshape(len(self.values), *split).mean(axis=2)
        used = np.unique(self.labels)
        shares = [(self.labels == v).reshape(split).sum(axis=1) for v in used]
        labels = used[np.argmax(shares, axis=0)].astype(np.uint8)
        return values, tidy(labels)


def tidy(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy without 26-connected pieces of a label of fewer than `SMALLEST` voxels."""
    clean = labels.copy()
    for value in np.unique(labels[labels > 0]):
        pieces, _ = ndimage.label(labels == value, np.ones((3, 3, 3)))
        small = np.bincount(pieces.ravel()) < SMALLEST
        clean[small[pieces] & (pieces > 0)] = 0
    return clean


def smooth_noise(rng: Generator, shape: Sequence[int], sigma: Sequence[float]) -> Field:
    """Return white noise of unit variance, smoothed by a Gaussian of ``sigma`` voxels per axis."""
    noise = rng.standard_normal(shape, np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3)
    return np.asarray(noise / noise.std(), np.float32)
