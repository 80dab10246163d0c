"""Compilation by numba with a cache on disk, and intrinsics that count bits of a machine word."""

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
"""(z, y, words): rows of bits along x, 64 per word, the first in the lowest bit."""

F = TypeVar("F", bound=Callable[..., Any])

config: Any = numba_config  # typed Any because numba sets its attributes at run time


def compiled(function: F) -> F:
    """Compile ``function`` on first use, without the GIL, and cache the result on disk.

    The cache is in the user's cache folder, because the package may be installed read-only;
    ``NUMBA_CACHE_DIR`` overrides this. numba replaces its files atomically, so parallel jobs can
    share the cache. If it cannot be written, each process compiles for itself.
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
    """Make an intrinsic that applies an LLVM bit-counting ``instruction`` to a uint64.

    The result of ``cttz`` and ``ctlz`` is undefined for a word that is 0.
    """

    @intrinsic
    def count(_: Any, word: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            not_zero = [context.get_constant(types.boolean, 1)] if instruction != "ctpop" else []
            return getattr(builder, instruction)(arguments[0], *not_zero)

        return types.int64(types.uint64), emit

    return count


trailing_zeros, leading_zeros, population = map(_bits, ("cttz", "ctlz", "ctpop"))
