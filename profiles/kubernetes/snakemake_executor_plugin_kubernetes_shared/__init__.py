"""The executor ``kubernetes-shared``: snakemake-executor-plugin-kubernetes on a shared volume.

The plugin itself takes it that pods share no files, copies what a rule names as its input from a
storage provider into an empty folder, and what it names as its output back. Here a job reads more
than it names (the raw files of a dataset) and leaves more behind (converted images, locks, a
half-trained model), so pods work on one persistent volume that holds the project, its environment
and the data, as the nodes of a cluster do on a shared disk.

Processes of a training pass batches through /dev/shm, of which a pod has 64 MB. Here it is a volume
in memory, which counts as memory of the job.
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
    """The API of jobs; a pod of a new one has `SHARED_MEMORY`."""

    def create_namespaced_job(self, namespace: str, body: client.V1Job, **more: Any) -> Any:
        """Mount the volume, once, though a submission may be tried again."""
        pod = body.spec.template.spec
        if SHARED_MEMORY not in pod.volumes:
            pod.volumes.append(SHARED_MEMORY)
            mount = client.V1VolumeMount(name=SHARED_MEMORY.name, mount_path="/dev/shm")
            pod.containers[0].volume_mounts.append(mount)
        return super().create_namespaced_job(namespace, body, **more)


class Executor(plugin.Executor):  # type: ignore[misc]
    """Submits jobs that work where Snakemake does."""

    @property
    def batchapi(self) -> Jobs:
        """What the plugin submits by."""
        return self._jobs

    @batchapi.setter
    def batchapi(self, api: client.BatchV1Api) -> None:
        """Take what the plugin makes, at the start and when it has logged in again."""
        self._jobs = Jobs(api.api_client)

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """Leave the empty folder that a container starts in."""
        return f"cd {shlex.quote(os.getcwd())}"  # noqa: PTH109
