"""Published weights from a server to scores: fetched, verified, converted, loaded and run.

The files have the published names and formats, but reduced sizes and synthetic values, so that the
tests check the path from file to score and not the quality of a method.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import benchmark
from baselines import medsam2_network, medsam_network, segvol_network
from baselines.medsam2 import MedSam2, Sam2
from benchmark import volume
from benchmark.cli import app
from benchmark.settings import load_yaml
from benchmark.sources import zenodo
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.storage.tables import read_table
from benchmark.study import Study
from benchmark.weights import registry
from tests.baselines import segvol_small, test_medsam2_network, test_medsam_network
from tests.baselines.conftest import by_rule
from tests.hosts import Server

ENTRIES = Path(benchmark.__file__).parent / "catalogue" / "weights"
METHODS = {
    "medsam": ("medsam", "box3d", "medsam-vit-b"),
    "sam2": ("sam2", "mask2d", "sam2.1-hiera-tiny"),
    "medsam2": ("medsam2", "box2d", "medsam2"),
    "segvol": ("segvol", "box3d", "segvol-v1"),
    "segvol-pth": ("segvol", "box3d", "segvol-by-hand"),
}


@pytest.fixture
def _reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of a reduced size where the published one is the default."""
    monkeypatch.setattr(medsam_network, "SamSize", lambda: test_medsam_network.SMALL)
    monkeypatch.setattr(segvol_network, "Size", lambda: segvol_small.SMALL)
    small = test_medsam2_network.SMALL
    monkeypatch.setattr(medsam2_network, "Sam2Size", lambda: small)
    for method in (Sam2, MedSam2):
        monkeypatch.setattr(method, "image", small.image)


def saved(path: Path, content: Any) -> bytes:
    torch.save(content, path)
    return path.read_bytes()


def medsam() -> dict[str, torch.Tensor]:
    with test_medsam_network.KEYS.open(encoding="utf-8") as file:
        names = [line.split("\t")[:2] for line in file.read().splitlines()[1:]]
    places = medsam_network.build(test_medsam_network.SMALL).state_dict()
    known = [(mine, places[theirs].shape) for mine, theirs in names if theirs in places]
    return {name: by_rule(name, tuple(shape)) for name, shape in known}


def sam2() -> dict[str, torch.Tensor]:
    shapes = test_medsam2_network.inventory(test_medsam2_network.SMALL)
    return {name: by_rule(name, shape) for name, shape in shapes.items()}


@pytest.fixture
def entries(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Entries of the catalogue, at the played hosts; the path of each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_url",
        lambda repo, path, revision, repo_type: f"{server.address}/{repo}/{revision}/{path}",
    )
    monkeypatch.setattr(zenodo, "FILES", server.address)
    segvol = segvol_small.published()
    container = {f"model.{name}": value for name, value in segvol.items()}
    by_hand = {"model": {f"module.{name}": value for name, value in segvol.items()}, "epoch": 1}
    saved(tmp_path / "SegVol_v1.pth", by_hand)
    made: dict[str, str] = {}

    def hub(weights: str, content: bytes) -> None:
        entry = load_yaml(ENTRIES / f"{weights}.yaml")
        source = entry["source"][0] if isinstance(entry["source"], list) else entry["source"]
        name, repo, revision = source["files"][0]["name"], source["repo"], source["revision"]
        lfs = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "pointerSize": 1,
        }
        file = {"rfilename": name, "size": len(content), "blobId": "0", "lfs": lfs}
        about = {"id": repo, "gated": False, "siblings": [file]}
        server.put(
            f"/api/models/{repo}/revision/{revision}",
            json.dumps(about).encode(),
            type="application/json",
        )
        server.put(f"/{repo}/{revision}/{name}", content)
        made[weights] = weights

    def own(weights: str, change: Callable[[dict[str, Any]], Any], base: str) -> None:
        entry = {**load_yaml(ENTRIES / f"{base}.yaml"), "id": f"{weights}-here"}
        change(entry)
        (tmp_path / f"{weights}.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
        made[weights] = f"{weights}.yaml"

    hub("segvol-v1", saved(tmp_path / "file", container))
    hub("medsam2", saved(tmp_path / "file", {"model": sam2()}))
    content = saved(tmp_path / "file", medsam())
    server.put("/10689643/files/medsam_vit_b.pth", content)
    hashes = {
        "size": len(content),
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }

    def of_copy(entry: dict[str, Any]) -> None:
        entry["source"][0]["files"][0] |= {key: hashes[key] for key in ("size", "md5")}
        entry["files"][0] |= hashes

    own("medsam-vit-b", of_copy, "medsam-vit-b")
    server.put("/sam2.1_hiera_tiny.pt", saved(tmp_path / "file", {"model": sam2()}))
    address = f"{server.address}/sam2.1_hiera_tiny.pt"
    own(
        "sam2.1-hiera-tiny",
        lambda entry: entry["source"]["files"][0].update(url=address),
        "sam2.1-hiera-tiny",
    )
    own("segvol-by-hand", lambda entry: None, "segvol-v1")
    return made


def pambench(*words: object, **named: object) -> str:
    told = [f"--{name.replace('_', '-')}={value}" for name, value in named.items()]
    result = CliRunner().invoke(app, [*map(str, words), *told])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def study(entries: Mapping[str, str]) -> Study:
    """Five methods on a scan of a lesion."""
    label = np.zeros((6, 40, 48), dtype=np.uint8)
    label[2:5, 10:22, 14:30] = 1
    image = np.random.default_rng(0).normal(40, 10, label.shape) + 90 * label
    for kind, array in (("images", image.astype(np.int16)), ("labels", label)):
        volume.write(array, (3.0, 1.0, 1.0), Path("tiny", kind, "case.nii.gz"))
    dataset = {
        "id": "tiny",
        "name": "Tiny",
        "split": "local",
        "modality": "CT",
        "source": {"kind": "local", "path": "tiny"},
        "layout": {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"},
        "labels": {1: "lesion"},
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(dataset), encoding="utf-8")
    methods = {
        name: {"adapter": adapter, "prompt": prompt, "weights": entries[weights]}
        for name, (adapter, prompt, weights) in METHODS.items()
    }
    budgets = {"timed_objects": 0}
    content = {"study": "s", "datasets": ["tiny.yaml"], "methods": methods, "budgets": budgets}
    return Study.read(content, "study")


def scores(study: Study) -> dict[str, Any]:
    """Run the stages up to the scores, as the workflow does; the rows of each method."""
    data = {"dataset": "tiny", "shard": 0}
    status, rules = paths.at(paths.STATUS, **data), study.prompt_rules
    images, objects, reference, failures = (
        Path(pattern.format(**data))
        for pattern in (paths.IMAGES, paths.OBJECTS, paths.REFERENCE, paths.SET_ASIDE)
    )
    tables = {"images": images, "objects": objects, "reference": reference}
    pambench("fetch", dataset="tiny.yaml", output=status)
    pambench("prepare", dataset="tiny.yaml", status=status, shard=0, failures=failures, **tables)
    asked, settings = paths.at(paths.PROMPTS, rules=rules.id, **data), Path("rules.json")
    write_json(settings, rules.model_dump(mode="json"))
    pambench("prompts", settings=settings, output=asked, **tables)
    metrics = Path("metrics.json")
    write_json(metrics, study.scoring.model_dump(mode="json"))
    found = {}
    for name, run in study.runs.items():
        settings, masks = Path(f"{name}.json"), paths.at(paths.MASKS, run=run.id, **data)
        write_json(settings, run.model_dump(mode="json"))
        assert run.weights is not None
        entry = registry.load(run.weights).id
        weights = paths.at(paths.WEIGHTS_STATUS, weights=entry)
        pambench("fetch-weights", weights=run.weights, output=weights)
        pambench(
            "predict",
            settings=settings,
            images=images,
            prompts=asked,
            weights_status=weights,
            masks=masks,
            times=paths.at(paths.TIMES, run=run.id, **data),
        )
        output = Path(f"{name}.parquet")
        pambench(
            "score-shard",
            settings=settings,
            metrics=metrics,
            prompts=asked,
            masks=masks,
            output=output,
            **tables,
        )
        found[name] = read_table(output)
    return found


@pytest.mark.usefixtures("_reduced")
def test_from_a_server_to_scores(entries: dict[str, str], server: Server) -> None:
    for weights, name in entries.items():
        given = ["--from", "SegVol_v1.pth"] if weights == "segvol-by-hand" else []
        assert "ready in" in pambench("weights", "fetch", name, *given)
        told = "as published" if weights == "medsam-vit-b" else "as first used"
        assert told in pambench("weights", "verify", name)
    asked = len(server.requests)
    found = scores(study(entries))
    files = [path for path, _ in server.requests[asked:] if not path.startswith("/api/")]
    assert files == []  # what is there is not downloaded again
    for name, rows in found.items():
        assert set(rows["status"]) == {"ok"}, name
        assert rows["dsc"].between(0, 1).all()
    assert found["segvol"].equals(found["segvol-pth"])  # both containers hold the same network
