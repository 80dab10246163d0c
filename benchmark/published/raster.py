"""Pixels as they are published, before anything is brought to the canonical grid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmark.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixels (channels, z, y, x) in the order of a file, and the grid that they lie on."""

    path: Path
    array: NDArray[Any]
    grid: Geometry
