"""The registry of methods: finds the class of a method by its name.

A study file names a method by its entry point in the group ``pambench.methods``, or directly as
``package.module:Class``.
"""

import functools
import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeGuard

from benchmark.adapter import Adapter
from benchmark.errors import UserError, place, unknown_name

GROUP = "pambench.methods"
"""Group of the entry points that register methods."""


@functools.cache  # reads the metadata of every installed package, and is called for each method
def available() -> Mapping[str, str]:
    """Map the names of the registered methods to ``module:Class``, without importing any of them.

    Raises `UserError` if two packages register different classes under one name.
    """
    found: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        if found.setdefault(point.name, point.value) != point.value:
            raise UserError(
                f"Two packages register the method {point.name!r}: {found[point.name]} and "
                f"{point.value}. Name one of them as module:Class in the study file."
            )
    return found


def find(name: str) -> type[Adapter]:
    """Import and return the class of a method, given its registered name or ``module:Class``.

    Raises `UserError` if the name is unknown, the class is not an `Adapter` or the import fails,
    with whatever exception.
    """
    target = name if ":" in name else available().get(name)
    if target is None:
        raise UserError(
            unknown_name("method", name, available())
            + " A method in a file of your own is named module:Class."
        )
    module, _, attribute = target.partition(":")
    if str(Path.cwd()) not in sys.path:  # for an adapter in the working directory
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        if attribute and (there := sys.modules.get(module)) is not None:
            adapters = [name for name, value in vars(there).items() if _is_adapter(value)]
            raise UserError(unknown_name(f"method in {module}", attribute, adapters)) from error
        raise _not_imported(name, target, error) from error
    except ImportError as error:
        raise _not_imported(name, target, error) from error
    except (Exception, SystemExit) as error:
        raise UserError(
            f"The method {name!r} cannot be imported: {type(error).__name__}: {error}, "
            f"{place(error)}. Next step: correct the file; python -c 'import {module}' shows where "
            "it fails."
        ) from error
    if not _is_adapter(found):
        raise UserError(f"{target} is not a benchmark.adapter.Adapter; see docs/add-a-method.md.")
    return found


def _is_adapter(value: object) -> TypeGuard[type[Adapter]]:
    return isinstance(value, type) and issubclass(value, Adapter)


def _not_imported(name: str, target: str, error: Exception) -> UserError:
    module = target.partition(":")[0]
    path = module.removesuffix(".py").replace("/", ".")
    named = f" A module is named with dots, as in {path}:Class." if path != module else ""
    return UserError(
        f"The method {name!r} cannot be imported from {target} ({error}).{named} "
        "Run from the folder that holds the module, or install its package."
    )


def slug(name: str) -> str:
    """Return the name of a method for folder names: registered name or class, in lower case."""
    return name.rpartition(":")[2].lower()
