"""Pixels as published, before they are brought to the canonical grid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmark.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixels (channel, z, y, x) in the voxel order of a file, and the grid they lie on.

    ``sized`` is false where the file does not give the size of its voxels, and 1 mm was taken.
    """

    path: Path
    array: NDArray[Any]
    grid: Geometry
    sized: bool = True
