"""Dataset fingerprints against values by hand, and from images through the real stages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import zscore
from typer.testing import CliRunner

from benchmark import objects, prepare
from benchmark.analysis import analyse, read_statistics
from benchmark.analysis.fingerprint import PROPERTIES
from benchmark.analysis.settings import AnalysisSettings
from benchmark.catalogue import Dataset
from benchmark.cli import app
from benchmark.collecting.collect import STUDY_IMAGE_SCHEMA
from benchmark.errors import UserError
from benchmark.sources import Status
from benchmark.storage.tables import write_table
from tests.benchmark.analysis.test_tables import documented

TABLES = ("fingerprint", "object_types", "training_samples")


def scan(dataset: str, name: str, size: Any, spacing: Any, **more: Any) -> dict[str, Any]:
    given = {"split": "internal", "modality": "CT", "part": "train", "patient": name, **more}
    axes = {f"size_{a}": n for a, n in zip("zyx", size, strict=True)}
    axes |= {f"spacing_{a}": mm for a, mm in zip("zyx", spacing, strict=True)}
    return {"dataset": dataset, "scan": name, **given, **axes}


def thing(dataset: str, name: str, structure: str, voxels: int, slices: int) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "scan": name.partition("/")[0],
        "object": name,
        "structure": structure,
        "voxels": voxels,
        "volume_mm3": voxels * 2.0,
        "slices_over_100": slices,
    }


IMAGES = [
    scan("D01", "a", (10, 100, 100), (5.0, 1.0, 1.0)),  # 50 of 100 mm, 1 of 5 mm
    scan("D01", "b", (40, 100, 50), (1.0, 1.0, 2.0), part="validation"),  # 40 of 100, 1 of 2
    scan("D01", "c", (40, 100, 50), (1.0, 1.0, 1.0), patient="b", part="validation"),  # 40, 1
    scan("D35", "a", (8, 8, 8), (1.0, 1.0, 1.0), split="external", modality="MR"),
]
OBJECTS = [
    thing("D01", "a/liver/1", "liver", 900, 4),
    thing("D01", "a/liver/2", "liver", 100, 0),
    thing("D01", "b/liver/1", "liver", 500, 3),
    thing("D01", "b/lesion/1", "lesion", 300, 1),
    thing("D35", "a/lesion/1", "lesion", 300, 2),
]


def tables(tmp_path: Path, images: Any = IMAGES, found: Any = OBJECTS) -> dict[str, pd.DataFrame]:
    """Through files, as the workflow does."""
    inputs = {}
    for name, rows in (("images", images), ("objects", found)):
        inputs[name] = tmp_path / f"{name}.parquet"
        pd.DataFrame(rows).to_parquet(inputs[name])
    analyse("fingerprint", inputs, tmp_path, AnalysisSettings())
    return {name: read_statistics(tmp_path / f"{name}.csv") for name in TABLES}


def test_the_five_properties(tmp_path: Path) -> None:
    table = tables(tmp_path)["fingerprint"].set_index("dataset")
    first = table.loc["D01"]
    assert (first["scans"], first["patients"], first["structures"], first["objects"]) == (
        3,
        2,
        2,
        4,
    )
    assert first["voxels"] == 100_000 + 2 * 200_000
    assert first["voxels_median"] == 200_000
    assert first["size_anisotropy"] == np.median([0.5, 0.4, 0.4])
    assert first["spacing_anisotropy"] == np.median([0.2, 0.5, 1.0])
    assert table.loc["D35", "size_anisotropy"] == 1
    for name in PROPERTIES:
        np.testing.assert_allclose(table[f"z_{name}"], zscore(table[name].astype(float)))


def test_object_types_and_training_samples(tmp_path: Path) -> None:
    found = tables(tmp_path)
    types = found["object_types"].set_index(["dataset", "structure"])
    assert types["objects"].to_dict() == {
        ("D01", "liver"): 3,
        ("D01", "lesion"): 1,
        ("D35", "lesion"): 1,
    }
    liver: Any = types.loc[("D01", "liver"), ["scans", "voxels_median", "volume_mm3_median"]]
    assert liver.tolist() == [2, 500, 1000]
    samples = found["training_samples"].set_index(["dataset", "part"])
    columns = ["scans", "objects", "slices", "samples", "tasks"]
    assert dict(zip(samples.index, samples[columns].to_numpy().tolist(), strict=True)) == {
        ("D01", "train"): [1, 2, 4, 20, 1],
        ("D01", "validation"): [1, 2, 4, 20, 2],
        ("D35", "external"): [1, 1, 2, 10, 1],
    }


@pytest.mark.parametrize(
    ("images", "found"), [(IMAGES, OBJECTS), (IMAGES[:1], OBJECTS[:1]), (IMAGES, OBJECTS[:1])]
)
def test_columns_are_those_of_the_page(tmp_path: Path, images: Any, found: Any) -> None:
    for name, table in tables(tmp_path, images, found).items():
        assert table.columns.tolist() == documented()[name]


def test_nothing_prepared_gives_empty_tables(tmp_path: Path) -> None:
    for name, schema in (("images", STUDY_IMAGE_SCHEMA), ("objects", objects.SCHEMA)):
        write_table([], schema, tmp_path / f"{name}.parquet")
    arguments = ["--images", tmp_path / "images.parquet", "--objects", tmp_path / "objects.parquet"]
    arguments += ["--output", tmp_path]
    done = CliRunner().invoke(app, ["analyse", "fingerprint", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    for name in TABLES:
        table = read_statistics(tmp_path / f"{name}.csv")
        assert table.empty
        assert table.columns.tolist() == documented()[name]


def test_a_table_without_what_is_needed(tmp_path: Path) -> None:
    pd.DataFrame(OBJECTS).drop(columns="slices_over_100").to_parquet(tmp_path / "o.parquet")
    pd.DataFrame(IMAGES).to_parquet(tmp_path / "i.parquet")
    inputs = {"images": tmp_path / "i.parquet", "objects": tmp_path / "o.parquet"}
    with pytest.raises(UserError, match="lacks the column 'slices_over_100'"):
        analyse("fingerprint", inputs, tmp_path, AnalysisSettings())


def test_slices_with_more_than_a_hundred_pixels(
    tmp_path: Path,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
    ready: Callable[[Path], Status],
) -> None:
    labels = np.zeros((8, 16, 18), dtype=np.uint8)
    labels[1:5, 1:11, 1:11] = 2  # 100 pixels are not over 100
    labels[2:4, 11, 1] = 2
    save_scan(tmp_path, "a", labels)
    (row,) = prepare.prepare(entry(tmp_path), ready(tmp_path), 0).objects
    assert (row["extent"], row["slices_over_100"]) == (4, 2)
