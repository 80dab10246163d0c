"""Benchmark the workflow's own CPU time and memory on a generated study of 44 datasets.

    python -m tests.bench.bench_scale            # make scale; minutes on two cores
    python -m tests.bench.bench_scale collect    # one part of it: dag, shard, score, collect

Reports the CPU seconds (user and system) of a process with its children, and its peak memory. Wall
time says little on a busy machine. docs/scale.md gives the results.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from benchmark import volume
from benchmark.storage import paths
from benchmark.storage.files import write_json
from benchmark.study import Study
from tests.bench import scale_study

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
SNAKEMAKE += ["--cores", "1", "--nocolor", "--quiet", "rules"]
PAMBENCH = [sys.executable, "-m", "benchmark"]
TRIVIAL = {"box": {"adapter": "box-fill", "prompt": "box3d"}}
WORK_S = 100.0
"""Assumed work of a shard: 100 objects of one second each."""


class Cost(NamedTuple):
    """CPU seconds of a command with its children, the largest peak memory (MiB), and its output."""

    seconds: float
    memory: float
    told: str


_WATCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(code)
"""


def measure(command: Sequence[str]) -> Cost:
    """Run a command in a child of a small process.

    The peak memory of a process includes that of its parent at the fork.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WATCH, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}")
    seconds, memory = map(float, done.stdout.splitlines()[-1].split())
    return Cost(seconds, memory, done.stdout)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@contextmanager
def folder() -> Iterator[Path]:
    """Change to an empty temporary directory for the duration of the block."""
    with tempfile.TemporaryDirectory() as made, chdir(made):
        yield Path(made)


def dag() -> None:
    """Plan the study of the paper on an eighth, a quarter, half and all of its datasets."""
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text(encoding="utf-8"))
    print("| datasets | jobs | CPU s | memory of Snakemake, MiB |\n|---|---|---|---|")
    for count in (6, 11, 22, 44):
        with folder():
            content = paper | {"datasets": paper["datasets"][:count]}
            Path("study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
            cost = measure([*SNAKEMAKE, "--dry-run", "--configfile", "study.yaml"])
        jobs = re.findall(r"^total +(\d+)", cost.told, re.MULTILINE)[0]
        print(f"| {count} | {jobs} | {cost.seconds:.1f} | {cost.memory:.0f} |", flush=True)


def shard() -> None:
    """Run a trivial method on a shard of 100 objects, one command at a time, without Snakemake."""
    with folder() as here:
        _small_dataset(here)
        content = {"study": "small", "datasets": ["A.yaml"], "methods": {"box": TRIVIAL["box"]}}
        planned = Study.read(content, "study.yaml")
        (run,) = planned.runs.values()
        for name, settings in (
            ("run", run),
            ("rules", planned.prompt_rules),
            ("metrics", planned.scoring),
            ("status", planned.entries["A"].source.fetch(here)),
        ):
            write_json(Path(f"{name}.json"), settings.model_dump(mode="json"))
        tables = {name: f"data/A/{name}.parquet/0.parquet" for name in ("images", "objects")}
        tables |= {name: f"{name}.parquet" for name in ("reference", "failures", "prompts")}
        tables |= {name: f"{name}.parquet" for name in ("masks", "times")}

        def given(*names: str) -> list[str]:
            return [word for name in names for word in (f"--{name}", tables[name])]

        scene = ("images", "objects", "reference")
        told = ["--dataset", "A.yaml", "--status", "status.json", "--shard", "0"]
        asked = ["--settings", "rules.json", "--output", tables["prompts"]]
        of_run = ["--settings", "run.json"]
        scored = ["--metrics", "metrics.json", "--output", "scores.parquet"]
        commands = {
            "prepare": [*told, *given(*scene, "failures")],
            "prompts": [*asked, *given(*scene)],
            "predict": [*of_run, *given("images", "prompts", "masks", "times")],
            "score-shard": [*of_run, *scored, *given(*scene, "prompts", "masks")],
        }
        print("| stage | CPU s | memory, MiB |\n|---|---|---|")
        spent = {}
        for name, words in commands.items():
            cost = measure([*PAMBENCH, name, *words])
            spent[name] = cost.seconds
            print(f"| {name} | {cost.seconds:.1f} | {cost.memory:.0f} |", flush=True)
        objects = len(pd.read_parquet(tables["objects"]))
    each = spent["predict"] + spent["score-shard"]
    once = spent["prepare"] + spent["prompts"]
    print(f"{objects} objects: {each:.1f} CPU s for each method, {once:.1f} once for all of them:")
    print(f"{each / WORK_S:.1%} and {once / WORK_S:.1%} of {WORK_S:.0f} s of work")


def _small_dataset(here: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        label = np.zeros((12, 40, 40), dtype=np.uint8)
        for value in range(5):
            label[2:9, 3 : 3 + 6 * value + 5, 7 * value + 2 : 7 * value + 6] = value + 1
        image = rng.normal(0, 20, label.shape).astype(np.float32) + 50 * label
        for kind, array in (("images", image), ("labels", label)):
            path = here / "A" / kind / f"case{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            volume.write(array, (3.0, 1.0, 1.0), path)
    entry = {
        "id": "A",
        "name": "A",
        "split": "local",
        "modality": "CT",
        "source": {"kind": "local", "path": "A"},
        "layout": {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"},
        "labels": {value + 1: f"organ {value}" for value in range(5)},
    }
    Path("A.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")


def score() -> None:
    """Score shards of growing size."""
    print("| objects in the shard | CPU s | memory, MiB |\n|---|---|---|")
    for scans in (25, 50, 100, 200):
        with folder():
            planned = _planned(1)
            entry = planned.entries["D41"]  # 16 structures per scan
            names = [f"scan-{n:03d}" for n in range(scans)]
            scale_study.Shard(entry, names, len(entry.labels)).write(planned, 0)
            at = {"dataset": entry.id, "shard": 0}
            (run,) = planned.runs.values()
            write_json(Path("run.json"), run.model_dump(mode="json"))
            write_json(Path("metrics.json"), planned.scoring.model_dump(mode="json"))
            masks = paths.MASKS.format(run=run.id, **at)
            asked = paths.PROMPTS.format(rules=planned.prompt_rules.id, **at)
            tables = [
                "--images",
                paths.IMAGES.format(**at),
                "--objects",
                paths.OBJECTS.format(**at),
            ]
            tables += ["--reference", paths.REFERENCE.format(**at), "--prompts", asked]
            told = ["--settings", "run.json", "--metrics", "metrics.json", "--masks", masks]
            cost = measure([*PAMBENCH, "score-shard", *told, *tables, "--output", "scores.parquet"])
        print(f"| {scans * 16} | {cost.seconds:.1f} | {cost.memory:.0f} |", flush=True)


def collect() -> None:
    """Collect and check a study of ten methods on a growing share of the scans."""
    print("| score rows | collect: CPU s, MiB | check: CPU s, MiB | scores.parquet, MB |")
    print("|---|---|---|---|")
    for share in (0.0625, 0.125, 0.25, 0.5):
        with folder():
            planned = _planned(10)
            scale_study.write(planned, share)
            study = Path("results/scale")
            write_json(study / "settings.json", planned.model_dump(mode="json"))
            at = ["--study", str(study)]
            collected = measure([*PAMBENCH, "collect", *at])
            checked = measure([*PAMBENCH, "check", *at, "--output", "within.json"])
            rows = len(pd.read_parquet(study / "scores.parquet", columns=["level"]))
            size = (study / "scores.parquet").stat().st_size / 1e6
        cells = " | ".join(
            f"{cost.seconds:.0f}, {cost.memory:.0f}" for cost in (collected, checked)
        )
        print(f"| {rows:,} | {cells} | {size:.0f} |", flush=True)


def _planned(methods: int) -> Study:
    named = {f"method {n}": TRIVIAL["box"] for n in range(methods)}
    return scale_study.study(Path(), named)


PARTS = {"dag": dag, "shard": shard, "score": score, "collect": collect}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__}\n", flush=True)
        PARTS[name]()
