"""Entries of weights: validation, contamination, and permitted names."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import catalogue
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.study import Study
from benchmark.weights import registry as weights
from benchmark.weights.registry import File, TrainedOn, Weights

DOCS = Path(__file__).parents[3] / "docs" / "weights.md"


def of(*datasets: str, **changed: Any) -> Weights:
    content = {
        "id": "net",
        "name": "Net",
        "source": {"kind": "manual", "page": "https://example.org", "steps": ["sign the form"]},
        "files": ["sub/net.pt"],
        "trained_on": {"datasets": datasets, "source": "its card"},
    }
    return Weights.read({**content, **changed}, "net.yaml")


@pytest.mark.parametrize("sha256", ["abc", "A" * 64, "0" * 65])
def test_what_is_no_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(UserError, match=r"net\.yaml: files\.0\.sha256"):
        of(files=[{"path": "net.pt", "sha256": sha256}])


@pytest.mark.parametrize("path", ["/etc/passwd", "../net.pt", "a/../../net.pt", ""])
def test_files_stay_below_their_folder(path: str) -> None:
    with pytest.raises(UserError, match=r"net\.yaml: files\.0"):
        of(files=[path])


@pytest.mark.parametrize("name", ["../net", "a/b", ""])
def test_an_id_names_a_folder(name: str) -> None:
    with pytest.raises(UserError, match=r"net\.yaml: id"):
        of(id=name)


def test_what_was_trained_on_needs_a_source() -> None:
    with pytest.raises(UserError, match=r"trained_on\.source"):
        of(trained_on={"datasets": ["D05"]})


def test_one_file_is_handed_over_by_name_and_several_by_their_folder() -> None:
    hashed = [{"path": f"{n}.pt", "sha256": n * 64} for n in "ab"]
    assert (of(files=hashed[:1]).file, of(files=hashed[:1]).sha256) == ("a.pt", "a" * 64)
    assert of(files=hashed).file is None
    assert of(files=hashed).sha256 not in (None, of(files=hashed[::-1]).sha256)
    assert of(files=[hashed[0], "c.pt"]).sha256 is None


def test_only_addresses_and_files_enter_the_fetch() -> None:
    assert of().fetch_digest == of("D05", name="Other", licence={"spdx": "MIT"}).fetch_digest
    assert of().fetch_digest != of(files=["net.pt"]).fetch_digest
    again = {"kind": "manual", "page": "elsewhere", "steps": ["sign", "wait"], "about_gb": 1}
    assert of().fetch_digest == of(source=again).fetch_digest  # what is only told
    http = {"kind": "http", "files": [{"url": "https://example.org/net.pt"}]}
    assert of().fetch_digest != of(source=http).fetch_digest
    steps = [
        of(files=[{"path": "a", "convert": {"function": "my:convert", "arguments": {"steps": n}}}])
        for n in (1, 2)
    ]
    assert steps[0].fetch_digest != steps[1].fetch_digest


def test_contaminated_by_id_and_by_collection(entry: Callable[..., Dataset]) -> None:
    own = entry(collection="hospital")
    assert of("T1").contaminates(own)
    assert of("hospital").contaminates(own)
    assert not of("T2", "clinic").contaminates(own)
    assert not of().contaminates(entry(collection=None))
    assert not of(trained_on=None).contaminates(own)


def test_a_dataset_contaminates_the_others_of_its_collection() -> None:
    """Training on one part of a source collection reaches all datasets cut from it."""
    first, second = catalogue.load("P01"), catalogue.load("P02")
    assert first.collection == second.collection
    assert of("P01").contaminates(second)


def test_a_dataset_contaminates_those_that_hold_its_scans() -> None:
    """D01 gathers scans of the Decathlon and of KiTS."""
    assert of("D10").contaminates(catalogue.load("D01"))
    assert of("D01").contaminates(catalogue.load("D17"))
    assert not of("D10").contaminates(catalogue.load("D17"))


def test_own_data_contaminate_what_is_related_to_them(entry: Callable[..., Dataset]) -> None:
    trained = of(trained_on={"local": ["T1"], "source": "its split"})
    own, other = entry(collection="hospital"), entry(id="T2", collection="hospital")
    assert trained.contaminates(other, [own, other])
    assert not trained.contaminates(other, [other])  # nothing tells where T1 is from
    assert not trained.contaminates(entry(id="T3", collection="clinic"), [own, other])
    assert trained.contaminates(catalogue.load("P01"), [entry(collection="phantoms")])
    shared = [entry(overlaps=["D13"])]  # which is the other way round not told
    assert trained.contaminates(catalogue.load("D13"), shared)
    assert not trained.contaminates(catalogue.load("D01"), shared)


def test_a_typo_in_what_was_trained_on_is_an_error(
    entry: Callable[..., Dataset], tmp_path: Path
) -> None:
    own = entry(collection="hospital")
    of("P01", "D44", "phantoms", "T1", "hospital").check_datasets([own])
    with pytest.raises(UserError, match=r"'hospitl'\. Did you mean: hospital"):
        of("hospitl").check_datasets([own])
    with pytest.raises(UserError, match="Unknown dataset 'D45'"):
        of("D45").check_datasets()
    path = tmp_path / "net.yaml"
    path.write_text(yaml.safe_dump(of("phantom").model_dump(mode="json")))
    method = {"adapter": "box-fill", "prompt": "box3d", "weights": str(path)}
    with pytest.raises(UserError, match=r"'phantom'\. Did you mean: phantoms"):
        Study.read({"study": "s", "datasets": ["P01"], "methods": {"m": method}}, "study.yaml")


def test_own_weights_are_named_by_their_file(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(of("D05").model_dump(mode="json")))
    assert weights.load(str(path)) == of("D05")
    with pytest.raises(UserError, match=r"Unknown weights 'nothing'.*named by a YAML file"):
        weights.load("nothing")


def test_own_weights_leave_the_ids_of_the_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "medsam2.yaml"
    path.write_text(yaml.safe_dump(of(id="medsam2").model_dump(mode="json")))
    with pytest.raises(UserError, match=r"medsam2 is the id of weights of the catalogue"):
        weights.load(str(path))


def test_two_weights_of_a_study_have_two_ids(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.yaml", "again.yaml", "other.yaml")]
    for path, file in zip(paths, ("a.pt", "a.pt", "b.pt"), strict=True):
        Path(path).write_text(yaml.safe_dump(of(files=[file]).model_dump(mode="json")))

    def study(*names: str) -> Study:
        method = {"adapter": "box-fill", "prompt": "box3d"}
        methods = {f"m{n}": {**method, "weights": name} for n, name in enumerate(names)}
        return Study.read({"study": "s", "datasets": ["P01"], "methods": methods}, "study.yaml")

    assert len(study(*paths[:2]).runs) == 2  # one entry, named by two files
    with pytest.raises(UserError, match=r"a\.yaml and .*other\.yaml are different .*'net'"):
        study(*paths)


def test_all_entries_load() -> None:
    for name in weights.names():
        found = weights.load(name)
        assert found.id == name
        found.check_datasets()


def test_the_page_names_every_key_and_its_example_is_valid(tmp_path: Path) -> None:
    page = DOCS.read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    inner = {f"files.{name}" for name in File.model_fields}
    inner |= {f"trained_on.{name}" for name in TrainedOn.model_fields}
    assert told == {*Weights.model_fields, *inner}
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my-network.yaml").write_text(example)
    weights.load(str(tmp_path / "my-network.yaml")).check_datasets()
