"""The folder of a dataset: links to downloaded or unpacked files, beside files placed by hand."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from benchmark.errors import UserError
from benchmark.storage.files import read_json, write_json

Tree = dict[str, "Path | Tree"]


def insert(tree: Tree, where: PurePosixPath, real: Path) -> None:
    """Put ``real`` at ``where``; folders of the same name are merged.

    Raises `UserError` where two files would have the same path.
    """
    node = tree
    for part in where.parts[:-1]:
        node = _opened(node, part, where)
    if where.name not in node:
        node[where.name] = real
    elif real.is_dir():
        _opened(node, where.name, where)
        for child in sorted(real.iterdir()):
            insert(tree, where / child.name, child)
    elif node[where.name] != real:
        raise UserError(
            f"Two sources of the dataset have a file {str(where)!r}. Give one of them a folder of "
            "its own (key 'into' of the file in the entry)."
        )


def _opened(node: Tree, part: str, where: PurePosixPath) -> Tree:
    """Return the folder ``part`` of a node; a link in its place becomes a folder of links."""
    child = node.setdefault(part, {})
    if isinstance(child, Path):
        if not child.is_dir():
            raise UserError(f"{str(where)!r} would lie in {part!r}, which is a file.")
        child = node[part] = {inner.name: inner for inner in sorted(child.iterdir())}
    return child


def make_links(tree: Tree, root: Path, record: Path) -> None:
    """Make the links of ``tree`` below ``root``, and remove the earlier ones listed in ``record``.

    Files placed by hand stay, and take precedence over links of the same name.
    """
    for name in linked(record):
        path = root / name
        if path.is_symlink():
            path.unlink()
    root.mkdir(parents=True, exist_ok=True)
    write_json(record, sorted(_make_links(tree, root, PurePosixPath())))


def _make_links(tree: Tree, root: Path, below: PurePosixPath) -> Iterable[str]:
    for name, child in tree.items():
        path = root / below / name
        if isinstance(child, Path) and path.is_dir() and child.is_dir():
            child = {inner.name: inner for inner in sorted(child.iterdir())}
        if isinstance(child, dict):
            path.mkdir(exist_ok=True)
            yield from _make_links(child, root, below / name)
        elif not os.path.lexists(path):
            path.symlink_to(relative(child, path.parent))
            yield (below / name).as_posix()


def relative(path: Path, folder: Path) -> str:
    """Return the way from ``folder`` to ``path``, also where a folder above is a link elsewhere.

    Where none is, the way stays right when all of them are moved together.
    """
    way = os.path.relpath(path.absolute(), folder.absolute())
    if (folder / way).resolve() == path.resolve():
        return way
    return os.path.relpath(path.absolute(), folder.resolve())


def linked(record: Path) -> list[str]:
    """Return the paths of the recorded links, relative to the root; none if it is damaged."""
    with suppress(UserError, TypeError):  # missing or damaged
        return list(read_json(record))
    return []
