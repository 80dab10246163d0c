"""Sizes of lesions against closed forms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from benchmark import paths, prepare
from benchmark.analysis import survival
from benchmark.analysis.settings import AnalysisSettings
from benchmark.catalogue import Dataset
from benchmark.files import write_json
from benchmark.inference import MASKS, predict
from benchmark.measures import diameter, measure
from benchmark.sources import Status
from benchmark.study import Study
from benchmark.tables import read_table, write_table
from tests.conftest import Shard


def test_diameter_of_a_rectangle_and_of_a_disc() -> None:
    plane = np.zeros((30, 40), dtype=bool)
    assert diameter(plane, (1.0, 1.0)) == 0
    plane[5:8, 10:14] = True  # 3 x 4 pixels of 2 x 0.5 mm
    assert diameter(plane, (2.0, 0.5)) == pytest.approx((6**2 + 2**2) ** 0.5)
    y, x = np.mgrid[:201, :201]
    disc = (y - 100) ** 2 + (x - 100) ** 2 <= 80**2
    assert diameter(disc, (0.1, 0.1)) == pytest.approx(16, rel=0.02)


def test_diameter_of_any_shape_is_that_of_all_corners() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        plane = rng.random((9, 7)) < 0.3
        places = np.argwhere(plane)
        corners = np.concatenate([places + edge for edge in np.ndindex(2, 2)])
        assert diameter(plane, (1.5, 0.7)) == pytest.approx(pdist(corners * (1.5, 0.7)).max())


def test_a_lesion_that_is_gone_is_of_size_zero(
    tmp_path: Path,
    entry: Callable[..., Dataset],
    save_scan: Callable[..., None],
    ready: Callable[[Path], Status],
    labels: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_scan(Path("raw"), "pre")
    save_scan(Path("raw"), "post", labels * 0)
    layout = {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"}
    dataset = entry(Path("raw"), layout={**layout, "unlabelled": "keep-empty"})
    Path("T1.yaml").write_text(yaml.safe_dump(dataset.model_dump(mode="json")), encoding="utf-8")
    patient = {"patient": ["p"], "time_months": [9.0], "event": [0]}
    scans = {"pre_scan": ["pre"], "post_scan": ["post"]}
    pd.DataFrame({**patient, **scans}).to_csv("raw/cohort.csv", index=False)
    content = {
        "study": "s",
        "datasets": ["T1.yaml"],
        "methods": {"box": {"adapter": "box-fill", "prompt": "box3d"}},
        "analysis": {"cohorts": {"T1": {"structure": "lesion"}}},
    }
    study = Study.read(content, "the test's study")
    status = ready(Path("raw"))
    write_json(Path(paths.STATUS.format(dataset="T1")), status.model_dump())
    shard = Shard(Path("tables"), prepare.prepare(dataset, status, 0), (0.0,))
    (run,) = study.runs.values()
    where = {"dataset": "T1", "shard": 0, "run": run.id, "rules": study.prompt_rules.id}
    masks = Path("tables/masks.parquet")
    write_table(predict(run, shard.images, shard.prompts).masks, MASKS, masks)
    for name in ("images", "reference", "prompts", "masks"):
        place = Path(getattr(paths, name.upper()).format(**where))
        place.parent.mkdir(parents=True)
        masks.with_name(f"{name}.parquet").rename(place)
    measure(study, tmp_path)

    names = ("measures", "cohorts")
    tables = {name: read_table(tmp_path / f"{name}.parquet") for name in names}
    found = survival.analyse(tables, AnalysisSettings())["survival_patients"].set_index("method")
    assert set(found.index) == {"reference", "box"}
    assert set(found["status"]) == {"ok"}
    sizes = found[["diameter_post", "area_post", "volume_post"]]
    assert (sizes == 0).all(axis=None)
    kept = (labels == 1).sum() - 1  # less the speck, which is no object
    assert found.loc["reference", "volume_pre"] == pytest.approx(kept * 3.0 * 1.0 * 1.5)
    assert set(found["recist"]) == set(found["volumetric"]) == {"complete response"}
