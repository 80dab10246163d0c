"""Choice of the code that compares two masks; it affects the time, not the values."""

import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, Protocol, TypeVar, cast, get_args

from benchmark.boxes import Box, Boxed, voxel_count
from benchmark.metrics import surface_numpy
from benchmark.metrics.surface import Spacing
from benchmark.metrics.surface_numpy import Counts

Engine = Literal["auto", "reference", "numpy", "numba"]
T = TypeVar("T")

# Importing numba and loading the compiled code costs each process 0.3 s of CPU time (4 s if not
# compiled yet). The numpy engine takes 1 to 2 ms per object plus 20 ns per voxel of its crop, the
# numba engine a tenth of that. Switching to numba before numpy has taken 0.3 s costs at most twice
# the best choice in hindsight; a job of the demo, with 40 small objects, stays with numpy. The time
# is estimated from voxel counts, not measured, so that the choice is reproducible.
_VOXELS_AN_OBJECT = 75_000
_WORTH_NUMBA = 15_000_000  # voxels, about 0.3 s with numpy

_NUMBA_ERRORS = (ImportError, OSError, EOFError, pickle.UnpicklingError)
"""Numba is not installed; the disk of its cache is full; a file of its cache was cut off."""

_spent = 0
_numba_fails = False


class EngineModule(Protocol):
    """Interface of the module of an engine; ``Any`` is its own representation of a mask."""

    @staticmethod
    def of_mask(mask: Boxed) -> Any:
        """Convert a mask; the result must have a ``box`` too, the tightest box of the mask."""

    @staticmethod
    def counts(reference: Any, prediction: Any) -> Counts:
        """Count the voxels of the intersection, of the reference and of the prediction."""

    @staticmethod
    def surface_metrics(
        reference: Any, prediction: Any, spacing: Spacing, tolerance_mm: float
    ) -> dict[str, float]:
        """Compute the surface metrics of two masks, neither empty; distances in mm."""


def run(engine: Engine, cost: int, work: Callable[[EngineModule], T]) -> T:
    """Return the result of ``work``, called with the module of an ``engine``.

    Args:
        engine: name of the engine; "auto" chooses between "numpy" and "numba".
        cost: estimate of the work in voxels, from `cost`.
        work: function of the engine's module.

    Raises:
        ValueError: the engine is unknown.
        ImportError: the engine is "numba", which is not installed ("auto" then uses numpy).
    """
    global _numba_fails
    if engine not in get_args(Engine):
        raise ValueError(f"The engine must be one of {', '.join(get_args(Engine))}, got {engine}.")
    if engine == "reference":
        from benchmark.metrics import surface_reference

        return work(_as_engine(surface_reference))
    if engine == "numba" or (engine == "auto" and _numba_is_worth_it(cost)):
        try:
            from benchmark.metrics import surface_fast

            return work(_as_engine(surface_fast))
        except _NUMBA_ERRORS:
            if engine == "numba":
                raise
            _numba_fails = True
    return work(_as_engine(surface_numpy))


def cost(reference: Box, prediction: Box) -> int:
    """Estimate the cost, in voxels, of comparing two masks with these boxes."""
    return _VOXELS_AN_OBJECT + (voxel_count(reference) + voxel_count(prediction)) // 2


def _as_engine(module: ModuleType) -> EngineModule:
    return cast(EngineModule, module)


def _numba_is_worth_it(cost: int) -> bool:
    global _spent
    if _numba_fails:
        return False
    _spent += cost
    return _spent > _WORTH_NUMBA
