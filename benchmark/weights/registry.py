"""Registry of the weights of methods: what they are, where to get them, what they were trained on.

An entry is a YAML file of ``catalogue/weights``, or a user's own; ``docs/weights.md`` explains each
key. `benchmark.weights.store` fetches, checks and converts what an entry names.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from benchmark import catalogue
from benchmark.catalogue import Dataset, Licence
from benchmark.errors import UserError, unknown_name
from benchmark.settings import ONE_OR_MORE, Settings, short_for
from benchmark.sources import AnySource
from benchmark.sources.files import Below, Checked
from benchmark.sources.identity import without_notes
from benchmark.storage.digest import digest

_WEIGHTS = Path(__file__).parents[1] / "catalogue" / "weights"


class Converter(Settings):
    """Converts a published file to safetensors by ``function(source, target, **arguments)``."""

    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    arguments: dict[str, Any] = {}


class File(Checked):
    """A file of an entry; ``path`` is relative to the folder of the weights."""

    path: Below
    convert: Converter | None = None


class TrainedOn(Settings):
    """Data that a model was trained on; ``source`` cites where this is stated.

    ``datasets`` holds ids of the catalogue or of the study, or source collections. ``local`` holds
    the same of datasets that not every study with these weights contains. ``others`` describes data
    outside the catalogue. ``complete`` tells whether the list is complete.
    """

    datasets: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    complete: bool = True
    source: str = Field(min_length=1)


class Weights(Settings):
    """Published weights.

    ``source`` holds one address or several, tried in order. ``trained_on`` is None where the
    training data are not known.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    name: str
    about: str | None = None
    source: Annotated[tuple[AnySource, ...], ONE_OR_MORE] = Field(min_length=1)
    files: tuple[Annotated[File, short_for("path")], ...] = Field(min_length=1)
    licence: Licence = Licence()
    trained_on: TrainedOn | None = None
    homepage: str | None = None

    @property
    def file(self) -> str | None:
        """Path that an adapter is given: the only file, or None for the folder of several files."""
        return self.files[0].path if len(self.files) == 1 else None

    @property
    def sha256(self) -> str | None:
        """Published hash; of several files the digest of theirs, None where any has none."""
        hashes = [file.sha256 for file in self.files]
        return hashes[0] if len(hashes) == 1 else digest(hashes) if all(hashes) else None

    @property
    def fetch_digest(self) -> str:
        """Digest of what a fetch depends on, without the keys that only inform people."""
        sources = [without_notes(source.model_dump(mode="json")) for source in self.source]
        return digest([*sources, *(file.model_dump(mode="json") for file in self.files)])

    def contaminates(self, dataset: Dataset, own: Iterable[Dataset] = ()) -> bool:
        """Return whether training used the dataset, its source collection or some of its scans.

        ``own`` are the user's own datasets, by which names in ``trained_on`` are understood as by
        the catalogue.
        """
        trained = self.trained_on
        named = {*trained.datasets, *trained.local} if trained else set()
        shipped = named & set(catalogue.names())
        known = [catalogue.load(name) for name in shipped] + [e for e in own if e.id in named]
        seen = {*named, *(entry.collection for entry in known)} - {None}
        return not seen.isdisjoint({dataset.id, dataset.collection, *dataset.overlaps}) or any(
            catalogue.overlap(entry, dataset) for entry in known
        )

    def check_datasets(self, own: Iterable[Dataset] = ()) -> None:
        """Raise `UserError` for names in ``trained_on.datasets`` that no dataset or collection has.

        ``own`` are the user's own datasets.
        """
        named = set(self.trained_on.datasets) if self.trained_on else set()
        known = {*catalogue.names(), *(entry.id for entry in own)}
        if named <= known:
            return
        known |= _collections() | {entry.collection for entry in own if entry.collection}
        for name in sorted(named - known):
            raise UserError(
                f"Weights {self.id!r}, trained_on: {unknown_name('dataset', name, known)} Data "
                "that are not in the catalogue go under trained_on.others."
            )


@cache
def _collections() -> frozenset[str]:
    loaded = (catalogue.load(name).collection for name in catalogue.names())
    return frozenset(name for name in loaded if name)


def names() -> list[str]:
    """Return the ids of all weights of the catalogue, sorted."""
    return sorted(p.stem for p in _WEIGHTS.glob("*.yaml"))


def load(name: str) -> Weights:
    """Load an entry by its id, or a user's own by the path of its YAML file.

    Raises `UserError` for an unknown or inconsistent id and for an invalid file.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _WEIGHTS / f"{name}.yaml"
    if path.parent == _WEIGHTS and not path.exists():
        raise UserError(
            unknown_name("weights", name, names()) + " Own weights are named by a YAML file."
        )
    entry = Weights.load(path)
    if entry.id != path.stem and path.parent == _WEIGHTS:
        raise UserError(f"{path}: the id is {entry.id!r}, but the file is named {path.stem!r}.")
    if path.parent != _WEIGHTS and entry.id in names():
        raise UserError(
            f"{path}: {entry.id} is the id of weights of the catalogue, whose files in "
            f"data/weights/{entry.id} it would use. Choose another."
        )
    return entry
