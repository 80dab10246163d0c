"""The plan printed before anything is fetched, and the commands on datasets."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from benchmark import catalogue, cli
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.overview import plan
from benchmark.storage import paths
from tests.benchmark.sources.test_fetched import zipped

Make = Callable[..., Dataset]
Save = Callable[..., None]
ZIP = zipped(images__a=b"image")


def invoke(*arguments: str) -> str:
    """What a command prints, without its bars."""
    done = CliRunner().invoke(cli.app, ["datasets", *arguments], catch_exceptions=False)
    return done.stdout


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", _no_network)
    return tmp_path


def _no_network(*_: Any) -> None:
    raise AssertionError("a plan asks nobody")


def write(entry: Dataset) -> str:
    path = Path(f"{entry.id}.yaml")
    path.write_text(yaml.safe_dump(entry.model_dump(mode="json")), encoding="utf-8")
    return str(path)


def manual(**keys: Any) -> dict[str, Any]:
    return {"kind": "manual", "steps": ["sign", "download"], "files": [{"name": "a.zip", **keys}]}


def test_what_comes_by_itself_and_what_does_not(here: Path, entry: Make) -> None:
    zenodo = {"kind": "zenodo", "record": 1, "files": [{"name": "x.zip", "size": 2_500_000_000}]}
    http = {"kind": "http", "files": [{"url": "https://example.org/y.zip"}]}
    licence = {"spdx": "CC-BY-4.0"}
    names = [
        write(entry(id="Z1", source=zenodo, licence=licence)),
        write(entry(id="Z2", source=zenodo)),
        write(entry(id="H1", source=http, licence={"note": "ask first"})),
        write(entry(id="M1", source=manual(), registration="an account")),
        "P01",
    ]
    told = invoke("plan", *names).splitlines()
    assert told[0] == "Comes by itself: 4 datasets, 2.5 GB and what is not known of 1"
    assert [line.split()[0] for line in told[1:5]] == ["Z1", "Z2", "H1", "P01"]
    assert told[1].split()[2:] == ["2.5", "GB", "zenodo", "licence:", "CC-BY-4.0"]
    assert told[3].endswith("size not known  http        licence: ask first")
    assert "generated" in told[4]
    at = told.index("To be done by hand: 1 dataset, 0.0 GB and what is not known of 1")
    assert [line.strip() for line in told[at + 2 : at + 6]] == [
        "needs an account",
        "1. sign",
        "2. download",
        "3. put a.zip into data/M1/raw/files (archives are unpacked for you)",
    ]
    assert "Downloaded once for all that share it: Z1 and Z2" in told
    assert told[-1].startswith("Free on this disk: ")
    assert not (here / "data").exists()


def test_a_size_that_is_known_in_part(here: Path, entry: Make) -> None:
    known = {"kind": "zenodo", "record": 1, "files": [{"name": "x.zip", "size": 2_500_000_000}]}
    unknown = {"kind": "http", "files": [{"url": "https://example.org/y.zip"}]}
    combined = {"kind": "combined", "parts": [known, unknown]}
    told = invoke("plan", write(entry(id="C1", source=combined))).splitlines()
    assert told[0] == "Comes by itself: 1 dataset, 2.5 GB and what is not known of 1"
    assert "over 2.5 GB" in told[1]
    told = invoke("plan", write(entry(id="C2", source={**combined, "about_gb": 3}))).splitlines()
    assert told[0] == "Comes by itself: 1 dataset, 3.0 GB"


def test_layouts_that_nobody_has_checked(here: Path, entry: Make) -> None:
    layout = {
        "image": "{scan}.nii",
        "label": "{scan}_l.nii",
        "unverified": "the name of the folder",
    }
    told = invoke("plan", write(entry(id="U1", layout=layout)))
    assert "Not verified against the files" in told
    assert "  U1: the name of the folder" in told


def test_a_study_is_planned_by_its_datasets(here: Path) -> None:
    study = {"study": "s", "datasets": ["D32", "D36", "D43"], "methods": {}}
    study["methods"] = {"m": {"adapter": "ellipsoid", "prompt": "box3d"}}
    Path("s.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    assert [entry.id for entry in plan.datasets(["s.yaml"])] == ["D32", "D36", "D43"]
    assert [entry.id for entry in plan.datasets(["s.yaml", "D36"])] == ["D32", "D36", "D43"]
    told = invoke("plan", "s.yaml")
    assert "Downloaded once for all that share it: D36 and D43" in told
    assert "919.2 MB" in told.splitlines()[0]  # 28.4 MB and, once, 890.8 MB


def test_the_whole_catalogue_can_be_planned(here: Path) -> None:
    items = plan.items(plan.datasets(catalogue.names()))
    told = "\n".join(plan.text(items))
    for name in catalogue.names():
        assert f"  {name} " in told
    by_hand = {item.dataset.id for item in items if item.steps}
    kinds = {item.dataset.id: item.dataset.source.kind for item in items}
    assert {name for name, kind in kinds.items() if kind == "manual"} <= by_hand
    assert not {name for name, kind in kinds.items() if kind in ("zenodo", "idc", "http")} & by_hand


def test_from_the_plan_to_a_checked_dataset(here: Path, entry: Make, save_scan: Save) -> None:
    own = here / "own"
    save_scan(own, "a")
    made = zipped(
        **{
            path.relative_to(own).as_posix().replace("/", "__"): path.read_bytes()
            for path in own.rglob("*.nii.gz")
        }
    )
    name = write(entry(source=manual(sha256=hashlib.sha256(made).hexdigest())))
    with pytest.raises(UserError, match=r"is not here\. Run: pambench datasets fetch"):
        invoke("prepare", name)
    with pytest.raises(UserError, match="nothing was fetched yet"):
        invoke("verify", name)
    with pytest.raises(UserError, match="Not there yet: T1"):
        invoke("fetch", name)
    files = here / "data" / "T1" / "raw" / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "a.zip").write_bytes(made)
    assert invoke("fetch", name) == "T1: ready: 3 files\n"
    assert not (files.parent / "status.json").exists()  # that is the workflow's to write
    assert invoke("plan", name).startswith("Here already: 1 dataset")
    told = invoke("prepare", name)
    assert "1 scans" in told
    assert "2 lesion" in told
    assert invoke("verify", name) == "T1: 1 of 1 files unchanged\n"
    next((files / "labels").iterdir()).write_bytes(b"damaged")
    with pytest.raises(UserError, match="Changed since the fetch: T1"):
        invoke("verify", name)


def test_fewer_scans_than_published_are_told(here: Path, entry: Make, save_scan: Save) -> None:
    for scan in ("a", "b"):
        save_scan(here / "own", scan)
    name = write(entry(here / "own", scans=3))
    assert "2 of 3 published scans\n" in invoke("prepare", name)
    assert "2 scans\n" in invoke("prepare", name, "--shard", "0")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda raw: (raw / "files" / "images").unlink(), "lead nowhere"),
        (lambda raw: (raw / "files" / "a.zip").write_bytes(b"x"), "its content is not what"),
        (lambda raw: (raw / "unpacked" / "a.zip.json").unlink(), "unpacked of it has changed"),
    ],
)
def test_verify_finds(here: Path, entry: Make, spoil: Callable[[Path], None], told: str) -> None:
    made = entry(source=manual())
    raw = paths.raw_folder(made.id)
    (raw / "files").mkdir(parents=True)
    (raw / "files" / "a.zip").write_bytes(ZIP)
    name = write(made)
    invoke("fetch", name)
    spoil(raw)
    result = CliRunner().invoke(cli.app, ["datasets", "verify", name])
    assert isinstance(result.exception, UserError)
    assert told in result.stdout


def test_an_archive_that_was_deleted_is_no_fault(here: Path, entry: Make) -> None:
    made = entry(source=manual())
    raw = paths.raw_folder(made.id)
    (raw / "files").mkdir(parents=True)
    (raw / "files" / "a.zip").write_bytes(ZIP)
    name = write(made)
    invoke("fetch", name)
    (raw / "files" / "a.zip").unlink()
    assert invoke("verify", name) == "T1: 1 of 1 files unchanged\n"


def test_citations(here: Path, entry: Make) -> None:
    known = write(entry(id="A", name="Set", citation="doi:10.1/x", homepage="https://a.org"))
    data = write(entry(id="D", name="Set", citation="doi:10.1/x", data_citations=["doi:10.2/y"]))
    words = write(entry(id="B", name="Other", citation="Somebody, 2020"))
    unknown = write(entry(id="C", name="Third"))
    assert invoke("cite", known, words, unknown).splitlines() == [
        "A: Set. https://doi.org/10.1/x. https://a.org",
        "B: Other. Somebody, 2020",
        "C: Third. no citation known",
    ]
    both = "https://doi.org/10.1/x and https://doi.org/10.2/y"
    assert invoke("cite", data).splitlines() == [f"D: Set. {both}"]
    assert "@misc{D-data-1,\n  title = {{Set: data}},\n  doi = {10.2/y},\n}" in invoke(
        "cite", "--bibtex", data
    )
    bibtex = invoke("cite", "--bibtex", known, words, unknown)
    assert "@misc{A,\n  title = {{Set}},\n  doi = {10.1/x},\n  url = {https://a.org},\n}" in bibtex
    assert "note = {Somebody, 2020}" in bibtex
