"""What may import what: the layers of the project, read from the sources without importing them."""

import ast
from collections.abc import Iterator
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
    from reports.tables import write
    import importlib
    importlib.import_module("baselines.medsam")
"""
    assert {"pam", "reports", "baselines"} <= {name for name, _ in imported(ast.parse(source), "x")}


@pytest.mark.parametrize("layer", ["pam", "baselines"])
def test_adapters_load_heavy_libraries_late(layer: str) -> None:
    """Modules that define an `Adapter` are imported to list and check methods."""
    for path in sorted((ROOT / layer).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any("MethodInfo(" in ast.unparse(node) for node in tree.body):
            assert not set(at_import(tree)) & HEAVY, path
