"""The catalogue: one YAML a dataset, strictly checked, and the code that loads them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmark import stages
from benchmark.catalogue.layout import Layout
from benchmark.digest import digest
from benchmark.errors import UserError, unknown_name
from benchmark.settings import ONE_OR_MORE, Settings, load_yaml, short_for
from benchmark.sources import AnySource
from benchmark.sources.substance import substance

View = Literal["axial", "coronal", "sagittal", "acquisition"]

_TOLD = (
    "name",
    "sequence",
    "scans",
    "licence",
    "homepage",
    "citation",
    "quirks",
    "spacing_note",
    "registration",
    "overlaps",
    "released",
)
"""Keys that are told to people and enter no stage."""

_RELEASED = ("source", "layout", "labels", "ignore", "channels", "view", "scans")
"""Keys that the variant of an entry may change."""

_VARIANT = "@released"

_DATASETS = Path(__file__).parent / "datasets"


class Structure(Settings):
    """What one label value means.

    ``instances``: each connected component is an object of its own (the authors' way); false: all
    voxels of the value are one object; ``values``: each value from this one on is an object of the
    structure; ``files``: each file is one. ``key``: what stands for the structure in the names of
    label files (``{structure}``) or as the label of a DICOM segment, with ``*`` for any text; by
    itself the name. ``nsd_tolerance_mm``: where the study names none.
    """

    name: str
    key: str | None = None
    instances: bool | Literal["values", "files"] = True
    nsd_tolerance_mm: float | None = Field(default=None, gt=0)


class Licence(Settings):
    """Under what the data may be used; ``redistributable`` is false unless known.

    Images and derived masks are shown in a report only where it is true.
    """

    spdx: str | None = None
    redistributable: bool = False
    note: str | None = None

    @property
    def told(self) -> str:
        """The licence, with what is noted about it, or that none is stated."""
        stated = self.spdx or "none stated"
        return f"{stated} ({self.note})" if self.note else stated


class Dataset(Settings):
    """A dataset of the catalogue. Every key is explained in ``docs/add-a-dataset.md``."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    name: str
    split: Literal["internal", "external", "phantom", "local"]
    modality: str
    sequence: str | None = None
    channels: tuple[str, ...] = ()
    view: View = "axial"
    source: AnySource
    layout: Annotated[tuple[Layout, ...], ONE_OR_MORE, Field(min_length=1)]
    labels: dict[int, Annotated[Structure, short_for("name")]] = Field(min_length=1)
    ignore: tuple[int | str, ...] = ()
    components: Literal["keep-10-percent", "keep-all"] = "keep-10-percent"
    shards: int = Field(default=1, ge=1, le=64)
    scans: int | None = Field(default=None, ge=1)
    licence: Licence = Licence()
    collection: str | None = None
    overlaps: tuple[str, ...] = ()
    registration: str | None = None
    homepage: str | None = None
    citation: str | None = None
    quirks: tuple[str, ...] = ()
    spacing_note: str | None = None
    released: dict[str, Any] = {}

    def digest(self, stage: Literal["fetch", "prepare"]) -> str:
        """Digest of what a stage depends on: of the whole entry, only the keys that it reads."""
        if stage == "fetch":
            return digest(substance(self.source.model_dump()))
        told: dict[str, Any] = dict.fromkeys(_TOLD, True)
        told["layout"] = {"__all__": {"unverified"}}
        content = self.model_dump(mode="json", exclude=told)
        content["source"] = substance(content["source"])
        return digest([stages.PREPARE, content])

    @property
    def published(self) -> int | None:
        """How many scans with labels are published, as the layout counts them, if that is known."""
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
        for name in value:
            if name not in _RELEASED:
                raise ValueError(unknown_name("key of released", name, _RELEASED))
        plain: dict[str, Any] = json.loads(json.dumps(value))  # as it is written and read back
        return plain

    @model_validator(mode="after")
    def _values_stand_alone(self) -> "Dataset":
        by_value = [s.name for s in self.labels.values() if s.instances == "values"]
        if by_value and len(self.labels) > 1:
            raise ValueError(f"{by_value[0]}: instances by value leave no values for others")
        if any(layout.each_channel for layout in self.layout) and not self.channels:
            raise ValueError("each_channel needs the names of the channels")
        return self


def names() -> list[str]:
    """Ids of all datasets that ship with the catalogue, sorted."""
    return sorted(p.stem for p in _DATASETS.glob("*.yaml"))


def load(name: str) -> Dataset:
    """Load a dataset by its catalogue id, or a user's own by the path of its YAML file.

    ``D34@released`` is the entry as the authors of PAM used the dataset, with the id D34-released.
    Raises `UserError` for an unknown id (with suggestions) and for an entry that does not validate.
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


def clusters(entries: Iterable[Dataset]) -> dict[str, str]:
    """Give, by the id of each dataset, the name of those that are no independent samples.

    In one cluster are datasets of a source collection, those of which one names the other in
    ``overlaps``, and those that others among ``entries`` link. Its name is that of one of its
    collections; a dataset without one is its own.
    """
    known = list(entries)
    found = {entry.id: entry.collection or entry.id for entry in known}
    for entry in known:
        shared = {e.id for e in known if {e.id, e.collection} & set(entry.overlaps)}
        linked = {found[name] for name in {entry.id, *shared}}
        found = {id_: min(linked) if name in linked else name for id_, name in found.items()}
    return found


def _released(dataset: Dataset, content: dict[str, Any], path: Path) -> Dataset:
    """Give the variant of an entry; one collection keeps it and the entry together."""
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
    }
    return Dataset.read(changed, f"{path}, released")
