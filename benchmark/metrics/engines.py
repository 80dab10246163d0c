"""Which code compares two masks: the values do not depend on it, only the time does."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, Protocol, TypeVar, cast, get_args

from benchmark.boxes import Box, Boxed, volume
from benchmark.metrics import surface_numpy
from benchmark.metrics.surface import Spacing
from benchmark.metrics.surface_numpy import Counts

Engine = Literal["auto", "reference", "numpy", "numba"]
T = TypeVar("T")

# To import numba and to load the compiled code costs a process 0.3 s of CPU time (4 s where it is
# not compiled yet). The numpy engine takes 1 to 2 ms an object and 20 ns a voxel of its crop, the
# numba engine a tenth of that. So numba is worth its price once the process has spent as much with
# numpy, whatever is still to come: at worst that costs twice what hindsight would have chosen.
# The 40 small objects of a job of the demo stay with numpy. Counted, not timed, so that the choice
# depends on nothing but the objects.
_VOXELS_AN_OBJECT = 75_000
_WORTH_NUMBA = 15_000_000  # voxels with numpy: 0.3 s

_spent = 0
_numba_fails = False


class Code(Protocol):
    """What an engine is: a module with these functions; ``Any`` is its own form of a mask."""

    @staticmethod
    def of_mask(mask: Boxed) -> Any:
        """Take a mask, which has its tightest box as ``box`` here too."""

    @staticmethod
    def counts(reference: Any, prediction: Any) -> Counts:
        """Count the voxels of both, of the reference and of the prediction."""

    @staticmethod
    def surface_metrics(
        reference: Any, prediction: Any, spacing: Spacing, tolerance_mm: float
    ) -> dict[str, float]:
        """NSD, HD95, HD, ASD and ASSD, of masks that are not empty."""


def run(engine: Engine, cost: int, work: Callable[[Code], T]) -> T:
    """Do ``work`` by the code of an ``engine``; ``cost``: about how many voxels it looks at.

    Raises:
        ValueError: an ``engine`` of another name.
        ImportError: engine "numba" where numba is not installed; "auto" then stays with numpy.
    """
    global _numba_fails
    if engine not in get_args(Engine):
        raise ValueError(f"The engine must be one of {', '.join(get_args(Engine))}, got {engine}.")
    if engine == "reference":
        from benchmark.metrics import surface_reference

        return work(_code(surface_reference))
    if engine == "numba" or (engine == "auto" and _numba_is_worth_it(cost)):
        try:
            from benchmark.metrics import surface_fast

            return work(_code(surface_fast))
        except (ImportError, OSError):  # not installed; a full disk where its cache lies
            if engine == "numba":
                raise
            _numba_fails = True
    return work(_code(surface_numpy))


def cost(reference: Box, prediction: Box) -> int:
    """Estimate, in voxels, what it takes to compare two masks in these boxes."""
    return _VOXELS_AN_OBJECT + (volume(reference) + volume(prediction)) // 2


def _code(module: ModuleType) -> Code:
    return cast(Code, module)


def _numba_is_worth_it(cost: int) -> bool:
    global _spent
    if _numba_fails:
        return False
    if _spent < _WORTH_NUMBA:
        _spent += cost
        return False
    return True
