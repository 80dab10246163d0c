"""Weights: found, checked by hash, and what they contaminate."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import catalogue, weights
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.weights import Weights

CONTENT = b"not quite a network"
RIGHT = hashlib.sha256(CONTENT).hexdigest()


def of(**changed: Any) -> Weights:
    content = {
        "id": "net",
        "name": "Net",
        "source": {"kind": "manual", "page": "https://example.org", "steps": ["sign the form"]},
        "file": "sub/net.pt",
    }
    return Weights.read({**content, **changed}, "net.yaml")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "files" / "sub" / "net.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path


def test_right(raw: Path) -> None:
    for sha256 in (RIGHT, None):
        status = of(sha256=sha256).fetch(raw)
        assert (status.state, status.reason) == ("ready", None)
        assert (Path(status.root) / "sub/net.pt").read_bytes() == CONTENT


def test_wrong_hash(raw: Path) -> None:
    status = of(sha256="0" * 64).fetch(raw)
    assert status.state == "failed"
    assert status.reason is not None
    assert RIGHT in status.reason
    assert "expected " + "0" * 64 in status.reason


def test_missing(tmp_path: Path) -> None:
    status = of(sha256=RIGHT).fetch(tmp_path)
    assert status.state == "manual"
    assert status.reason is not None
    assert "sign the form" in status.reason


def test_another_file_in_its_place(raw: Path) -> None:
    status = of(file="net.safetensors").fetch(raw)
    assert status.state == "manual"
    assert status.reason is not None
    assert "net.safetensors is missing" in status.reason


@pytest.mark.parametrize("sha256", ["abc", RIGHT.upper(), RIGHT + "0"])
def test_what_is_no_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(UserError, match=r"net\.yaml: sha256"):
        of(sha256=sha256)


@pytest.mark.parametrize("name", ["../net", "a/b", ""])
def test_an_id_names_a_folder(name: str) -> None:
    with pytest.raises(UserError, match=r"net\.yaml: id"):
        of(id=name)


def test_contaminated_by_id_and_by_collection(entry: Callable[..., Dataset]) -> None:
    own = entry(collection="hospital")
    assert of(trained_on=["T1"]).contaminates(own)
    assert of(trained_on=["hospital"]).contaminates(own)
    assert not of(trained_on=["T2", "clinic"]).contaminates(own)
    assert not of().contaminates(entry(collection=None))


def test_a_dataset_contaminates_the_others_of_its_collection() -> None:
    """Training on one part of a source collection reaches all datasets cut from it."""
    first, second = catalogue.load("P01"), catalogue.load("P02")
    assert first.collection == second.collection
    assert of(trained_on=["P01"]).contaminates(second)


def test_own_weights_are_named_by_their_file(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(of(sha256=RIGHT).model_dump(mode="json")))
    assert weights.load(str(path)) == of(sha256=RIGHT)
    with pytest.raises(UserError, match=r"Unknown weights 'nothing'.*named by a YAML file"):
        weights.load("nothing")


def test_all_entries_load() -> None:
    for name in weights.names():
        assert weights.load(name).id == name
