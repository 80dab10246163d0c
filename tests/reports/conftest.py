"""A generated study of any size: scores, times, failures, and images for the panels."""

import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from benchmark import volume
from benchmark.analysis import ANALYSES, analyse
from benchmark.analysis.settings import AnalysisSettings
from benchmark.masks import Mask
from benchmark.objects import REFERENCE_SCHEMA
from benchmark.objects import SCHEMA as OBJECTS
from benchmark.prepare import IMAGE_SCHEMA
from benchmark.prompts import SCHEMA, derive
from benchmark.storage.files import write_json
from benchmark.storage.tables import write_table

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHAPE = (24, 60, 70)
SHAPE_COLUMNS = [name for name in OBJECTS.names if name.endswith(("_2d", "_3d"))]
SPACING = (5.0, 2.0, 2.0)


def make_study(
    root: Path,
    datasets: int = 3,
    methods: int = 2,
    *,
    names: dict[str, str] | None = None,
    scans: int = 2,
    oracle: bool = True,
    failing: bool = True,
    shown: int = 1,
) -> Path:
    """Write ``root``/results/generated and ``root``/data; returns the study's folder.

    The first ``shown`` datasets have images, and a licence that allows showing them.
    """
    rng = np.random.default_rng(7)
    ids = [f"D{i + 1:02d}" for i in range(datasets)]
    known = [f"PAM-{i}" if i % 2 else f"classic-{i}" for i in range(methods)]
    known = [(names or {}).get(name, name) for name in known]
    known += ["oracle"] if oracle else []
    folder = root / "results" / "generated"
    rows: list[dict[str, Any]] = []
    times: list[dict[str, Any]] = []
    for (d, dataset), s, structure in product(enumerate(ids), range(scans), ("liver", "lesion")):
        split = "external" if d >= datasets * 3 // 4 else "internal"
        shared = {
            "dataset": dataset,
            "split": split if datasets > 10 else "phantom",
            "modality": ("CT", "MR")[d % 2],
            "collection": dataset,
            "scan": f"scan{s}",
            "patient": f"p{s}",
            "structure": structure,
            "variant": "",
            "deviation": 0.0,
            "effective_deviation": 0.0,
            "shift": 0,
        }
        hard = rng.normal(0, 0.1) - 0.1 * (structure == "lesion")
        for m, method in enumerate(known):
            about: dict[str, Any] = {"method": method, "contaminated": d == 1 and m == 0}
            about["prompt"] = ("box2d", "mask2d", "box3d")[m % 3]
            dsc, bad = 1.0, False
            if method != "oracle":
                usual = float(np.clip(0.6 + 0.025 * m + hard, 0.01, 0.99))
                dsc = float(np.clip(usual + rng.normal(0, 0.05), 0.01, 0.99))
                bad = failing and rng.random() < 0.05
            rows += _scores(shared | about, dsc, bad=bad)
            times.append(
                {key: shared[key] for key in ("dataset", "scan", "variant")}
                | {"object": f"scan{s}/{structure}/1", "method": method, "prompt": "box2d"}
                | {"device": "cpu" if m % 2 else "cuda", "load_s": 1.0, "read_s": 0.1}
                | {"segment_s": float(np.exp(rng.normal(m / 2 - 2, 0.6)))}
            )
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "scores.parquet")
    pd.DataFrame(times).to_parquet(folder / "times.parquet")
    failures = [
        ("D01", "scan9", "prepare", None, None, "The label of scan9 is empty: nothing there.", 1),
        ("D03", None, "fetch", None, None, "Sign the agreement at the data's site.", 1),
        ("D02", "scan0", "predict", known[0], "scan0/liver/1", "out of memory", 3),
    ]
    columns = ["dataset", "scan", "stage", "method", "object", "reason", "count"]
    pd.DataFrame(failures if failing else [], columns=columns).to_parquet(
        folder / "failures.parquet"
    )
    _write_json(folder, ids, known, failing, shown)
    for dataset in ids[:shown]:
        _pixels(root, dataset, known)
    _prepared(folder, ids)
    statistics(folder, controls=("oracle",) if oracle else ())
    return folder


def _scores(about: dict[str, Any], dsc: float, *, bad: bool) -> list[dict[str, Any]]:
    """Return the rows of a cell at both levels: its metrics follow from ``dsc``, unless ``bad``."""
    far = 40 * (1 - dsc)
    metrics = {name: dsc for name in ("dsc", "sensitivity", "precision", "nsd")}
    metrics |= {"jaccard": dsc / (2 - dsc), "specificity": 0.999, "volume_ratio": 1.0}
    metrics |= {"hd95": far, "hd": far * 1.2, "asd": far / 5}
    outcome = {"status": "failed" if bad else "ok", "reason": "out of memory" if bad else None}
    row = about | outcome | {"prompt_hash": "0" * 16}
    row |= dict.fromkeys(metrics) if bad else metrics
    name = f"{about['scan']}/{about['structure']}/1"
    return [
        row | {"level": level, "object": of}
        for level, of in (("object", name), ("structure", None))
    ]


def _prepared(folder: Path, ids: list[str]) -> None:
    """Write the tables of images and objects, with more types and objects than have scores."""
    rng = np.random.default_rng(3)
    images, objects = [], []
    for d, dataset in enumerate(ids):
        about = {"dataset": dataset, "split": "phantom" if len(ids) <= 10 else "internal"}
        about |= {"modality": ("CT", "MR", "PETCT", "SRX")[d % 4], "part": "validation"}
        for s in range(2 + d % 5):
            scan = {"scan": f"scan{s}", "patient": f"p{s}"}
            sizes = zip((f"size_{a}" for a in "zyx"), rng.integers(20, 400, 3), strict=True)
            spacings = zip((f"spacing_{a}" for a in "zyx"), rng.uniform(0.5, 5, 3), strict=True)
            images.append(about | scan | dict(sizes) | dict(spacings))
            for t in range(1 + 5 * d % 13):
                for o in range(1 + int(rng.lognormal(1, 1))):
                    name: dict[str, Any] = {
                        "object": f"scan{s}/type{t}/{o}",
                        "structure": f"type{t}",
                    }
                    size: dict[str, Any] = {
                        "voxels": 900,
                        "volume_mm3": 1e3,
                        "slices_over_100": 7,
                        "extent": 9,
                    }
                    shape: dict[str, Any] = {
                        column: rng.uniform(0.3, 1) for column in SHAPE_COLUMNS
                    }
                    objects.append({"dataset": dataset} | scan | name | size | shape)
    pd.DataFrame(images).to_parquet(folder / "images.parquet")
    pd.DataFrame(objects).to_parquet(folder / "objects.parquet")


def statistics(folder: Path, **settings: Any) -> None:
    """Run every analysis on the tables in a study's folder."""
    chosen = AnalysisSettings(resamples=100, **settings)
    for name, analysis in ANALYSES.items():
        paths = {table: folder / f"{table}.parquet" for table in analysis.takes}
        there = {table: path for table, path in paths.items() if path.exists()}
        analyse(name, there, folder / "statistics", chosen)


def _write_json(folder: Path, ids: list[str], known: list[str], failing: bool, shown: int) -> None:
    described = {
        dataset: {
            "name": f"A set of abdominal scans number {i + 1}",
            "split": "phantom" if len(ids) <= 10 else "internal",
            "modality": ("CT", "MR")[i % 2],
            "licence": "CC-BY-4.0",
            "redistributable": i < shown,
            "state": "manual" if failing and i == 2 else "ready",
            "scans": 2,
            "objects": 4,
            "homepage": "https://example.org/data",
            "citation": "Doe et al. A data set. 2024.",
        }
        for i, dataset in enumerate(ids)
    }
    told: dict[str, dict[str, Any]] = {
        method: {
            "adapter": method,
            "prompt": ("box2d", "mask2d", "box3d")[i % 3],
            "weights": None,
            "options": {},
            "summary": "Carries the mask from slice to slice.",
            "licence": "Apache-2.0",
            "gpu": False,
            "control": method == "oracle",
            "sees_reference": method == "oracle",
            "run": f"run-{i}",
            "prompts": "abc",
        }
        for i, method in enumerate(known)
    }
    report = {"title": "A generated study", "colours": {}, "panels": 1, "panel_method": None}
    write_json(folder / "settings.json", {"study": "generated", "protocol": "rigorous", "seed": 0})
    write_json(folder / "figures" / "settings.json", report)
    record = {"pambench": "0.1.0", "commit": "0" * 40, "dirty": True, "python": "3.11.2"}
    record |= {"libraries": {"numpy": "2.0"}, "system": "Linux", "processor": "A processor"}
    record |= {"study": "generated", "datasets": described, "methods": told}
    write_json(folder / "record.json", record)


def ball(centre: tuple[int, int, int], radius_mm: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    grid = np.indices(SHAPE).astype(float)
    far = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, SPACING, strict=True))
    return np.asarray(far <= radius_mm**2)


def _pixels(root: Path, dataset: str, methods: list[str]) -> None:
    rng = np.random.default_rng(1)
    images, reference, prompts = [], [], []
    masks: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    for s in range(2):
        scan = f"scan{s}"
        array = rng.normal(0, 20, SHAPE)
        for structure, centre, radius in (("liver", (12, 32, 28), 34), ("lesion", (9, 22, 50), 13)):
            name = f"{scan}/{structure}/1"
            truth = ball(centre, radius)
            array[truth] += 120
            mask = Mask.of(truth)
            row = {"scan": scan, "structure": structure, "object": name, **mask.to_row()}
            reference.append(row)
            about = {"dataset": dataset, "scan": scan, "object": name, "structure": structure}
            prompts += [{**about, **found} for found in derive(mask, 0, [0.0])]
            for i, method in enumerate(methods):
                given = truth if method == "oracle" else ball(centre, radius + 2 * i - 4)
                masks[method].append(
                    {"scan": scan, "object": name, "variant": "", "deviation": 0.0}
                    | {"prompt_hash": "0" * 16, "status": "ok", "reason": None}
                    | Mask.of(given).to_row()
                )
        path = root / "data" / dataset / f"{scan}.nii.gz"
        volume.write(array.astype(np.int16), SPACING, path)
        images.append(
            {"dataset": dataset, "scan": scan, "patient": scan, "modality": "CT", "channels": []}
            | {"images": [str(path.relative_to(root) if s else path)], "orientation": "LPS"}
            | {f"size_{a}": n for a, n in zip("zyx", SHAPE, strict=True)}
            | {f"spacing_{a}": n for a, n in zip("zyx", SPACING, strict=True)}
        )
    write_table(images, IMAGE_SCHEMA, root / "data" / dataset / "images.parquet" / "0.parquet")
    folder = root / "data" / dataset / "reference.parquet"
    write_table(reference, REFERENCE_SCHEMA, folder / "0.parquet")
    write_table(prompts, SCHEMA, root / "results" / "prompts" / "abc" / dataset / "0.parquet")
    for i, method in enumerate(methods):
        target = root / "results" / "runs" / f"run-{i}" / "masks" / dataset / "0.parquet"
        target.parent.mkdir(parents=True)
        pd.DataFrame(masks[method]).to_parquet(target)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study of three datasets, two methods and the oracle."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def made() -> Callable[..., Path]:
    """Return `make_study`."""
    return make_study


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Yield a headless browser without GPU; skip the test if none is installed."""
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on PATH")
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()


if __name__ == "__main__":  # to inspect the figures: python conftest.py FOLDER DATASETS METHODS
    make_study(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
