"""A small study in its own folder, and Snakemake to run it."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmark import volume
from benchmark.storage.tables import read_table

ROOT = Path(__file__).parents[2]
SNAKEFILE = ["--snakefile", str(ROOT / "Snakefile")]
ON_A_CLUSTER = [sys.executable, "-m", "snakemake", *SNAKEFILE]
"""Snakemake as users start it; a profile is still to be named."""

# Snakemake imports each plugin that is installed: pandas and the client of Kubernetes, which take
# half of the time of its start, and of these tests' hundred starts only a few need them.
IMPORT = """
import pkgutil, sys
every = pkgutil.iter_modules
plugin = "snakemake_executor_plugin_"
pkgutil.iter_modules = lambda *where: (m for m in every(*where) if not m.name.startswith(plugin))
from snakemake.cli import main
"""
ARGUMENTS = [*SNAKEFILE, "--profile", str(ROOT / "profiles" / "default")]
ARGUMENTS += ["--cores", "2", "--nocolor"]
SNAKEMAKE = [sys.executable, "-c", f"{IMPORT}sys.exit(main())", *ARGUMENTS]

# Imports Snakemake, and nothing of the project, once for all runs; each is a process of its own.
FORKS = f"""{IMPORT}
import json, os
for line in sys.stdin:
    sys.argv[1:], environment, out, err = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, path in enumerate((os.devnull, out, err)):
            os.dup2(os.open(path, os.O_RDWR), number)
        os.environ.clear()
        os.environ.update(environment)
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def forking() -> subprocess.Popen[str]:
    """Start the process that forks a run for each line of its input."""
    pipe = subprocess.PIPE
    started = subprocess.Popen([sys.executable, "-c", FORKS], stdin=pipe, stdout=pipe, text=True)
    atexit.register(started.communicate)  # it ends with its input
    return started


def snakemake(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with `ARGUMENTS` and ``arguments``, without the time of its import."""
    process = forking()
    assert process.stdin is not None
    assert process.stdout is not None
    given = [*ARGUMENTS, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        for path in (out, err):
            path.touch()
        order = json.dumps([given, dict(os.environ), str(out), str(err)])
        print(order, file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        return subprocess.CompletedProcess(given, code, out.read_text(), err.read_text())


METHODS = '''
"""Methods of a user's own, beside the study file."""

import os

import numpy as np

from benchmark.inference import partial_shard
from benchmark.adapter import Adapter, Learner, MethodInfo, Prediction

partial_shard.EVERY_S = 0  # keep each scan, so that every killed job has something to resume


class Slab(Adapter):
    """The guiding mask on its own slice and its neighbours."""

    info = MethodInfo(summary="slab", prompts=("mask2d",))

    class Options(Adapter.Options):
        reach: int = 1

    def segment(self, volume, prompts):
        for prompt in prompts:
            mask = np.zeros(volume.shape, dtype=bool)
            near = slice(max(prompt.slice - self.options.reach, 0), prompt.slice + 2)
            np.moveaxis(mask, prompt.axis, 0)[near] = prompt.plane
            yield Prediction(mask)


class Weighted(Slab):
    """Needs weights; they are its reach."""

    def load(self, weights, device):
        self.reach = int(weights.read_text())


class Learnt(Learner):
    """Learns how bright a structure is."""

    info = MethodInfo(summary="learnt", prompts=("structure",))
    inference_options = frozenset({"margin"})

    class Options(Learner.Options):
        margin: int = 0

    def plan(self, cases, structures, workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        means = [case.volume().grey[case.labels(structures) == 1].mean() for case in cases]
        (workdir / "plan.txt").write_text(str(sum(means) / len(means)))

    def fit(self, workdir, device, start):
        (workdir / "model.txt").write_text((workdir / "plan.txt").read_text())

    def load(self, weights, device):
        self.level = float((weights / "model.txt").read_text()) / 2

    def segment(self, volume, prompts):
        for _ in prompts:
            yield Prediction(volume.grey > self.level)


class Raising(Adapter):
    """Fails for every prompt."""

    info = MethodInfo(summary="raising", prompts=("mask2d",))

    def segment(self, volume, prompts):
        raise RuntimeError("the network is on fire")
        yield


class Dies(Slab):
    """Ends its process on one scan, as a segmentation fault does."""

    def segment(self, volume, prompts):
        if volume.scan == "case1":
            os.kill(os.getpid(), 9)
        yield from super().segment(volume, prompts)


class WrongShape(Adapter):
    """Answers on another grid."""

    info = MethodInfo(summary="wrong shape", prompts=("mask2d",))

    def segment(self, volume, prompts):
        for _ in prompts:
            yield Prediction(np.zeros((2, 3, 4), dtype=bool))
'''


@dataclass(frozen=True)
class Workplace:
    """A working directory with two local datasets, user-defined methods and a study file."""

    folder: Path

    def write(self, name: str, content: Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(dict(content)))
        return path

    def study(self, name: str = "small", **changes: Any) -> Path:
        content = {
            "study": name,
            "datasets": ["A.yaml", "B.yaml"],
            "methods": {
                "slab": {"adapter": "mymethods:Slab", "prompt": "mask2d"},
                "box": {"adapter": "box-fill", "prompt": "box3d"},
            },
        }
        return self.write(f"{name}.yaml", content | changes)

    def arguments(self, study: Path) -> list[str]:
        return ["--configfile", str(study), "--directory", str(self.folder)]

    def command(self, study: Path, *arguments: str) -> list[str]:
        return [*SNAKEMAKE, *self.arguments(study), *arguments]

    def run(self, study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return snakemake(*self.arguments(study), *arguments)

    def rerun(self, study: Path, *targets: str) -> set[str]:
        """Return the names of the rules that a run would execute now."""
        done = self.run(study, "--dry-run", *targets)
        assert done.returncode == 0, done.stderr
        lines = (done.stdout + done.stderr).splitlines()
        starts = (line.split() for line in lines if line.startswith(("rule ", "localrule ")))
        return {words[1].rstrip(":") for words in starts}

    def scores(self, name: str = "small") -> Any:
        return read_table(self.folder / "results" / name / "scores.parquet")

    def add_scan(self, dataset: str, scan: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        z, y, x = np.ogrid[:8, :24, :24]
        centre = rng.uniform(9, 14, size=2)
        label = (((z - 4) / 3) ** 2 + ((y - centre[0]) / 6) ** 2 + ((x - centre[1]) / 5) ** 2) < 1
        image = rng.normal(0, 10, label.shape).astype(np.float32) + 100 * label
        for kind, array in (("images", image), ("labels", label.astype(np.uint8))):
            path = self.folder / dataset / kind / f"{scan}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            volume.write(array, (3.0, 1.0, 1.0), path)


@pytest.fixture(scope="session")
def make_workplace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Workplace]:
    """Return a function that makes a workplace with two datasets of two scans each."""

    def make() -> Workplace:
        place = Workplace(tmp_path_factory.mktemp("workplace"))
        (place.folder / "mymethods.py").write_text(METHODS)
        for name in ("A", "B"):
            for number in (1, 2):
                place.add_scan(name, f"case{number}", seed=number + 10 * (name == "B"))
            place.write(f"{name}.yaml", entry(name))
        return place

    return make


def entry(name: str) -> dict[str, Any]:
    """Return the catalogue entry of a local dataset in the workplace."""
    return {
        "id": name,
        "name": f"Local {name}",
        "split": "local",
        "modality": "CT",
        "source": {"kind": "local", "path": name},
        "layout": {"image": "images/{scan}.nii.gz", "label": "labels/{scan}.nii.gz"},
        "labels": {1: "lesion"},
        "licence": {"redistributable": True},
    }
