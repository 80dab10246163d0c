"""The registry: names, refusals, and listing methods without heavy imports."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from baselines.controls import Oracle
from benchmark.errors import UserError
from benchmark.methods.registry import GROUP, available, find
from benchmark.weights import registry


def test_methods_that_ship_are_registered_and_importable() -> None:
    shipped = {"oracle", "empty", "box-fill", "ellipsoid", "copy-mask"}
    shipped |= {"region-growth", "flow-propagation"}
    assert shipped <= available().keys()
    for name in shipped:
        assert find(name).info.summary


def test_what_ships_states_its_licence() -> None:
    """That of the code of each method, and that of weights, or that nobody has stated it."""
    own = {name for name, at in available().items() if at.startswith(("baselines", "pam"))}
    assert len(own) >= 18
    assert [name for name in own if not find(name).info.licence] == []
    entries = [registry.load(name).licence for name in registry.names()]
    assert all(entry.note for entry in entries)


def test_a_name_and_its_module_and_class_are_the_same() -> None:
    assert find("oracle") is find("baselines.controls:Oracle") is Oracle


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'region-grwth'.*Did you mean: region-growth"):
        find("region-grwth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:Class", "cannot be imported"),
        ("no/such/module.py:Class", r"named with dots, as in no\.such\.module:Class"),
        ("baselines.controls:", "cannot be imported"),
        ("baselines.controls:Orakle", r"method in baselines\.controls 'Orakle'.*mean: Oracle"),
        ("benchmark.methods.registry:find", "not a benchmark.adapter.Adapter"),
        ("benchmark.masks:Mask", "not a benchmark.adapter.Adapter"),
    ],
)
def test_what_is_no_adapter_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("def segment(self)", r"SyntaxError: expected ':'.*, in line 1 of .*broken\.py"),
        ("info = nowhere", r"NameError: .*'nowhere'.*, in line 1 of .*broken\.py"),
        ("raise SystemExit('no engine')", r"SystemExit: no engine, in line 1 of .*broken\.py"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_line(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=message):
        find("broken:Class")


def _registered(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = EntryPoints(EntryPoint(name, value, GROUP) for name, value in points)
    monkeypatch.setattr(
        "benchmark.methods.registry.entry_points", lambda group: found.select(group=group)
    )


def test_a_name_registered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _registered(monkeypatch, ("twin", "one:A"), ("twin", "two:B"))
    with pytest.raises(UserError, match=r"'twin': one:A and two:B"):
        available.__wrapped__()


def test_the_same_registration_seen_twice_is_one_method(monkeypatch: pytest.MonkeyPatch) -> None:
    _registered(monkeypatch, ("twin", "one:A"), ("twin", "one:A"))
    assert available.__wrapped__() == {"twin": "one:A"}


def test_finding_every_shipped_method_loads_no_heavy_library() -> None:
    code = (
        "import sys; from benchmark.methods.registry import available, find; "
        "[find(name) for name in available()]; "
        "print(*({'torch', 'skimage', 'SimpleITK', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
