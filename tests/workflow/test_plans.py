"""The studies that ship: their graph of jobs is built without a network, and stays small."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmark import catalogue
from benchmark.study import Study
from tests.workflow.conftest import ROOT, SNAKEMAKE

NO_NETWORK = """
import socket

def refuse(self, address):
    if self.family != socket.AF_UNIX:
        raise AssertionError(f"the network was asked for: {address}")

socket.socket.connect = socket.socket.connect_ex = refuse
"""


def study(name: str) -> Study:
    text = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    return Study.read(yaml.safe_load(text), name)


def test_the_whole_paper_is_under_five_thousand_jobs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    command = [*SNAKEMAKE, "--configfile", str(ROOT / "config" / "paper.yaml"), "--dry-run"]
    done = subprocess.run(
        [*command, "--quiet", "rules", "--directory", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", told, re.MULTILINE)}
    assert jobs["fetch"] == 44
    assert jobs["prepare"] == sum(e.shards for e in study("paper").entries.values())
    assert 1000 < jobs["total"] < 5000


def test_a_network_would_have_been_noticed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    asked = "import urllib.request as u; u.urlopen('http://127.0.0.1:9')"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the network was asked for" in done.stderr


def test_the_studies_take_the_datasets_that_they_promise() -> None:
    assert study("paper").datasets == tuple(f"D{n:02d}" for n in range(1, 45))
    assert study("external").datasets == tuple(f"D{n}" for n in range(35, 45))
    assert study("quickstart").datasets == ("D32",)
    ten = [catalogue.load(name) for name in study("ten").datasets]
    assert len(ten) == 10
    assert "D37" in study("ten").datasets
    assert {entry.modality for entry in ten} == {"CT", "MR", "PETCT", "SRX"}
    assert {entry.split for entry in ten} == {"internal", "external"}
    assert not [entry.id for entry in ten if entry.registration]


def test_the_released_study_takes_every_variant_there_is() -> None:
    named = study("released").datasets
    assert [name.removesuffix("@released") for name in named] == list(study("paper").datasets)
    for name in named:
        entry = catalogue.load(name.removesuffix("@released"))
        assert bool(entry.released) == name.endswith("@released")
    assert study("released").protocol == "released"


@pytest.mark.parametrize("name", ["external", "ten", "released"])
def test_a_method_is_the_same_in_each_of_them(name: str) -> None:
    """But for variants: a result of one study is found by the other."""
    papers = study("paper").methods
    for method, told in study(name).methods.items():
        assert told.model_copy(update={"variants": {}}) == papers[method].model_copy(
            update={"variants": {}}
        )
