"""A study on a real one-node Slurm: GPUs are not shared, and a kill costs no result."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import ON_A_CLUSTER, ROOT, Workplace

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scancel")
MISSING = [name for name in PROGRAMS if shutil.which(name, path="/usr/sbin:/usr/bin") is None]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(MISSING) or os.getuid() != 0,
        reason=f"needs Slurm (Debian: slurmctld slurmd slurm-client) and root; missing: {MISSING}",
    ),
]

GPU_METHOD = '''

import os
import time
from pathlib import Path

EVENTS = Path(os.environ.get("EVENTS", "events"))


class OnGpu(Slab):
    """Tells which GPU it was given before and after its work; works only beside another job."""

    info = MethodInfo(summary="on a GPU", prompts=("mask2d",), gpu=True)

    def segment(self, volume, prompts):
        self.tell("start")
        for _ in range(1200):
            if not EVENTS.with_name("hold").exists() and self.others():
                break
            time.sleep(0.1)
        yield from super().segment(volume, prompts)
        self.tell("end")

    def others(self):
        jobs = {line.split()[1] for line in EVENTS.read_text().splitlines()}
        return len(jobs) > 1

    def tell(self, what):
        line = f"{what} {os.environ['SLURM_JOB_ID']} {os.environ['CUDA_VISIBLE_DEVICES']}\\n"
        with EVENTS.open("a") as file:
            file.write(line)
'''


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user of the cluster."""
    script = Path(__file__).with_name("slurm_node.sh")
    folder = tmp_path_factory.mktemp("s")
    try:
        started = subprocess.run(
            ["bash", str(script), "start", str(folder)], capture_output=True, text=True, check=True
        )
        conf, programs = started.stdout.split()
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        yield {**os.environ, "SLURM_CONF": conf, "PATH": path, "EVENTS": str(folder / "events")}
    finally:
        subprocess.run(["bash", str(script), "stop", str(folder)], check=True)


def most_at_once(events: list[str]) -> int:
    """Most jobs that ran at once; fails where two of them had the same GPU."""
    held: dict[str, str] = {}
    most = 0
    for event in events:
        what, job, gpu = event.split()
        if what == "end":
            held.pop(job, None)
            continue
        assert gpu in {"0", "1", "2", "3"}
        assert gpu not in [other for name, other in held.items() if name != job]
        held[job] = gpu
        most = max(most, len(held))
    return most


def test_a_study_on_a_cluster_and_a_kill(
    make_workplace: Callable[[], Workplace], slurm: dict[str, str], tmp_path: Path
) -> None:
    cluster = make_workplace()
    with (cluster.folder / "mymethods.py").open("a", encoding="utf-8") as file:
        file.write(GPU_METHOD)
    on_gpu = {"adapter": "mymethods:OnGpu", "prompt": "mask2d"}
    methods = {f"reach {reach}": on_gpu | {"options": {"reach": reach}} for reach in (0, 1)}
    budgets = {"timed_objects": 0}
    study = cluster.study(datasets=["A.yaml"], methods=methods, budgets=budgets)
    target = "results/small/scores.parquet"
    profile = ["--profile", str(ROOT / "profiles" / "slurm"), "--nocolor", "--jobs", "8"]
    quick = ["--latency-wait", "5", "--slurm-status-command", "squeue"]
    quick += ["--slurm-init-seconds-before-status-checks", "1"]
    where = ["--configfile", str(study), "--directory", str(cluster.folder)]
    command = [*ON_A_CLUSTER, *profile, *quick, "--resources", "gpu=4", *where]

    prepared = cluster.run(study, target, "--until", "prompts")
    assert prepared.returncode == 0, prepared.stderr
    here = Workplace(tmp_path / "here")
    shutil.copytree(cluster.folder, here.folder)
    events = Path(slurm["EVENTS"])
    hold = events.with_name("hold")
    hold.touch()
    with (cluster.folder / "killed.log").open("w", encoding="utf-8") as log:
        killed = subprocess.Popen(
            [*command, target], stdout=log, stderr=log, env=slurm, start_new_session=True
        )
        while killed.poll() is None and not events.exists():
            time.sleep(0.1)
        assert killed.poll() is None, (cluster.folder / "killed.log").read_text(encoding="utf-8")
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    (log_of_run,) = [
        text
        for path in (cluster.folder / ".snakemake" / "log").glob("*.log")
        if "SLURM run ID: " in (text := path.read_text(encoding="utf-8"))
    ]
    name = log_of_run.split("SLURM run ID: ")[1].split()[0]
    unlock = [*command, "--unlock"]
    assert subprocess.run(unlock, env=slurm, capture_output=True, check=False).returncode == 0
    refused = subprocess.run(
        [*command, target], env=slurm, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert f"scancel --name {name}" in refused.stdout + refused.stderr
    subprocess.run(["scancel", "--name", name], env=slurm, check=True)
    while subprocess.run(["squeue", "-h"], env=slurm, capture_output=True, check=True).stdout:
        time.sleep(0.1)
    hold.unlink()
    events.unlink()
    run = subprocess.run([*command, target], env=slurm, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert 1 < most_at_once(events.read_text(encoding="utf-8").splitlines()) <= 4

    slab = {"adapter": "mymethods:Slab", "prompt": "mask2d"}
    methods = {f"reach {reach}": slab | {"options": {"reach": reach}} for reach in (0, 1)}
    local = here.run(here.study(datasets=["A.yaml"], methods=methods, budgets=budgets), target)
    assert local.returncode == 0, local.stderr
    pd.testing.assert_frame_equal(cluster.scores(), here.scores())
