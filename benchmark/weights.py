"""Weights of methods: an entry of their own, fetched like a dataset, checked by hash."""

import hashlib
from pathlib import Path

from pydantic import Field

from benchmark import catalogue
from benchmark.catalogue import Dataset, Licence
from benchmark.errors import UserError, unknown_name
from benchmark.settings import Settings, load_yaml
from benchmark.sources import AnySource, Status

_WEIGHTS = Path(__file__).parent / "catalogue" / "weights"


class Weights(Settings):
    """Published weights.

    ``file``: the path below the source's folder; ``sha256``: null where none is published;
    ``trained_on``: catalogue ids or source collections that the model saw in training.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    name: str
    source: AnySource
    file: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    licence: Licence = Licence()
    trained_on: tuple[str, ...] = ()
    homepage: str | None = None

    def contaminates(self, dataset: Dataset) -> bool:
        """Whether the model saw the dataset, or another one of the same source collection."""
        known = set(self.trained_on) & set(catalogue.names())
        seen = {*self.trained_on, *(catalogue.load(name).collection for name in known)} - {None}
        return dataset.id in seen or dataset.collection in seen

    def fetch(self, raw: Path) -> Status:
        """Fetch the file and check it; a wrong or missing file is a status with the reason."""
        status = self.source.fetch(raw)
        if status.state != "ready":
            return status
        path = Path(status.root) / self.file
        if not path.is_file():
            reason = f"{path} is missing. Put the file there, then run again."
            return status.model_copy(update={"state": "manual", "reason": reason})
        if self.sha256 is None:
            return status
        with path.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != self.sha256:
            reason = (
                f"{path} has the sha256 {got}, expected {self.sha256}. The download is broken or "
                "another version: delete it and get it again."
            )
            return status.model_copy(update={"state": "failed", "reason": reason})
        return status


def names() -> list[str]:
    """Ids of all weights that ship with the catalogue, sorted."""
    return sorted(p.stem for p in _WEIGHTS.glob("*.yaml"))


def load(name: str) -> Weights:
    """Load an entry by its id, or a user's own by the path of its YAML file."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else _WEIGHTS / f"{name}.yaml"
    if path.parent == _WEIGHTS and not path.exists():
        raise UserError(
            unknown_name("weights", name, names()) + " Own weights are named by a YAML file."
        )
    return Weights.read(load_yaml(path), str(path))
