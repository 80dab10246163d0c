"""The catalogue of datasets: one validated YAML file per dataset, and the code that loads them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmark import stages
from benchmark.catalogue.layout import Layout
from benchmark.errors import UserError, require_known, unknown_name
from benchmark.settings import ONE_OR_MORE, Label, Settings, Title, load_yaml, short_for
from benchmark.sources import AnySource
from benchmark.sources.identity import without_notes
from benchmark.storage.digest import digest

View = Literal["axial", "coronal", "sagittal", "acquisition"]

_INFORMATIVE = (
    "name",
    "split",
    "sequence",
    "scans",
    "licence",
    "homepage",
    "citation",
    "data_citations",
    "quirks",
    "spacing_note",
    "registration",
    "overlaps",
    "released",
)
"""Keys that no stage up to `score` depends on: they inform, or only group the results."""

_RELEASED = ("source", "layout", "labels", "ignore", "not_evaluated", "channels", "view", "scans")
"""Keys that the released variant of an entry may override."""

_VARIANT = "@released"

_AS_RELEASED = (
    "Used as in the scripts of the authors of PAM, where these notes say that they differ."
)

_DATASETS = Path(__file__).parent / "datasets"


class Structure(Settings):
    """The meaning of one label value.

    Attributes:
        name: name of the structure.
        key: its name in label files (``{structure}``) or DICOM segments, where ``*`` stands for any
            text; None for ``name``.
        instances: what an object is. True: each connected component (as the authors of PAM did);
            False: all voxels of the value; "values": each value from this one on; "files": each
            file; "file-values": each connected component of each value in a file.
        nsd_tolerance_mm: tolerance of NSD, if the study does not set one.
    """

    name: Label
    key: str | None = None
    instances: bool | Literal["values", "files", "file-values"] = True
    nsd_tolerance_mm: float | None = Field(default=None, gt=0)


class Licence(Settings):
    """The licence of a dataset; ``redistributable`` is false unless known.

    Reports show images and derived masks only if it is true.
    """

    spdx: str | None = None
    redistributable: bool = False
    note: str | None = None

    @property
    def text(self) -> str:
        """The licence with its note, as a text; "none stated" if there is none."""
        stated = self.spdx or "none stated"
        return f"{stated} ({self.note})" if self.note else stated


class Dataset(Settings):
    """An entry of the catalogue; ``docs/add-a-dataset.md`` documents every key."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    name: Title
    split: Literal["internal", "external", "phantom", "local"]
    modality: str
    sequence: str | None = None
    channels: tuple[str, ...] = ()
    view: View = "axial"
    source: AnySource
    layout: Annotated[tuple[Layout, ...], ONE_OR_MORE, Field(min_length=1)]
    labels: dict[int, Annotated[Structure, short_for("name")]] = Field(min_length=1)
    ignore: tuple[int | str, ...] = ()
    not_evaluated: tuple[int | str, ...] = ()
    components: Literal["keep-10-percent", "keep-all"] = "keep-10-percent"
    shards: int = Field(default=1, ge=1, le=64)
    scans: int | None = Field(default=None, ge=1)
    licence: Licence = Licence()
    collection: str | None = None
    overlaps: tuple[str, ...] = ()
    registration: str | None = None
    homepage: str | None = None
    citation: str | None = None
    data_citations: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    spacing_note: str | None = None
    released: dict[str, Any] = {}

    def digest(self, stage: Literal["fetch", "prepare"]) -> str:
        """Return the digest of the keys of the entry that a stage depends on."""
        if stage == "fetch":
            return digest(without_notes(self.source.model_dump()))
        excluded: dict[str, Any] = dict.fromkeys(_INFORMATIVE, True)
        excluded["layout"] = {"__all__": {"unverified"}}
        excluded["labels"] = {"__all__": {"nsd_tolerance_mm"}}  # a param of `score`
        content = self.model_dump(mode="json", exclude=excluded)
        content["source"] = without_notes(content["source"])
        for part in content["layout"]:
            if part["scans_per_patient"] == 1:  # entries without the key keep their digest
                del part["scans_per_patient"]
        return digest([stages.PREPARE, content])

    @property
    def tolerances(self) -> dict[str, float]:
        """Tolerance of NSD in mm by structure, of those that have one."""
        found = {s.name: s.nsd_tolerance_mm for s in self.labels.values()}
        return {name: tolerance for name, tolerance in found.items() if tolerance is not None}

    @property
    def published(self) -> int | None:
        """Number of published scans with labels, each channel counted if it is used as a scan.

        None if unknown.
        """
        each = any(layout.each_channel for layout in self.layout)
        return self.scans and self.scans * (len(self.channels) if each else 1)

    @field_validator("id")
    @classmethod
    def _leaves_the_shared_folders(cls, value: str) -> str:
        if value in ("weights", "downloads"):
            raise ValueError(f"data/{value} holds what is shared; take another id")
        return value

    @field_validator("labels")
    @classmethod
    def _no_background(cls, value: dict[int, Structure]) -> dict[int, Structure]:
        if min(value) < 1:
            raise ValueError("structures are values from 1 on: 0 is the background")
        names = [s.name for s in value.values()]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"structures named twice: {', '.join(sorted(twice))}")
        return value

    @field_validator("released")
    @classmethod
    def _changes_what_is_prepared(cls, value: dict[str, Any]) -> dict[str, Any]:
        require_known("key of released", value, _RELEASED)
        plain: dict[str, Any] = json.loads(json.dumps(value))  # types as read from a file
        return plain

    @model_validator(mode="after")
    def _values_stand_alone(self) -> "Dataset":
        by_value = [s.name for s in self.labels.values() if s.instances == "values"]
        if by_value and len(self.labels) > 1:
            raise ValueError(f"{by_value[0]}: instances by value leave no values for others")
        if any(layout.each_channel for layout in self.layout) and not self.channels:
            raise ValueError("each_channel needs the names of the channels")
        if twice := set(self.not_evaluated) & {*self.labels, *self.ignore}:
            raise ValueError(f"not_evaluated and labels or ignore both name {min(map(str, twice))}")
        return self


def names() -> list[str]:
    """Return the ids of all datasets in the catalogue, sorted."""
    return sorted(p.stem for p in _DATASETS.glob("*.yaml"))


def load(name: str) -> Dataset:
    """Load a dataset by its catalogue id, or a user's own dataset by the path of its YAML file.

    ``D34@released`` is the dataset as the authors of PAM used it, with the id D34-released.

    Raise a `UserError` for an unknown id (with suggestions), for an invalid entry, for a user's
    dataset with an id of the catalogue, and for a released variant that does not exist.
    """
    name, varied = name.removesuffix(_VARIANT), name.endswith(_VARIANT)
    path = Path(name) if name.endswith((".yaml", ".yml")) else _DATASETS / f"{name}.yaml"
    if path.parent == _DATASETS and not path.exists():
        raise UserError(
            unknown_name("dataset", name, names())
            + " An own dataset is named by the path of its YAML file."
        )
    content = load_yaml(path)
    dataset = Dataset.read(content, str(path))
    if dataset.id != path.stem and path.parent == _DATASETS:
        raise UserError(f"{path}: the id is {dataset.id!r}, but the file is named {path.stem!r}.")
    if path.parent != _DATASETS and dataset.id in names():
        raise UserError(
            f"{path}: {dataset.id} is the id of a dataset of the catalogue, whose data in "
            f"data/{dataset.id} it would replace. Choose another."
        )
    return _released(dataset, content, path) if varied else dataset


def words(structure: str) -> list[str]:
    """Return the words of a structure's name, in one order and spelling.

    The same for right kidney and kidney_right, and for oesophagus and esophagus.
    """
    text = structure.casefold().replace("oe", "e").replace("our", "or")
    return sorted(re.findall(r"[^\W_]+", text))


def overlap(one: Dataset, other: Dataset) -> bool:
    """Return whether either dataset names the other or its collection in ``overlaps``."""
    return not (
        {one.id, one.collection}.isdisjoint(other.overlaps)
        and {other.id, other.collection}.isdisjoint(one.overlaps)
    )


def clusters(entries: Iterable[Dataset]) -> dict[str, str]:
    """Group datasets that are not independent samples; return the cluster of each dataset id.

    Two datasets are in one cluster if they come from the same source collection, if one names the
    other or its collection in ``overlaps``, or if other ``entries`` link them. A cluster is named
    after one of its collections; a dataset without a collection counts as its own.
    """
    known = list(entries)
    found = {entry.id: entry.collection or entry.id for entry in known}
    for entry in known:
        shared = {e.id for e in known if {e.id, e.collection} & set(entry.overlaps)}
        linked = {found[name] for name in {entry.id, *shared}}
        found = {id_: min(linked) if name in linked else name for id_, name in found.items()}
    return found


def _released(dataset: Dataset, content: dict[str, Any], path: Path) -> Dataset:
    """Return the released variant of an entry, in the same collection as the entry."""
    if not dataset.released:
        raise UserError(
            f"{dataset.id} has no variant {_VARIANT}: none is kept. Where the authors are known to "
            f"have used it otherwise, its quirks say so. Next step: name it {dataset.id}."
        )
    changed = {
        **{key: value for key, value in content.items() if key != "released"},
        **dataset.released,
        "id": f"{dataset.id}-released",
        "name": f"{dataset.name} (as released)",
        "collection": dataset.collection or dataset.id,
        "quirks": [_AS_RELEASED, *dataset.quirks],
    }
    return Dataset.read(changed, f"{path}, released")
