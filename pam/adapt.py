"""Adapt a trained PAM to a user's dataset, and write an entry by which study files name it."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from benchmark import catalogue, objects, prepare
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.learning.fitting import PreparedDataset, several_processes
from benchmark.learning.splits import Split, split
from benchmark.sources.checks import sha256_of
from benchmark.storage import paths
from benchmark.storage.files import atomic, require_writable, write_json
from benchmark.storage.tables import read_table, records, write_table
from benchmark.weights import store
from benchmark.weights.registry import Weights

if TYPE_CHECKING:
    from pam.learning import Pam2DMaskTrained

ENTRY = "weights.yaml"
_PLANNED = ".planned"
_SPLIT = "split.json"
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")  # not allowed in an id of weights
_TABLES = {
    "images": prepare.IMAGE_SCHEMA,
    "objects": objects.SCHEMA,
    "reference": objects.REFERENCE_SCHEMA,
}


def adapt_to_dataset(
    dataset: str,
    start: str,
    out: Path,
    *,
    options: dict[str, Any],
    device: str | None,
    everything: bool = False,
    resume: bool = False,
) -> Path:
    """Train the PropMask of the weights ``start`` on ``dataset``; returns the new entry's path.

    ``dataset``: id, or file of an entry, whose files are available. ``start``: as in
    `starting_weights`. ``options``: of `pam.learning.Pam2DMaskTrained`. ``everything``: hold no
    case back. The folder ``out`` receives the weights (with the Box2Mask of ``start``, if there is
    one, so that boxes can be prompts too), the split, the loss by step and `ENTRY`. Raises
    `UserError` if anything is missing, and for a folder in use unless this function began it and
    ``resume`` is set.
    """
    from pam.learning import Pam2DMaskTrained
    from pam.training import recipe as recipes

    if several_processes():
        raise UserError(
            "A dataset is learnt from by one process. On several GPUs train in a study "
            "(docs/training-runs.md), or by a recipe whose data are prepared (docs/training.md)."
        )
    entry = catalogue.load(dataset)
    method = Pam2DMaskTrained(options)
    recipes.load(method.options.recipe)  # refuse an unknown name before anything is made
    path, general = starting_weights(start)
    require_writable(out)
    planned = out / _PLANNED  # apart, so that a failed plan is not taken for a training
    if (planned / _SPLIT).exists():
        _begin(planned, out)
    begun = (out / _SPLIT).exists()
    if any(path.name != _PLANNED for path in out.iterdir()) and not (begun and resume):
        advice = (
            "Go on with what is there by --resume, or take"
            if begun
            else "What is there is no training to go on with, and is left as it is: take"
        )
        raise UserError(f"{out} is in use. {advice} another folder.")
    if begun:
        _check_begun(out, entry.id, everything)
    else:
        _plan(method, entry, planned, everything)
        _begin(planned, out)
    method.fit(out, device, path)
    files = [out / "propmask.safetensors", *_box2mask(path, out)]
    content = _entry(entry, dataset, general, start, files)
    with atomic(out / ENTRY) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return out / ENTRY


def _plan(method: "Pam2DMaskTrained", entry: Dataset, planned: Path, everything: bool) -> None:
    """Prepare the training in ``planned``; raise `UserError` if there is nothing to learn from."""
    prepared = _prepared_dataset(entry, method.options.seed, everything)
    if not (cases := prepared.cases()):
        raise UserError(
            f"{entry.id}: nothing to learn from. Expected scans that are not held back for "
            f"testing; got none of {len(prepared.images)} (patients are never divided: "
            f"{prepared.images['patient'].nunique()}). Next step: add scans of other patients, "
            "or train on everything with --all."
        )
    method.plan(cases, prepared.structures(), planned)
    write_json(planned / _SPLIT, prepared.split.model_dump())


def _begin(planned: Path, out: Path) -> None:
    """Move what was planned to ``out``, the split last; do the rest if that was interrupted."""
    for made in sorted(planned.iterdir(), key=lambda path: path.name == _SPLIT):
        made.rename(out / made.name)
    planned.rmdir()


def _check_begun(out: Path, dataset: str, everything: bool) -> None:
    """Raise `UserError` if ``out`` was begun with another dataset or another choice of cases."""
    from pam.learning import TABLES

    begun = [path.name for path in (out / TABLES).iterdir()]
    whole = Split.load(out / _SPLIT).share == 1
    if begun != [dataset] or whole != everything:
        cases = "all cases" if whole else "the training cases"
        raise UserError(
            f"{out} learns from {cases} of {', '.join(begun)}. Go on with the same, or take "
            "another folder."
        )


def starting_weights(name: str) -> tuple[Path, Weights | None]:
    """Return the path and entry of weights as `store.locate` does; "general" is the paper's model.

    They are downloaded if need be.
    """
    return store.locate("pam-released" if name == "general" else name, download=True)


def _prepared_dataset(entry: Dataset, seed: int, everything: bool) -> PreparedDataset:
    """Return the tables of a dataset, prepared by a study or else now, and its split."""
    folder = paths.at(paths.PREPARED, dataset=entry.id)
    ready = [paths.at(paths.REFERENCE, dataset=entry.id, shard=n) for n in range(entry.shards)]
    if all(path.exists() for path in ready):
        tables = [read_table(folder / f"{name}.parquet") for name in _TABLES]
    else:
        with TemporaryDirectory() as temporary:
            tables = _prepared_tables(entry, Path(temporary))
    images, objects, reference = tables
    divided = split(records(images), seed)
    if everything:
        divided = Split(seed=seed, share=1.0, train=tuple(sorted(images["scan"])), test=())
    return PreparedDataset(images, objects, reference, divided)


def _prepared_tables(entry: Dataset, folder: Path) -> list[pd.DataFrame]:
    """Prepare a dataset in ``folder``; raises `UserError` if its files are not available."""
    status = entry.source.fetch(paths.raw_folder(entry.id))
    if not status.is_ready:
        raise UserError(f"The files of {entry.id} are not here. {status.reason}")
    for shard in range(entry.shards):
        made = prepare.prepare(entry, status, shard)
        for name, schema in _TABLES.items():
            write_table(getattr(made, name), schema, folder / name / f"{shard}.parquet")
    return [read_table(folder / name) for name in _TABLES]


def _box2mask(start: Path, out: Path) -> list[Path]:
    """Copy the Box2Mask beside the weights ``start``, if any, to ``out``; returns its path."""
    from pam import checkpoints
    from pam.network import Box2Mask
    from pam.weight_files import read_network

    try:
        network = read_network(start if start.is_dir() else start.parent, Box2Mask)
    except UserError:
        return []
    checkpoints.save(network, out / "box2mask.safetensors")
    return [out / "box2mask.safetensors"]


def _entry(
    entry: Dataset, name: str, general: Weights | None, start: str, files: list[Path]
) -> dict[str, Any]:
    """Return the content of the entry; it was trained on the data of ``general`` and the dataset.

    The id contains the name of the folder, so that one study can hold several trainings on a
    dataset. Of a dataset that is not in the catalogue, its collection and the datasets that it
    overlaps are named too: a study with the weights may not contain it.
    """
    folder = files[0].parent.resolve()
    before = general.trained_on if general else None
    shipped = name in catalogue.names()
    trained: dict[str, Any] = before.model_dump(mode="json") if before else {"complete": False}
    key = "datasets" if shipped else "local"
    related = () if shipped else (entry.collection, *entry.overlaps)
    named = (*trained.get(key, ()), entry.id, *related)
    trained[key] = list(dict.fromkeys(filter(None, named)))
    return {
        "id": f"pam-{entry.id}-{_FOREIGN.sub('-', folder.name)}",
        "name": f"PAM, fine-tuned on {entry.name}",
        "source": {"kind": "local", "path": str(folder)},
        "files": [{"path": p.name, "sha256": sha256_of(p)} for p in files],
        "licence": general.licence.model_dump(mode="json") if general else {},
        "trained_on": {**trained, "source": f"split.json beside it, and {start}"},
    }
