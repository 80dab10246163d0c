"""The shipped studies: their job graphs are built without a network, and stay small."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from baselines.classical import FlowPropagation
from benchmark import catalogue
from benchmark.analysis import thickness
from benchmark.methods.registry import find
from benchmark.study import Study
from benchmark.weights import registry as weights
from pam.adapters import Pam
from pam.learning import Pam2DMaskTrained
from tests.workflow.conftest import ON_A_CLUSTER, ROOT, SNAKEMAKE, snakemake

CAPPED = ("released", "paper")
"""Studies whose methods reach no further than so many slices, each by its protocol."""

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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        # It is not taken for that of the paper.
        ("methods: {fill: {adapter: box-fill, prompt: box3d}}", "study: Field required"),
        ("methods:\n  fill: {}\n  fill: {adapter: box-fill}", "the key 'fill' occurs twice"),
    ],
)
def test_a_study_that_is_none_is_refused(content: str, told: str, tmp_path: Path) -> None:
    nameless = tmp_path / "nameless.yaml"
    nameless.write_text(f"datasets: [P01]\n{content}\n")
    where = ["--configfile", str(nameless), "--directory", str(tmp_path)]
    done = snakemake(*where, "--dry-run")
    assert done.returncode != 0
    assert told in done.stdout + done.stderr


def test_parsing_imports_no_large_library(tmp_path: Path) -> None:
    # Snakemake parses the workflow again in the process of each job on a cluster.
    told = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('frozen:', gc.get_freeze_count(), 'loaded:', *sys.modules))"
    )
    (tmp_path / "sitecustomize.py").write_text(told, encoding="utf-8")
    done = subprocess.run(
        [*SNAKEMAKE, "--configfile", str(ROOT / "config" / "demo.yaml"), "--list-rules"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, *loaded = done.stdout.partition("frozen:")[2].replace("loaded:", "").split()
    assert int(count) > 0  # nothing is collected at exit
    assert "benchmark.study" in loaded
    assert not {"pandas", "torch", "SimpleITK", "skimage", "scipy", "matplotlib"} & {*loaded}


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
    assert study("training").datasets == study("external").datasets
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
    assert study("released").methods["pam-2dbox"].prompt == "mask2d"  # the true slice stays
    ours, papers = (study(n).analysis.model_copy(update={"thickness": {}}) for n in CAPPED)
    assert ours == papers


def steps(content: Study, method: str, variant: str, slice_mm: float) -> int:
    """Slices that a step of a method goes, by the method itself."""
    run = content.runs[method]
    options = find(run.adapter)(run.options).with_options(run.variants.get(variant, {})).options
    if isinstance(options, Pam.Options):
        return options.propagation_settings({}).reach(slice_mm)
    assert isinstance(options, FlowPropagation.Options)
    return int(options.reach_mm / slice_mm)


@pytest.mark.parametrize("name", [*CAPPED, "external", "demo"])
def test_the_statistics_know_how_far_the_methods_reach(name: str) -> None:
    content = study(name)
    assert content.analysis.thickness
    for method, reach in content.analysis.thickness.items():
        for variant, mm in {"": reach.plain, **reach.variants}.items():
            for slice_mm in (0.1, 0.7, 1.0, 2.5, 5.0, 9.0):
                far = thickness.slices(pd.Series([mm]), pd.Series([slice_mm]), reach)
                assert far.item() == steps(content, method, variant, slice_mm)


def test_the_quick_start_asks_for_nothing_by_hand() -> None:
    named = {method.weights for method in study("quickstart").methods.values()}
    kinds = {part.kind for name in named if name for part in weights.load(name).source}
    assert kinds == {"packaged"}
    assert not any(entry.registration for entry in study("quickstart").entries.values())


@pytest.mark.parametrize("name", ["paper", "external", "ten", "released", "training"])
def test_changes_are_against_the_papers_reference(name: str) -> None:
    assert study(name).analysis.reference == "medsam"


@pytest.mark.parametrize("name", ["external", "ten", "released"])
def test_a_method_is_the_same_in_each_of_them(name: str) -> None:
    """But for variants: a result of one study is found by the other.

    The authors' scripts have the mask where PAM-2DBox is told a box, and one window for all CT.
    """
    papers = study("paper").methods
    for method, told in study(name).methods.items():
        other: dict[str, object] = {"variants": {}}
        if (name, method) == ("released", "pam-2dbox"):
            other["prompt"] = "mask2d"
        if name == "released" and method.startswith("medsam"):
            other["options"] = {}
        assert told.model_copy(update={"variants": {}}) == papers[method].model_copy(update=other)


SWITCHES: dict[str, dict[str, object]] = {
    **{f"R{n}": {"attended": n} for n in (1, 2, 3)},
    "R4": {},
    "shared": {"mask_encoder": "shared"},
}


@pytest.mark.parametrize("name", ["training", "training-demo"])
def test_what_is_trained_for_an_ablation_differs_in_its_switch_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "cases" / "X").mkdir(parents=True)
    trained = [t for t in study(name).trained if t.model.kind == "together"]
    recipes = {
        (t.name, t.seed): Pam2DMaskTrained(t.run.options).recipe(tmp_path).model_dump()
        for t in trained
    }
    seeds = {t.seed for t in trained}
    assert len(seeds) > 1
    assert recipes.keys() == {(switch, seed) for switch in SWITCHES for seed in seeds}
    for (switch, seed), recipe in recipes.items():
        usual = recipes["R4", seed]
        assert {**recipe, "network": usual["network"]} == usual
        assert recipe["network"] == {**usual["network"], **SWITCHES[switch]}


def dry_run(content: Mapping[str, object], folder: Path, *more: str) -> str:
    """What a dry run tells of the jobs."""
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    where = ["--configfile", str(folder / "study.yaml"), "--directory", str(folder)]
    done = snakemake(*more, *where, "--dry-run", "--printshellcmds")
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    return told


def rule_of(name: str, content: Mapping[str, object], target: str, folder: Path, *more: str) -> str:
    """What a dry run tells of the one job of a rule."""
    told = dry_run(content, folder, target, *more)
    (rule,) = re.findall(rf"^rule {name}:\n(.*?)\n\n", told, re.MULTILINE | re.DOTALL)
    return str(rule)


@pytest.mark.parametrize(("name", "threads"), [("plan", 4), ("train", 8)])
def test_what_learns_has_the_threads_of_its_method(name: str, threads: int, tmp_path: Path) -> None:
    content = {
        "study": "planned",
        "datasets": ["P01"],
        "methods": {"nnunet": {"adapter": "nnunet", "prompt": "structure"}},
    }
    target = "results/planned/scores.parquet"
    told = rule_of(name, content, target, tmp_path, "--cores", "32")
    assert f"threads: {threads}\n" in f"{told}\n"


def test_a_program_has_the_threads_and_memory_that_its_options_say(tmp_path: Path) -> None:
    options = {"command": "true {folder}", "threads": 3, "memory_mb": 9000}
    content = {
        "study": "planned",
        "datasets": ["P01"],
        "methods": {"program": {"adapter": "command", "prompt": "box3d", "options": options}},
    }
    told = rule_of("predict", content, "results/planned/scores.parquet", tmp_path, "--cores", "32")
    assert "threads: 3\n" in told
    assert "mem_mb=9000" in told


def test_what_a_study_says_reaches_the_command_line_of_its_jobs(tmp_path: Path) -> None:
    (tmp_path / "my times.csv").touch()
    growth = {"adapter": "region-growth", "prompt": "mask2d", "variants": {"wide": {"slope": 2}}}
    content = {
        "study": "told",
        "datasets": ["P01"],
        "methods": {"growth": growth},
        "analysis": {"interaction": "my times.csv"},
        "training": {"ablations": {"slope": {"plain": "growth", "wide": "growth/wide"}}},
        "report": {"cases_mb": 3.5, "private_images": True},
    }
    told = dry_run(content, tmp_path, "results/told/report.html")
    assert " --interaction 'my times.csv' " in told
    assert "pambench analyse generalisation --settings results/told/settings.json --runs " in told
    assert "pambench training-runs --study results/told " in told
    assert "pambench cases --study results/told --megabytes 3.5 --private-images " in told


def test_a_training_on_several_gpus_is_one_job_on_one_node(tmp_path: Path) -> None:
    class Resources(dict[str, Any]):
        __getattr__ = dict.__getitem__

    options = {"gpus": 2, "workers": 1}
    content = {
        "study": "gpus",
        "datasets": ["P01"],
        "methods": {"pam": {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "pam-small"}},
        "training": {"models": {"m": {"kind": "finetuned", "method": "pam", "options": options}}},
    }
    more = ("--resources", "gpu=2", "--cores", "4")
    rule = rule_of("train", content, "results/gpus/runs.csv", tmp_path, *more)
    assert "threads: 4" in rule
    assert f"mem_mb={2 * (Pam2DMaskTrained.info.memory_mb + 1500)}" in rule
    assert """--speed '{"workers": 1}'""" in rule
    assert "torchrun --standalone --nproc-per-node 2 --no-python pambench fit" in rule
    (told,) = re.findall(r"resources: (.*)", rule)
    resources = Resources(yaml.safe_load(f"{{{told.replace('=', ': ')}}}"))
    assert resources["gpu"] == 2
    submit = pytest.importorskip("snakemake_executor_plugin_slurm.submit_string")
    names = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    job = SimpleNamespace(resources=resources, threads=4, rule=SimpleNamespace(name="train"))
    assert " --nodes=1 " in submit.get_submit_command(job, dict.fromkeys(names, "x"))


def test_an_analysis_asks_for_the_memory_of_its_tables(tmp_path: Path) -> None:
    scores = tmp_path / "results" / "s" / "scores.parquet"
    scores.parent.mkdir(parents=True)
    content = {
        "study": "s",
        "datasets": ["P01"],
        "methods": {"fill": {"adapter": "box-fill", "prompt": "box3d"}},
    }
    claimed = []
    for size in (2 * 10**9, 2 * 10**6):
        with scores.open("wb") as file:
            file.truncate(size)
        target = "results/s/statistics/overall.csv"
        rule = rule_of("analyse_averages", content, target, tmp_path)
        claimed += [int(mb) for mb in re.findall(r"mem_mb=(\d+)", rule)]
    assert claimed[0] > 20_000
    assert claimed[1] == 4000


def test_what_is_tried_again_has_more_memory_and_time_up_to_a_day(tmp_path: Path) -> None:
    content = {
        "study": "s",
        "datasets": ["P01"],
        "methods": {"nnunet": {"adapter": "nnunet", "prompt": "structure"}},
    }
    info = find("nnunet").info
    told = dry_run(content, tmp_path, "--attempt", "2")
    rules = re.findall(r"^rule (\w+):\n.*?\n    resources: (.*?)\n", told, re.M | re.S)
    asked = {rule: set(resources.split(", ")) for rule, resources in rules}
    assert {f"mem_mb={2 * info.memory_mb}", "runtime=1440"} <= asked["predict"]
    assert {f"mem_mb={2 * info.memory_mb}", "runtime=2880"} <= asked["train"]
    assert {"mem_mb=8000", "runtime=480"} <= asked["prepare"]


@pytest.mark.parametrize("attempt", [1, 3, 4])
def test_the_partitions_of_the_page_take_each_attempt(attempt: int, tmp_path: Path) -> None:
    partitions = pytest.importorskip("snakemake_executor_plugin_slurm.partitions")
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(# partitions\.yaml.*?)```", page, re.DOTALL)
    (tmp_path / "partitions.yaml").write_text(block, encoding="utf-8")
    known = partitions.read_partition_file(tmp_path / "partitions.yaml")
    content = {
        "study": "s",
        "datasets": ["P01"],
        "methods": {
            "nnunet": {"adapter": "nnunet", "prompt": "structure"},
            "flow": {"adapter": "flow-propagation", "prompt": "mask2d"},
        },
    }
    told = dry_run(content, tmp_path, "--attempt", str(attempt), "--resources", "gpu=4")
    jobs = re.findall(r"^rule (\w+):\n.*?\n    resources: (.*?)\n", told, re.M | re.S)
    assert {"prepare", "plan", "train", "predict", "report"} <= {rule for rule, _ in jobs}
    for rule, resources in jobs:
        pairs = (pair.split("=") for pair in resources.split(", ") if "<" not in pair)
        numbers = {name: int(value) for name, value in pairs if value.isdigit()}
        job = SimpleNamespace(name=rule, rule=SimpleNamespace(name=rule), threads=1)
        job.resources = SimpleNamespace(**numbers, get=numbers.get)
        found = partitions.get_best_partition(known, job, logging.getLogger("partitions"))
        assert found == ("gpu" if numbers.get("gpu") else "cpu"), (rule, resources)


def test_a_training_on_more_gpus_than_jobs_may_use_is_refused(tmp_path: Path) -> None:
    options = {"gpus": 8, "workers": 1}
    pam = {"adapter": "pam-2dmask", "prompt": "mask2d", "weights": "pam-small"}
    content = {
        "study": "gpus",
        "datasets": ["P01"],
        "methods": {"pam": pam},
        "training": {"models": {"m": {"kind": "finetuned", "method": "pam", "options": options}}},
    }
    for gpus, refused in ((4, True), (8, False)):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        where = ["--configfile", str(tmp_path / "study.yaml"), "--directory", str(tmp_path)]
        resources = ["--resources", f"gpu={gpus}"]
        done = snakemake(*where, "--dry-run", *resources, "--", "results/gpus/runs.csv")
        told = done.stdout + done.stderr
        assert bool(done.returncode) == refused, told
        assert ("is on 8 GPUs, and all running jobs together may use 4" in told) == refused


@pytest.mark.parametrize("profile", ["slurm", "kubernetes"])
def test_resources_of_the_command_line_leave_the_others_as_they_are(
    profile: str, tmp_path: Path
) -> None:
    """What docs/clusters.md tells to give on the command line, under each profile."""
    (tmp_path / "study.yaml").write_text(
        "study: s\ndatasets: [P01]\nmethods: {nnunet: {adapter: nnunet, prompt: structure}}\n"
    )
    given = ["--set-resources", "train:gpu_model=a100", "predict:mem_mb=32000"]
    given += ["--default-resources", "slurm_account=mine"]
    command = [*ON_A_CLUSTER, "--profile", str(ROOT / "profiles" / profile), "--nocolor"]
    command += ["--configfile", str(tmp_path / "study.yaml"), "--directory", str(tmp_path)]
    done = subprocess.run(
        [*command, "--dry-run", "--cores", "1", *given],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'profiles' / 'kubernetes'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = dict(
        re.findall(r"^(?:local)?rule (\w+):\n.*?\n    resources: (.*?)\n", done.stdout, re.M | re.S)
    )
    for rule, asked in {
        "prepare": {"mem_mb=4000", "runtime=240"},
        "collect": {"mem_mb=4000", "runtime=240"},
        "analyse_averages": {"mem_mb=4000", "runtime=240"},
        "report": {"mem_mb=4000", "runtime=240"},
        "plan": {"runtime=1440"},
        "predict": {"mem_mb=32000", "runtime=1440", "gpu_manufacturer=nvidia", "scale=0"},
        "train": {"runtime=2880", "nodes=1", "gpu_model=a100", "gpu_manufacturer=nvidia"},
    }.items():
        assert {*asked, "slurm_account=mine"} <= set(jobs[rule].split(", ")), rule
