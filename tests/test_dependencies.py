"""The declarations of dependencies (pyproject.toml, lock, conda environment) agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
CONDA_NAMES = {"pytorch": "torch"}
NOT_LOCKED = {"synapse"}
"""Extras for few users that bring many packages; who needs one installs it by name."""
ONLY_CONDA = {"python", "pip"}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    chosen = [text for name in extras if name not in NOT_LOCKED for text in extras[name]]
    return [Requirement(text) for text in (*project["dependencies"], *chosen)]


def pins() -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def conda() -> dict[str, Requirement]:
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    texts = [item for item in content["dependencies"] if isinstance(item, str)]
    texts += [t for item in content["dependencies"] if isinstance(item, dict) for t in item["pip"]]
    parsed = [Requirement(text.rpartition("::")[2]) for text in texts]
    return {canonicalize_name(CONDA_NAMES.get(r.name, r.name)): r for r in parsed}


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: str(r.name))
def test_the_lock_pins_what_is_declared(requirement: Requirement) -> None:
    pinned = pins().get(canonicalize_name(requirement.name))
    assert pinned is not None
    assert requirement.specifier.contains(pinned, prereleases=True)


def test_conda_lists_the_same_ranges() -> None:
    ranges = {canonicalize_name(r.name): r.specifier for r in declared()}
    listed = {name: r.specifier for name, r in conda().items() if name not in ONLY_CONDA}
    assert listed == ranges


def test_conda_takes_the_same_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(conda()["python"].specifier) == project["requires-python"]


def test_the_pinned_torch() -> None:
    assert pins()["torch"] == "2.13.0"


def test_the_lock_holds_pins_alone() -> None:
    """No address, no host, no file, no option: any registry that serves the versions will do."""
    for line in LOCK.splitlines():
        text = line.partition("#")[0].strip()
        pin = r'[a-z0-9._-]+==[A-Za-z0-9.!]+( ; python_version < "[0-9.]+")?'
        assert not text or re.fullmatch(pin, text), line
    assert not re.search(r"://|file:\S|--|@", LOCK)
