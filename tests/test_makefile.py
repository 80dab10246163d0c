"""The Makefile: what its targets delete and write."""

import shutil
import subprocess
from pathlib import Path

from benchmark import catalogue

ROOT = Path(__file__).parents[1]


def _checkout(folder: Path, **programs: str) -> None:
    """Put the Makefile into ``folder``, with an environment of shell scripts."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, script in programs.items():
        (binaries / name).write_text(f'#!/bin/sh\necho "{name} $@" >> asked\n{script}\n')
        (binaries / name).chmod(0o755)
    (folder / ".venv" / ".ready").touch()


_TRAIN = """
case $2 in *propmask*) kind=propmask;; *) kind=box2mask;; esac
recipe=$2
while [ $# -gt 0 ]; do
    [ "$1" = --output ] && output=$2
    [ "$1" = --start -o "$1" = --from ] && { test -f "$2" || exit 1; }
    shift
done
mkdir -p "$output" && echo "$recipe" > "$output/$kind.safetensors"
"""


def test_networks_trained_anew_do_not_replace_the_shipped_ones(tmp_path: Path) -> None:
    """Their entry has the hashes of the shipped files, which a training does not give again."""
    shift = 'while [ "$1" != --no-python ]; do shift; done; shift; exec "$@"'
    _checkout(tmp_path, pambench=_TRAIN, torchrun=shift)
    subprocess.run(["make", "weights"], cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / "pam").exists()
    made = tmp_path / "data" / "training" / "pam-small"
    assert {path.name: path.read_text().strip() for path in made.iterdir()} == {
        "propmask.safetensors": "small-propmask",
        "box2mask.safetensors": "small-box2mask",
    }
    asked = (tmp_path / "asked").read_text().splitlines()
    several = [line for line in asked if line.startswith("torchrun")]
    assert len(several) == 2
    assert all("--device cpu" in line for line in several)  # on one GPU there is no place for two


def test_cleaning_the_demonstration_leaves_other_studies(tmp_path: Path) -> None:
    """Snakemake deletes the outputs of the study that it is given; here it only notes its line."""
    _checkout(tmp_path, snakemake="")
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
