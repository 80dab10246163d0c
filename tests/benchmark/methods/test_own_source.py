"""A user's method that was edited without a new version is told; nothing is rerun for it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import inference
from benchmark.catalogue import Dataset
from benchmark.methods.own_source import RECORDED, changed_files, edited, loaded_source
from benchmark.storage import paths
from benchmark.storage.tables import write_table
from benchmark.study import Study

METHOD = """
import {helper}

from benchmark.adapter import Adapter, MethodInfo


class Mine(Adapter):
    info = MethodInfo(summary="mine", prompts=("box3d",))

    def segment(self, volume, prompts):
        yield from ()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a method in a file, one in a package, and what they import."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alone_m.py").write_text(METHOD.format(helper="beside_m"))
    (tmp_path / "beside_m.py").write_text("LEVEL = 1\n")
    (tmp_path / "unused_m.py").write_text("")
    (tmp_path / "package_m").mkdir()
    (tmp_path / "package_m" / "__init__.py").write_text("")
    (tmp_path / "package_m" / "method.py").write_text(METHOD.format(helper="package_m.net"))
    (tmp_path / "package_m" / "net.py").write_text("")
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.partition(".")[0].endswith("_m"):
            del sys.modules[name]


def test_the_files_of_a_method_are_those_that_it_imports_from_its_folder(folder: Path) -> None:
    assert loaded_source("alone_m:Mine").keys() == {"alone_m.py", "beside_m.py"}
    found = loaded_source("package_m.method:Mine").keys()
    assert found >= {f"package_m/{name}.py" for name in ("__init__", "method", "net")}
    assert "unused_m.py" not in found


@pytest.mark.parametrize("adapter", ["region-growth", "baselines.controls:BoxFill", "pam-2dmask"])
def test_the_projects_methods_have_a_version_alone(adapter: str) -> None:
    assert loaded_source(adapter) == {}


def test_states_are_compared_by_file() -> None:
    assert changed_files([{"a": "1", "b": "1"}, {"a": "1"}, {"b": "2", "c": "1"}, {}]) == ("b",)
    assert changed_files([]) == ()


def test_an_edit_is_told_until_all_masks_are_of_one_state(folder: Path, entry: Any) -> None:
    own: Dataset = entry(folder, shards=2)
    Path("own.yaml").write_text(yaml.safe_dump(own.model_dump(mode="json")))
    methods = {
        "mine": {"adapter": "alone_m:Mine", "prompt": "box3d"},
        "fill": {"adapter": "baselines.controls:BoxFill", "prompt": "box3d"},
    }
    study = Study.read({"study": "s", "datasets": ["own.yaml"], "methods": methods}, "the test's")

    def predict(*shards: int) -> None:
        for run in study.runs.values():
            for shard in shards:
                masks = paths.at(paths.MASKS, run=run.id, dataset=own.id, shard=shard)
                facts = {RECORDED: loaded_source(run.adapter)}
                write_table([], inference.MASK_SCHEMA, masks, facts=facts)

    assert list(edited(study)) == []
    predict(0)
    assert list(edited(study)) == []
    (folder / "unused_m.py").write_text("edited")
    (folder / "beside_m.py").write_text("LEVEL = 2\n")
    (told,) = edited(study)
    assert told.startswith("mine: beside_m.py was edited")
    assert "raise `version`" in told
    predict(1)
    assert len(list(edited(study))) == 1
    predict(0)
    assert list(edited(study)) == []
