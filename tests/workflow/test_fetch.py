"""Fetching in the workflow: never before it is asked for, again after a failure, no token kept."""

import json
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
