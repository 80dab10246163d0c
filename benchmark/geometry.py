"""The grid of a scan: that of its file, the canonical one, and the mapping between the two.

Index order in a file is (x, y, z), as in SimpleITK; arrays are (z, y, x). World axes are LPS: x to
the left, y to the back, z upward. A three-letter code such as "RAS" gives the directions of a
file's index axes x, y and z. The canonical grid of a file is its own grid with axes permuted and
reversed until the code is "LPS". No voxel is interpolated, and an oblique grid stays oblique.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Box, size, start
from benchmark.errors import UserError, unknown_name

Triple = tuple[float, float, float]

VIEWS = ("axial", "coronal", "sagittal", "acquisition")
_WORLD_AXIS = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
_REVERSED = "RAI"


def view_axis(view: str, orientation: str) -> int:
    """Return the canonical array axis (0 = z, 1 = y, 2 = x) normal to the slices of ``view``.

    "acquisition" is the slowest axis of the file, the last letter of its ``orientation``, as in the
    authors' scripts (github czifan/PAM, infer/infer.py). Raises `UserError` for an unknown view.
    """
    if view not in VIEWS:
        raise UserError(unknown_name("view", view, VIEWS))
    if view == "acquisition":
        return 2 - _world_axes(orientation)[2]
    return VIEWS.index(view)


def round_spacing(mm: float) -> float:
    """Round a spacing to 1e-4 mm, or to 5 digits if that would change it by more than 0.02 %.

    Rounding makes nominally equal distances equal in floating point, so that a surface at exactly
    the tolerance of a metric falls on the same side in every file. The second rule is for spacings
    below 0.25 mm, whose volumes the first could change by several percent: 0.0026 mm stays, and
    0.00263 mm is not rounded to 0.0026.
    """
    rounded = round(mm, 4)
    return rounded if abs(rounded - mm) <= 2e-4 * mm else float(f"{mm:.5g}")


def row_fields(name: str, values: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Return ``values`` (z, y, x) as the fields ``<name>_z``, ``_y`` and ``_x`` of a table row."""
    return {f"{name}_{axis}": value for axis, value in zip("zyx", values, strict=True)}


def row_shape(row: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the shape (z, y, x) of a row of `benchmark.prepare.IMAGE_SCHEMA`."""
    return int(row["size_z"]), int(row["size_y"]), int(row["size_x"])


def row_spacing(row: Mapping[str, Any]) -> Triple:
    """Return the spacing (z, y, x) in mm of a row of `benchmark.prepare.IMAGE_SCHEMA`."""
    return float(row["spacing_z"]), float(row["spacing_y"]), float(row["spacing_x"])


def diagonal_mm(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Return the length of a grid's diagonal in mm, between the outer corners of its voxels."""
    return float(sum((n * mm) ** 2 for n, mm in zip(shape, spacing, strict=True)) ** 0.5)


@dataclass(frozen=True)
class Geometry:
    """Grid of a volume in the orientation of its file, with unrounded spacing.

    ``size`` (voxels) and ``spacing`` (mm) are in index order (x, y, z). ``origin`` is the centre of
    the first voxel, in mm (LPS). ``direction`` holds the 3 x 3 direction cosines in row-major
    order; its columns belong to the index axes.
    """

    size: tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @classmethod
    def canonical_of(cls, shape: tuple[int, ...], spacing: Triple) -> Self:
        """Return the canonical grid at the world's origin.

        ``shape`` (voxels) and ``spacing`` (mm) are in the order (z, y, x).
        """
        z, y, x = shape
        return cls(size=(x, y, z), spacing=spacing[::-1])

    @cached_property
    def orientation(self) -> str:
        """Code of the nearest world directions of the index axes x, y and z, such as "RAS"."""
        from SimpleITK import DICOMOrientImageFilter  # slow, and light modules import this one

        return str(DICOMOrientImageFilter.GetOrientationFromDirectionCosines(self.direction))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Canonical shape (z, y, x)."""
        x, y, z = self.canonical.size
        return z, y, x

    @property
    def rounded_spacing(self) -> Triple:
        """Canonical spacing (z, y, x) in mm, rounded by `round_spacing`."""
        x, y, z = (round_spacing(mm) for mm in self.canonical.spacing)
        return z, y, x

    @cached_property
    def canonical(self) -> "Geometry":
        """Grid of the same voxels in canonical order."""
        axes = _world_axes(self.orientation)
        order = [axes.index(world) for world in range(3)]
        signs = np.array([-1 if letter in _REVERSED else 1 for letter in self.orientation])
        size, spacing = np.array(self.size), np.array(self.spacing)
        columns = np.array(self.direction).reshape(3, 3)
        far_end = np.where(signs < 0, (size - 1) * spacing, 0.0)
        return Geometry(
            size=_triple(size[order].tolist()),
            spacing=_triple(spacing[order].tolist()),
            origin=_triple((np.array(self.origin) + columns @ far_end).tolist()),
            direction=tuple((columns * signs)[:, order].ravel().tolist()),
        )

    def box_of(self, other: "Geometry") -> Box:
        """Return the voxels of ``other`` as a box on this grid, both in canonical order.

        The box may reach beyond this grid. Its place is rounded to whole voxels, and its size is
        that of ``other``: whether both have the same voxels, `same_grid` tells of `part` and
        ``other``.
        """
        here, there = self.canonical, other.canonical
        rotation = np.array(here.direction).reshape(3, 3)
        apart = rotation.T @ (np.array(there.origin) - np.array(here.origin)) / here.spacing
        x, y, z = (int(step) for step in np.rint(apart))
        nx, ny, nz = there.size
        return z, z + nz, y, y + ny, x, x + nx

    def part(self, box: Box) -> "Geometry":
        """Return the canonical grid of the voxels in ``box``, which may reach beyond this grid."""
        whole = self.canonical
        rotation, first = np.array(whole.direction).reshape(3, 3), start(box)[::-1]
        origin = np.array(whole.origin) + rotation @ (np.array(first) * whole.spacing)
        return replace(whole, size=size(box)[::-1], origin=_triple(origin.tolist()))

    def to_canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of a (..., z, y, x) ``array`` on this grid in canonical order."""
        order, flipped = self._array_axes(array.ndim)
        return np.flip(np.transpose(array, order), flipped)

    def from_canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of a canonical (..., z, y, x) ``array`` in this grid's order.

        The inverse of `to_canonical`. Raises ValueError if the shape is not that of the canonical
        grid.
        """
        if array.shape[-3:] != self.shape:
            raise ValueError(f"canonical shape {array.shape[-3:]}, but the grid has {self.shape}")
        order, flipped = self._array_axes(array.ndim)
        return np.transpose(np.flip(array, flipped), np.argsort(order))

    def _array_axes(self, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the canonical order of the file's array axes, and the axes to flip after it."""
        axes = _world_axes(self.orientation)
        lead = ndim - 3
        order = (lead + 2 - axes.index(2 - axis) for axis in range(3))
        letters = zip(axes, self.orientation, strict=True)
        flipped = (lead + 2 - world for world, letter in letters if letter in _REVERSED)
        return (*range(lead), *order), tuple(flipped)


class Gridded(Protocol):
    """Anything on a grid, such as a volume or a header."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Canonical shape (z, y, x)."""

    @property
    def spacing(self) -> Triple:
        """Canonical spacing (z, y, x) in mm."""

    @property
    def native(self) -> Geometry | None:
        """The file's own grid; None if made in memory."""


def same_grid(a: Gridded, b: Gridded, tolerance: float = 0.1) -> str | None:
    """Return None if ``a`` and ``b`` have the same canonical grid, else a sentence on what differs.

    ``tolerance``: how far a difference of spacing, origin or direction may move any voxel, as a
    fraction of a voxel. Files of different orientation can share a canonical grid. Origin,
    direction and unrounded spacing are compared only if both grids come from files.
    """
    if a.shape != b.shape:
        return f"The shape differs: {a.shape} and {b.shape} voxels (z, y, x)."
    if a.native is None or b.native is None:
        return _other_spacing(a.spacing, b.spacing, a.shape, tolerance)
    first, second = a.native.canonical, b.native.canonical
    # unrounded, because 0.46875 mm, of 240 mm in 512 pixels, rounds up or down by noise alone
    if wrong := _other_spacing(first.spacing[::-1], second.spacing[::-1], a.shape, tolerance):
        return wrong
    size, spacing = np.array(first.size), np.array(first.spacing)
    rotation, other = (np.array(grid.direction).reshape(3, 3) for grid in (first, second))
    apart = np.array(second.origin) - np.array(first.origin)
    shift = np.abs(rotation.T @ apart / spacing).max()
    if shift > tolerance:
        return (
            f"The origin differs by {shift:.3g} voxels: {_text(first.origin)} and "
            f"{_text(second.origin)} mm (x, y, z; LPS)."
        )
    # bound on the shift of any voxel along each axis
    turn = (np.abs(rotation.T @ other - np.eye(3)) @ (size * spacing) / spacing).max()
    if turn > tolerance:
        return (
            f"The direction differs, by up to {turn:.3g} voxels at a corner: "
            f"{_text(first.direction)} and {_text(second.direction)}."
        )
    return None


def _other_spacing(
    a: Triple, b: Triple, shape: tuple[int, int, int], tolerance: float
) -> str | None:
    drift = np.abs(np.array(a) / np.array(b) - 1) * np.array(shape)
    if drift.max() <= tolerance:
        return None
    return f"The spacing differs: {_text(a)} and {_text(b)} mm (z, y, x)."


def _world_axes(orientation: str) -> list[int]:
    axes = [_WORLD_AXIS.get(letter, -1) for letter in orientation]
    if sorted(axes) != [0, 1, 2]:
        raise ValueError(f"{orientation!r} is not an orientation code such as 'LPS' or 'RAS'")
    return axes


def _triple(values: list[Any]) -> tuple[Any, Any, Any]:
    x, y, z = values
    return x, y, z


def _text(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
