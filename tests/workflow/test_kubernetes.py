"""A study on a fake Kubernetes: what is submitted, with which permissions, and its results."""

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ON_A_CLUSTER, ROOT, Workplace
from tests.workflow.kubernetes_api import GPU, Cluster, serve

FOLDER = ROOT / "profiles" / "kubernetes"
PROFILE = yaml.safe_load((FOLDER / "profile.yaml").read_text(encoding="utf-8"))
OBJECTS = {
    content["kind"]: content
    for content in yaml.safe_load_all((FOLDER / "cluster.yaml").read_text(encoding="utf-8"))
}

GPU_METHOD = '''

class OnGpu(Slab):
    """A method that needs a GPU."""

    info = MethodInfo(summary="on a GPU", prompts=("mask2d",), gpu=True, memory_mb=3000)
'''


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that ``KUBECONFIG`` of the tests' environment leads to."""
    played = Cluster(PROFILE["kubernetes-shared-namespace"])
    with serve(played) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        named = {"clusters": "cluster", "users": "user", "contexts": "context"}
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "played",
            **{kind: [{"name": "played", one: {}}] for kind, one in named.items()},
        }
        config["clusters"][0]["cluster"] = {"server": f"http://{host!s}:{port}"}
        config["contexts"][0]["context"] = {"cluster": "played", "user": "played"}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
        yield played
        server.shutdown()
    for process in played.running.values():
        process.wait()


def snakemake(workplace: Workplace, kubeconfig: Path, *arguments: str) -> None:
    """Run Snakemake under the profile."""
    command = [*ON_A_CLUSTER, "--profile", str(FOLDER), "--nocolor"]
    quick = ["--latency-wait", "5", "--seconds-between-status-checks", "1"]
    done = subprocess.run(
        [*command, *quick, "--directory", str(workplace.folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(FOLDER), "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_study_in_pods(
    make_workplace: Callable[[], Workplace], cluster: Cluster, tmp_path: Path
) -> None:
    workplace = make_workplace()
    with (workplace.folder / "mymethods.py").open("a", encoding="utf-8") as file:
        file.write(GPU_METHOD)
    on_gpu = {"method": {"adapter": "mymethods:OnGpu", "prompt": "mask2d"}}
    study = workplace.study(datasets=["B.yaml"], methods=on_gpu)
    target = "results/small/scores.parquet"
    snakemake(workplace, tmp_path / "kubeconfig", target, "--configfile", str(study))

    jobs = {rule_of(job): job for job in cluster.jobs.values()}
    assert sorted(jobs) == ["collect", "predict", "prepare", "prompts", "score"]
    assert cluster.deleted == set(cluster.jobs)
    (log,) = (workplace.folder / ".snakemake" / "log").glob("*.log")
    assert set(re.findall("snakejob-[0-9a-f-]*", log.read_text())) == set(cluster.jobs)
    for job in jobs.values():
        spec = job["spec"]["template"]["spec"]
        assert spec["containers"][0]["image"] == PROFILE["container-image"]
        claims = [v["persistentVolumeClaim"] for v in spec["volumes"] if v["name"] == "pambench"]
        assert claims == [{"claimName": OBJECTS["PersistentVolumeClaim"]["metadata"]["name"]}]
        mounts = spec["containers"][0]["volumeMounts"]
        assert {"name": "pambench", "mountPath": "/shared"} in mounts
        assert {"name": "shm", "mountPath": "/dev/shm"} in mounts
        assert {"name": "shm", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
    requests = {rule: resources(job)["requests"] for rule, job in jobs.items()}
    assert [rule for rule, asked in requests.items() if GPU in asked] == ["predict"]
    assert (requests["predict"][GPU], requests["predict"]["memory"]) == ("1", "3000M")
    assert resources(jobs["predict"])["limits"][GPU] == "1"
    assert requests["prepare"]["memory"] == "4000M"

    scores = workplace.scores()
    assert set(scores["scan"]) == {"case1", "case2"}
    assert set(scores["status"]) == {"ok"}

    allowed = {
        (verb, group, resource)
        for rule in OBJECTS["Role"]["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert cluster.asked <= allowed


def test_the_submitting_pod_sees_what_the_jobs_see() -> None:
    """A job runs the Python of the volume's environment, which needs that of the same image."""
    (container,) = OBJECTS["Pod"]["spec"]["containers"]
    assert container["image"] == PROFILE["container-image"]
    (volume,) = PROFILE["kubernetes-shared-persistent-volumes"]
    (mount,) = container["volumeMounts"]
    assert volume == f"{mount['name']}:{mount['mountPath']}"
    assert {"name": "PYTHONPATH", "value": "profiles/kubernetes"} in container["env"]
    assert (ROOT / "profiles" / "kubernetes").is_dir()


def rule_of(job: dict[str, Any]) -> str:
    """Name of the rule that a job runs."""
    words = job["spec"]["template"]["spec"]["containers"][0]["args"][1].split()
    return str(words[words.index("--allowed-rules") + 1]).strip("'\"")


def resources(job: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What a job requests, and its limits."""
    given: dict[str, dict[str, str]]
    given = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    return given
