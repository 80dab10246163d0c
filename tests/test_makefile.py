"""The Makefile: what its targets delete."""

import shutil
import subprocess
from pathlib import Path

from benchmark import catalogue

ROOT = Path(__file__).parents[1]


def test_cleaning_the_demonstration_leaves_other_studies(tmp_path: Path) -> None:
    """Snakemake deletes the outputs of the study that it is given; here it only notes its line."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "snakemake").write_text('#!/bin/sh\necho "$@" >> asked\n')
    (binaries / "snakemake").chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    others = [
        "results/mine/report.html",
        "results/models/net-1/model",
        "data/D01/raw/a",
        "data/P99/a",
    ]
    generated = [name for name in catalogue.names() if name.startswith("P")]
    made = ["results/demo/report.html", *(f"data/{name}/raw/a" for name in generated)]
    for name in [*others, *made]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "results" / "runs" / "pam-1").mkdir(parents=True)
    subprocess.run(["make", "clean-demo"], cwd=tmp_path, check=True, capture_output=True)
    assert "--configfile config/demo.yaml --delete-all-output" in (tmp_path / "asked").read_text()
    left = {
        str(p.relative_to(tmp_path)) for d in ("results", "data") for p in (tmp_path / d).rglob("*")
    }
    assert {name for name in left if (tmp_path / name).is_file()} == set(others)
    assert "results/runs" not in left
