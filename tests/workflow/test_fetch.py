"""Fetching in the workflow: only on request, again after a failure, without storing tokens."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.benchmark.sources.test_fetched import zipped
from tests.hosts import Server, status
from tests.workflow.conftest import Workplace, entry

SECRET = "syn-s3cr3t-token"


def test_from_the_network_to_a_status(
    make_workplace: Callable[[], Workplace],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNAPSE_AUTH_TOKEN", SECRET)
    place = make_workplace()
    scans = {p.relative_to(place.folder / "A"): p for p in (place.folder / "A").rglob("*.nii.gz")}
    made = zipped(**{str(name).replace("/", "__"): p.read_bytes() for name, p in scans.items()})
    page = server.put("/a.zip", made, status(404))
    file = {"url": f"{server.address}/a.zip?key=hidden", "name": "a.zip", "sha256": page.sha256}
    place.write("A.yaml", entry("A") | {"source": {"kind": "http", "files": [file]}})
    waiting = {"kind": "synapse", "entity": "syn1", "files": [{"name": "*"}]}
    place.write("B.yaml", entry("B") | {"source": waiting})
    study = place.study()

    def state(name: str) -> Any:
        path = place.folder / "data" / name / "raw" / "status.json"
        return json.loads(path.read_text(encoding="utf-8"))["state"]

    assert "fetch" in place.rerun(study)
    assert not server.requests  # a dry run asks nobody
    until = ("--until", "fetch")
    assert place.run(study, *until).returncode == 0
    assert (state("A"), state("B")) == ("failed", "manual")
    again = place.run(study, *until)
    assert again.returncode == 0, again.stderr
    assert state("A") == "ready"
    assert "data/B/raw/status.json" not in again.stdout + again.stderr  # waits for a person
    assert "fetch" not in place.rerun(study)
    for path in place.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_deleted_downloads_cost_nothing_and_are_got_again_as_told(
    make_workplace: Callable[[], Workplace], server: Server
) -> None:
    place = make_workplace()
    scans = {p.relative_to(place.folder / "A"): p for p in (place.folder / "A").rglob("*.nii.gz")}
    made = zipped(**{str(name).replace("/", "__"): p.read_bytes() for name, p in scans.items()})
    server.put("/a.zip", made)
    page = server.put("/reach.txt", b"2")
    data = {"kind": "http", "files": [{"url": f"{server.address}/a.zip"}]}
    place.write("A.yaml", entry("A") | {"source": data})
    source = {"kind": "http", "files": [{"url": f"{server.address}/reach.txt"}]}
    files = [{"path": "reach.txt", "sha256": page.sha256}]
    place.write("w.yaml", {"id": "w", "name": "W", "source": source, "files": files})
    weighted = {"adapter": "mymethods:Weighted", "prompt": "mask2d", "weights": "w.yaml"}
    changes: Any = {"datasets": ["A.yaml"], "methods": {"weighted": weighted}}
    study, target = place.study(**changes), "results/small/scores.parquet"
    ended = place.run(study, target)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(place.scores()["status"]) == {"ok"}
    assert place.rerun(study, target) == set()

    shutil.rmtree(place.folder / "data" / "downloads")
    assert place.rerun(study, target) == set()
    changes["methods"] = {"weighted": weighted | {"options": {"reach": 3}}}
    new = place.study("new", **changes)
    ended = place.run(new, "--retries", "0", "--until", "predict")
    assert ended.returncode != 0
    told = "The weights 'w.yaml' were here but are no longer"
    assert told in ended.stdout + ended.stderr
    assert "To get them again: pambench weights fetch w.yaml" in ended.stdout + ended.stderr
    assert len(list(place.folder.glob("results/runs/weighted-*/masks"))) == 1
    for what, name in (("weights", "w.yaml"), ("datasets", "A.yaml")):
        command = [sys.executable, "-m", "benchmark", what, "fetch", name]
        subprocess.run(command, cwd=place.folder, check=True)
    assert place.rerun(study, target) == set()
    assert "fetch" not in place.rerun(new, "--until", "predict")
    ended = place.run(new, "--until", "predict")
    assert ended.returncode == 0, ended.stdout + ended.stderr
