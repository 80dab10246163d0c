"""Which package may import which, checked in the sources without importing them."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("benchmark", "pam", "baselines", "reports")
ALLOWED = {
    "benchmark": {"benchmark"},
    "pam": {"benchmark", "pam"},
    "baselines": {"benchmark", "baselines"},
    "reports": {"benchmark", "reports"},
}
HEAVY = {"torch", "skimage", "SimpleITK", "matplotlib", "pandas", "transformers", "monai"}


def imported(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """Top-level packages that a module imports anywhere, also in functions, and by which line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (package if node.level else (node.module or "").partition(".")[0]), node.lineno
        elif isinstance(node, ast.Call) and node.args:
            name, first = ast.unparse(node.func), node.args[0]
            dynamic = name.endswith("import_module") or name == "__import__"
            if dynamic and isinstance(first, ast.Constant):
                yield str(first.value).partition(".")[0], node.lineno


def at_import(tree: ast.Module) -> Iterator[str]:
    """Top-level packages that are loaded as soon as the module is imported."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (name for name, _ in imported(node, ""))


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8")), layer)
        if name in LAYERS and name not in ALLOWED[layer]
    ]
    assert not wrong


def test_the_check_sees_every_form_of_import() -> None:
    source = """
import pam.network
def late():
    from reports.tables import make
    import importlib
    importlib.import_module("baselines.medsam")
"""
    assert {"pam", "reports", "baselines"} <= {name for name, _ in imported(ast.parse(source), "x")}


def modules() -> dict[str, ast.Module]:
    """All modules of the layers by their dotted names; a package is its ``__init__``."""
    found = {}
    for path in (path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def runs(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from runs(child)


def imports(found: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """By module, the modules that it imports, also in functions."""
    graph: dict[str, set[str]] = {name: set() for name in found}
    for name, tree in found.items():
        for node in runs(tree):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = (f"{node.module}.{alias.name}" for alias in node.names)
                graph[name] |= {one if one in found else node.module for one in whole}
    return graph


def of_packages(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The graph between the packages, and the single modules, directly below each layer."""
    joined: dict[str, set[str]] = {}
    for name, others in graph.items():
        package = shortened(name)
        joined.setdefault(package, set()).update({shortened(other) for other in others} - {package})
    return joined


def shortened(name: str) -> str:
    return ".".join(name.split(".")[:2])


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Names that import each other in a ring; none where there is no ring."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    assert cycle(imports(modules())) == []


def test_no_packages_import_each_other() -> None:
    assert cycle(of_packages(imports(modules()))) == []


def test_late_imports_make_a_cycle() -> None:
    late = "def read():\n    from a import b\n"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import b\n"
    for source, ring in ((late, {"a.b", "a.c"}), (typed, set())):
        sources = {"a": "", "a.b": "import a.c\n", "a.c": source}
        found = {name: ast.parse(text) for name, text in sources.items()}
        assert set(cycle(imports(found))) == ring


def test_packages_make_a_cycle_where_their_modules_make_none() -> None:
    sources = {"a.b.x": "import a.c", "a.b.y": "", "a.c": "from a.b import y"}
    graph = imports({name: ast.parse(text) for name, text in sources.items()})
    assert cycle(graph) == []
    assert set(cycle(of_packages(graph))) == {"a.b", "a.c"}


@pytest.mark.parametrize("layer", ["pam", "baselines"])
def test_adapters_load_heavy_libraries_late(layer: str) -> None:
    """Modules that define an `Adapter` are imported to list and check methods."""
    for path in sorted((ROOT / layer).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any("MethodInfo(" in ast.unparse(node) for node in tree.body):
            assert not set(at_import(tree)) & HEAVY, path
