"""The catalogue: one YAML a dataset, strictly checked, and the code that loads them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from benchmark import stages
from benchmark.digest import digest
from benchmark.errors import UserError, unknown_name
from benchmark.settings import Settings, load_yaml
from benchmark.sources import AnySource

View = Literal["axial", "coronal", "sagittal", "acquisition"]

_DATASETS = Path(__file__).parent / "datasets"


class Structure(Settings):
    """What one label value means.

    ``instances``: each connected component is an object of its own (the authors' way); otherwise
    all voxels of the value are one object. ``nsd_tolerance_mm``: where the study names none.
    """

    name: str
    instances: bool = True
    nsd_tolerance_mm: float | None = Field(default=None, gt=0)


def _spelled_out(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class Layout(Settings):
    """Where images and labels lie under the raw folder.

    Each is a path pattern in which ``{scan}`` stands for the scan's id (any text without a slash),
    e.g. ``imagesTr/{scan}.nii.gz``; other parts may hold the wildcard ``*``. A folder is read as a
    DICOM series. Several patterns under ``image`` are the channels of one volume, in order.
    ``patient`` is a regular expression; its first group, searched in the scan id, is the patient.
    """

    image: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
    label: str
    patient: str = "(.*)"

    @field_validator("image", "label")
    @classmethod
    def _names_the_scan(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for pattern in (value,) if isinstance(value, str) else value:
            if "{scan}" not in pattern:
                raise ValueError(f"the pattern {pattern!r} lacks {{scan}}")
        return value


class Licence(Settings):
    """Under what the data may be used; ``redistributable`` is false unless known.

    Images and derived masks are shown in a report only where it is true.
    """

    spdx: str | None = None
    redistributable: bool = False
    note: str | None = None


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
    layout: Layout
    labels: dict[int, Annotated[Structure, BeforeValidator(_spelled_out)]] = Field(min_length=1)
    ignore: tuple[int, ...] = ()
    components: Literal["keep-10-percent", "keep-all"] = "keep-10-percent"
    shards: int = Field(default=1, ge=1, le=64)
    licence: Licence = Licence()
    collection: str | None = None
    homepage: str | None = None
    citation: str | None = None
    quirks: tuple[str, ...] = ()

    def digest(self, stage: Literal["fetch", "prepare"]) -> str:
        """Digest of what a stage depends on: of the whole entry, only the keys that it reads."""
        if stage == "fetch":
            return digest(self.source.model_dump())
        told = {"name", "licence", "homepage", "citation", "quirks"}
        return digest([stages.PREPARE, self.model_dump(mode="json", exclude=told)])

    @field_validator("id")
    @classmethod
    def _leaves_the_weights(cls, value: str) -> str:
        if value == "weights":
            raise ValueError("data/weights holds the weights of methods; take another id")
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


def names() -> list[str]:
    """Ids of all datasets that ship with the catalogue, sorted."""
    return sorted(p.stem for p in _DATASETS.glob("*.yaml"))


def load(name: str) -> Dataset:
    """Load a dataset by its catalogue id, or a user's own by the path of its YAML file.

    Raises `UserError` for an unknown id (with suggestions) and for an entry that does not validate.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _DATASETS / f"{name}.yaml"
    if path.parent == _DATASETS and not path.exists():
        raise UserError(
            unknown_name("dataset", name, names())
            + " An own dataset is named by the path of its YAML file."
        )
    dataset = Dataset.read(load_yaml(path), str(path))
    if dataset.id != path.stem and path.parent == _DATASETS:
        raise UserError(f"{path}: the id is {dataset.id!r}, but the file is named {path.stem!r}.")
    return dataset
