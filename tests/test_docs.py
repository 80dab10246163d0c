"""The documentation matches the code: examples run, and keys are those of the settings."""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from baselines.command import Command
from benchmark import catalogue, prepare, volume
from benchmark.catalogue import Dataset
from benchmark.catalogue.layout import Layout
from benchmark.metrics import metrics_markdown
from benchmark.settings import Settings
from benchmark.storage import paths
from benchmark.study import Study
from benchmark.study.sections import REFERENCE_OF_PROTOCOL

ROOT = Path(__file__).parents[1]
METHOD = ROOT / "docs" / "add-a-method.md"
DATASET = ROOT / "docs" / "add-a-dataset.md"
OUTSIDE = ROOT / "docs" / "external-methods.md"
STUDY = ROOT / "config" / "README.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    STUDY,
    *sorted((ROOT / "docs").glob("*.md")),
]

# A value of each key that differs from that of `base_study`, and of the page's entry.
STUDY_CHANGES: dict[str, Any] = {
    "study": "other",
    "protocol": "released",
    "seed": 1,
    "datasets": ["P02"],
    "methods.<name>.adapter": "methods_of_docs:Other",
    "methods.<name>.prompt": "box3d",
    "methods.<name>.weights": "weights.yaml",
    "methods.<name>.options": {"size": 2},
    "methods.<name>.variants": {"large": {"size": 3}},
    "deviations": [0, 0.1],
    "metrics.nsd_tolerance_mm": 1.0,
    "metrics.tolerances": {"liver": 1.0},
    "metrics.reference": "label",
    "metrics.empty.distance": "leave-out",
    "metrics.in_prompt": True,
    "metrics.engine": "reference",
    "budgets.lost_share": 0.5,
    "budgets.timed_objects": 0,
    "analysis.seed": 1,
    "analysis.resamples": 500,
    "analysis.confidence": 0.9,
    "analysis.margin": 0.05,
    "analysis.mixed_scans": 5,
    "analysis.controls": ["m"],
    "analysis.reference": "m",
    "analysis.interaction": "times.csv",
    "analysis.runs": "runs.csv",
    "analysis.cohorts.<name>.table": "patients.csv",
    "analysis.cohorts.<name>.patient": "id",
    "analysis.cohorts.<name>.time": "days",
    "analysis.cohorts.<name>.event": "died",
    "analysis.cohorts.<name>.pre": "before",
    "analysis.cohorts.<name>.post": "after",
    "analysis.cohorts.<name>.structure": "liver",
    "analysis.cohorts.<name>.covariates": ["age"],
    "analysis.thickness.<name>.plain": 30,
    "analysis.thickness.<name>.variants": {"thick": 40},
    "analysis.thickness.<name>.least_slices": 1,
    "analysis.thickness.<name>.most_slices": 5,
    "training.models.<name>.kind": "scratch",
    "training.models.<name>.method": "m",
    "training.models.<name>.adapter": "methods_of_docs:OtherLearner",
    "training.models.<name>.options": {"size": 2},
    "training.models.<name>.seeds": [1],
    "training.models.<name>.tested_on": "own",
    "training.references": ["m"],
    "training.ablations": {"size": {"small": "m", "large": "n"}},
    "report.title": "Other",
    "report.colours": {"m": "#000000"},
    "report.panels": 2,
    "report.cases_mb": 3.0,
    "report.panel_method": "m",
    "report.private_images": True,
}
DATASET_CHANGES: dict[str, Any] = {
    "id": "other",
    "name": "Other",
    "split": "external",
    "modality": "MR",
    "sequence": "T1",
    "channels": ["T1", "T2"],
    "view": "coronal",
    "source": {"kind": "local", "path": "elsewhere"},
    "layout.image": "other/{scan}.nii.gz",
    "layout.label": "other/{scan}.nii.gz",
    "layout.series.modality": "MR",
    "layout.series.description": "axial",
    "layout.series.segmentation": "final",
    "layout.series.grid": "PT",
    "layout.scan": "x-{scan}",
    "layout.patient": "(.)",
    "layout.scans_per_patient": 2,
    "layout.where": {"scan": "case.*"},
    "layout.each_channel": True,
    "layout.partly_annotated": True,
    "layout.unlabelled": "leave-out",
    "layout.block": [64, 64, 64],
    "layout.image_transforms": [{"name": "linear", "intercept": -1000}],
    "layout.label_transforms": ["onto-image"],
    "layout.unverified": "folders",
    "labels.<value>.name": "spleen",
    "labels.<value>.key": "Spleen",
    "labels.<value>.instances": True,
    "labels.<value>.nsd_tolerance_mm": 7.0,
    "ignore": [9],
    "not_evaluated": [9],
    "components": "keep-all",
    "shards": 2,
    "scans": 12,
    "licence.spdx": "MIT",
    "licence.redistributable": True,
    "licence.note": "none",
    "collection": "other",
    "overlaps": ["P01"],
    "registration": "a form",
    "homepage": "https://example.org",
    "citation": "nobody",
    "data_citations": ["doi:1"],
    "quirks": ["one"],
    "spacing_note": "It is lost.",
    "released": {"ignore": [9]},
}
METHODS = """
from benchmark.adapter import Adapter, Learner, MethodInfo

class Sized(Adapter):
    info = MethodInfo(summary="sized", prompts=("box3d", "mask2d"))

    class Options(Adapter.Options):
        size: int = 1

    def segment(self, volume, prompts):
        raise NotImplementedError

class Other(Sized):
    pass

class Learns(Sized, Learner):
    class Options(Sized.Options, Learner.Options):
        seed: int = 0

    def plan(self, cases, structures, workdir):
        raise NotImplementedError

    def fit(self, workdir, device, start):
        raise NotImplementedError

class OtherLearner(Learns):
    pass
"""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def files(page: Path) -> dict[str, str]:
    """The YAML blocks that begin with the name of their file, by it."""
    named = (re.match(r"# (\S+\.yaml)\n", block) for block in blocks(page, "yaml"))
    return {match[1]: match.string for match in named if match}


def rows(page: Path, heading: str) -> list[list[str]]:
    """Cells of the table whose head begins with the cell ``heading``, without its head."""
    _, _, after = page.read_text(encoding="utf-8").partition(f"\n| {heading} |")
    assert after, f"no table {heading!r} in {page.name}"
    table = after.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def documented(page: Path) -> dict[str, tuple[str, set[str]]]:
    """Default as written and what the key enters, by the key."""
    found = {
        key.strip("`"): (default.strip("`"), set(enters.strip("| ").split(", ")) - {"none"})
        for key, default, _, enters in rows(page, "key")
    }
    assert len(found) == len(rows(page, "key"))
    return found


def nested(annotation: Any) -> list[type[Settings]]:
    """The settings that a field holds, itself or as values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for part in get_args(annotation) for model in nested(part)]


def keys(model: type[Settings], item: str, before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a file by their path; ``item`` stands for the keys of a mapping."""
    for name, field in model.model_fields.items():
        models = nested(field.annotation)
        if len(models) == 1:
            each = f"{item}." if get_origin(field.annotation) is dict else ""
            yield from keys(models[0], item, f"{before}{name}.{each}")
        else:
            yield before + name, field


def changed(content: Mapping[str, Any], path: str, value: Any, item: Any) -> dict[str, Any]:
    """Copy of ``content`` with another value at ``path``."""
    first, _, rest = path.partition(".")
    key = item if first.startswith("<") else first
    inner = changed(content.get(key) or {}, rest, value, item) if rest else value
    return {**content, key: inner}


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert metrics_markdown() in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, the home and the files of the page: two scans with a liver and two lesions."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for page in (DATASET, STUDY):
        for name, text in files(page).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
    folder = tmp_path / "scans" / "liver"
    labels = np.zeros((8, 20, 20), dtype=np.uint8)
    labels[1:7, 2:18, 2:18] = 1
    labels[2:4, 4:8, 4:8] = labels[4:6, 12:15, 12:15] = 2
    labels[0, 0, 0] = 255
    for scan in ("case01", "case02"):
        volume.write(labels.astype(np.int16), (3.0, 1, 1), folder / f"images/{scan}.nii.gz")
        volume.write(labels, (3.0, 1, 1), folder / f"labels/{scan}.nii.gz")
    return folder


def prepared(entry: Dataset) -> prepare.Prepared:
    raw = paths.raw_folder(entry.id)
    return prepare.prepare(entry, entry.source.fetch(raw), 0)


def test_the_page_leads_from_a_folder_to_objects(scans: Path) -> None:
    got = prepared(catalogue.load("my/liver.yaml"))
    assert not got.failures
    assert [row["object"] for row in got.objects if row["scan"] == "case02"] == [
        "case02/liver/1",
        "case02/liver lesion/1",
        "case02/liver lesion/2",
    ]
    assert catalogue.load("my/liver.yaml").tolerances == {"liver lesion": 1.0}


def spoil(folder: Path, what: str) -> None:
    """Make ``case01`` one of the scans that the page says are set aside."""
    image, label = (folder / kind / "case01.nii.gz" for kind in ("images", "labels"))
    array = volume.read_labels(label).array
    match what:
        case "missing label":
            label.unlink()
        case "truncated":
            image.write_bytes(image.read_bytes()[:-20])
        case "NaN":
            volume.write(np.full(array.shape, np.nan, np.float32), (3.0, 1, 1), image)
        case "grid":
            volume.write(array, (3.0, 1, 1.1), label)
        case "unnamed value":
            volume.write(array + 3 * (array == 2), (3.0, 1, 1), label)
        case "no structure":
            volume.write(array * (array == 255), (3.0, 1, 1), label)


@pytest.mark.parametrize(
    "what", ["missing label", "truncated", "NaN", "grid", "unnamed value", "no structure"]
)
def test_what_the_page_says_sets_a_scan_aside(scans: Path, what: str) -> None:
    spoil(scans, what)
    got = prepared(catalogue.load("my/liver.yaml"))
    assert [row["scan"] for row in got.failures] == ["case01"]
    assert {row["scan"] for row in got.objects} == {"case02"}


def test_the_sources_of_the_page_are_valid(scans: Path) -> None:
    base = yaml.safe_load(files(DATASET)["my/liver.yaml"])
    shown = [yaml.safe_load(b) for b in blocks(DATASET, "yaml") if b.startswith("source:")]
    entries = [Dataset.read({**base, **block}, "the page") for block in shown]
    kinds = [entry.source.kind for entry in entries]
    assert kinds == ["manual", "phantom", "zenodo", "idc", "combined"]
    waiting = prepared(entries[0])
    assert "sign the agreement" in waiting.failures[0]["reason"]


@pytest.mark.parametrize("name", files(METHOD))
def test_studies_with_the_method_of_the_page_are_valid(
    name: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = blocks(METHOD, "python")
    (tmp_path / "mymethods").mkdir()
    (tmp_path / "mymethods" / "threshold.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("mymethods", "mymethods.threshold"):  # another test's, in this process
        monkeypatch.delitem(sys.modules, module, raising=False)
    content = yaml.safe_load(files(METHOD)[name])
    assert Study.read(content, name).runs.keys() == content["methods"].keys()


@pytest.mark.parametrize("name", files(OUTSIDE))
def test_studies_with_methods_from_outside_are_valid(name: str) -> None:
    content = yaml.safe_load(files(OUTSIDE)[name])
    assert Study.read(content, name).runs.keys() == content["methods"].keys()


def test_the_options_of_a_program_are_told() -> None:
    told = {row[0].strip("`"): yaml.safe_load(row[1].strip("`")) for row in rows(OUTSIDE, "option")}
    known = Command.Options.model_fields
    assert told == {
        name: "required" if field.is_required() else field.default for name, field in known.items()
    }


@pytest.mark.parametrize("page", [DATASET, STUDY], ids=lambda page: page.parent.name)
def test_no_example_goes_unchecked(page: Path) -> None:
    parts = [b for b in blocks(page, "yaml") if b.startswith(("source:", "layout:"))]
    assert len(files(page)) + len(parts) == len(blocks(page, "yaml"))


def test_the_layouts_of_the_page_are_valid(scans: Path) -> None:
    base = yaml.safe_load(files(DATASET)["my/liver.yaml"])
    shown = [yaml.safe_load(b) for b in blocks(DATASET, "yaml") if b.startswith("layout:")]
    assert [Dataset.read({**base, **block}, "the page") for block in shown]


def test_the_page_names_every_transform() -> None:
    models = nested(Layout.model_fields["label_transforms"].annotation)
    known = {model.tag: {*model.model_fields} - {"name"} for model in models}  # type: ignore[attr-defined]
    told = {n.strip("`"): {*re.findall(r"`(\w+)`", k)} for n, k, _ in rows(DATASET, "transform")}
    assert told == known


def test_the_page_names_every_kind_of_source() -> None:
    models = nested(Dataset.model_fields["source"].annotation) or [
        model for part in Dataset.model_fields["source"].metadata for model in nested(part)
    ]
    known = {get_args(m.model_fields["kind"].annotation)[0]: {*m.model_fields} for m in models}
    told = {kind.strip("`"): {*re.findall(r"`(\w+)`", k)} for kind, k, _ in rows(DATASET, "kind")}
    assert told == {kind: names - {"kind"} for kind, names in known.items()}


@pytest.mark.parametrize("name", [*files(STUDY), *files(DATASET)])
def test_studies_of_the_pages_are_valid(name: str, scans: Path) -> None:
    content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    if "study" in content:
        study = Study.read(content, name)
        assert study.runs.keys() == content["methods"].keys()
    else:
        assert catalogue.load(name).id == content["id"]


@pytest.mark.parametrize(
    ("page", "model", "item"),
    [(STUDY, Study, "<name>"), (DATASET, Dataset, "<value>")],
    ids=["study", "dataset"],
)
def test_every_key_is_told_with_its_default(page: Path, model: type[Settings], item: str) -> None:
    told = documented(page)
    known = dict(keys(model, item))
    assert told.keys() == known.keys()
    for key, (default, _) in told.items():
        value = known[key].default
        if value is PydanticUndefined:
            assert default == "required", key
        else:
            expected = list(value) if isinstance(value, tuple) else value
            assert yaml.safe_load(default) == expected, key


def study_digests(content: Mapping[str, Any]) -> dict[str, str]:
    study = Study.read(content, "the test's study")
    runs = [*study.runs.values(), *(trained.run for trained in study.trained)]
    names = " ".join(run.id for run in runs)
    models = " ".join(run.fit.id for run in runs)
    rest = {"prompts": study.prompt_rules.id, "scores": study.scoring.id}
    return {"run": names, "model": models, **rest}


@pytest.mark.parametrize("key", [key for key, _ in keys(Study, "<name>")])
def test_keys_of_a_study_enter_what_the_page_says(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "methods_of_docs.py").write_text(METHODS)
    source = {"kind": "local", "path": "."}
    weights = {"id": "w", "name": "W", "source": source, "files": ["w.bin"]}
    (tmp_path / "weights.yaml").write_text(yaml.safe_dump(weights))
    base: dict[str, Any] = {
        "study": "base",
        "datasets": ["P01"],
        "methods": {"m": {"adapter": "methods_of_docs:Sized", "prompt": "mask2d"}},
    }
    item = "P01" if key.startswith("analysis.cohorts") else "m"
    if key.startswith("training"):
        item = "t"
        learns = {"kind": "finetuned", "method": "n", "adapter": "methods_of_docs:Learns"}
        other = {"adapter": "methods_of_docs:Sized", "prompt": "mask2d", "weights": "weights.yaml"}
        base["methods"] |= {"n": other}
        base["training"] = {"models": {"t": learns}}
    if key == "analysis.thickness.<name>.variants":
        base["methods"]["m"]["variants"] = {"thick": {}}
    before = study_digests(base)
    after = study_digests(changed(base, key, STUDY_CHANGES[key], item))
    assert {name for name in before if before[name] != after[name]} == documented(STUDY)[key][1]


@pytest.mark.parametrize("key", [key for key, _ in keys(Dataset, "<value>")])
def test_keys_of_a_dataset_enter_what_the_page_says(key: str) -> None:
    base = yaml.safe_load(files(DATASET)["my/liver.yaml"])
    if key.startswith("layout.series"):
        base["layout"] = {"series": {"modality": "CT"}}
    base["channels"] = ["venous"]
    entries = [
        Dataset.read(content, "the page")
        for content in (base, changed(base, key, DATASET_CHANGES[key], 1))
    ]
    before, after = (
        {"fetch": e.digest("fetch"), "prepare": e.digest("prepare"), "score": e.tolerances}
        for e in entries
    )
    assert {stage for stage in before if before[stage] != after[stage]} == documented(DATASET)[key][
        1
    ]


def test_the_protocols_are_told() -> None:
    told = {row[0].strip("`"): row[1].strip("`| ") for row in rows(STUDY, "protocol")}
    assert told == REFERENCE_OF_PROTOCOL


def test_the_architecture_names_every_module_of_the_benchmark() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {
        f"`{path.name}{'/' if path.is_dir() else ''}`"
        for path in (ROOT / "benchmark").iterdir()
        if not path.name.startswith(("_", ".")) and path.suffix in ("", ".py")
    }
    assert {name for name in modules if name not in text} == set()


def test_the_readme_begins_with_demo_and_test() -> None:
    text = "".join(blocks(ROOT / "README.md", "sh"))
    places = [text.index(c) for c in ("make demo", "make test", "snakemake --cores 32")]
    assert places == sorted(places)
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def test_commands_of_the_pages_exist() -> None:
    from typer.main import get_command

    from benchmark.cli import app
    from pam.cli import app as training
    from reports.cli import app as reports

    apps = (app, training, reports)
    known = {name for one in apps for name in get_command(one).commands}  # type: ignore[attr-defined]
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`)pambench ([a-z-]+)", text, re.MULTILINE)) <= known, page
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets, page


def test_files_of_the_pages_exist() -> None:
    """Relative links, and paths into the tree that stand in the text."""
    trees = "benchmark|config|docs|profiles|reports|tests|workflow|baselines"
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
        local = [link for link in links if link and "://" not in link]
        assert [link for link in local if not (page.parent / link).exists()] == [], page
        named = re.findall(rf"[`\s]((?:{trees})/[\w/.-]*\w)[`\s]", text)
        assert [path for path in named if not (ROOT / path).exists()] == [], page


def test_the_citation_is_that_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert "preferred-citation" not in citation  # it would be cited in place of the software
    (paper,) = citation["references"]
    assert paper["doi"] in (ROOT / "README.md").read_text(encoding="utf-8")
