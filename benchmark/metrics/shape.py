"""Shape metrics: box ratio, convex ratio, inverse rotational inertia (IRI), elongation and others.

Box ratio, convex ratio and IRI of 2D masks are the metrics of the paper (section 5.3.4), after
BiomedParse (Zhao et al. 2024, arXiv 2405.12971). The repository of BiomedParse contains no code for
them: the normalisation of IRI to 1 for a disc is inferred from the published values, and the convex
hull of whole voxels is a choice of this project. The 3D versions, with volume in place of area, as
well as elongation and surface to volume are extensions by this project.

A mask is treated as the union of solid voxels, not as a set of points: the hull encloses whole
voxels, and moments include those of each voxel about its own centre. All values are therefore
defined for a single voxel, and box ratio, convex ratio and IRI never exceed 1.
"""

from collections.abc import Sequence
from itertools import combinations, product
from math import pi

import numpy as np
from numpy.typing import NDArray

from benchmark.boxes import Crop, tight
from benchmark.metrics.surface_numpy import surface_area


def shape_2d(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> dict[str, float]:
    """Compute the shape metrics of one slice of an object.

    Args:
        mask: bool (rows, columns).
        spacing: (rows, columns) in mm; (1, 1) gives the paper's metrics, which count pixels.

    Returns:
        box_ratio: area / area of the tightest axis-aligned box.
        convex_ratio: area / area of the convex hull of all pixel corners.
        iri: A^2 / (2 pi RI), where RI is the integral over the area A of the squared distance to
            the centroid: 1 for a disc, 3/pi = 0.955 for a square, closer to 0 for shapes that are
            more spread out.
        elongation: square root of the smallest / largest principal second moment: 1 for a disc or
            a square, b/a for an ellipse with semi-axes a > b.

    Raises:
        ValueError: the mask is empty, not bool or not 2D, or the spacing is not positive.
    """
    return _shape(mask, spacing, 2)


def shape_3d(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Compute the shape metrics of an object in 3D.

    Args:
        mask: bool (z, y, x).
        spacing: (z, y, x) in mm.

    Returns:
        box_ratio, convex_ratio, elongation: as in `shape_2d`, with volumes.
        iri: rotational inertia RI of the ball of the same volume / that of the object. For a
            volume V this is (3/5) V (3V / 4 pi)^(2/3) / RI: 1 for a ball, 0.924 for a cube.
        surface_to_volume: area / volume in 1/mm. The area is that of the marching-cubes table of
            google-deepmind/surface-distance, as in the surface metrics; the staircase of voxels
            makes it about 9 % larger than that of a smooth ball. Below some 20 voxels it is too
            small, since that surface encloses less than the voxels: by a factor of 2.8 for one.

    Raises:
        ValueError: the mask is empty, not bool or not 3D, or the spacing is not positive.
    """
    values = _shape(mask, spacing, 3)
    volume = int(np.count_nonzero(mask)) * float(np.prod(spacing))
    return values | {"surface_to_volume": surface_area(Crop.of(mask), spacing) / volume}


def _shape(mask: NDArray[np.bool_], spacing: Sequence[float], dimensions: int) -> dict[str, float]:
    if mask.dtype != np.bool_ or mask.ndim != dimensions:
        raise ValueError(
            f"Expected a bool mask in {dimensions}D, got {mask.dtype} of shape {mask.shape}."
        )
    if len(spacing) != dimensions or not all(0 < step < np.inf for step in spacing):
        raise ValueError(
            f"The spacing must be {dimensions} positive numbers (mm), got {tuple(spacing)}."
        )
    box = tight(mask)
    if box is None:
        raise ValueError("The shape of an empty mask is undefined: leave the object out.")
    mask = mask[box]
    voxels = int(np.count_nonzero(mask))
    moments = _principal_moments(mask, spacing)
    return {
        "box_ratio": voxels / mask.size,
        "convex_ratio": min(1.0, voxels / _hull_volume(mask)),  # qhull rounds the last digit
        "iri": _round_moment(voxels * float(np.prod(spacing)), dimensions) / float(moments.sum()),
        "elongation": float(np.sqrt(moments[0] / moments[-1])),
    }


def _marginal(mask: NDArray[np.bool_], *kept: int) -> NDArray[np.int64]:
    """Count the voxels of ``mask`` along all axes except the ``kept`` ones."""
    others = tuple(axis for axis in range(mask.ndim) if axis not in kept)
    counts: NDArray[np.int64] = mask.sum(axis=others, dtype=np.int64)
    return counts


def _principal_moments(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the second central moments along the principal axes, per unit volume, ascending.

    They are in mm^2.
    """
    counts = [_marginal(mask, axis) for axis in range(mask.ndim)]
    offsets = []
    for count, step in zip(counts, spacing, strict=True):
        position = np.arange(len(count)) * step
        offsets.append(position - np.average(position, weights=count))
    covariance = np.diag(
        [
            np.average(offset**2, weights=count) + step**2 / 12  # between + within voxels
            for offset, count, step in zip(offsets, counts, spacing, strict=True)
        ]
    )
    for i, j in combinations(range(mask.ndim), 2):
        product_moment = offsets[i] @ _marginal(mask, i, j) @ offsets[j] / counts[0].sum()
        covariance[i, j] = covariance[j, i] = product_moment
    return np.asarray(np.linalg.eigvalsh(covariance), dtype=np.float64)


def _round_moment(size: float, dimensions: int) -> float:
    """Return the second moment about its centroid, per unit size, of a disc or ball, in mm^2.

    ``size`` is the area in mm^2 or the volume in mm^3.
    """
    if dimensions == 2:
        return size / (2 * pi)
    return 3 / 5 * float((3 * size / (4 * pi)) ** (2 / 3))


def _hull_volume(mask: NDArray[np.bool_]) -> float:
    """Return the volume (2D: area), in voxels, of the convex hull of all voxel corners.

    A corner between two others on a grid line is not a vertex of the hull, so the ends of each line
    are enough; they are few.
    """
    from scipy.spatial import ConvexHull

    filled = mask.any(axis=-1)
    lines, starts = mask[filled], np.argwhere(filled)
    ends = lines.argmax(axis=1), mask.shape[-1] - lines[:, ::-1].argmax(axis=1)
    corners = np.concatenate(
        [
            np.column_stack([starts + offset, end])
            for offset in product((0, 1), repeat=mask.ndim - 1)
            for end in ends
        ]
    )
    for axis in range(mask.ndim):
        corners = _ends_of_lines(corners, axis)
    return float(ConvexHull(corners).volume)


def _ends_of_lines(points: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Keep the first and last of the ``points``, (n, d), on each grid line along ``axis``."""
    others = [other for other in range(points.shape[1]) if other != axis]
    points = points[np.lexsort([points[:, column] for column in (axis, *others)])]
    changes = np.any(np.diff(points[:, others], axis=0) != 0, axis=1)
    ends: NDArray[np.bool_] = np.append(True, changes) | np.append(changes, True)
    return np.asarray(points[ends])
