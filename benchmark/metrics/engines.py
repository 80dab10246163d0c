"""Which code computes surface distances: their values do not depend on it, only the time does."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics import surface_numpy
from benchmark.metrics.surface_numpy import Distances, Spacing

Engine = Literal["auto", "reference", "numpy", "numba"]

# To import numba and to load the compiled code costs a process 0.3 s of CPU time (3 s where it is
# not compiled yet). The numpy engine takes 1 to 2 ms an object and 20 ns a voxel of its crop, the
# numba engine a fifth of that. So numba is worth its price once the process has spent as much with
# numpy, whatever is still to come: at worst that costs twice what hindsight would have chosen.
# The 40 small objects of a job of the demo stay with numpy. Counted, not timed, so that the choice
# depends on nothing but the objects.
_VOXELS_AN_OBJECT = 75_000
_WORTH_NUMBA = 15_000_000  # voxels with numpy: 0.3 s

_spent = 0
_numba_fails = False


def surface_distances(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Spacing,
    tolerance_mm: float,
    engine: Engine,
) -> tuple[Distances, Distances]:
    """As `benchmark.metrics.surface_numpy.surface_distances`, by any ``engine`` but the reference.

    Raises:
        ImportError: engine "numba" where numba is not installed; "auto" then stays with numpy.
    """
    global _numba_fails
    masks = reference, prediction
    if engine == "numba":
        return _by_numba(*masks, spacing, tolerance_mm)
    if engine == "auto" and _numba_is_worth_it(reference.size):
        try:
            return _by_numba(*masks, spacing, tolerance_mm)
        except (ImportError, OSError):  # not installed; a full disk where its cache lies
            _numba_fails = True
    return surface_numpy.surface_distances(*masks, spacing, tolerance_mm)


def _by_numba(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing: Spacing,
    tolerance_mm: float,
) -> tuple[Distances, Distances]:
    from benchmark.metrics import surface_fast

    return surface_fast.surface_distances(reference, prediction, spacing, tolerance_mm)


def _numba_is_worth_it(voxels: int) -> bool:
    global _spent
    if _numba_fails:
        return False
    if _spent < _WORTH_NUMBA:
        _spent += voxels + _VOXELS_AN_OBJECT
        return False
    return True
