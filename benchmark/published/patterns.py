"""Patterns of a layout: names in braces stand for what tells the scans of a dataset apart."""

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.published.wildcards import paths_like


def matches(root: Path, pattern: str, where: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Texts of the names in braces, for each path below ``root`` that fits ``pattern``.

    A name that stands several times has one text; a text does not begin with a dot (archives made
    on a Mac hold a ._ file for each).
    """
    expression, glob, seen = "", "", set[str]()
    for text, name, _, _ in string.Formatter().parse(pattern):
        expression += _expression(text, at_start=not expression or expression.endswith("/"))
        glob += text
        if name in seen:
            expression += f"(?P={name})"
        elif name is not None:
            expression += f"(?P<{name}>{where.get(name, '[^/.][^/]*')})"
            seen.add(name)
        glob += "*" if name is not None else ""
    glob = re.sub(r"\*{2,}(?!/)|(?<=[^/])\*{2,}", "*", glob)  # only a whole name may be **
    for path in paths_like(root, glob):
        if matched := re.fullmatch(expression, path.relative_to(root).as_posix()):
            yield matched.groupdict()


def resolve(root: Path, pattern: str, fields: Mapping[str, str]) -> Path:
    """Path of ``pattern`` for a scan; with wildcards the only one that fits, if there is one."""
    plain = fill(pattern, fields)
    if "*" not in plain or "{" in plain:
        return root / plain
    fitting = paths_like(root, plain)
    return fitting[0] if len(fitting) == 1 else root / plain


def fill(pattern: str, fields: Mapping[str, str]) -> str:
    """Put the texts of ``fields`` in the place of their names; other names in braces stay."""
    for name, text in fields.items():
        pattern = pattern.replace(f"{{{name}}}", text)
    return pattern


def _expression(text: str, *, at_start: bool) -> str:
    found = re.escape(text).replace(r"\*\*/", "(?:[^/.][^/]*/)*")
    found = re.sub(r"(^|/)\\\*", r"\1(?!\\.)[^/]*" if at_start else r"\1[^/]*", found)
    return found.replace(r"\*", "[^/]*")
