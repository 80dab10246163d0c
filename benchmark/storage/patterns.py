"""Path patterns of a layout; names in braces stand for the parts that identify a scan."""

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.storage.wildcards import paths_like


def matches(root: Path, pattern: str, where: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the values of the names in braces, for each path below ``root`` that fits ``pattern``.

    A name that occurs several times has the same value each time. ``where`` gives regular
    expressions for names; by default a value does not begin with a dot, as archives made on macOS
    hold a ``._`` file for every file.
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
    glob = re.sub(r"\*{2,}(?!/)|(?<=[^/])\*{2,}", "*", glob)  # ** only as a whole name
    for path in paths_like(root, glob):
        if matched := re.fullmatch(expression, path.relative_to(root).as_posix()):
            yield matched.groupdict()


def resolve(root: Path, pattern: str, fields: Mapping[str, str]) -> Path:
    """Return the path of ``pattern`` for a scan.

    Wildcards are resolved if exactly one path fits; otherwise they stay.
    """
    plain = fill(pattern, fields)
    if "*" not in plain or "{" in plain:
        return root / plain
    fitting = paths_like(root, plain)
    return fitting[0] if len(fitting) == 1 else root / plain


def fill(pattern: str, fields: Mapping[str, str]) -> str:
    """Replace the names in braces by the values of ``fields``; other names stay."""
    for name, text in fields.items():
        pattern = pattern.replace(f"{{{name}}}", text)
    return pattern


def _expression(text: str, *, at_start: bool) -> str:
    found = re.escape(text).replace(r"\*\*/", "(?:[^/.][^/]*/)*")
    found = re.sub(r"(^|/)\\\*", r"\1(?!\\.)[^/]*" if at_start else r"\1[^/]*", found)
    return found.replace(r"\*", "[^/]*")
