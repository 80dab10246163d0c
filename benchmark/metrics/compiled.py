"""Loops compiled by numba: how they are kept on disk, and bits of a machine word counted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.core import config as numba_config
from numba.extending import intrinsic
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""Bits by rows along x, 64 a word, the first in the lowest bit."""

F = TypeVar("F", bound=Callable[..., Any])

config: Any = numba_config  # its settings are made at run time


def compiled(function: F) -> F:
    """Compile on first use and keep the result on disk, in a folder of the user.

    A folder of the user, as the package may lie where nothing can be written; ``NUMBA_CACHE_DIR``
    names another. numba writes a file aside and renames it, so that parallel jobs may share it.
    Where no folder can be written each process compiles for itself.
    """
    named = config.CACHE_DIR
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    config.CACHE_DIR = named or str(Path(caches).expanduser() / "pambench" / "numba")
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except (RuntimeError, OSError):
        return cast(F, njit(nogil=True)(function))
    finally:
        config.CACHE_DIR = named


def _bits(instruction: str) -> Any:
    """Count bits of a word by an ``instruction`` of LLVM; zeros only of a word that is not 0."""

    @intrinsic
    def count(_: Any, word: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            not_zero = [context.get_constant(types.boolean, 1)] if instruction != "ctpop" else []
            return getattr(builder, instruction)(arguments[0], *not_zero)

        return types.int64(types.uint64), emit

    return count


trailing_zeros, leading_zeros, population = map(_bits, ("cttz", "ctlz", "ctpop"))
