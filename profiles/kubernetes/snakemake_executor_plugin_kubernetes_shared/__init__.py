"""The executor ``kubernetes-shared``: snakemake-executor-plugin-kubernetes on a shared volume.

The plugin itself takes it that pods share no files, copies what a rule names as its input from a
storage provider into an empty folder, and what it names as its output back. Here a job reads more
than it names (the raw files of a dataset) and leaves more behind (converted images, locks, a
half-trained model), so pods work on one persistent volume that holds the project, its environment
and the data, as the nodes of a cluster do on a shared disk.
"""

import os
import shlex
from dataclasses import replace

import snakemake_executor_plugin_kubernetes as plugin
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

ExecutorSettings = plugin.ExecutorSettings
common_settings = replace(
    plugin.common_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(plugin.Executor):  # type: ignore[misc]
    """Submits jobs that work where Snakemake does."""

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """Leave the empty folder that a container starts in."""
        return f"cd {shlex.quote(os.getcwd())}"  # noqa: PTH109
