"""A fake Kubernetes API with the calls that the executor makes; jobs run on this machine.

As in Kubernetes, a job is refused if two mounts have the same path, a mount lacks its volume, or
the request and the limit of GPUs differ.
"""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

VERBS = {"POST": "create", "DELETE": "delete", "GET": "get"}
GPU = "nvidia.com/gpu"


@dataclass
class Cluster:
    """State of the fake cluster; ``asked`` holds verb, API group and resource of each call."""

    namespace: str
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    asked: set[tuple[str, str, str]] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def submit(self, job: dict[str, Any]) -> None:
        """Start the command of the job's container in an empty folder, as in its image."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        empty = tempfile.mkdtemp()
        name = job["metadata"]["name"]
        self.jobs[name] = job
        self.running[name] = subprocess.Popen(
            [*container["command"], *container["args"]],
            cwd=empty,
            env={**os.environ, "KUBERNETES_SERVICE_HOST": "played"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def exit_code(self, name: str) -> int | None:
        """Return the exit status of a job, or None while it runs."""
        return self.running[name].poll()


def refusal(job: dict[str, Any]) -> str | None:
    """Return why Kubernetes would refuse the job, or None."""
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    places = [mount["mountPath"] for mount in container["volumeMounts"]]
    if len(places) > len(set(places)):
        return "mountPath: must be unique"
    if not {m["name"] for m in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}:
        return "volumeMounts: not found"
    resources = container["resources"]
    asked = resources.get("requests", {}).get(GPU)
    if asked is not None and asked != resources.get("limits", {}).get(GPU):
        return f"Limit must be set for non overcommitable resources: {GPU}"
    return None


def serve(cluster: Cluster) -> ThreadingHTTPServer:
    """Return a server of ``cluster`` on a free local port; the caller runs it."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, content: Any, code: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def dispatch(self) -> None:
            parts = urlsplit(self.path)
            group, resource, name = self.named(parts.path)
            verb = "list" if self.command == "GET" and not name else VERBS[self.command]
            cluster.asked.add((verb, group, resource))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            match verb, resource:
                case "create", "jobs":
                    job = json.loads(body)
                    if reason := refusal(job):
                        self.answer({"kind": "Status", "reason": "Invalid", "message": reason}, 422)
                        return
                    cluster.submit(job)
                    self.answer(job, 201)
                case "get", "jobs/status":
                    self.answer({**cluster.jobs[name], "status": status(cluster.exit_code(name))})
                case "list", "pods":
                    selector = parse_qs(parts.query)["labelSelector"][0]
                    job_name = selector.removeprefix("job-name=")
                    self.answer({"items": [pod(job_name, cluster.exit_code(job_name))]})
                case "delete", "jobs":
                    cluster.deleted.add(name)
                    self.answer({"kind": "Status", "status": "Success"})
                case _:
                    self.answer(json.loads(body or b"{}"), 201 if verb == "create" else 200)

        def named(self, path: str) -> tuple[str, str, str]:
            """Return API group, resource (with subresource) and name of a path in the namespace."""
            before, _, after = path.partition(f"/namespaces/{cluster.namespace}/")
            group = before.split("/")[2] if before.startswith("/apis/") else ""
            resource, name, sub, *_ = [*after.split("/"), "", ""]
            return group, f"{resource}/{sub}" if sub else resource, name

        do_GET = do_POST = do_DELETE = dispatch  # noqa: N815

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def status(code: int | None) -> dict[str, int]:
    """Return the status of a job with exit code ``code``."""
    return {} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}


def pod(job: str, code: int | None) -> dict[str, Any]:
    """Return the pod of a job with exit code ``code``."""
    state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
    told = {"name": "snakemake", "image": "", "imageID": "", "ready": True, "restartCount": 0}
    return {
        "metadata": {"name": f"{job}-pod"},
        "status": {"containerStatuses": [{**told, "state": state}]},
    }
