"""The source of a user's method, to tell results apart that were made by different states of it.

An edit reruns nothing unless the method's ``version`` is raised. Shards made before and after it
would otherwise stand side by side unnoticed.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.methods.registry import find
from benchmark.storage import paths
from benchmark.storage.digest import code

if TYPE_CHECKING:
    from benchmark.specs import Run
    from benchmark.study import Study

RECORDED = "source"
"""Key in the run record of masks: `loaded_source` of the method that made them."""

_PROJECT = ("baselines", "benchmark", "pam", "reports")


def loaded_source(adapter: str) -> dict[str, str]:
    """Return the digest of each loaded file of a user's method, by its path below `_root`.

    These are its module, and what this process has imported from beside it. Empty for methods of
    this project and of installed packages.
    """
    if (root := _root(adapter)) is None:
        return {}
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    own = {path for file in files if file and _is_own(path := Path(file), root)}
    return {path.relative_to(root).as_posix(): code(path) for path in sorted(own)}


def changed_files(sources: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the files of which ``sources``, each a `loaded_source`, hold different states."""
    states: dict[str, set[str]] = {}
    for source in sources:
        for file, state in source.items():
            states.setdefault(file, set()).add(state)
    return tuple(sorted(file for file, found in states.items() if len(found) > 1))


def edited(study: "Study", workdir: Path = Path()) -> Iterator[str]:
    """Yield a sentence on each method of a user that was edited since some of its masks were made.

    ``workdir``: folder in which the workflow runs.
    """
    for name, run in study.runs.items():
        if (root := _root(run.adapter)) is None:
            continue
        made_by = _sources(study, run, workdir)
        now = _present({file for source in made_by for file in source}, root)
        if found := changed_files([now, *made_by]):
            yield (
                f"{name}: {', '.join(found)} was edited after masks were made with it, which stay "
                "as they are; masks made from now on are of the new code. Next step: raise "
                "`version` in the info of the method to make all of them again."
            )


def edited_since(adapter: str, source: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files of a user's method that are not as in ``source``, a `loaded_source`."""
    root = _root(adapter)
    now = _present(source, root) if root else {}
    return tuple(file for file, state in source.items() if now.get(file) != state)


def _present(files: Iterable[str], root: Path) -> dict[str, str]:
    """Return the digests of those of ``files`` that exist, by their paths below ``root``."""
    return {file: code(root / file) for file in files if (root / file).is_file()}


def _sources(study: "Study", run: "Run", workdir: Path) -> list[dict[str, str]]:
    # Imported late: it brings pandas, and the workflow imports this file each time it is parsed.
    from benchmark.storage.tables import read_record

    shards = (workdir / path for _, path in study.shards(paths.MASKS, run=run.id))
    return [read_record(path).get(RECORDED, {}) for path in shards if path.exists()]


def _root(adapter: str) -> Path | None:
    """Return the folder from which a user's method is imported; None for those of packages."""
    module = sys.modules[find(adapter).__module__]
    if module.__file__ is None:
        return None
    parts = module.__name__.count(".") + hasattr(module, "__path__")
    file = Path(module.__file__)
    root = file.parents[parts]
    is_projects = module.__name__.partition(".")[0] in _PROJECT
    return None if is_projects or not _is_own(file, root) else root


def _is_own(file: Path, root: Path) -> bool:
    if not file.is_relative_to(root) or "site-packages" in file.parts:
        return False
    return file.relative_to(root).parts[0] not in _PROJECT
