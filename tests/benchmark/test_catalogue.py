"""Catalogue entries: strict validation, and digests of what a stage depends on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmark import catalogue, metrics
from benchmark.catalogue import Dataset
from benchmark.errors import UserError

Make = Callable[..., Dataset]
LAYOUT_OF_ENTRY = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"}
LAYOUT = {"image": "{scan}.nii", "label": "{scan}_seg.nii"}


@pytest.mark.parametrize("name", catalogue.names())
def test_every_entry_that_ships_loads(name: str) -> None:
    entry = catalogue.load(name)
    assert entry.id == name
    assert Dataset.read(entry.model_dump(mode="json"), name) == entry


@pytest.mark.parametrize("name", catalogue.names())
def test_no_shard_holds_more_objects_than_a_job_does_in_a_day(name: str) -> None:
    """A job has one core or GPU; counted as an object of each structure in each scan."""
    entry = catalogue.load(name)
    channels = len(entry.channels) if any(part.each_channel for part in entry.layout) else 1
    assert (entry.scans or 0) * channels * len(entry.labels) / entry.shards <= 3000


def test_overlaps_and_collections_go_both_ways() -> None:
    entries = {name: catalogue.load(name) for name in catalogue.names()}
    for name, entry in entries.items():
        for other in entry.overlaps:
            assert name in entries[other].overlaps
            assert other != name
    shared = [{"D03", "D04"}, {"D02", "D20"}, {"D36", "D43"}]
    for pair in shared:
        assert len({entries[name].collection for name in pair} - {None}) == 1


@pytest.mark.parametrize("family", ["D", "P"])
def test_a_structure_has_one_name_in_all_datasets(family: str) -> None:
    """So that a tolerance, given by name, holds for all of them."""
    entries = [catalogue.load(name) for name in catalogue.names() if name.startswith(family)]
    entries += [catalogue.load(f"{entry.id}@released") for entry in entries if entry.released]
    names = {structure.name for entry in entries for structure in entry.labels.values()}
    spellings: dict[str, set[str]] = {}
    for name in names:
        spellings.setdefault(" ".join(catalogue.words(name)), set()).add(name)
    assert {key: same for key, same in spellings.items() if len(same) > 1} == {}
    assert names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kidney_right", "right kidney"),
        ("Oesophagus", "esophagus"),
        ("liver-tumor", "tumour, liver"),
    ],
)
def test_a_name_in_another_order_or_spelling_has_the_same_words(one: str, other: str) -> None:
    assert catalogue.words(one) == catalogue.words(other)
    assert catalogue.words(one) != catalogue.words("rib_left_1")


def test_datasets_that_overlap_are_in_one_cluster(entry: Make) -> None:
    """D10 and D13 share scans with D01, none with one another."""

    def found(*names: str) -> list[str]:
        return list(catalogue.clusters(map(catalogue.load, names)).values())

    assert len(set(found("D01", "D10", "D13"))) == 1
    assert len(set(found("D10", "D13", "D01"))) == 1
    assert found("D10", "D13") == ["D10", "D13"]
    one, other, pet, ct = found("D34", "D34@released", "D03", "D04")
    assert one == other != pet == ct
    own = [entry(id=name, overlaps=shared) for name, shared in (("a", ["b"]), ("b", []), ("c", []))]
    assert catalogue.clusters(own) == {"a": "a", "b": "a", "c": "c"}


def test_masks_are_shown_only_where_the_licence_allows_it() -> None:
    """No licence that is non-commercial, without derivatives or not known."""
    for name in catalogue.names():
        licence = catalogue.load(name).licence
        if licence.redistributable:
            assert licence.spdx in {"CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-4.0"}, name


def test_what_a_microscope_sees_is_not_measured_in_millimetres() -> None:
    entries = [catalogue.load(name) for name in catalogue.names()]
    tolerances = {
        entry.id: structure.nsd_tolerance_mm
        for entry in entries
        if entry.modality == "SRX"
        for structure in entry.labels.values()
    }
    assert tolerances.keys() == {"D44", "P10"}
    assert all(tolerances.values()), tolerances
    cube = np.zeros((40, 20, 20), dtype=bool)
    cube[2:10, 5:15, 5:15] = True
    settings: Any = {"grid_voxels": cube.size, "tolerance_mm": tolerances["D44"] or 2.0}
    spacing = (0.001625, 0.001625, 0.001625)
    # 20 voxels on, the two cubes are 12 voxels apart: no surface is within two of the other
    assert metrics.score(cube, np.roll(cube, 20, axis=0), spacing, **settings)["nsd"] == 0
    assert metrics.score(cube, np.roll(cube, 1, axis=0), spacing, **settings)["nsd"] == 1


def test_each_channel_that_is_a_scan_counts_as_published() -> None:
    assert catalogue.load("D32").published == 260
    assert catalogue.load("D22").published == 4 * 1251
    assert catalogue.load("D40").published is None


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
    ({"labels": {1: "all"}}, "'all' is a row of the tables already"),
    ({"labels": {1: {"name": "a "}}}, "space at its ends"),
    ({"name": "a\nb"}, "must be on one line"),
    ({"labels": {1: {"name": "a", "nsd_tolerance_mm": 0}}}, "greater than 0"),
    ({"layout": {**LAYOUT, "image": "scan.nii"}}, "'scan.nii' lacks {scan}"),
    ({"layout": {**LAYOUT, "label": "scan.nii"}}, "'scan.nii' lacks {scan}"),
    ({"layout": {"label": "{scan}.nii"}}, "give either image (path patterns) or series"),
    ({"layout": {"image": "{scan}.nii"}}, "label is missing"),
    ({"layout": {**LAYOUT, "series": {"modality": "CT"}}}, "give either image"),
    ({"layout": {**LAYOUT, "label": "{other}.nii"}}, "lacks {scan}, so nothing pairs it"),
    (
        {"layout": {"series": {"modality": "CT"}, "label": "{scan}.nii"}},
        "'{scan}.nii' lacks {patient}",
    ),
    ({"layout": {**LAYOUT, "scan": "{site}-{scan}"}}, "{site} of '{site}-{scan}' is in no path"),
    ({"layout": {**LAYOUT, "where": {"scam": "x"}}}, "where names ['scam']"),
    ({"layout": {**LAYOUT, "where": {"scan": "("}}}, "'(' is not a regular expression"),
    ({"layout": {**LAYOUT, "patient": "["}}, "'[' is not a regular expression"),
    ({"layout": {**LAYOUT, "patient": "p[0-9]"}}, "needs a group in parentheses"),
    ({"layout": {**LAYOUT, "each_channel": True}}, "each_channel needs the names of the channels"),
    ({"layout": {**LAYOUT, "label_transforms": ["flop"]}}, "'flip'"),
    ({"layout": {**LAYOUT, "label_transforms": [{"name": "flip", "axis": "z"}]}}, "mean: axes"),
    ({"layout": {**LAYOUT, "image_transforms": [{"name": "permute", "order": "xy"}]}}, "the axes"),
    (
        {"labels": {1: {"name": "a", "instances": "values"}, 2: "b"}},
        "a: instances by value leave no values for others",
    ),
    ({"not_evaluated": [1]}, "not_evaluated and labels or ignore both name 1"),
    ({"not_evaluated": [9], "ignore": [9]}, "not_evaluated and labels or ignore both name 9"),
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
    path.write_text(yaml.safe_dump(entry(tmp_path, id="P01").model_dump(mode="json")))
    with pytest.raises(UserError, match="P01 is the id of a dataset of the catalogue"):
        catalogue.load(str(path))


TOLERANT = {
    1: {"name": "lesion", "nsd_tolerance_mm": 1},
    2: {"name": "organ", "instances": False},
}


@pytest.mark.parametrize(
    ("content", "stages"),
    [
        ({"name": "x"}, set()),
        ({"sequence": "x"}, set()),
        ({"overlaps": ["P01"], "registration": "a form"}, set()),
        ({"layout": {**LAYOUT_OF_ENTRY, "unverified": "all"}}, set()),
        ({"layout": {**LAYOUT_OF_ENTRY, "label_transforms": ["binary"]}}, {"prepare"}),
        ({"licence": {"spdx": "CC0-1.0"}}, set()),
        ({"citation": "x", "homepage": "x", "quirks": ["x"], "spacing_note": "x"}, set()),
        ({"source": {"kind": "local", "path": "elsewhere"}}, {"fetch", "prepare"}),
        ({"split": "external"}, set()),
        ({"labels": {1: "lesion"}}, {"prepare"}),
        ({"labels": TOLERANT}, {"score"}),
        ({"view": "coronal"}, {"prepare"}),
        ({"components": "keep-all"}, {"prepare"}),
        ({"ignore": [9]}, {"prepare"}),
        ({"not_evaluated": [9]}, {"prepare"}),
        ({"not_evaluated": []}, set()),
        ({"layout": LAYOUT}, {"prepare"}),
        ({"modality": "MR"}, {"prepare"}),
        ({"collection": "x"}, {"prepare"}),
        ({"shards": 2}, {"prepare"}),
    ],
)
def test_what_a_digest_covers(entry: Make, content: dict[str, Any], stages: set[str]) -> None:
    before, after = (
        {"fetch": e.digest("fetch"), "prepare": e.digest("prepare"), "score": e.tolerances}
        for e in (entry(), entry(**content))
    )
    assert {stage for stage in before if before[stage] != after[stage]} == stages


def digests(made: Dataset) -> set[str]:
    return {made.digest("fetch"), made.digest("prepare")}


def test_what_a_source_only_tells_enters_no_digest(entry: Make) -> None:
    part = {"kind": "manual", "page": "https://a.org", "steps": ["sign"], "about_gb": 1}
    other = {"kind": "manual", "page": "https://b.org", "steps": ["ask"], "about_gb": 2}
    http = {"kind": "http", "files": [{"url": "https://example.org/a.zip"}]}
    assert digests(entry(source=part)) == digests(entry(source=other))
    before, after = ({"kind": "combined", "parts": [one, http]} for one in (part, other))
    assert digests(entry(source=before)) == digests(entry(source=after))
    named = {**part, "files": [{"name": "a.zip"}]}
    assert not digests(entry(source=part)) & digests(entry(source=named))


VARIANTS = {"D03", "D06", "D09", "D25", "D26", "D28", "D29", "D34", "D39", "D41", "D43"}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_variant_of_the_authors(name: str) -> None:
    entry, variant = catalogue.load(name), catalogue.load(f"{name}@released")
    assert variant.id == f"{name}-released"
    assert variant.digest("prepare") != entry.digest("prepare")
    assert variant.collection == (entry.collection or name)
    assert not variant.released
    if name != "D26":
        assert variant.digest("fetch") == entry.digest("fetch")


def test_variants_are_refused_where_there_is_none(entry: Make) -> None:
    assert {n for n in catalogue.names() if catalogue.load(n).released} == VARIANTS
    with pytest.raises(
        UserError, match=r"D12 has no variant @released: none is kept.*its quirks say so"
    ):
        catalogue.load("D12@released")
    with pytest.raises(UserError, match=r"Unknown key of released 'label'\. Did you mean: labels"):
        entry(released={"label": {1: "a"}})
