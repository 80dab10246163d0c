"""Cases from prepared datasets: scans and masks of the tables, sliced along the view."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmark import objects, prepare, volume
from benchmark.catalogue import Dataset
from benchmark.errors import UserError
from benchmark.learning.splits import Split, split
from benchmark.masks import Mask
from benchmark.sources import Status
from benchmark.storage.tables import read_table, records, write_table
from pam.training.prepared import Prepared
from pam.training.tasks import BoxTasks

SCHEMAS = {
    "images": prepare.IMAGE_SCHEMA,
    "objects": objects.SCHEMA,
    "reference": objects.REFERENCE_SCHEMA,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scans of a dataset that is viewed along y, in two shards, prepared."""
    raw = tmp_path / "raw"
    for number in (0, 1):
        image = np.random.default_rng(number).normal(size=(12, 10, 14)).astype(np.float32)
        labels = np.zeros(image.shape, np.uint8)
        labels[2:9, 3:7, 4 : 9 + number] = 1
        for kind, array in (("image", image), ("label", labels)):
            path = raw / kind / f"s{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            volume.write(array, (1.0, 3.0, 0.5), path)
    dataset = Dataset.model_validate(
        {
            "id": "own",
            "name": "Own",
            "split": "local",
            "modality": "MR",
            "view": "coronal",
            "source": {"kind": "local", "path": str(raw)},
            "layout": {"image": "image/{scan}.nii.gz", "label": "label/{scan}.nii.gz"},
            "labels": {1: "block"},
            "shards": 2,
        }
    )
    status = Status(state="ready", root=str(raw), fingerprint="", files=4)
    for shard in range(2):
        made = prepare.prepare(dataset, status, shard)
        for name, schema in SCHEMAS.items():
            path = tmp_path / "data" / "own" / f"{name}.parquet" / f"{shard}.parquet"
            write_table(getattr(made, name), schema, path)
    return tmp_path / "data"


def test_slices_of_the_view_come_first(folder: Path) -> None:
    source = Prepared(kind="prepared", datasets=("own",), folder=str(folder), scans=("s1",))
    case = source.case(0)
    image = np.random.default_rng(1).normal(size=(12, 10, 14)).astype(np.float32)
    assert case.spacing == (3.0, 1.0, 0.5)
    assert np.allclose(case.scan.volume, np.moveaxis(image, 1, 0))
    (found,) = case.objects
    expected = np.zeros((10, 12, 14), bool)
    expected[3:7, 2:9, 4:10] = True
    assert np.array_equal(found.dense(), expected)


def test_each_round_goes_through_all_scans(folder: Path) -> None:
    source = Prepared(kind="prepared", datasets=("own",), folder=str(folder))
    sizes = [source.case(number).objects[0].voxels for number in range(12)]
    assert all({a, b} == {140, 168} for a, b in zip(sizes[::2], sizes[1::2], strict=True))
    assert len(set(sizes[::2])) == 2  # in orders of their own


def test_what_is_not_prepared_is_told(folder: Path) -> None:
    with pytest.raises(UserError, match="other is not prepared"):
        Prepared(kind="prepared", datasets=("other",), folder=str(folder)).case(0)
    with pytest.raises(UserError, match="No scan with an object"):
        Prepared(kind="prepared", datasets=("own",), folder=str(folder), scans=("s7",)).case(0)


def test_what_is_not_drawn_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four objects of a scan, and of what belongs to none; nor are columns read in vain."""
    own = {name: records(read_table(folder / "own" / f"{name}.parquet"))[0] for name in SCHEMAS}
    parts: list[dict[str, Any]]
    parts = [{"object": f"block/{k}", "x0": 4 + k, "x1": 9 + k} for k in range(4)]
    rows = {
        "images": [own["images"]],
        "objects": [own["objects"] | part for part in parts],
        "reference": [own["reference"] | part for part in (*parts, {"object": None})],
    }
    for name, schema in SCHEMAS.items():
        write_table(rows[name], schema, folder / "many" / f"{name}.parquet" / "0.parquet")
    asked: dict[str, set[str]] = {}
    decoded: list[int] = []
    read, from_row = pq.read_table, Mask.from_row

    def noted(file: Any, columns: Any = None, **more: Any) -> Any:
        asked.setdefault(Path(file.name).parent.name, set()).update(columns)
        return read(file, columns=columns, **more)

    def counted(row: Any, shape: Any) -> Mask:
        decoded.append(row["x0"])
        return from_row(row, shape)

    monkeypatch.setattr(pq, "read_table", noted)
    monkeypatch.setattr(Mask, "from_row", counted)
    case = Prepared(kind="prepared", datasets=("many",), folder=str(folder)).case(0)
    assert (len(case.objects), decoded) == (4, [])
    for seed in range(4):
        BoxTasks(size=16).draw(case, np.random.default_rng(seed))
    assert decoded == [4 + int(np.random.default_rng(seed).integers(4)) for seed in range(4)]
    assert len(set(decoded)) > 1
    assert [found.box for found in case.objects] == [(3, 7, 2, 9, 4 + k, 9 + k) for k in range(4)]
    assert [found.box[4] for found in case.objects[1:3]] == [5, 6]
    assert asked["objects.parquet"] == {"scan", "axis"}
    assert not {"split", "structure", "label_note"} & set().union(*asked.values())


def test_what_a_study_holds_back_is_held_back(folder: Path) -> None:
    """Of patients whom the hash lets learn, a dataset of their own holds one back all the same; so
    does then the other dataset of their collection."""
    own = {name: records(read_table(folder / "own" / f"{name}.parquet"))[0] for name in SCHEMAS}

    def write(dataset: str, patients: Sequence[int]) -> Split:
        """Prepare a scan a patient; that of patient 34 has its object from row 3 and slice 4 on."""
        for name, schema in SCHEMAS.items():
            rows = []
            for p in patients:
                changed: dict[str, Any] = {"scan": f"s{p}", "patient": f"{p}", "collection": "c"}
                changed |= {"y0": p // 10, "y1": p // 10 + 4, "z0": p % 10, "z1": p % 10 + 7}
                rows.append({k: changed.get(k, v) for k, v in own[name].items()})
            write_table(rows, schema, folder / dataset / f"{name}.parquet" / "0.parquet")
        return split(records(read_table(folder / dataset / "images.parquet")), seed=3)

    def learnt(datasets: tuple[str, ...], seed: int | None) -> set[str]:
        source = Prepared(kind="prepared", datasets=datasets, folder=str(folder), split=seed)
        boxes = [source.case(number).objects[0].box for number in range(20)]
        return {f"s{10 * box[0] + box[2]}" for box in boxes}

    many = write("many", [10 * row + slice_ for row in range(4) for slice_ in range(5)])
    few = write("few", [int(scan[1:]) for scan in many.train[:3]])
    assert len(few.test) == 1
    assert learnt(("many",), None) == {*many.train, *many.test}
    assert learnt(("many",), 3) == {*many.train}
    assert learnt(("many", "few"), 3) == {*many.train} - {*few.test}
