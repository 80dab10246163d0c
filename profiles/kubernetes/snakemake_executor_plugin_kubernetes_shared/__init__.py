"""The executor ``kubernetes-shared``: snakemake-executor-plugin-kubernetes on a shared volume.

The plugin assumes that pods share no files: it copies the inputs that a rule names from a storage
provider into an empty folder, and the outputs back. Here a job reads more than it names (a
dataset's raw files) and leaves more behind (converted images, locks, a half-trained model). So pods
work on one persistent volume with the project, its environment and the data, like the nodes of a
cluster on a shared disk.

Processes of a training exchange batches through /dev/shm, which has 64 MB in a pod. Here it is a
volume in memory, which counts towards the job's memory.
"""

import os
import shlex
from dataclasses import replace
from typing import Any

import snakemake_executor_plugin_kubernetes as plugin
from kubernetes import client
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

ExecutorSettings = plugin.ExecutorSettings
common_settings = replace(
    plugin.common_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


SHARED_MEMORY = client.V1Volume(
    name="shm", empty_dir=client.V1EmptyDirVolumeSource(medium="Memory")
)


class Jobs(client.BatchV1Api):  # type: ignore[misc]
    """The API of jobs, which adds `SHARED_MEMORY` to the pod of each new job."""

    def create_namespaced_job(self, namespace: str, body: client.V1Job, **more: Any) -> Any:
        """Mount the volume once, even if a submission is retried."""
        pod = body.spec.template.spec
        if SHARED_MEMORY not in pod.volumes:
            pod.volumes.append(SHARED_MEMORY)
            mount = client.V1VolumeMount(name=SHARED_MEMORY.name, mount_path="/dev/shm")
            pod.containers[0].volume_mounts.append(mount)
        return super().create_namespaced_job(namespace, body, **more)


class Executor(plugin.Executor):  # type: ignore[misc]
    """Submits jobs that work in Snakemake's own working directory."""

    @property
    def batchapi(self) -> Jobs:
        """The client that the plugin submits jobs with."""
        return self._jobs

    @batchapi.setter
    def batchapi(self, api: client.BatchV1Api) -> None:
        """Wrap the client that the plugin creates at the start and after each login."""
        self._jobs = Jobs(api.api_client)

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """Leave the empty folder that a container starts in."""
        return f"cd {shlex.quote(os.getcwd())}"  # noqa: PTH109
