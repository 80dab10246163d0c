"""Fixtures shared by tests of several stages: a dataset of known content, a local server."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from benchmark import prepare, prompts, volume
from benchmark.catalogue import Dataset
from benchmark.sources import Status
from tests.hosts import Server

settings.register_profile("unhurried", deadline=None)  # a busy machine must not fail tests
settings.load_profile("unhurried")

SPACING = (3.0, 1.0, 1.5)
LONGEST = ("workflow", "reports", "baselines")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest folders first, so that all workers finish together."""
    places = {str(Path(__file__).with_name(name)): i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path.parent), len(places)))


def pytest_collection_finish() -> None:
    """Exclude loaded modules from garbage collection, which statsmodels triggers often."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _path() -> Iterator[None]:
    """Restore ``sys.path`` after each test, since `benchmark.methods.registry.find` extends it."""
    before = sys.path.copy()
    yield
    sys.path[:] = before


def _labels() -> NDArray[np.uint8]:
    """Return labels: 1 has a large, a medium and a tiny (< 10 %) component, 2 is one block."""
    labels = np.zeros((10, 16, 18), dtype=np.uint8)
    labels[1:6, 1:7, 1:7] = 1
    labels[2:5, 10:14, 2:6] = 1
    labels[8, 1, 1] = 1
    labels[3:9, 8:14, 9:16] = 2
    return labels


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    return _labels()


@pytest.fixture
def entry() -> Callable[..., Dataset]:
    """Return a factory of catalogue entries with images/<scan>.nii.gz and labels/<scan>.nii.gz."""

    def make(root: Path = Path("nowhere"), **changed: Any) -> Dataset:
        content: dict[str, Any] = {
            "id": "T1",
            "name": "Test",
            "split": "local",
            "modality": "CT",
            "source": {"kind": "local", "path": str(root)},
            "layout": {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"},
            "labels": {1: "lesion", 2: {"name": "organ", "instances": False}},
        }
        return Dataset.read({**content, **changed}, "the test's entry")

    return make


@pytest.fixture
def save_scan() -> Callable[..., None]:
    """Return a function that writes a label file and an image that follows the labels."""

    def save(root: Path, scan: str, labels: NDArray[Any] | None = None) -> None:
        truth = _labels() if labels is None else labels
        grey = (truth.astype(np.int16) * 100) - 50
        volume.write(grey, SPACING, root / "images" / f"{scan}.nii.gz")
        volume.write(truth, SPACING, root / "labels" / f"{scan}.nii.gz")

    return save


@pytest.fixture
def ready() -> Callable[[Path], Status]:
    def status(root: Path) -> Status:
        return Status(state="ready", root=str(root), fingerprint="x")

    return status


class Shard:
    """Tables of one prepared shard, written to disk and read back as the stages do."""

    def __init__(self, folder: Path, prepared: prepare.Prepared, deviations: tuple[float, ...]):
        from benchmark import objects
        from benchmark.storage.tables import read_table, write_table

        def through_file(rows: Any, schema: Any, name: str) -> Any:
            path = folder / f"{name}.parquet"
            write_table(rows, schema, path)
            return read_table(path)

        self.images = through_file(prepared.images, prepare.IMAGE_SCHEMA, "images")
        self.objects = through_file(prepared.objects, objects.SCHEMA, "objects")
        self.reference = through_file(prepared.reference, objects.REFERENCE_SCHEMA, "reference")
        rows = prompts.shard_rows(self.images, self.objects, self.reference, deviations)
        self.prompts = through_file(rows, prompts.SCHEMA, "prompts")


@pytest.fixture
def shard(
    tmp_path: Path,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
    ready: Callable[[Path], Status],
) -> Shard:
    """Return the tables of two prepared, equal scans with prompts at three deviations."""
    raw = tmp_path / "raw"
    for scan in ("a", "b"):
        save_scan(raw, scan)
    prepared = prepare.prepare(entry(raw), ready(raw), 0)
    assert not prepared.failures
    return Shard(tmp_path / "tables", prepared, (-0.2, 0.0, 0.4))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Yield a running server that stands in for the hosts of data and weights."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as played:
        thread = threading.Thread(target=played.serve_forever, args=(0.01,))
        thread.start()
        yield played
        played.shutdown()
        thread.join()
