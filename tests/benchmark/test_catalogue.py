"""Entries of the catalogue: strict, and with a digest of what a stage depends on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import catalogue
from benchmark.catalogue import Dataset
from benchmark.errors import UserError

Make = Callable[..., Dataset]
LAYOUT = {"image": "{scan}.nii", "label": "{scan}_seg.nii"}


@pytest.mark.parametrize("name", catalogue.names())
def test_every_entry_that_ships_loads(name: str) -> None:
    entry = catalogue.load(name)
    assert entry.id == name
    assert Dataset.read(entry.model_dump(mode="json"), name) == entry


REFUSED = [
    ({"labls": {}}, "Did you mean: labels"),
    ({"layout": {**LAYOUT, "images": "x"}}, "Did you mean: image"),
    ({"source": {"kind": "local", "pth": "x"}}, "Did you mean: path"),
    ({"source": {"kind": "manual", "step": []}}, "Did you mean: steps"),
    ({"source": {"kind": "ftp"}}, "'http', 'zenodo'"),
    ({"labels": {1: {"name": "a", "instance": True}}}, "Did you mean: instances"),
    ({"labels": {0: "background"}}, "0 is the background"),
    ({"labels": {-1: "outside"}}, "from 1 on"),
    ({"labels": {}}, "at least 1 item"),
    ({"labels": {1: "a", 2: "a"}}, "structures named twice: a"),
    ({"labels": {1: {"name": "a", "nsd_tolerance_mm": 0}}}, "greater than 0"),
    ({"layout": {**LAYOUT, "image": "scan.nii"}}, "'scan.nii' lacks {scan}"),
    ({"layout": {**LAYOUT, "label": "scan.nii"}}, "'scan.nii' lacks {scan}"),
    ({"shards": 0}, "greater than or equal to 1"),
    ({"id": "weights"}, "data/weights holds what is shared"),
    ({"id": "downloads"}, "data/downloads holds what is shared"),
    ({"id": "../x"}, "String should match pattern"),
    ({"view": "axal"}, "'axial', 'coronal'"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_a_mistake_is_refused(entry: Make, content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        entry(**content)
    assert message in str(caught.value)


def test_short_forms(entry: Make) -> None:
    got = entry(labels={1: "liver"}, layout=LAYOUT)
    assert got.labels[1].name == "liver"
    assert got.labels[1].instances
    assert got.layout[0].image == ("{scan}.nii",)
    assert not got.licence.redistributable  # unless known


def test_load_by_id_or_by_file(tmp_path: Path, entry: Make) -> None:
    path = tmp_path / "any-name.yaml"
    path.write_text(yaml.safe_dump(entry(tmp_path).model_dump(mode="json")))
    assert catalogue.load(str(path)) == entry(tmp_path)
    with pytest.raises(UserError, match=r"Unknown dataset 'p01'\. Did you mean: P01"):
        catalogue.load("p01")
    with pytest.raises(UserError, match="No such file"):
        catalogue.load(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("content", "stages"),
    [
        ({"name": "x"}, set()),
        ({"licence": {"spdx": "CC0-1.0"}}, set()),
        ({"citation": "x", "homepage": "x", "quirks": ["x"]}, set()),
        ({"source": {"kind": "local", "path": "elsewhere"}}, {"fetch", "prepare"}),
        ({"labels": {1: "lesion"}}, {"prepare"}),
        ({"labels": {1: {"name": "lesion", "nsd_tolerance_mm": 1}}}, {"prepare"}),
        ({"view": "coronal"}, {"prepare"}),
        ({"components": "keep-all"}, {"prepare"}),
        ({"ignore": [9]}, {"prepare"}),
        ({"layout": LAYOUT}, {"prepare"}),
        ({"modality": "MR"}, {"prepare"}),
        ({"collection": "x"}, {"prepare"}),
        ({"shards": 2}, {"prepare"}),
    ],
)
def test_what_a_digest_covers(entry: Make, content: dict[str, Any], stages: set[str]) -> None:
    before, after = entry(), entry(**content)
    for stage in ("fetch", "prepare"):
        differs = before.digest(stage) != after.digest(stage)
        assert differs == (stage in stages), stage
